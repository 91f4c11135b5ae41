"""The standard descriptors of a process that was started without some of them, and messages on stderr.

Imports almost nothing, because the idle tick may import this module.
"""

from __future__ import annotations

import os
import sys

#: How /dev/null is opened in the place of a missing stdin, stdout and stderr. The wrong way round for the first two:
#: reading and writing then fail with EBADF, as on a closed descriptor, and nobody takes a lost answer for a success.
_FLAGS = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)


def open_missing() -> None:
    """Fills the descriptors 0 to 2 if the caller has closed them (`>&-`), and `sys.stdin`, `sys.stdout`, `sys.stderr`.

    Without this, the next file that is opened gets one of them, and then what is printed goes into that file.
    """
    if sys.stdin is not None and sys.stdout is not None and sys.stderr is not None:
        return
    for descriptor, flags in enumerate(_FLAGS):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lower ones are open, so this gets the number `descriptor`. Children may inherit it, like any other.
            os.set_inheritable(os.open(os.devnull, flags), True)
    # Buffering that fails is reported once, by whoever writes; `closefd` keeps the descriptor in its place.
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open until the end
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False, errors="backslashreplace")  # noqa: SIM115


def say(text: str) -> None:
    """Writes a line on stderr. Does nothing if that can't be written: nobody can be told."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        drop(2)


def drop(descriptor: int) -> None:
    """Leads a descriptor that can't be written to /dev/null: Python flushes it at exit, and would fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
