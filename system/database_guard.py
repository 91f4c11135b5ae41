"""Keeps SQLite from writing a log that was replaced over the database, when the connection that used it is closed.

A connection that is the last one writes its log into the database and deletes the file at the log's path. If somebody
has removed the log, that would undo what others have stored since, and delete their log. SQLite leaves it out while
another process holds its shared lock. Source: sqlite.org/walformat.html "WAL locks", sqlite.org/howtocorrupt.html.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import CronError

#: The bytes that SQLite locks for a reader. Source: sqlite.org/fileformat.html "The Lock-Byte Page".
_HOLD = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CLOEXEC)
fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 510, 0x40000002)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def shared_lock(path: str) -> Iterator[None]:
    """Has another process hold SQLite's shared lock on the database at `path`. Raises `CronError` if it can't."""
    try:
        holder = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _HOLD, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise CronError(f"{path} can't be opened again: no process can be started: {error.strerror}") from None
    with holder:
        try:
            if holder.stdout is None or holder.stdout.readline() != b"held\n":
                raise CronError(f"{path} can't be opened again: its shared lock can't be held")
            yield
        finally:
            holder.kill()
