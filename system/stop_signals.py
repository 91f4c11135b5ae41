"""Ctrl-C, TERM and a closed terminal: as a stop that running jobs can see, or as bytes that a loop reads."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from system.processes import Stop
    from system.self_pipe import SelfPipe

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A stop flag that Ctrl-C, TERM and a closed terminal set, so that running jobs end in order."""
    from system.processes import Stop

    stop = Stop()
    # A closed terminal that nohup wants ignored stays ignored. SIGINT does not: a script's `&` ignores it for all that
    # it starts, and who sends it then means the run.
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    numbers = [number for number in STOP_SIGNALS if not (nohup and number is signal.SIGHUP)]
    try:
        with _handled(numbers, lambda number: stop.set(signal.Signals(number).name)):
            yield stop
    finally:
        stop.close()


@contextmanager
def signals_as_bytes() -> Iterator[SelfPipe]:
    """A pipe from which each signal can be read as a byte, its number.

    HUP too where it is ignored, as under nohup: to a daemon it is no end, but a reload.
    """
    from system.self_pipe import SelfPipe

    pipe = SelfPipe()
    before = signal.set_wakeup_fd(pipe.writer, warn_on_full_buffer=False)
    try:
        with _handled(STOP_SIGNALS, lambda _number: None):
            yield pipe
    finally:
        signal.set_wakeup_fd(before)
        pipe.close()


@contextmanager
def _handled(numbers: Iterable[int], heard: Callable[[int], None]) -> Iterator[None]:
    """Calls `heard` for each of these signals, until the end of the `with`."""
    # Inherited as ignored, it would hide the exit codes of what we start.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    old = {number: signal.signal(number, lambda came, _frame: heard(came)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
