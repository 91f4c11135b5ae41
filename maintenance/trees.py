"""Folders that a target may have filled with anything: how much of the disk they hold, and how they are deleted.

Everything is reached from an open descriptor of its folder, so that no path can be too long, and nobody can put a link
into the way. Depth costs neither recursion nor descriptors.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: What the owner needs to list a folder, to delete in it, and to move it.
_ALL = stat.S_IRWXU
#: Source: stat(2), `st_blocks`.
_BLOCK = 512
#: Hard-linked files that are told apart in one folder. Beyond that each name counts for its share of the file.
_MOST_LINKED = 100_000


def size_of(folder: str | Path) -> int:
    """The bytes that a folder and everything in it hold on the disk, links not followed; 0 if it is gone.

    A file with several names counts once, and the holes of a sparse file do not count. Other file systems that are
    mounted in it are left out. A folder that its owner has closed is opened for the moment.
    """
    try:
        return _Measuring().bytes_of(os.fspath(folder))
    except OSError:
        return 0


class _Measuring:
    """Walks through one tree. Only the folder that is being looked at is open; the way back is `..`."""

    def __init__(self) -> None:
        self._bytes = 0
        self._linked: set[tuple[int, int]] = set()

    def bytes_of(self, path: str) -> int:
        path = os.path.abspath(path)
        status = os.lstat(path)
        self._count(status)
        if stat.S_ISDIR(status.st_mode):
            parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                opened = _opened(os.path.basename(path), parent, status.st_dev)
            finally:
                os.close(parent)
            if opened is not None:
                self._walk(*opened)
        return self._bytes

    def _walk(self, current: int, status: os.stat_result) -> None:
        """Counts what is below an open folder, and closes it."""
        device, way = status.st_dev, [(status, self._names(current, status.st_dev))]
        while way:
            here, names = way[-1]
            if names:
                opened = _opened(names.pop(), current, device)
                if opened is not None:
                    os.close(current)
                    current, there = opened
                    way.append((there, self._names(current, device)))
                continue
            way.pop()
            above = _above(current, way[-1][0]) if way else None
            if _is_closed(here):
                with suppress(OSError):
                    os.fchmod(current, stat.S_IMODE(here.st_mode))
            os.close(current)
            if above is None:
                return
            current = above

    def _names(self, folder: int, device: int) -> list[str]:
        """Counts the entries of an open folder, and returns the folders among them."""
        names = []
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_dev != device:
                        continue
                    self._count(status)
                    if stat.S_ISDIR(status.st_mode):
                        names.append(entry.name)
        return names

    def _count(self, status: os.stat_result) -> None:
        held = status.st_blocks * _BLOCK
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            key = (status.st_dev, status.st_ino)
            if key in self._linked:
                return
            if len(self._linked) < _MOST_LINKED:
                self._linked.add(key)
            else:
                held //= status.st_nlink
        self._bytes += held


def _opened(name: str, parent: int, device: int) -> tuple[int, os.stat_result] | None:
    """An open folder and its status before its mode was opened; None if it can't be opened, or is a mount."""
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if status.st_dev != device:
            return None
        if _is_closed(status):
            _open_up(name, parent)
        return os.open(name, _FOLDER, dir_fd=parent), status
    except OSError:
        return None


def _is_closed(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() != 0 and status.st_mode & _ALL != _ALL


def _above(folder: int, expected: os.stat_result) -> int | None:
    """The folder above, open. None if it is another one: somebody moves folders, and what lies outside is not ours."""
    try:
        above = os.open("..", _FOLDER, dir_fd=folder)
    except OSError:
        return None
    if os.path.samestat(os.fstat(above), expected):
        return above
    os.close(above)
    return None


def delete_tree(folder: Path) -> None:
    """Deletes a folder with everything in it, or the link in its place; does nothing if it is gone. Raises OSError.

    No link is followed, not even one in the place of its parent, and nothing on another mount is deleted.
    """
    try:
        parent = os.open(folder.parent, _FOLDER)
    except FileNotFoundError:
        return
    try:
        _delete(folder.name, parent)
    except FileNotFoundError:
        # Another process deletes it too.
        if os.path.lexists(folder):
            raise
    finally:
        os.close(parent)


def _delete(name: str, parent: int) -> None:
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=parent)
        return
    with _open_folder(name, parent) as top:
        if _mount_of(top) != _mount_of(parent):
            raise OSError(errno.EBUSY, "another file system is mounted there")
        flat = _Flattening(top)
        while flat.round():
            pass
    os.rmdir(name, dir_fd=parent)


class _Flattening:
    """Empties a folder. Each folder below it is first moved to its top, so that there is never a deep path.

    The move fails for the place of a mount, before anything in it is touched.
    """

    def __init__(self, top: int) -> None:
        self._top = top
        self._prefix = f".deleted-{os.urandom(8).hex()}-"
        self._moved = 0

    def round(self) -> bool:
        """Deletes or moves what a listing shows. Returns whether there was anything."""
        found = False
        # What is deleted meanwhile may hide other entries from this listing, but not from the next one.
        for name, is_folder in _entries(self._top):
            found = True
            if not is_folder:
                os.unlink(name, dir_fd=self._top)
                continue
            moved = name if name.startswith(self._prefix) else self._move(name, self._top)
            with _open_folder(moved, self._top) as folder:
                self._empty(folder)
            os.rmdir(moved, dir_fd=self._top)
        return found

    def _empty(self, folder: int) -> None:
        found = True
        while found:
            found = False
            for name, is_folder in _entries(folder):
                found = True
                if is_folder:
                    self._move(name, folder)
                else:
                    os.unlink(name, dir_fd=folder)

    def _move(self, name: str, folder: int) -> str:
        self._moved += 1
        moved = f"{self._prefix}{self._moved}"
        try:
            os.rename(name, moved, src_dir_fd=folder, dst_dir_fd=self._top)
        except PermissionError:
            # To move a folder that one may not write is refused, because its `..` changes.
            _open_up(name, folder)
            os.rename(name, moved, src_dir_fd=folder, dst_dir_fd=self._top)
        return moved


@contextmanager
def _open_folder(name: str, parent: int) -> Iterator[int]:
    """The descriptor of a folder in which this process may delete. A target may have taken away its rights."""
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        _open_up(name, parent)
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        if os.fstat(descriptor).st_mode & _ALL != _ALL:
            with suppress(OSError):
                os.fchmod(descriptor, _ALL)
        yield descriptor
    finally:
        os.close(descriptor)


def _open_up(name: str, parent: int) -> None:
    """Gives the owner all rights on a folder, but never on what a link leads to. Raises OSError."""
    if os.chmod in os.supports_follow_symlinks:
        os.chmod(name, _ALL, dir_fd=parent, follow_symlinks=False)
        return
    # Linux: a descriptor that needs no rights on the folder, which /proc shows as a path.
    descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", _ALL)
    finally:
        os.close(descriptor)


def _entries(folder: int) -> Iterator[tuple[str, bool]]:
    """The name of each entry of an open folder, in any bytes, and whether it is a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name, entry.is_dir(follow_symlinks=False)


def _mount_of(folder: int) -> tuple[int, str]:
    """What tells the mounts apart: the device, and where /proc says it, the mount itself, as of a bind mount."""
    device = os.fstat(folder).st_dev
    try:
        with open(f"/proc/self/fdinfo/{folder}", encoding="ascii") as file:
            mounts = [line for line in file.read(4096).splitlines() if line.startswith("mnt_id:")]
    except OSError:
        return device, ""
    return device, "".join(mounts)
