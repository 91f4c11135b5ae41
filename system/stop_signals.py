"""Handles Ctrl-C, TERM and a closed terminal: as a `Stop` for running jobs, or as bytes for the daemon's loop."""

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
    """A `Stop` that is set by SIGINT, SIGTERM and SIGHUP while the context is open.

    If it was set, these signals are ignored from then on: the process is about to end with the exit code of the first
    one, and a second one must not change that.
    """
    from system.processes import Stop

    stop = Stop()
    # nohup ignores SIGHUP, and that is kept. An ignored SIGINT is not: a script's `&` ignores it for its children; a
    # person who sends it means the run.
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    numbers = [number for number in STOP_SIGNALS if not (nohup and number is signal.SIGHUP)]
    try:
        with _handled(numbers, lambda number: stop.set(signal.Signals(number).name), ignore_after=stop.is_set):
            yield stop
    finally:
        stop.close()


@contextmanager
def signals_as_bytes() -> Iterator[SelfPipe]:
    """A pipe from which each signal can be read as one byte, its number.

    Also HUP if it is ignored, as under nohup: for a daemon it means a reload.
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
def _handled(
    numbers: Iterable[int], on_signal: Callable[[int], None], ignore_after: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Calls `on_signal` with the number of each of these signals while the context is open.

    After it they do what they did before; if `ignore_after()` is true then, they are ignored.
    """
    # If SIGCHLD is inherited as ignored, the exit codes of our children are lost.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    old = {number: signal.signal(number, lambda received, _frame: on_signal(received)) for number in numbers}
    try:
        yield
    finally:
        is_ignored = ignore_after()
        for number, handler in old.items():
            signal.signal(number, signal.SIG_IGN if is_ignored else handler)
