"""The log's use of `logging`: the format of a line, and a file that several processes append to and rotate.

Only `core/log.py` imports it, with the first line.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from core import streams
from core.durable import put_in_place

if TYPE_CHECKING:
    from core.log import Log

#: Size in bytes at which the file is renamed to `.1`; `.1` becomes `.2`, and so on.
ROTATE_AT = 2_000_000
#: Number of old files that are kept.
KEPT = 3
_LONGEST_MESSAGE = 4_000
_LONGEST_TRACEBACK = 40_000
_PLAIN_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:")


class LineFormatter(logging.Formatter):
    """`2026-02-25T20:00:00.123+00:00 WARNING pid=4711 job=… run=… code=… ref=… Message`, in UTC.

    Unknown names are omitted. A traceback follows, indented by four spaces, so that no text can look like a line of the
    log. Secrets are masked before the text is escaped or split into lines.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line and its traceback, each line with a newline."""
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
    """The name of a job or run; escaped and masked if it was changed by hand in the database."""
    return name if _PLAIN_NAME.issuperset(name) else ascii(mask(name)[:200]).replace(" ", "\\x20")


def _escaped(text: str) -> str:
    """The text in one line, with unprintable characters as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class EchoHandler(logging.Handler):
    """Prints each record on stderr; drops it if that can't be written."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a record."""
        streams.say(self.format(record).rstrip("\n"))


class AppendingHandler(logging.Handler):
    """Appends each record with one write, and keeps no file open, because other processes rotate it."""

    def __init__(self, path: str, *, rotate_at: int = ROTATE_AT, kept: int = KEPT) -> None:
        super().__init__()
        self._path = path
        self._rotate_at = rotate_at
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        """Appends a record. Raises OSError, unlike other handlers."""
        append(self._path, self.format(record).encode("utf-8", "backslashreplace"), self._rotate_at, self._kept)


def append(path: str, data: bytes, rotate_at: int, kept: int) -> None:
    """Appends `data` to a file of mode 0600, creates it if missing, and rotates it if it is too long. Raises OSError.

    Several processes may do this at the same time without a lock, because writes with O_APPEND are never mixed. A
    process that opened the file before it was rotated writes its line into the renamed file.
    """
    # Without O_NONBLOCK, opening a named pipe would block for ever.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
        # A disk that was full may have left half a line. Another process that is just writing over the end of a page
        # looks the same; then an empty line stands after its line, which hurts nobody.
        if status.st_size and os.pread(descriptor, 1, status.st_size - 1) != b"\n":
            data = b"\n" + data
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if status.st_size + len(data) >= rotate_at:
            with suppress(OSError):
                _rotate(descriptor, path, kept)
    finally:
        os.close(descriptor)


def _rotate(descriptor: int, path: str, kept: int) -> None:
    """Renames the files, unless another process is doing it or has done it. Raises OSError.

    Only the process that has locked the file at `path` renames files, and it renames that file last, so two processes
    never rename at the same time.
    """
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if not os.path.samestat(os.fstat(descriptor), os.lstat(path)):
        return
    for number in range(kept - 1, 0, -1):
        with suppress(FileNotFoundError):
            put_in_place(f"{path}.{number}", f"{path}.{number + 1}")
    put_in_place(path, f"{path}.1")


def logger(log: Log, *, with_stderr: bool) -> logging.Logger:
    """The logger for a `Log`; `with_stderr` also prints records with a traceback to stderr."""
    program_logger = logging.getLogger("puruto-cron")
    program_logger.propagate = False
    program_logger.setLevel(log.level)
    handlers: list[logging.Handler] = []
    if with_stderr:
        echo = EchoHandler()
        echo.addFilter(lambda record: record.exc_info is not None)
        handlers.append(echo)
    if log.path is not None:
        handlers.append(AppendingHandler(log.path))
    for handler in handlers:
        handler.setFormatter(LineFormatter())
    program_logger.handlers[:] = handlers
    return program_logger
