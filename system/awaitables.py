"""What a course of work waits for, so that many courses go on side by side in one thread.

A course is a coroutine. It yields what it waits for, and is gone on with when that has come: by `drive`, which drives
it alone and blocks, or by `courses`, which drives many.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Coroutine, Generator, Sequence
from types import coroutine
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from core.boundary import Done, attempt
from core.errors import LeaseLost

T = TypeVar("T")


class Stoppable(Protocol):
    """A request to stop that a wait can see."""

    def is_set(self) -> bool: ...

    def wait(self, seconds: float) -> bool: ...

    def descriptors(self) -> list[int]: ...


class Wait(NamedTuple):
    """At most so many seconds, less when `descriptor` can be read or somebody asks to stop.

    `alone` is how the wait is done by `drive`, if not so.
    """

    seconds: float
    descriptor: int | None
    stop: Stoppable | None
    alone: Callable[[float], object] | None


class Write(NamedTuple, Generic[T]):
    """A change of what is stored, that may be committed together with those of other courses.

    The course goes on when it is committed. A `lazy` one lets it go on at once; only a lost lease comes back to it.
    """

    work: Callable[[], T]
    deferred: bool


#: A course that ends with T. It is sent None behind a wait, `Done` behind a write, and None behind one it makes itself.
Task = Coroutine[Any, Any, T]


@coroutine
def wait(
    seconds: float,
    descriptor: int | None = None,
    stop: Stoppable | None = None,
    *,
    alone: Callable[[float], object] | None = None,
) -> Generator[Wait, None, None]:
    """Waits as `Wait` says."""
    yield Wait(seconds, descriptor, stop, alone)


@coroutine
def write(work: Callable[[], T], *, deferred: bool = False) -> Generator[Write[T], Done | None, T | None]:
    """What `work` returns, and raises what it raises. Of a lazy one None, and nothing is raised but `LeaseLost`."""
    done = yield Write(work, deferred)
    if done is None:
        done = attempt(work)
    if done.error is not None and (not deferred or isinstance(done.error, LeaseLost)):
        raise done.error
    return None if deferred else done.value


def run_blocking(task: Task[T]) -> T:
    """Takes one course to its end, and returns or raises what it does. It makes its own writes."""
    while True:
        try:
            asked = task.send(None)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if isinstance(asked, Wait):
            _wait_alone(asked)


def _wait_alone(asked: Wait) -> None:
    if asked.alone is not None:
        asked.alone(asked.seconds)
    elif asked.descriptor is None and asked.stop is not None:
        asked.stop.wait(asked.seconds)
    else:
        stops = asked.stop.descriptors() if asked.stop is not None else []
        wait_readable([*stops, *([asked.descriptor] if asked.descriptor is not None else [])], asked.seconds)


def wait_readable(descriptors: Sequence[int], seconds: float) -> None:
    """Returns when one of the descriptors can be read, or after `seconds`; not after more than an hour."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll(milliseconds(seconds))


def milliseconds(seconds: float) -> int:
    """What poll(2) is given: rounded up, as a wait of 0 ms for the last fraction of one would spin; an hour at most."""
    return min(3_600_000, max(0, int(seconds * 1000) + 1)) if seconds > 0 else 0
