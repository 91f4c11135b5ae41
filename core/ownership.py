"""What root makes in somebody's folder gets the owner of that folder: otherwise that person's own jobs fail there.

Only for a process of root, and only in folders that are not root's. Nothing is changed but what was just made.
"""

from __future__ import annotations

import os
import stat


def is_root_in_foreign(folder: str | os.PathLike[str]) -> bool:
    """Whether this process is root's, and the folder somebody else's. False for a folder that is not there."""
    try:
        return os.geteuid() == 0 and _owner(folder) is not None
    except OSError:
        return False


def create(path: str | os.PathLike[str], flags: int, mode: int = 0o600) -> int:
    """Like `os.open` with O_CREAT; a file that it makes gets its owner. Returns the descriptor. Raises OSError."""
    if os.geteuid() != 0:
        return os.open(path, flags, mode)
    try:
        descriptor = os.open(path, flags | os.O_EXCL, mode)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        return os.open(path, flags, mode)
    give(descriptor, os.path.dirname(path))
    return descriptor


def make_folder(path: str, mode: int = 0o700) -> None:
    """Like `os.mkdir`; the folder gets its owner. Raises OSError."""
    os.mkdir(path, mode)
    if is_root_in_foreign(os.path.dirname(path)):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # The owner of the folder could have put another folder in its place.
            if os.fstat(descriptor).st_uid == 0 and not os.listdir(descriptor):
                give(descriptor, os.path.dirname(path))
        finally:
            os.close(descriptor)


def give(descriptor: int, folder: str | os.PathLike[str]) -> None:
    """Gives what was just made to the owner of the folder that it is in. Does nothing where that is not for root to do.

    A file with a second name is left alone: it was not just made.
    """
    owner = _owner(folder) if os.geteuid() == 0 else None
    status = os.fstat(descriptor)
    if owner is not None and status.st_uid == 0 and (status.st_nlink == 1 or stat.S_ISDIR(status.st_mode)):
        os.fchown(descriptor, *owner)


def _owner(folder: str | os.PathLike[str]) -> tuple[int, int] | None:
    """The user and group of the folder; None if it is root's."""
    status = os.stat(folder or ".")
    return (status.st_uid, status.st_gid) if status.st_uid != 0 else None
