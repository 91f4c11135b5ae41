"""The time of the last tick, in a file next to the database, so that an idle tick needs no transaction."""

from __future__ import annotations

import os

#: An ordinary open of a named pipe would block for ever.
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


def file_of(db_path: str) -> str:
    """The path of the file with the time of the last tick."""
    return f"{db_path}.last_tick"


def read(db_path: str) -> str:
    """The time of the last tick as UTC text; "" if there was none."""
    try:
        # As bytes, because another encoding than UTF-8 imports a codec.
        fd = os.open(file_of(db_path), os.O_RDONLY | _FLAGS)
        try:
            return os.read(fd, 64).decode("ascii").strip()
        finally:
            os.close(fd)
    except (OSError, ValueError):
        return ""


def touch(db_path: str, text: str) -> None:
    """Writes `text` (UTC, fixed width) as the time of the last tick. Raises OSError."""
    fd = os.open(file_of(db_path), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | _FLAGS, 0o600)
    try:
        if os.geteuid() == 0 and os.fstat(fd).st_size == 0:
            from core.ownership import give

            give(fd, os.path.dirname(db_path))
        # One write of fixed width over the old text, so that no reader sees half of it.
        width = os.pwrite(fd, f"{text}\n".encode("ascii"), 0)
        if os.fstat(fd).st_size != width:
            os.ftruncate(fd, width)
    finally:
        os.close(fd)
