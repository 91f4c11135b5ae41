"""`watch` on a terminal: redraws each second, reads the report at each interval, restores the terminal at the end."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Any

from rich.live import Live

from core.errors import OutputUnwritable
from render.console import ViewContext, live_console
from render.watching import frame

Report = Mapping[str, Any]


def live(
    read: Callable[[], Report],
    context: Callable[[], ViewContext],
    monotonic: Callable[[], float],
    wait: Callable[[float], bool],
    interval: float,
) -> None:
    """Shows the view until `wait(seconds)` returns True (somebody asked to stop) or the terminal is gone.

    `read` gives a new report, `context` the current instant and zone; `interval` is in seconds between two reads.
    Raises `OutputUnwritable` if the terminal is there but can't be written to.
    """
    out = live_console()
    try:
        with Live(console=out, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as view:
            report, due = read(), monotonic() + interval
            # rich writes nothing to a terminal that hung up, so there would be no error to end this loop.
            while os.isatty(out.file.fileno()):
                # One line less than the screen has: a cursor after the last line would scroll it.
                view.update(frame(report, context(), max(10, out.size.height - 1)), refresh=True)
                # Each second, so that countdowns run and a resized window is redrawn.
                if wait(min(interval, 1.0)):
                    return
                if monotonic() >= due:
                    report, due = read(), monotonic() + interval
    except OSError as error:
        # Python flushes stdout at exit and would report the same error again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.file.fileno())
        # The error of a terminal that hung up. Source: the Linux kernel's drivers/tty/tty_io.c, hung_up_tty_write.
        if error.errno == errno.EIO:
            return
        raise OutputUnwritable(f"The view can't be written to the terminal: {error.strerror}") from error
