"""`logging` as the log uses it: the form of a line, and a file that several processes append to and rotate.

Imported by `core/log.py` alone, with the first line that is written.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.log import Log

#: Bytes at which the file is put aside as `.1`; what was `.1` becomes `.2`, and so on.
ROTATE_AT = 2_000_000
#: Files that are kept beside the one that is written.
KEPT = 3
_LONGEST_MESSAGE = 4_000
_LONGEST_TRACEBACK = 40_000
_PLAIN_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:")


class LineFormatter(logging.Formatter):
    """`2026-02-25T20:00:00.123+00:00 WARNING pid=4711 job=… run=… code=… ref=… Message`, UTC; a name only if known.

    A traceback follows in lines that begin with four spaces: whatever a message holds, it can't look like a line of
    ours. Secrets are masked first, before anything of them is escaped or broken into lines.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line and what is below it, each ended by a newline."""
        mask: Callable[[str], str] = record.__dict__["mask"]
        at: datetime = record.__dict__["at"]
        words = [at.isoformat(timespec="milliseconds"), record.levelname, f"pid={record.process}"]
        names: Mapping[str, str] = record.__dict__["names"]
        words += [f"{name}={_plain(value, mask)}" for name, value in names.items() if value]
        words.append(_escaped(mask(record.getMessage()[:_LONGEST_MESSAGE])))
        lines = [" ".join(words)]
        if record.exc_info:
            text = mask(self.formatException(record.exc_info)[-_LONGEST_TRACEBACK:])
            lines += [f"    {_escaped(line)}" for line in text.split("\n")]
        return "\n".join(lines) + "\n"


def _plain(name: str, mask: Callable[[str], str]) -> str:
    """Names of jobs and runs are plain, and no secrets; what somebody has written into the database need not be."""
    return name if _PLAIN_NAME.issuperset(name) else ascii(mask(name)[:200]).replace(" ", "\\x20")


def _escaped(text: str) -> str:
    """In one line, without characters that move a terminal's cursor."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class AppendingHandler(logging.Handler):
    """Appends each record with one write, and holds nothing open: others may move the file away at any time."""

    def __init__(self, path: str, *, rotate_at: int = ROTATE_AT, kept: int = KEPT) -> None:
        super().__init__()
        self._path = path
        self._rotate_at = rotate_at
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        """Raises OSError, unlike other handlers: who writes wants to know."""
        append(self._path, self.format(record).encode("utf-8", "backslashreplace"), self._rotate_at, self._kept)


def append(path: str, data: bytes, rotate_at: int, kept: int) -> None:
    """Appends `data` to a file of mode 0600, which is made if missing, and puts it aside if it is long. Raises OSError.

    Several processes may do this at once. One `write` with O_APPEND is never mixed with another, so nobody waits for a
    lock; who has opened the file before another puts it aside writes its line into the one that was put aside.
    """
    # Without O_NONBLOCK a named pipe in its place would hold us up for ever.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", path)
        # A disk that was full may have left half a line.
        if found.st_size and os.pread(descriptor, 1, found.st_size - 1) != b"\n":
            data = b"\n" + data
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if found.st_size + len(data) >= rotate_at:
            with suppress(OSError):
                _rotate(descriptor, path, kept)
    finally:
        os.close(descriptor)


def _rotate(descriptor: int, path: str, kept: int) -> None:
    """Puts the file aside, unless another process does so now or has done so. Raises OSError.

    Only who holds the lock of the file that stands at `path` renames anything, and the rename of that file is the last
    one: so two never rename at the same time.
    """
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if not os.path.samestat(os.fstat(descriptor), os.lstat(path)):
        return
    for number in range(kept - 1, 0, -1):
        with suppress(FileNotFoundError):
            os.replace(f"{path}.{number}", f"{path}.{number + 1}")
    os.replace(path, f"{path}.1")


def logger(log: Log, *, with_stderr: bool) -> logging.Logger:
    """`logging`'s logger of this program, by the log; what has a traceback also goes `with_stderr`."""
    found = logging.getLogger("puruto-cron")
    found.propagate = False
    found.setLevel(log.level)
    handlers: list[logging.Handler] = []
    if with_stderr:
        echo = logging.StreamHandler(sys.stderr)
        # The formatter ends its lines itself.
        echo.terminator = ""
        echo.addFilter(lambda record: record.exc_info is not None)
        handlers.append(echo)
    if log.path is not None:
        handlers.append(AppendingHandler(log.path))
    for handler in handlers:
        handler.setFormatter(LineFormatter())
    found.handlers[:] = handlers
    return found
