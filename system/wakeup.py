"""Lets another process wake the daemon at once: through a named pipe next to the database.

A wake-up says only that something has changed; the change is in the database. If one is lost, the daemon is only late:
it polls every PURUTO_CRON_POLL_SECONDS anyway. It is a pipe because the path of a socket may have 108 bytes at most.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

_FLAGS = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
#: The errors of a file system without named pipes. Source: mkfifo(3), mknod(2).
_NO_PIPES = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)


def wakeup_file(db_path: str) -> str:
    """The path of the pipe of this database. Links are followed: one database has one pipe."""
    return f"{os.path.realpath(db_path)}.daemon.bell"


def notify(db_path: str) -> bool:
    """Wakes the daemon of this database; call it after the commit. Returns whether a daemon listens.

    Never waits and never raises. Without a daemon it costs one failed `open`.
    """
    try:
        descriptor = os.open(wakeup_file(db_path), os.O_WRONLY | _FLAGS)
    except OSError:
        # There is no pipe, or (ENXIO) no process reads from it.
        return False
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return False
        os.write(descriptor, b"!")
    except BlockingIOError:
        # The pipe is full, so the daemon is being woken already.
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


class Wakeup:
    """The daemon's end of the pipe. Create it under the lock and before the first poll, so that no change is missed.

    Poll `descriptor` for reading. It is None on a file system without named pipes: then there are no wake-ups.
    """

    def __init__(self, db_path: str) -> None:
        """Raises `DaemonFileUnusable` if the path is taken by something else."""
        self._path = wakeup_file(db_path)
        self.descriptor: int | None = None
        self._own_end: int | None = None
        if not self._make():
            return
        try:
            self._open()
        except OSError as error:
            self._close_descriptors()
            raise self._unusable(f"can't be opened: {error.strerror}") from error
        except BaseException:
            self._close_descriptors()
            raise

    def clear(self) -> bool:
        """Empties the pipe, and returns whether there was a wake-up. Call it before looking for changes."""
        was_woken = False
        while self.descriptor is not None:
            try:
                if not os.read(self.descriptor, 1 << 16):
                    break
            except BlockingIOError:
                break
            was_woken = True
        return was_woken

    def is_in_place(self) -> bool:
        """Whether the pipe is still at its path: somebody may have cleared the folder."""
        if self.descriptor is None:
            return True
        try:
            return os.path.samestat(os.lstat(self._path), os.fstat(self.descriptor))
        except OSError:
            return False

    def close(self) -> None:
        """Removes the pipe if it is still ours. Call it while holding the daemon's lock."""
        if self.descriptor is not None and self.is_in_place():
            # A pipe that stays does no harm: no process reads from it, and the next daemon uses it.
            with suppress(OSError):
                os.unlink(self._path)
        self._close_descriptors()

    def _make(self) -> bool:
        try:
            os.mkfifo(self._path, 0o600)
            # The umask may have taken away the right to open it.
            os.chmod(self._path, 0o600)
        except FileExistsError:
            # Usually the pipe of a daemon that was killed.
            pass
        except OSError as error:
            if error.errno in _NO_PIPES:
                return False
            raise self._unusable(f"can't be made: {error.strerror}") from error
        return True

    def _open(self) -> None:
        if not stat.S_ISFIFO(os.lstat(self._path).st_mode):
            # A link is refused too, whatever it points to.
            raise self._unusable("is not a named pipe")
        self.descriptor = os.open(self._path, os.O_RDONLY | _FLAGS)
        status = os.fstat(self.descriptor)
        if os.geteuid() == 0:
            from core.ownership import give

            # Root may use that of the owner of the folder.
            give(self.descriptor, os.path.dirname(self._path))
            users = {0, os.stat(os.path.dirname(self._path) or ".").st_uid}
        else:
            users = {os.geteuid()}
        if not stat.S_ISFIFO(status.st_mode) or status.st_uid not in users:
            raise self._unusable("belongs to another user")
        os.fchmod(self.descriptor, 0o600)
        # Without a writer of our own, the pipe would stay readable (end of file) after another writer has closed it.
        self._own_end = os.open(self._path, os.O_WRONLY | _FLAGS)

    def _close_descriptors(self) -> None:
        ends = (self.descriptor, self._own_end)
        self.descriptor = self._own_end = None
        for end in ends:
            if end is not None:
                os.close(end)

    def _unusable(self, reason: str) -> Exception:
        from core.errors import DaemonFileUnusable

        return DaemonFileUnusable(
            f"{self._path} {reason}",
            hint="Commands wake the daemon through this pipe. Check what it is, and move it away.",
            details={"path": self._path},
        )
