"""The time of the last tick: a file beside the database, so that an idle tick writes no transaction."""

from __future__ import annotations

import os


def file_of(db_path: str) -> str:
    """Where ticks leave their time: beside the database, so that an idle one need not write into it."""
    return f"{db_path}.last_tick"


def read(db_path: str) -> str:
    """When the last tick ran, as UTC text, or "" when none did."""
    try:
        # Bytes, because opening with any encoding but UTF-8 imports a codec.
        with open(file_of(db_path), "rb") as file:
            return file.read(64).decode("ascii").strip()
    except (OSError, ValueError):
        return ""


def touch(db_path: str, text: str) -> None:
    """Leaves `text` (UTC, fixed width) as the time of the last tick. Raises OSError."""
    fd = os.open(file_of(db_path), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        # One write of one width over the old text: a reader never sees half of it.
        width = os.pwrite(fd, f"{text}\n".encode("ascii"), 0)
        if os.fstat(fd).st_size != width:
            os.ftruncate(fd, width)
    finally:
        os.close(fd)
