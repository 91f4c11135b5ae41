"""Allows one daemon per database, also across copies of the program, and records which process it is.

It is a file lock, which ends with its process: a crash leaves no lock behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

from core import log
from core.clock import utc_text
from core.durable import put_in_place
from core.errors import DaemonFileUnusable, DaemonLockReplaced, DaemonRunning
from core.ownership import create
from core.run import ProcessId
from system.process_table import identify, is_alive

if TYPE_CHECKING:
    from types import TracebackType

#: Seconds to wait for the lock: `daemon_state` holds it for a moment too.
TIMEOUT_SEC = 1.0
_MOST_BYTES = 4096
_FLAGS = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | _FLAGS
_PAUSE_SEC = 0.05


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
        self._db_path = db_path
        self._since = since
        self._path = lock_file(db_path)
        self._descriptor = -1

    def __enter__(self) -> DaemonLock:
        # The lock file of a daemon that runs may have been removed.
        state = daemon_state(self._db_path)
        if state["running"] and not _is_held(self._path):
            raise _running(self._db_path, state)
        self._descriptor = self._locked()
        self._write_identity()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_in_place():
            with suppress(OSError):
                os.unlink(identity_file(self._db_path))
        # The file stays, as another process may be waiting for its lock.
        os.close(self._descriptor)
        self._descriptor = -1

    def is_in_place(self) -> bool:
        """Whether the locked file is the one at the path: another one would let a second daemon start."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.lstat(self._path))
        except OSError:
            return False

    def keep(self) -> None:
        """Makes sure that the locked file is the one at the path.

        If it was removed or replaced, locks the file that is there now, made if missing, and raises
        `DaemonLockReplaced`; or `DaemonRunning` if another daemon holds that one, `DaemonFileUnusable` if it can't be
        locked.
        """
        if self.is_in_place():
            return
        fresh = self._locked()
        os.close(self._descriptor)
        self._descriptor = fresh
        self._write_identity()
        raise DaemonLockReplaced(
            f"{self._path} was removed or replaced while this daemon held its lock. It holds the lock again",
            hint="Never delete this file while a daemon runs: a second one could start.",
            details={"path": self._path},
        )

    def _locked(self) -> int:
        """The descriptor of the file at the path, locked."""
        self._refuse_other_kinds()
        waited = 0.0
        while True:
            try:
                descriptor = create(self._path, os.O_RDWR | os.O_CREAT | _FLAGS)
            except OSError as error:
                raise self._unusable(f"can't be locked: {error.strerror}") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), os.lstat(self._path)):
                    return descriptor
            except FileNotFoundError:
                # Somebody removed it meanwhile.
                pass
            except BlockingIOError:
                waited += _PAUSE_SEC
                if waited > TIMEOUT_SEC:
                    os.close(descriptor)
                    self._refuse_second()
            except OSError as error:
                os.close(descriptor)
                raise self._unusable(f"can't be locked: {error.strerror}") from error
            os.close(descriptor)
            threading.Event().wait(_PAUSE_SEC)

    def _refuse_second(self) -> NoReturn:
        if _is_held(self._path):
            raise _running(self._db_path, daemon_state(self._db_path))
        raise self._unusable("can't be locked: a command is reading it")

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
        me = identify(os.getpid())
        if me is not None:
            # Tells this process from a later one with the same pid, should the lock file be removed.
            identity |= {"started": me.started, "boot": me.boot_id}
        # No other process writes here while we hold the lock. If the disk is full, the daemon runs without this file.
        for old in (path, fresh):
            with suppress(OSError):
                os.unlink(old)
        with log.tolerated(OSError, "The daemon's pid and host were not written"):
            with open(create(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC), "wb") as file:
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
    """Whether a daemon runs, and which. Never waits and never raises.

    A daemon whose lock file was removed is known by its identity file, until it has made the lock file anew.
    """
    state: DaemonState = {"running": _is_held(lock_file(db_path)), "pid": None, "host": None, "since": None}
    identity = _identity(identity_file(db_path))
    if not state["running"]:
        process = ProcessId(identity.get("pid") or 0, identity.get("started") or "", identity.get("boot") or "")
        state["running"] = bool(process.pid and process.started and process.boot_id) and is_alive(process)
    if state["running"]:
        state["pid"], state["host"], state["since"] = (identity.get(key) for key in ("pid", "host", "since"))
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


def _identity(path: str) -> dict[str, Any]:
    """What the identity file says, as far as it has the right types."""
    try:
        with open(os.open(path, _READ), "rb") as file:
            identity = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    types = {"pid": int, "host": str, "since": str, "started": str, "boot": str}
    values = identity if isinstance(identity, dict) else {}
    return {key: values[key] for key, kind in types.items() if isinstance(values.get(key), kind)}


def _running(db_path: str, state: DaemonState) -> DaemonRunning:
    which = f": process {state['pid']} on {state['host']}, since {state['since']}" if state["pid"] else ""
    stop = f"kill {state['pid']}, or " if state["pid"] else ""
    return DaemonRunning(
        f"A daemon already serves {db_path}{which}",
        hint=f"One is enough. To stop it: {stop}systemctl --user stop puruto-cron-daemon",
        details={"database": db_path, "pid": state["pid"], "host": state["host"], "since": state["since"]},
    )
