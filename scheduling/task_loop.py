"""Courses of work that go on side by side in one thread: one waits while another is gone on with.

What they write is committed together, with one wait for the disk. Source: STYLE "Speed"; docs/scale.md.
"""

from __future__ import annotations

import heapq
import itertools
import select
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from core.boundary import Done, attempt
from core.errors import LeaseLost
from core.models import Clock
from system.awaitables import Course, Stoppable, Wait, Write, milliseconds

#: How long a write waits at most that nobody waits for: then it is committed alone.
LAZY_SEC = 0.005


class Ledger(Protocol):
    """What is asked of the store: pieces of work in one transaction, each undone alone if it fails."""

    def together(self, works: Sequence[Callable[[], Any]]) -> list[Done]: ...


class _Running:
    """A course that has begun. `turn` grows with each wait, so that an alarm of an earlier one is known as such."""

    __slots__ = ("course", "descriptor", "ended", "stoppable", "turn")

    def __init__(self, course: Course[Any], ended: Callable[[Done], None]) -> None:
        self.course = course
        self.ended = ended
        self.turn = 0
        self.descriptor: int | None = None
        self.stoppable = False


class _Asked(NamedTuple):
    """A write that is to be committed: for a course that waits for it, one that does not, or for nobody's course."""

    work: Callable[[], Any]
    running: _Running | None
    turn: int
    lazy: bool
    then: Callable[[Done], None] | None


class Courses:
    """Begins courses, and takes all of them on, a `turn` at a time."""

    def __init__(self, ledger: Ledger, clock: Clock, stop: Stoppable) -> None:
        """`stop` is that of the process: it wakes every course that waits with a stop."""
        self._ledger = ledger
        self._clock = clock
        self._stop = stop
        self._poll = select.poll()
        self._waiting: dict[int, _Running] = {}
        self._listening: dict[int, Callable[[], None]] = {}
        self._alarms: list[tuple[float, int, int, _Running]] = []
        self._numbers = itertools.count()
        self._running: set[_Running] = set()
        self._asked: list[_Asked] = []
        self._lazy_until: float | None = None
        self._stopped = False
        for descriptor in stop.descriptors():
            self._poll.register(descriptor, select.POLLIN)

    def __len__(self) -> int:
        """How many courses go on."""
        return len(self._running)

    @property
    def writes(self) -> int:
        """How many writes wait for the next commit that somebody waits for."""
        return sum(not asked.lazy for asked in self._asked)

    def begin(self, course: Course[Any], ended: Callable[[Done], None]) -> None:
        """Takes a course up to its first wait; `ended` hears what became of it."""
        running = _Running(course, ended)
        self._running.add(running)
        self._go_on(running, None)

    def write(self, work: Callable[[], Any], then: Callable[[Done], None]) -> None:
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

    def turn(self, seconds: float | None) -> None:
        """Commits what is to be written, goes on with what waited for it, and then with what has come by then.

        Waits at most `seconds` (None: as long as it takes) if nothing has come.
        """
        # What has heard of a commit may be over, or want to write again: that is worth more than a wait.
        self._take(self._wait(0 if self._commit() or self.writes else self._patience(seconds)))

    # --- writing ---

    def _commit(self) -> bool:
        """Whether anybody was told of it."""
        late = self._lazy_until is not None and self._clock.monotonic() >= self._lazy_until
        if not self.writes and not late:
            return False
        asked, self._asked, self._lazy_until = self._asked, [], None
        outcomes = self._ledger.together([one.work for one in asked])
        # Whoever fails to hear of a write takes nobody else's answer away.
        heard = [attempt(partial(self._answer, *pair)) for pair in zip(asked, outcomes, strict=True)]
        for fault in [each.error for each in heard if each.error is not None]:
            raise fault
        return any(each.value for each in heard)

    def _answer(self, asked: _Asked, done: Done) -> bool:
        if asked.then is not None:
            asked.then(done)
        elif asked.running in self._running and _is_told(asked, done):
            self._go_on(asked.running, done)
        else:
            return False
        return True

    # --- waiting ---

    def _patience(self, seconds: float | None) -> float | None:
        ends = [alarm[0] for alarm in self._alarms[:1]]
        if self._lazy_until is not None:
            ends.append(self._lazy_until)
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
        while self._alarms and self._alarms[0][0] <= now and self._alarms[0][1] < before:
            _, _, turn, running = heapq.heappop(self._alarms)
            if running.turn == turn and running in self._running:
                self._go_on(running, None)

    def _wake_all(self) -> None:
        """A stop stays readable: from now on it is known, and not waited for."""
        self._stopped = True
        for descriptor in self._stop.descriptors():
            self._poll.unregister(descriptor)
        for running in [running for running in self._running if running.stoppable]:
            self._go_on(running, None)

    # --- going on ---

    def _go_on(self, running: _Running, done: Done | None) -> None:
        """Up to the course's next wait, or its end."""
        if running.descriptor is not None:
            self._waiting.pop(running.descriptor, None)
            self._poll.unregister(running.descriptor)
            running.descriptor = None
        running.turn += 1
        running.stoppable = False
        while True:
            stepped = attempt(partial(_step, running.course, done))
            done = None
            if stepped.error is not None or isinstance(stepped.value, Done):
                self._running.discard(running)
                running.ended(stepped if stepped.error is not None else stepped.value)
                return None
            asked = stepped.value
            if isinstance(asked, Write):
                self._asked.append(_Asked(asked.work, running, running.turn, asked.lazy, None))
                if not asked.lazy:
                    return None
                if self._lazy_until is None:
                    self._lazy_until = self._clock.monotonic() + LAZY_SEC
                done = Done(None, None)
            elif asked.stop is None or not asked.stop.is_set():
                return self._begin_wait(running, asked)

    def _begin_wait(self, running: _Running, asked: Wait) -> None:
        running.stoppable = asked.stop is not None
        until = self._clock.monotonic() + asked.seconds
        heapq.heappush(self._alarms, (until, next(self._numbers), running.turn, running))
        if asked.descriptor is not None:
            running.descriptor = asked.descriptor
            self._waiting[asked.descriptor] = running
            self._poll.register(asked.descriptor, select.POLLIN)


def _is_told(asked: _Asked, done: Done) -> bool:
    """Whether its course is to hear of a write: it waits for it still, or it has to hear that its lease is lost."""
    if asked.lazy:
        return isinstance(done.error, LeaseLost)
    return asked.running is not None and asked.turn == asked.running.turn


def _step(course: Course[Any], done: Done | None) -> Any:
    """What the course waits for next; `Done` when it has ended. A lost lease goes into it where it stands."""
    try:
        if done is not None and isinstance(done.error, LeaseLost):
            return course.throw(done.error)
        return course.send(done)
    except StopIteration as end:
        return Done(end.value, None)
