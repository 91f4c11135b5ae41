"""What a task can wait for. Many tasks run in one thread; each is a coroutine.

A task yields a `Wait` or a `Write`, and is resumed when that is done. The task loop runs many tasks; `run_blocking`
runs one and blocks.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Coroutine, Generator, Sequence
from types import coroutine
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from core.boundary import Outcome, outcome_of
from core.errors import LeaseLost

T = TypeVar("T")


class Stoppable(Protocol):
    """A request to stop, which ends a wait early."""

    def is_set(self) -> bool: ...

    def wait(self, seconds: float) -> bool: ...

    def descriptors(self) -> list[int]: ...


class Wait(NamedTuple):
    """Wait for `seconds` at most; less if `descriptor` becomes readable or `stop` is set.

    `blocking_wait` replaces the wait in `run_blocking`; it gets the seconds.
    """

    seconds: float
    descriptor: int | None
    stop: Stoppable | None
    blocking_wait: Callable[[float], object] | None


class Write(NamedTuple, Generic[T]):
    """Call `work`, which writes to the database. It may be committed together with the writes of other tasks.

    The task is resumed after the commit. If `deferred`, it is resumed at once, and only a lost lease is raised in it.
    """

    work: Callable[[], T]
    deferred: bool


#: A coroutine that returns T. It is resumed with None after a `Wait`, with an `Outcome` after a `Write` that the loop
#: committed, and with None after one that it must make itself.
Task = Coroutine[Any, Any, T]


@coroutine
def wait(
    seconds: float,
    descriptor: int | None = None,
    stop: Stoppable | None = None,
    *,
    blocking_wait: Callable[[float], object] | None = None,
) -> Generator[Wait, None, None]:
    """Waits as described in `Wait`."""
    yield Wait(seconds, descriptor, stop, blocking_wait)


@coroutine
def write(work: Callable[[], T], *, deferred: bool = False) -> Generator[Write[T], Outcome | None, T | None]:
    """Returns or raises what `work` does. If `deferred`, returns None and raises only `LeaseLost`."""
    outcome = yield Write(work, deferred)
    if outcome is None:
        outcome = outcome_of(work)
    if outcome.error is not None and (not deferred or isinstance(outcome.error, LeaseLost)):
        raise outcome.error
    return None if deferred else outcome.value


def run_blocking(task: Task[T]) -> T:
    """Runs one task to its end in this thread, and returns or raises what it does. The task makes its own writes."""
    while True:
        try:
            request = task.send(None)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if isinstance(request, Wait):
            _block(request)


def _block(request: Wait) -> None:
    if request.blocking_wait is not None:
        request.blocking_wait(request.seconds)
    elif request.descriptor is None and request.stop is not None:
        request.stop.wait(request.seconds)
    else:
        stops = request.stop.descriptors() if request.stop is not None else []
        wait_readable([*stops, *([request.descriptor] if request.descriptor is not None else [])], request.seconds)


def wait_readable(descriptors: Sequence[int], seconds: float) -> None:
    """Returns when one of the descriptors can be read, or after `seconds`, an hour at most."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll(milliseconds(seconds))


def milliseconds(seconds: float) -> int:
    """The timeout for poll(2): an hour at most, and rounded up, as 0 ms for the last fraction would spin."""
    return min(3_600_000, max(0, int(seconds * 1000) + 1)) if seconds > 0 else 0
