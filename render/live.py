"""`watch` on a terminal: draws a frame each second, reads anew at each interval, and leaves the terminal as it was."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Any

from rich.live import Live

from core.errors import OutputUnwritable
from render.tables import ViewContext, console
from render.watching import frame

Report = Mapping[str, Any]


def live(
    read: Callable[[], Report],
    context: Callable[[], ViewContext],
    monotonic: Callable[[], float],
    wait: Callable[[float], bool],
    interval: float,
) -> None:
    """Until `wait` (seconds) says that somebody asks to stop, or the terminal is gone.

    Raises `OutputUnwritable` when it is there and takes nothing.
    """
    out = console()
    try:
        with Live(console=out, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as view:
            report, due = read(), monotonic() + interval
            # To one that was hung up rich writes nothing, and so meets no error.
            while os.isatty(out.file.fileno()):
                # One line less than there are: a cursor behind the last one would scroll the screen.
                view.update(frame(report, context(), max(10, out.size.height - 1)), refresh=True)
                # Each second, so that countdowns go on and a changed window is filled.
                if wait(min(interval, 1.0)):
                    return
                if monotonic() >= due:
                    report, due = read(), monotonic() + interval
    except OSError as error:
        # Python flushes once more at its end, and would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.file.fileno())
        # What a terminal answers that was hung up. Source: the Linux kernel's drivers/tty/tty_io.c, hung_up_tty_write.
        if error.errno == errno.EIO:
            return
        raise OutputUnwritable(f"The view can't be written to the terminal: {error.strerror}") from error
