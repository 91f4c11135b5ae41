"""One daemon for one database, whatever copy of the program it is of; and who it is.

A lock of the system's that ends with its process: a crash leaves nothing that blocks.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from core import log
from core.clock import utc_text
from core.errors import DaemonFileUnusable, DaemonRunning

if TYPE_CHECKING:
    from types import TracebackType

#: Those who ask for the daemon's state hold its lock for a moment themselves.
TIMEOUT_SEC = 1.0
_MOST_BYTES = 4096
_LOOK = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def lock_file(db_path: str) -> str:
    """What the daemon of this database locks; links are followed, so that one database has one."""
    return f"{os.path.realpath(db_path)}.daemon.lock"


def who_file(db_path: str) -> str:
    """Where that daemon says who it is: `{"pid", "host", "since"}`. True only while the lock is held."""
    return f"{os.path.realpath(db_path)}.daemon.json"


class OneDaemon:
    """`with OneDaemon(db_path, now):` while a daemon runs. `since` is an aware instant.

    Raises `DaemonRunning` when there is one, `DaemonFileUnusable` when the lock's place is taken by something else.
    """

    def __init__(self, db_path: str, since: datetime) -> None:
        from filelock import FileLock

        self._db_path = db_path
        self._since = since
        self._path = lock_file(db_path)
        # Whatever thread takes it down: the lock is the process's.
        self._lock = FileLock(self._path, timeout=TIMEOUT_SEC, mode=0o600, thread_local=False)

    def __enter__(self) -> OneDaemon:
        from filelock import Timeout

        self._refuse_other_kinds()
        try:
            self._lock.acquire()
        except Timeout:
            state = daemon_state(self._db_path)
            if state["running"]:
                raise _running(self._db_path, state) from None
            # What may not be written is waited for like what is locked.
            raise self._unusable("can't be locked: this user may not write it, or somebody looks at it") from None
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise self._unusable(f"can't be locked: {reason}") from error
        self._say_who()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            os.unlink(who_file(self._db_path))
        # The lock's file stays: another may wait for it just now.
        self._lock.release()

    def _refuse_other_kinds(self) -> None:
        try:
            found = os.lstat(self._path)
        except OSError:
            return
        if not stat.S_ISREG(found.st_mode):
            raise self._unusable("is there and is no regular file")

    def _unusable(self, what: str) -> DaemonFileUnusable:
        hint = "It keeps a second daemon away. Look at it, and move it away."
        return DaemonFileUnusable(f"{self._path} {what}", hint=hint, details={"path": self._path})

    def _say_who(self) -> None:
        path = who_file(self._db_path)
        fresh = f"{path}.new"
        told = {"pid": os.getpid(), "host": os.uname().nodename, "since": utc_text(self._since)}
        # Under the lock nobody else writes here. A full disk keeps no daemon from its work: then it has no name.
        for old in (path, fresh):
            with suppress(OSError):
                os.unlink(old)
        with log.tolerated(OSError, "The daemon's name was not left beside its lock"):
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(json.dumps(told).encode())
            os.replace(fresh, path)
            leave_look(self._db_path, self._since)


def leave_look(db_path: str, now: datetime) -> None:
    """Says when the daemon has last looked: the time that ticks leave beside it could hide its silence."""
    with log.tolerated(OSError, "The time of the daemon's look was not left", level=log.DEBUG):
        os.utime(who_file(db_path), (now.timestamp(), now.timestamp()))


def last_look(db_path: str) -> datetime | None:
    """When the daemon has last looked, or begun; None when it could not say so."""
    try:
        return datetime.fromtimestamp(os.stat(who_file(db_path)).st_mtime, UTC)
    except (OSError, OverflowError, ValueError):
        return None


def daemon_state(db_path: str) -> dict[str, object]:
    """`{"running", "pid", "host", "since"}`: who holds the lock. All but the first are null when nobody does.

    They are null too for one that could not say who it is. Never waits and never raises.
    """
    nobody: dict[str, object] = {"pid": None, "host": None, "since": None}
    if not _is_held(lock_file(db_path)):
        return {"running": False, **nobody}
    return {"running": True, **nobody, **_who(who_file(db_path))}


def _is_held(path: str) -> bool:
    try:
        descriptor = os.open(path, _LOOK)
    except OSError:
        return False
    try:
        # Shared: two who ask don't take each other for a daemon.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _who(path: str) -> dict[str, object]:
    try:
        with open(os.open(path, _LOOK), "rb") as file:
            told = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    kinds = {"pid": int, "host": str, "since": str}
    return {name: told[name] for name, kind in kinds.items() if isinstance(told.get(name), kind)}


def _running(db_path: str, state: Mapping[str, object]) -> DaemonRunning:
    who = f": process {state['pid']} on {state['host']}, since {state['since']}" if state["pid"] else ""
    stop = f"kill {state['pid']}, or " if state["pid"] else ""
    return DaemonRunning(
        f"A daemon serves {db_path} already{who}",
        hint=f"One is enough. To end it: {stop}systemctl --user stop puruto-cron-daemon",
        details={"database": db_path, "pid": state["pid"], "host": state["host"], "since": state["since"]},
    )
