"""Reads files that people and other programs write: only regular ones, and never more than a limit."""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike


class UnfitFile(OSError):
    """It is no regular file, or too large. `reason` continues after its name: "is a folder"."""

    def __init__(self, path: str | PathLike[str], reason: str) -> None:
        super().__init__(errno.EINVAL, reason, os.fspath(path))
        self.reason = reason


def read_bounded(path: str | PathLike[str], limit: int) -> tuple[bytes, os.stat_result]:
    """The content of a regular file of at most `limit` bytes, and its status as it was opened.

    Links are followed. Never waits for the writer of a pipe, and takes no more memory than the content. Raises OSError;
    `UnfitFile` if it is something else, or larger.
    """
    # Without O_NONBLOCK, opening a named pipe that has no writer would block for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            what = "is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file"
            raise UnfitFile(path, what)
        if status.st_size > limit:
            raise _too_large(path, limit)
        data = _read(descriptor, limit + 1)
    finally:
        os.close(descriptor)
    # It may have grown meanwhile, and some systems give a size of 0 for files that they make up.
    if len(data) > limit:
        raise _too_large(path, limit)
    return data, status


def _read(descriptor: int, limit: int) -> bytes:
    parts = []
    while limit and (part := os.read(descriptor, min(limit, 1 << 20))):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def _too_large(path: str | PathLike[str], limit: int) -> UnfitFile:
    return UnfitFile(path, f"is larger than {_shown(limit)}")


def _shown(limit: int) -> str:
    for size, unit in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if limit >= size and limit % size == 0:
            return f"{limit // size} {unit}"
    return f"{limit} bytes"
