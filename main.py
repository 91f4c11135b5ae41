#!/usr/bin/env python3
"""The program. A tick with nothing to do ends here, before anything else is imported; the rest is in `commands`."""

from __future__ import annotations

import gc
import os
import sys

from core.system_clock import SystemClock

# The folder that holds this file, links resolved: all relative paths start here, never at the current directory.
ROOT = os.path.dirname(os.path.realpath(__file__))


def _fast_tick(argv: list[str], clock: SystemClock) -> int | None:
    """The exit code of a tick with nothing to do; None for all else."""
    if argv[:1] != ["tick"]:
        return None
    from app import fast_tick

    text = fast_tick.nothing_due(ROOT, os.environ, argv[1:], clock.now(), clock.monotonic())
    return None if text is None else _say(text)


def _run(argv: list[str], clock: SystemClock) -> int:
    import signal

    # Ctrl-C before anything has begun ends the process as it ends any other: there is nothing to be told of.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from commands import run

        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    except ModuleNotFoundError as error:
        return _without_libraries(error)
    return run(argv, clock, ROOT)


def _say(text: str) -> int:
    """Prints what an idle tick says. A reader that is gone is no error; a full disk is."""
    try:
        os.write(1, text.encode())
    except BrokenPipeError:
        return 0
    except OSError as error:
        sys.stderr.write(f"OUTPUT_UNWRITABLE: The tick had nothing to do, but could not say so: {error.strerror}\n")
        return 1
    return 0


def _without_libraries(error: ModuleNotFoundError) -> int:
    """The first thing that a person meets who starts this with the system's Python."""
    import json

    from core.errors import missing_library

    wrong = missing_library(error)
    sys.stdout.write(json.dumps({"status": "error", "error": wrong.as_dict()}) + "\n")
    return wrong.exit_code


def entry() -> None:
    """The console command `puruto-cron`."""
    argv, clock = sys.argv[1:], SystemClock()
    # What an idle tick makes in its few milliseconds is not worth collecting.
    gc.disable()
    code = _fast_tick(argv, clock)
    if code is not None:
        # All is said and nothing is open. Taking the interpreter down in order would cost 2 ms more.
        os._exit(code)
    gc.enable()
    sys.exit(_run(argv, clock))


if __name__ == "__main__":
    entry()
