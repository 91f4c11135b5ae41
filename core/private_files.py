"""Folders that only their owner may use, and a lock on a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from core.ownership import make_folder


def restrict_to_owner(path: str) -> None:
    """Removes the rights of group and others on a folder that this user owns. Raises OSError."""
    status = os.stat(path)
    if status.st_uid == os.geteuid() and status.st_mode & 0o077:
        os.chmod(path, status.st_mode & 0o700)


def make_private_folder(path: str) -> None:
    """Makes a folder and its missing parents, each with mode 0700. Raises OSError.

    `os.makedirs` sets the mode of the last folder only.
    """
    try:
        make_folder(path)
    except FileNotFoundError:
        parent = os.path.dirname(path)
        if parent in ("", path):
            raise
        make_private_folder(parent)
        make_private_folder(path)
    except OSError:
        # On a read-only disk, mkdir may fail with any error for a folder that exists.
        if not os.path.isdir(path):
            raise


@contextmanager
def locked_folder(path: str) -> Iterator[None]:
    """Holds an exclusive lock on a folder, and waits for it. Without a lock where folders can't be locked."""
    import fcntl

    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
