"""Linux' timerfd on the wall clock. Python has it from 3.13 on only, so the C library is called here.

Source: timerfd_create(2).
"""

from __future__ import annotations

import ctypes
import os

_CLOCK_REALTIME = 0
_TFD_TIMER_ABSTIME = 1
_TFD_TIMER_CANCEL_ON_SET = 2
#: In the year 2242: later instants don't fit into the kernel's count of nanoseconds.
_LATEST_SEC = min(1 << 33, (1 << (8 * ctypes.sizeof(ctypes.c_long) - 1)) - 1)
_SEC = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_long), ("nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Timers:
    """Creates and arms timers. Raises OSError or AttributeError if the system has no timerfd."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._create, self._settime = library.timerfd_create, library.timerfd_settime
        self._create.argtypes = (ctypes.c_int, ctypes.c_int)
        pointer = ctypes.POINTER(_Itimerspec)
        self._settime.argtypes = (ctypes.c_int, ctypes.c_int, pointer, pointer)

    def create(self) -> int:
        """The descriptor of a new timer, which is not armed."""
        return _checked(self._create(_CLOCK_REALTIME, os.O_CLOEXEC | os.O_NONBLOCK))

    def arm(self, timer: int, nanoseconds: int) -> None:
        """Arms the timer to fire once, at this many nanoseconds since 1970, or at once if that is past.

        Raises OSError ECANCELED if the clock was set since it was last armed or read; the timer is armed anyway.
        """
        # Zero would disarm it, and a negative value is refused.
        sec, nsec = divmod(max(1, min(nanoseconds, _LATEST_SEC * _SEC)), _SEC)
        spec = _Itimerspec(_Timespec(0, 0), _Timespec(sec, nsec))
        _checked(self._settime(timer, _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET, ctypes.byref(spec), None))

    def read(self, timer: int) -> bool:
        """Whether it has fired since the last read. Raises OSError ECANCELED if the clock was set."""
        try:
            return bool(os.read(timer, 8))
        except BlockingIOError:
            return False


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
