"""Folders for their owner alone. A leaf."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def close_to_others(path: str) -> None:
    """Takes all rights on a folder of this user from everybody else. Raises OSError."""
    found = os.stat(path)
    if found.st_uid == os.geteuid() and found.st_mode & 0o077:
        os.chmod(path, found.st_mode & 0o700)


def make_private(path: str) -> None:
    """Makes a folder, and those above it that are missing, each with mode 0700 whatever the umask. Raises OSError.

    `os.makedirs` gives its mode to the last one only.
    """
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        parent = os.path.dirname(path)
        if parent in ("", path):
            raise
        make_private(parent)
        make_private(path)
    except OSError:
        # Of a folder that is there a read-only disk may say anything.
        if not os.path.isdir(path):
            raise


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Alone in a folder, among those who ask for it so; where folders can't be locked, not."""
    import fcntl

    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
