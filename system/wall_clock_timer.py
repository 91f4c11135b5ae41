"""Wakes at an instant of the wall clock, and when that clock is set. By the kernel on Linux, by short sleeps elsewhere.

A wait in seconds would be too long: it does not notice when the clock is set, and does not count time in suspend.
"""

from __future__ import annotations

import errno
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from core.clock import Clock

#: The longest sleep, in seconds, where only a comparison of both clocks shows that one was set.
STEP_SEC = 1.0
#: A larger difference, in seconds, means that the clock was set: slewing by a time service is 0.5 ms a second at most.
JUMP_SEC = 0.5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class WallClockTimer(Protocol):
    """A timer for one instant at a time. Poll `descriptor` for reading; it is None if the system offers none."""

    @property
    def descriptor(self) -> int | None: ...

    def set(self, instant: datetime | None) -> None:
        """Sets the instant (aware) to wake at; one in the past wakes at once. None: wake only if the clock is set."""

    def seconds_to_sleep(self, longest: float) -> float:
        """The timeout for the poll of the descriptor: `longest` or less."""

    def has_fired(self) -> bool:
        """For a timer without descriptor: whether its instant has come or the clock was set."""

    def clear(self) -> bool:
        """Resets the timer; call it at each poll. Returns whether the clock was set or the machine was suspended."""

    def close(self) -> None:
        """Closes the descriptor."""


class Timers(Protocol):
    """The kernel's timers, as `timerfd.Timers` has them."""

    def create(self) -> int: ...
    def arm(self, timer: int, nanoseconds: int) -> None: ...
    def read(self, timer: int) -> bool: ...


def make_timer(clock: Clock) -> WallClockTimer:
    """The best timer of this system. The caller closes it."""
    if sys.platform != "linux":
        return SteppingTimer(clock)
    try:
        from system.timerfd import Timers

        return KernelTimer(Timers())
    except (ImportError, AttributeError, OSError):
        # No ctypes in this Python, or no timerfd in the C library or the sandbox.
        return SteppingTimer(clock)


class KernelTimer:
    """A descriptor that becomes readable at the instant, when the clock is set, and after a suspend."""

    def __init__(self, timers: Timers) -> None:
        """Raises OSError if no timer can be created."""
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
        # Only an armed timer reports that the clock was set.
        try:
            self._timers.arm(self._descriptor, _nanoseconds(instant or _NEVER))
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
            # The clock was set since the last read: the instant may be computed from the old time.
            self._was_set = True
            self._fire()

    def _fire(self) -> None:
        try:
            self._timers.arm(self._descriptor, 0)
        except OSError as error:
            # The clock was set again; the timer is armed anyway.
            if error.errno != errno.ECANCELED:
                raise

    def seconds_to_sleep(self, longest: float) -> float:
        return longest

    def has_fired(self) -> bool:
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
    """Short sleeps; after each, the wall clock is compared with the monotonic one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._instant: datetime | None = None
        self._last_difference = self._difference()

    @property
    def descriptor(self) -> None:
        return None

    def set(self, instant: datetime | None) -> None:
        self._instant = instant

    def seconds_to_sleep(self, longest: float) -> float:
        left = STEP_SEC if self._instant is None else (self._instant - self._clock.now()).total_seconds()
        return max(0.0, min(longest, STEP_SEC, left))

    def has_fired(self) -> bool:
        is_due = self._instant is not None and self._instant <= self._clock.now()
        return is_due or abs(self._difference() - self._last_difference) > JUMP_SEC

    def clear(self) -> bool:
        self._instant = None
        before, self._last_difference = self._last_difference, self._difference()
        return abs(self._last_difference - before) > JUMP_SEC

    def close(self) -> None:
        """Has nothing to close."""

    def _difference(self) -> float:
        return (self._clock.now() - _EPOCH).total_seconds() - self._clock.monotonic()


def _nanoseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000
