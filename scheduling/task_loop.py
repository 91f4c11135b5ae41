"""Courses of work that go on side by side in one thread: one waits while another is gone on with.

What they write is committed together, with one wait for the disk. Source: docs/decisions/0003-group-commit.md.
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

#: How long a write waits at most that nobody waits for: then it is committed alone.
DEFERRED_SEC = 0.005


class Ledger(Protocol):
    """What is asked of the store: pieces of work in one transaction, each undone alone if it fails."""

    def group_commit(self, works: Sequence[Callable[[], Any]]) -> list[Outcome]: ...


class _Running:
    """A course that has begun. `turn` grows with each wait, so that an alarm of an earlier one is known as such."""

    __slots__ = ("descriptor", "ended", "step", "stoppable", "task")

    def __init__(self, task: Task[Any], ended: Callable[[Outcome], None]) -> None:
        self.task = task
        self.ended = ended
        self.step = 0
        self.descriptor: int | None = None
        self.stoppable = False


class _Asked(NamedTuple):
    """A write that is to be committed: for a course that waits for it, one that does not, or for nobody's course."""

    work: Callable[[], Any]
    running: _Running | None
    step: int
    deferred: bool
    then: Callable[[Outcome], None] | None


class TaskLoop:
    """Begins courses, and takes all of them on, a `turn` at a time."""

    def __init__(self, ledger: Ledger, clock: Clock, stop: Stoppable) -> None:
        """`stop` is that of the process: it wakes every course that waits with a stop."""
        self._ledger = ledger
        self._clock = clock
        self._stop = stop
        self._poll = select.poll()
        self._waiting: dict[int, _Running] = {}
        self._listening: dict[int, Callable[[], None]] = {}
        self._wake_times: list[tuple[float, int, int, _Running]] = []
        self._numbers = itertools.count()
        self._running: set[_Running] = set()
        self._asked: list[_Asked] = []
        self._deferred_until: float | None = None
        self._stopped = False
        for descriptor in stop.descriptors():
            self._poll.register(descriptor, select.POLLIN)

    def __len__(self) -> int:
        """How many courses go on."""
        return len(self._running)

    @property
    def writes(self) -> int:
        """How many writes wait for the next commit that somebody waits for."""
        return sum(not asked.deferred for asked in self._asked)

    def spawn(self, task: Task[Any], ended: Callable[[Outcome], None]) -> None:
        """Takes a course up to its first wait; `ended` hears what became of it."""
        running = _Running(task, ended)
        self._running.add(running)
        self._go_on(running, None)

    def write(self, work: Callable[[], Any], then: Callable[[Outcome], None]) -> None:
        """Writes together with what the courses write; `then` hears what became of it."""
        self._asked.append(_Asked(work, None, 0, False, then))

    def listen(self, descriptor: int, heard: Callable[[], None]) -> None:
        """Calls `heard` in each turn in which the descriptor can be read."""
        self._listening[descriptor] = heard
        self._poll.register(descriptor, select.POLLIN)

    def unlisten(self, descriptor: int) -> None:
        """Ends `listen`."""
        if self._listening.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def run_once(self, seconds: float | None) -> None:
        """Commits what is to be written, goes on with what waited for it, and then with what has come by then.

        Waits at most `seconds` (None: as long as it takes) if nothing has come.
        """
        # What has heard of a commit may be over, or want to write again: that is worth more than a wait.
        self._take(self._wait(0 if self._commit() or self.writes else self._timeout(seconds)))

    # --- writing ---

    def _commit(self) -> bool:
        """Whether anybody was told of it."""
        late = self._deferred_until is not None and self._clock.monotonic() >= self._deferred_until
        if not self.writes and not late:
            return False
        asked, self._asked, self._deferred_until = self._asked, [], None
        outcomes = self._ledger.group_commit([one.work for one in asked])
        # Whoever fails to hear of a write takes nobody else's answer away.
        heard = [outcome_of(partial(self._answer, *pair)) for pair in zip(asked, outcomes, strict=True)]
        for fault in [each.error for each in heard if each.error is not None]:
            raise fault
        return any(each.value for each in heard)

    def _answer(self, asked: _Asked, done: Outcome) -> bool:
        if asked.then is not None:
            asked.then(done)
        elif asked.running in self._running and _is_told(asked, done):
            self._go_on(asked.running, done)
        else:
            if done.error is not None and not isinstance(done.error, LeaseLost):
                # Nobody hears of a deferred write.
                failure_of(done.error, "A run's process was not recorded")
            return False
        return True

    # --- waiting ---

    def _timeout(self, seconds: float | None) -> float | None:
        ends = [wake_at[0] for wake_at in self._wake_times[:1]]
        if self._deferred_until is not None:
            ends.append(self._deferred_until)
        if not ends:
            return seconds
        left = max(0.0, min(ends) - self._clock.monotonic())
        return left if seconds is None else min(left, seconds)

    def _wait(self, seconds: float | None) -> list[tuple[int, int]]:
        if not self._waiting and not self._listening and not self._stopped:
            # Nothing can come but a stop, which knows how to wait for itself.
            self._stop.wait(3_600 if seconds is None else seconds)
            return []
        return self._poll.poll(None if seconds is None else milliseconds(seconds))

    def _take(self, ready: list[tuple[int, int]]) -> None:
        if not self._stopped and self._stop.is_set():
            self._wake_all()
        for descriptor, _ in ready:
            if (running := self._waiting.get(descriptor)) is not None:
                self._go_on(running, None)
            elif (heard := self._listening.get(descriptor)) is not None:
                heard()
        now, before = self._clock.monotonic(), next(self._numbers)
        # One that waits for no time at all lets others go on.
        while self._wake_times and self._wake_times[0][0] <= now and self._wake_times[0][1] < before:
            _, _, step, running = heapq.heappop(self._wake_times)
            if running.step == step and running in self._running:
                self._go_on(running, None)

    def _wake_all(self) -> None:
        """A stop stays readable: from now on it is known, and not waited for."""
        self._stopped = True
        for descriptor in self._stop.descriptors():
            self._poll.unregister(descriptor)
        for running in [running for running in self._running if running.stoppable]:
            self._go_on(running, None)

    # --- going on ---

    def _go_on(self, running: _Running, done: Outcome | None) -> None:
        """Up to the course's next wait, or its end."""
        if running.descriptor is not None:
            self._waiting.pop(running.descriptor, None)
            self._poll.unregister(running.descriptor)
            running.descriptor = None
        running.step += 1
        running.stoppable = False
        while True:
            stepped = outcome_of(partial(_step, running.task, done))
            done = None
            if stepped.error is not None or isinstance(stepped.value, Outcome):
                self._running.discard(running)
                running.ended(stepped if stepped.error is not None else stepped.value)
                return None
            asked = stepped.value
            if isinstance(asked, Write):
                self._asked.append(_Asked(asked.work, running, running.step, asked.deferred, None))
                if not asked.deferred:
                    return None
                if self._deferred_until is None:
                    self._deferred_until = self._clock.monotonic() + DEFERRED_SEC
                done = Outcome(None, None)
            elif asked.stop is None or not asked.stop.is_set():
                return self._begin_wait(running, asked)

    def _begin_wait(self, running: _Running, asked: Wait) -> None:
        running.stoppable = asked.stop is not None
        until = self._clock.monotonic() + asked.seconds
        heapq.heappush(self._wake_times, (until, next(self._numbers), running.step, running))
        if asked.descriptor is not None:
            running.descriptor = asked.descriptor
            self._waiting[asked.descriptor] = running
            self._poll.register(asked.descriptor, select.POLLIN)


def _is_told(asked: _Asked, done: Outcome) -> bool:
    """Whether its course is to hear of a write: it waits for it still, or it has to hear that its lease is lost."""
    if asked.deferred:
        return isinstance(done.error, LeaseLost)
    return asked.running is not None and asked.step == asked.running.step


def _step(task: Task[Any], done: Outcome | None) -> Any:
    """What the course waits for next; `Outcome` when it has ended. A lost lease goes into it where it stands."""
    try:
        if done is not None and isinstance(done.error, LeaseLost):
            return task.throw(done.error)
        return task.send(done)
    except StopIteration as end:
        return Outcome(end.value, None)
