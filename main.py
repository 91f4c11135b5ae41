#!/usr/bin/env python3
"""The program. An idle tick ends here, before anything else is imported; everything else is in `commands`."""

from __future__ import annotations

import gc
import os
import sys

from core import streams
from core.system_clock import SystemClock

# The folder of this file, links resolved. All relative paths start here, never at the current directory.
ROOT = os.path.dirname(os.path.realpath(__file__))


def _fast_tick(argv: list[str], clock: SystemClock) -> int | None:
    """The exit code of an idle tick; None for a tick that has something to do, and for any other command."""
    if argv[:1] != ["tick"]:
        return None
    from app import fast_tick

    text = fast_tick.nothing_due(ROOT, os.environ, argv[1:], clock.now(), clock.monotonic())
    return None if text is None else _print(text)


def _run(argv: list[str], clock: SystemClock) -> int:
    import signal

    # During the imports, Ctrl-C ends the process without a traceback: there is nothing to clean up yet.
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_default:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from commands import run

        if is_default:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    except ModuleNotFoundError as error:
        return _without_libraries(error)
    return run(argv, clock, ROOT)


def _print(text: str) -> int:
    """Prints the report of an idle tick. Returns the exit code: 0 if the reader has gone, 1 if the disk is full."""
    try:
        os.write(1, text.encode())
    except BrokenPipeError:
        return 0
    except OSError as error:
        streams.say(
            f"OUTPUT_UNWRITABLE: The tick had nothing to do, but its report could not be written: {error.strerror}"
        )
        return 1
    return 0


def _without_libraries(error: ModuleNotFoundError) -> int:
    """Reports a missing library: the usual cause is the system's Python instead of the virtual environment's."""
    import json

    from core.missing_library import missing_library

    missing = missing_library(error)
    # What decides for all other errors needs libraries itself.
    if os.environ.get("PURUTO_CRON_FORMAT") == "text" or (sys.stdout.isatty() and "--json" not in sys.argv):
        text = f"error: {missing.message}\n  fix: {missing.hint}"
    else:
        text = json.dumps({"status": "error", "error": missing.as_dict()})
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError:
        streams.drop(1)
        streams.say(f"{missing.code}: {missing.message}")
    return missing.exit_code


def entry() -> None:
    """The console command `puruto-cron`."""
    streams.open_missing()
    argv, clock = sys.argv[1:], SystemClock()
    # An idle tick takes a few milliseconds and makes little garbage.
    gc.disable()
    code = _fast_tick(argv, clock)
    if code is not None:
        # The report is written and nothing is open. An orderly shutdown of the interpreter would take 2 ms more.
        os._exit(code)
    gc.enable()
    sys.exit(_run(argv, clock))


if __name__ == "__main__":
    entry()
