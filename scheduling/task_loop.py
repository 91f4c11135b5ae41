"""Single-threaded event loop; commits tasks' writes in groups.

A task is a coroutine. The writes of one pass are one transaction, so they share one wait for the disk.
Source: docs/decisions/0003-group-commit.md.
"""

from __future__ import annotations

import heapq
import itertools
import select
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from core.boundary import Outcome, failure_of, outcome_of
from core.clock import Clock
from core.errors import LeaseLost
from system.awaitables import Stoppable, Task, Wait, Write, milliseconds

#: A deferred write is committed after this many seconds, if no other write has taken it along by then.
DEFERRED_SEC = 0.005


class Ledger(Protocol):
    """What the loop needs of the store: several writes in one transaction. A write that fails is undone alone."""

    def group_commit(self, works: Sequence[Callable[[], Any]]) -> list[Outcome]: ...


class _Running:
    """A spawned task. `step` grows with each wait, so that a wake-up meant for an earlier wait is ignored."""

    __slots__ = ("descriptor", "on_end", "step", "stoppable", "task")

    def __init__(self, task: Task[Any], on_end: Callable[[Outcome], None]) -> None:
        self.task = task
        self.on_end = on_end
        self.step = 0
        self.descriptor: int | None = None
        self.stoppable = False


class _PendingWrite(NamedTuple):
    """A write for the next commit. Its outcome goes to `callback`, or to the task that was at `step` when it asked."""

    work: Callable[[], Any]
    running: _Running | None
    step: int
    deferred: bool
    callback: Callable[[Outcome], None] | None


class TaskLoop:
    """Runs tasks. The caller spawns them, and calls `run_once` again and again."""

    def __init__(self, ledger: Ledger, clock: Clock, stop: Stoppable) -> None:
        """`stop` is the stop of the process: it wakes every task whose wait has a stop."""
        self._ledger = ledger
        self._clock = clock
        self._stop = stop
        self._poll = select.poll()
        self._waiting: dict[int, _Running] = {}
        self._listeners: dict[int, Callable[[], None]] = {}
        self._wake_times: list[tuple[float, int, int, _Running]] = []
        self._sequence = itertools.count()
        self._running: set[_Running] = set()
        self._pending: list[_PendingWrite] = []
        self._deferred_until: float | None = None
        self._stopped = False
        for descriptor in stop.descriptors():
            self._poll.register(descriptor, select.POLLIN)

    def __len__(self) -> int:
        """The number of running tasks."""
        return len(self._running)

    @property
    def writes(self) -> int:
        """The number of writes for the next commit, without the deferred ones."""
        return sum(not pending.deferred for pending in self._pending)

    def spawn(self, task: Task[Any], on_end: Callable[[Outcome], None]) -> None:
        """Starts a task and runs it up to its first wait. `on_end` gets what it returns or raises."""
        running = _Running(task, on_end)
        self._running.add(running)
        self._resume(running, None)

    def write(self, work: Callable[[], Any], callback: Callable[[Outcome], None]) -> None:
        """Calls `work` in the next commit, together with the tasks' writes. `callback` gets its outcome."""
        self._pending.append(_PendingWrite(work, None, 0, False, callback))

    def listen(self, descriptor: int, on_readable: Callable[[], None]) -> None:
        """Calls `on_readable` in each pass in which the descriptor is readable."""
        self._listeners[descriptor] = on_readable
        self._poll.register(descriptor, select.POLLIN)

    def unlisten(self, descriptor: int) -> None:
        """Ends `listen` for this descriptor."""
        if self._listeners.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def run_once(self, seconds: float | None) -> None:
        """One pass: commits the pending writes, resumes the tasks that waited for them, then those that can run again.

        If there is nothing to do, waits for `seconds` at most; None: without a limit. Raises what a callback raises.
        """
        # A task that was resumed after a commit may have ended or may write again: the caller hears of it at once.
        self._dispatch(self._wait(0 if self._commit() or self.writes else self._timeout(seconds)))

    # --- writing ---

    def _commit(self) -> bool:
        """Commits the pending writes. Returns whether a task was resumed or a callback was called."""
        is_deferred_due = self._deferred_until is not None and self._clock.monotonic() >= self._deferred_until
        if not self.writes and not is_deferred_due:
            return False
        pending, self._pending, self._deferred_until = self._pending, [], None
        outcomes = self._ledger.group_commit([write.work for write in pending])
        # All get their outcomes, even if one of them raises.
        deliveries = [outcome_of(partial(self._deliver, *pair)) for pair in zip(pending, outcomes, strict=True)]
        for error in [delivery.error for delivery in deliveries if delivery.error is not None]:
            raise error
        return any(delivery.value for delivery in deliveries)

    def _deliver(self, pending: _PendingWrite, outcome: Outcome) -> bool:
        if pending.callback is not None:
            pending.callback(outcome)
        elif pending.running in self._running and _wants_outcome(pending, outcome):
            self._resume(pending.running, outcome)
        else:
            if outcome.error is not None and not isinstance(outcome.error, LeaseLost):
                # No task waits for a deferred write, so its failure is only logged.
                failure_of(outcome.error, "A deferred write failed")
            return False
        return True

    # --- waiting ---

    def _timeout(self, seconds: float | None) -> float | None:
        ends = [wake_time[0] for wake_time in self._wake_times[:1]]
        if self._deferred_until is not None:
            ends.append(self._deferred_until)
        if not ends:
            return seconds
        left = max(0.0, min(ends) - self._clock.monotonic())
        return left if seconds is None else min(left, seconds)

    def _wait(self, seconds: float | None) -> list[tuple[int, int]]:
        if not self._waiting and not self._listeners and not self._stopped:
            # Only a stop can end this wait, and a stop has its own way to wait.
            self._stop.wait(3_600 if seconds is None else seconds)
            return []
        return self._poll.poll(None if seconds is None else milliseconds(seconds))

    def _dispatch(self, ready: list[tuple[int, int]]) -> None:
        """Resumes the tasks whose descriptors are readable or whose times are over, and calls the listeners."""
        if not self._stopped and self._stop.is_set():
            self._wake_all()
        for descriptor, _ in ready:
            if (running := self._waiting.get(descriptor)) is not None:
                self._resume(running, None)
            elif (on_readable := self._listeners.get(descriptor)) is not None:
                on_readable()
        now, limit = self._clock.monotonic(), next(self._sequence)
        # Only waits that began before this pass: a task that waits for 0 s must not keep out the others.
        while self._wake_times and self._wake_times[0][0] <= now and self._wake_times[0][1] < limit:
            _, _, step, running = heapq.heappop(self._wake_times)
            if running.step == step and running in self._running:
                self._resume(running, None)

    def _wake_all(self) -> None:
        """Wakes every task that waits with a stop. A set stop stays readable, so it is not polled any more."""
        self._stopped = True
        for descriptor in self._stop.descriptors():
            self._poll.unregister(descriptor)
        for running in [running for running in self._running if running.stoppable]:
            self._resume(running, None)

    # --- running ---

    def _resume(self, running: _Running, outcome: Outcome | None) -> None:
        """Runs a task up to its next wait or to its end. `outcome` is that of the write it waited for."""
        if running.descriptor is not None:
            self._waiting.pop(running.descriptor, None)
            self._poll.unregister(running.descriptor)
            running.descriptor = None
        running.step += 1
        running.stoppable = False
        while True:
            stepped = outcome_of(partial(_step, running.task, outcome))
            outcome = None
            if stepped.error is not None or isinstance(stepped.value, Outcome):
                self._running.discard(running)
                running.on_end(stepped if stepped.error is not None else stepped.value)
                return None
            request = stepped.value
            if isinstance(request, Write):
                self._pending.append(_PendingWrite(request.work, running, running.step, request.deferred, None))
                if not request.deferred:
                    return None
                if self._deferred_until is None:
                    self._deferred_until = self._clock.monotonic() + DEFERRED_SEC
                outcome = Outcome(None, None)
            elif request.stop is None or not request.stop.is_set():
                return self._begin_wait(running, request)

    def _begin_wait(self, running: _Running, request: Wait) -> None:
        running.stoppable = request.stop is not None
        until = self._clock.monotonic() + request.seconds
        heapq.heappush(self._wake_times, (until, next(self._sequence), running.step, running))
        if request.descriptor is not None:
            running.descriptor = request.descriptor
            self._waiting[request.descriptor] = running
            self._poll.register(request.descriptor, select.POLLIN)


def _wants_outcome(pending: _PendingWrite, outcome: Outcome) -> bool:
    """Whether the task still waits for this write. After a deferred one it hears of a lost lease only."""
    if pending.deferred:
        return isinstance(outcome.error, LeaseLost)
    return pending.running is not None and pending.step == pending.running.step


def _step(task: Task[Any], outcome: Outcome | None) -> Any:
    """Resumes the task. Returns its next request, or an `Outcome` at its end. Raises a lost lease inside the task."""
    try:
        if outcome is not None and isinstance(outcome.error, LeaseLost):
            return task.throw(outcome.error)
        return task.send(outcome)
    except StopIteration as end:
        return Outcome(end.value, None)
