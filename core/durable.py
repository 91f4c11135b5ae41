"""Puts files in their place so that they stay there after a loss of power."""

from __future__ import annotations

import os
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike


def put_in_place(fresh: str | PathLike[str], path: str | PathLike[str]) -> None:
    """Renames `fresh` to `path`, and makes the rename durable. Raises OSError; then nothing was renamed.

    The caller has synced the content. Without a sync of the folder, a loss of power may bring the old file back.
    """
    os.replace(fresh, path)
    folders = {os.path.dirname(os.path.abspath(name)) for name in (path, fresh)}
    for folder in folders:
        sync_folder(folder)


def sync_folder(folder: str | PathLike[str]) -> None:
    """Makes the entries of a folder durable: files that were made, renamed or deleted in it.

    Never raises: the entries are as they should be, some file systems can't sync a folder, and a disk that fails shows
    that at the next write.
    """
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
