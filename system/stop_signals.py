"""Ctrl-C, TERM and a closed terminal → a stop that running jobs can see, so that they end in order."""

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
    """A stop flag that Ctrl-C, TERM and a closed terminal set, so that running jobs end in order."""
    from system.processes import Stop

    # Inherited as ignored, it would hide the exit codes of what we start.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stop = Stop()
    # A closed terminal that nohup wants ignored stays ignored. SIGINT does not: a script's `&` ignores it for all that
    # it starts, and who sends it then means the run.
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    names = [name for name in STOP_SIGNALS if not (nohup and name is signal.SIGHUP)]
    old = {name: signal.signal(name, lambda number, _: stop.set(signal.Signals(number).name)) for name in names}
    try:
        yield stop
    finally:
        for name, handler in old.items():
            signal.signal(name, handler)
        stop.close()
