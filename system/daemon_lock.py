"""Allows one daemon per database, also across copies of the program, and records which process it is.

It is a file lock, which ends with its process: a crash leaves no lock behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict

from core import log
from core.clock import utc_text
from core.durable import put_in_place
from core.errors import DaemonFileUnusable, DaemonRunning

if TYPE_CHECKING:
    from types import TracebackType

#: Seconds to wait for the lock: `daemon_state` holds it for a moment too.
TIMEOUT_SEC = 1.0
_MOST_BYTES = 4096
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class DaemonState(TypedDict):
    """The daemon of a database, as `status` prints it.

    `pid`, `host` and `since` (when it started, UTC text) are null if none runs or it could not write its file.
    """

    running: bool
    pid: int | None
    host: str | None
    since: str | None


def lock_file(db_path: str) -> str:
    """The path of the file that the daemon of this database locks. Links are followed: one database has one lock."""
    return f"{os.path.realpath(db_path)}.daemon.lock"


def identity_file(db_path: str) -> str:
    """The path of the file in which the daemon identifies itself. It is valid only while the lock is held."""
    return f"{os.path.realpath(db_path)}.daemon.json"


class DaemonLock:
    """`with DaemonLock(db_path, now):` holds the lock while a daemon runs. `since` is when it started, aware.

    Raises `DaemonRunning` if there is another daemon, `DaemonFileUnusable` if the path can't be locked.
    """

    def __init__(self, db_path: str, since: datetime) -> None:
        from filelock import FileLock

        self._db_path = db_path
        self._since = since
        self._path = lock_file(db_path)
        # The lock belongs to the process: any thread may release it.
        self._lock = FileLock(self._path, timeout=TIMEOUT_SEC, mode=0o600, thread_local=False)

    def __enter__(self) -> DaemonLock:
        from filelock import Timeout

        self._refuse_other_kinds()
        try:
            self._lock.acquire()
        except Timeout:
            state = daemon_state(self._db_path)
            if state["running"]:
                raise _running(self._db_path, state) from None
            # filelock waits for a file that it may not write, as it does for one that is locked.
            raise self._unusable("can't be locked: this user may not write it, or a command is reading it") from None
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise self._unusable(f"can't be locked: {reason}") from error
        self._write_identity()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            os.unlink(identity_file(self._db_path))
        # The file stays, as another process may be waiting for its lock.
        self._lock.release()

    def _refuse_other_kinds(self) -> None:
        try:
            status = os.lstat(self._path)
        except OSError:
            return
        if not stat.S_ISREG(status.st_mode):
            raise self._unusable("is not a regular file")

    def _unusable(self, reason: str) -> DaemonFileUnusable:
        hint = "The daemon locks this file, so that no second one starts. Check what it is, and move it away."
        return DaemonFileUnusable(f"{self._path} {reason}", hint=hint, details={"path": self._path})

    def _write_identity(self) -> None:
        path = identity_file(self._db_path)
        fresh = f"{path}.new"
        identity = {"pid": os.getpid(), "host": os.uname().nodename, "since": utc_text(self._since)}
        # No other process writes here while we hold the lock. If the disk is full, the daemon runs without this file.
        for old in (path, fresh):
            with suppress(OSError):
                os.unlink(old)
        with log.tolerated(OSError, "The daemon's pid and host were not written"):
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(json.dumps(identity).encode())
            put_in_place(fresh, path)
            record_poll(self._db_path, self._since)


def record_poll(db_path: str, now: datetime) -> None:
    """Records when the daemon last polled. The time of the last tick does not show that: cron's ticks write it too."""
    with log.tolerated(OSError, "The time of the daemon's poll was not recorded", level=log.DEBUG):
        os.utime(identity_file(db_path), (now.timestamp(), now.timestamp()))


def last_poll(db_path: str) -> datetime | None:
    """When the daemon last polled, or started; None if that is unknown."""
    try:
        return datetime.fromtimestamp(os.stat(identity_file(db_path)).st_mtime, UTC)
    except (OSError, OverflowError, ValueError):
        return None


def daemon_state(db_path: str) -> DaemonState:
    """Whether a daemon runs, and which. Never waits and never raises."""
    state: DaemonState = {"running": _is_held(lock_file(db_path)), "pid": None, "host": None, "since": None}
    if state["running"]:
        _add_identity(state, identity_file(db_path))
    return state


def _is_held(path: str) -> bool:
    try:
        descriptor = os.open(path, _READ)
    except OSError:
        return False
    try:
        # A shared lock, so that two callers don't take each other for a daemon.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _add_identity(state: DaemonState, path: str) -> None:
    try:
        with open(os.open(path, _READ), "rb") as file:
            identity = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return
    if not isinstance(identity, dict):
        return
    if isinstance(identity.get("pid"), int):
        state["pid"] = identity["pid"]
    if isinstance(identity.get("host"), str):
        state["host"] = identity["host"]
    if isinstance(identity.get("since"), str):
        state["since"] = identity["since"]


def _running(db_path: str, state: DaemonState) -> DaemonRunning:
    which = f": process {state['pid']} on {state['host']}, since {state['since']}" if state["pid"] else ""
    stop = f"kill {state['pid']}, or " if state["pid"] else ""
    return DaemonRunning(
        f"A daemon already serves {db_path}{which}",
        hint=f"One is enough. To stop it: {stop}systemctl --user stop puruto-cron-daemon",
        details={"database": db_path, "pid": state["pid"], "host": state["host"], "since": state["since"]},
    )
