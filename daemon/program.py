"""The program as the daemon sees it: an `App`, its sessions, and what must not hold up the loop. It knows both."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from app import fast_tick
from app.own_log import own_log
from core import log
from core.boundary import guarded
from core.errors import CronError, SettingsError
from core.run import ProcessId
from system.daemon_lock import record_poll
from system.processes import BackgroundProcess, is_alive

if TYPE_CHECKING:
    from datetime import datetime

    from app.app import App
    from app.session import Session
    from scheduling.reaper import Reaped

#: Runners that need nothing of a provider's: nearly every daemon has runs of theirs.
_COMMON = ("command", "invoke")


class Program:
    """`app`, served by one daemon. `reloaded` makes the next one."""

    def __init__(self, app: App) -> None:
        """Raises `SettingsError`."""
        self._app = app
        self.stop_sec = app.settings.stop_sec
        # The time that is left at each look must not go stale.
        self.poll_sec = min(app.settings.poll_sec, app.settings.stale_after_sec / 2)
        #: Whether a server wants to hear that the daemon lives.
        self.pings = bool(app.settings.ping_url)

    def open(self) -> Session:
        """A session of the daemon's own. Raises `DatabaseError`s."""
        return self._app.open_session()

    def warm_up(self, session: Session) -> None:
        """Imports now what the first run would."""
        import gates
        from invocation import runners

        for name in _COMMON:
            runners.named(name)
        # Each brings what it stands on; the answers are of no interest.
        app = self._app
        _ = gates, app.invoker, session.retention()
        app.calendar.next_fire("0 3 * * 1-5", app.machine_zone, app.clock.now())

    def is_alive(self, owner: ProcessId) -> bool:
        """Whether that very process lives; False when nobody can tell."""
        return guarded(lambda: is_alive(owner), "Whether a run's scheduler is alive can't be told") is True

    def reap(self, given_up: frozenset[str]) -> Reaped:
        """Ends dead runs, over a session of its own: it may take a while, and is done in another thread."""
        with self._app.session() as session:
            return session.reaper().reap(given_up)

    def env_file_version(self) -> str:
        """Which version of .env stands there."""
        return fast_tick.identity(os.path.join(self._app.root, fast_tick.ENV_FILE))

    def jobs_file_version(self) -> str:
        """Which version of .jobs.json stands there; "" when it is not to be synced."""
        return fast_tick.identity(str(self._app.settings.jobs_file)) if self._app.settings.auto_sync else ""

    def begin_sync(self) -> BackgroundProcess:
        """Starts a sync in a process of its own, whose memory is given back. Raises `CronError`."""
        main = os.path.join(self._app.root, "main.py")
        # Whatever .env says by now: another DB_PATH is not that of the database which is served.
        environ = {**self._app.environ, "DB_PATH": str(self._app.settings.db_path)}
        try:
            return BackgroundProcess([sys.executable, main, "sync-jobs", "--if-changed"], environ)
        except OSError as error:
            raise CronError(
                f"sync-jobs can't be started: {error.strerror}",
                hint="It is tried again. Is there room for processes, and in the folder for temporary files?",
            ) from None

    def leave_look_time(self, now: datetime) -> None:
        """Leaves `now` as the time at which the daemon last looked."""
        record_poll(str(self._app.settings.db_path), now)

    def ping(self, *, failed: bool) -> Callable[[], object] | None:
        """What sends the ping, to be called in another thread; None when none is wanted."""
        if not self._app.settings.ping_url:
            return None

        def send() -> None:
            with self._app.session() as session:
                session.ping(failed=failed)

        return lambda: guarded(send, "The ping was not sent")

    def reloaded(self, session: Session) -> tuple[Program, Session]:
        """The program by the settings of now, and the session's store under it. Raises `SettingsError`."""
        app = self._app.reloaded()
        if app.settings.db_path != self._app.settings.db_path:
            raise SettingsError(
                f"DB_PATH names another database now: {app.settings.db_path}",
                hint="A daemon serves one database: end it and start it again.",
                details={"path": str(app.settings.db_path), "served": str(self._app.settings.db_path)},
            )
        log.reopen(lambda: own_log(app, level="info"))
        return Program(app), session.under(app)
