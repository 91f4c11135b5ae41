"""How another process wakes the daemon at once: a named pipe beside the database, at whose other end the daemon waits.

A ring says only that something has changed; what, is in the database. So one that is lost costs a delay and no more:
the daemon looks every PURUTO_CRON_POLL_SECONDS by itself. A pipe and no socket: a socket's path has 108 bytes at most.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

_FLAGS = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
#: What a file system without named pipes says. Source: mkfifo(3), mknod(2).
_NO_PIPES = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)


def wakeup_file(db_path: str) -> str:
    """The pipe of the database at `db_path`; links are followed, so that one database has one."""
    return f"{os.path.realpath(db_path)}.daemon.bell"


def notify(db_path: str) -> bool:
    """Wakes the daemon of this database, after the commit that it is to see. Whether one listens.

    Never waits and never raises; without a daemon it is one failed `open`.
    """
    try:
        descriptor = os.open(wakeup_file(db_path), os.O_WRONLY | _FLAGS)
    except OSError:
        # There is no pipe, or (ENXIO) nobody reads from it.
        return False
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return False
        os.write(descriptor, b"!")
    except BlockingIOError:
        # Full: it rings already.
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


class Wakeup:
    """The daemon's end. To be hung under the daemon's lock, and before its first look: what changes after that, rings.

    `descriptor` is polled for reading; None on a file system that has no named pipes: there it never rings.
    """

    def __init__(self, db_path: str) -> None:
        """Raises `DaemonFileUnusable` when something else stands in its place."""
        self._path = wakeup_file(db_path)
        self.descriptor: int | None = None
        self._own_end: int | None = None
        if not self._make():
            return
        try:
            self._open()
        except OSError as error:
            self._shut()
            raise self._unusable(f"can't be opened: {error.strerror}") from error
        except BaseException:
            self._shut()
            raise

    def clear(self) -> bool:
        """Makes it silent, and tells whether it rang. To be called before the look at what has changed."""
        rang = False
        while self.descriptor is not None:
            try:
                if not os.read(self.descriptor, 1 << 16):
                    break
            except BlockingIOError:
                break
            rang = True
        return rang

    def is_in_place(self) -> bool:
        """Whether those who ring still find it: somebody may have cleared the folder."""
        if self.descriptor is None:
            return True
        try:
            return os.path.samestat(os.lstat(self._path), os.fstat(self.descriptor))
        except OSError:
            return False

    def close(self) -> None:
        """Takes it down, if it is still the one that was hung. To be called under the daemon's lock."""
        if self.descriptor is not None and self.is_in_place():
            # One that stays does no harm: nobody reads from it, and the next daemon takes it.
            with suppress(OSError):
                os.unlink(self._path)
        self._shut()

    def _make(self) -> bool:
        try:
            os.mkfifo(self._path, 0o600)
        except FileExistsError:
            # Mostly that of a daemon that was killed.
            pass
        except OSError as error:
            if error.errno in _NO_PIPES:
                return False
            raise self._unusable(f"can't be made: {error.strerror}") from error
        return True

    def _open(self) -> None:
        if not stat.S_ISFIFO(os.lstat(self._path).st_mode):
            # A link is none either, wherever it leads.
            raise self._unusable("is there and is no named pipe")
        self.descriptor = os.open(self._path, os.O_RDONLY | _FLAGS)
        found = os.fstat(self.descriptor)
        if not stat.S_ISFIFO(found.st_mode) or found.st_uid != os.geteuid():
            raise self._unusable("is there and belongs to another user")
        os.fchmod(self.descriptor, 0o600)
        # Without a writer of ours, the end of each ringer would look like the end of the pipe for ever.
        self._own_end = os.open(self._path, os.O_WRONLY | _FLAGS)

    def _shut(self) -> None:
        ends = (self.descriptor, self._own_end)
        self.descriptor = self._own_end = None
        for end in ends:
            if end is not None:
                os.close(end)

    def _unusable(self, what: str) -> Exception:
        from core.errors import DaemonFileUnusable

        return DaemonFileUnusable(
            f"{self._path} {what}",
            hint="It is where commands wake the daemon. Look at it, and move it away.",
            details={"path": self._path},
        )
