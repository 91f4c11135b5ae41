"""Turns Ctrl-C, TERM and a closed terminal into a `Stop`, so that running jobs are ended in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from system.processes import Stop

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A `Stop` that is set by SIGINT, SIGTERM and SIGHUP while the context is open."""
    from system.processes import Stop

    # If SIGCHLD is inherited as ignored, the exit codes of our children are lost.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stop = Stop()
    # nohup ignores SIGHUP, and that is kept. An ignored SIGINT is not: a script's `&` ignores it for its children; a
    # person who sends it means the run.
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    names = [name for name in STOP_SIGNALS if not (nohup and name is signal.SIGHUP)]
    old = {name: signal.signal(name, lambda number, _: stop.set(signal.Signals(number).name)) for name in names}
    try:
        yield stop
    finally:
        for name, handler in old.items():
            signal.signal(name, handler)
        stop.close()
