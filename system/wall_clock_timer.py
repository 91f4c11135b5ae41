"""Wakes at an instant of the wall clock, and when that clock was set. On Linux the kernel does; elsewhere short sleeps.

A wait in seconds alone would oversleep: it knows nothing of a clock that is set, and stands still in a suspend.
"""

from __future__ import annotations

import errno
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from core.clock import Clock

#: The longest sleep where only looking at both clocks tells that one was set.
STEP_SEC = 1.0
#: So far apart the two clocks go in no step by themselves; a time service that slews moves them 0.5 ms a second.
JUMP_SEC = 0.5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class WallClockTimer(Protocol):
    """Set to one instant at a time. `descriptor` is polled for reading; None where the system has none to offer."""

    @property
    def descriptor(self) -> int | None: ...

    def set(self, instant: datetime | None) -> None:
        """Wakes at this instant (aware), at once if it is past; None: only when the clock is set."""

    def seconds_to_sleep(self, longest: float) -> float:
        """How long to wait at most, `longest` or less, besides polling the descriptor."""

    def rings(self) -> bool:
        """Whether its moment has come, or the clock was set, without a descriptor that says so."""

    def clear(self) -> bool:
        """To be called at each look: makes it silent, and tells whether the clock was set or the machine slept."""

    def close(self) -> None:
        """Gives the descriptor back."""


class Timers(Protocol):
    """The kernel's timers: `timers.Timers`."""

    def create(self) -> int: ...
    def arm(self, timer: int, nanoseconds: int) -> None: ...
    def read(self, timer: int) -> bool: ...


def make_timer(clock: Clock) -> WallClockTimer:
    """The best one that this system has. The caller closes it."""
    if sys.platform != "linux":
        return SteppingTimer(clock)
    try:
        from system.timerfd import Timers

        return KernelTimer(Timers())
    except (ImportError, AttributeError, OSError):
        # A Python without ctypes, a C library or a sandbox without these timers.
        return SteppingTimer(clock)


class KernelTimer:
    """A descriptor that becomes readable on the instant, and at once when the clock is set or after a suspend."""

    def __init__(self, timers: Timers) -> None:
        """Raises OSError when there can be no timer."""
        self._timers = timers
        self._was_set = False
        self._descriptor = timers.create()
        try:
            self.set(None)
        except BaseException:
            self.close()
            raise

    @property
    def descriptor(self) -> int:
        return self._descriptor

    def set(self, instant: datetime | None) -> None:
        # Only a timer that is armed tells of a clock that was set.
        try:
            self._timers.arm(self._descriptor, _nanoseconds(instant or _NEVER))
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
            # The clock was set before anybody read that: the instant may be one of the old clock.
            self._was_set = True
            self._fire()

    def _fire(self) -> None:
        try:
            self._timers.arm(self._descriptor, 0)
        except OSError as error:
            # Set once more in between; a timer for the past is armed by that all the same.
            if error.errno != errno.ECANCELED:
                raise

    def seconds_to_sleep(self, longest: float) -> float:
        return longest

    def rings(self) -> bool:
        return False

    def clear(self) -> bool:
        was_set, self._was_set = self._was_set, False
        try:
            self._timers.read(self._descriptor)
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
            was_set = True
        return was_set

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class SteppingTimer:
    """Short sleeps, and after each a look whether the wall clock has gone its way with the monotonic one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._instant: datetime | None = None
        self._apart = self._difference()

    @property
    def descriptor(self) -> None:
        return None

    def set(self, instant: datetime | None) -> None:
        self._instant = instant

    def seconds_to_sleep(self, longest: float) -> float:
        left = STEP_SEC if self._instant is None else (self._instant - self._clock.now()).total_seconds()
        return max(0.0, min(longest, STEP_SEC, left))

    def rings(self) -> bool:
        is_due = self._instant is not None and self._instant <= self._clock.now()
        return is_due or abs(self._difference() - self._apart) > JUMP_SEC

    def clear(self) -> bool:
        self._instant = None
        before, self._apart = self._apart, self._difference()
        return abs(self._apart - before) > JUMP_SEC

    def close(self) -> None:
        """There is nothing to give back."""

    def _difference(self) -> float:
        return (self._clock.now() - _EPOCH).total_seconds() - self._clock.monotonic()


def _nanoseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000
