"""The program as the daemon sees it: an `App`, its sessions, and the work that must not delay the loop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from app import fast_tick
from app.own_log import own_log
from core import log
from core.boundary import guarded
from core.clock import utc_text
from core.errors import CronError, SettingsError
from core.run import ProcessId
from reports.health import LOG_FACT, OTHERS_FACT, others_fact
from system.daemon_lock import record_poll
from system.database_guard import shared_lock
from system.processes import BackgroundProcess, is_alive, other_children

if TYPE_CHECKING:
    from datetime import datetime

    from app.app import App
    from app.session import Session
    from scheduling.reaper import Reaped
    from store.bundle import Store
    from store.rescue import PutBack, Rescued

#: Runners that nearly every daemon needs.
_COMMON = ("command", "invoke")


class Program:
    """An `App` with the settings that it was made with. `reloaded` makes the next one."""

    def __init__(self, app: App) -> None:
        """Raises `SettingsError`."""
        self._app = app
        #: What was read before the database was opened again, until it is put back.
        self._rescued: Rescued | None = None
        self.stop_sec = app.settings.stop_sec
        # Each poll stores the time of the last tick, which must not become stale.
        self.poll_sec = min(app.settings.poll_sec, app.settings.stale_after_sec / 2)
        #: Whether the dead-man's ping is set up.
        self.pings = bool(app.settings.ping_url)
        self._others: list[tuple[ProcessId, str]] | None = None

    def open(self) -> Session:
        """Opens a session, which the caller closes. Raises `DatabaseError`."""
        return self._app.open_session()

    def reopen(self, session: Session, now: datetime) -> PutBack:
        """Opens the session's database again, because its log was replaced, and puts back what was lost with it.

        No other session of this process may be open. Raises `CronError`; then it is to be called again.
        """
        from store.rescue import put_back, rescue

        db = session.store.db
        if self._rescued is None:
            self._rescued = rescue(db, now)
        with shared_lock(os.path.realpath(db.path)):
            db.reopen()
        back = put_back(db, self._rescued)
        self._rescued = None
        fact = {"at": utc_text(now), "restored": len(back.restored), "lost": back.lost[:20]}
        session.store.state.set_fact(LOG_FACT, fact)
        return back

    def warm_up(self, session: Session) -> None:
        """Imports what the first run would import."""
        import gates
        from invocation import runners

        for name in _COMMON:
            runners.named(name)
        # Each of these imports what it needs. The values are not used.
        app = self._app
        _ = gates.all_gates(), app.invoker, session.retention()
        app.calendar.next_fire("0 3 * * 1-5", app.machine_zone, app.clock.now())

    def is_alive(self, owner: ProcessId) -> bool:
        """Whether this process is alive; False if that can't be found out."""
        return guarded(lambda: is_alive(owner), "It is unknown whether a run's scheduler is alive") is True

    def reap(self, given_up: frozenset[str]) -> Reaped:
        """Settles dead runs. It opens its own session, because it is called in another thread."""
        with self._app.session() as session:
            return session.reaper().reap(given_up)

    def name_other_children(self, store: Store) -> None:
        """Stores and logs which children of this process belong to no run, as far as it can tell, if that changed."""
        others = other_children()
        if others == self._others:
            return
        for process in others:
            if process not in (self._others or ()):
                text = f"The process {process[1]} ({process[0].pid}) is a child of the daemon, but not known as a run's"
                log.warning(f"{text}: it is left alone", code="PROCESS_LEFT_ALONE")
        store.state.set_fact(OTHERS_FACT, others_fact(self._app.owner.process, others))
        self._others = others

    def env_file_version(self) -> str:
        """The version of .env: a text that changes with the file."""
        return fast_tick.identity(os.path.join(self._app.root, fast_tick.ENV_FILE))

    def jobs_file_version(self) -> str:
        """The version of .jobs.json: a text that changes with the file. "" if PURUTO_CRON_AUTO_SYNC is off."""
        return fast_tick.identity(str(self._app.settings.jobs_file)) if self._app.settings.auto_sync else ""

    def begin_sync(self) -> BackgroundProcess:
        """Starts a sync in a process of its own, so that its memory is freed afterwards. Raises `CronError`."""
        main = os.path.join(self._app.root, "main.py")
        # .env may name another DB_PATH by now, but the sync must use the daemon's database.
        environ = {**self._app.environ, "DB_PATH": str(self._app.settings.db_path)}
        try:
            return BackgroundProcess([sys.executable, main, "sync-jobs", "--if-changed", "--json"], environ)
        except OSError as error:
            raise CronError(
                f"sync-jobs can't be started: {error.strerror}",
                hint="The daemon tries again. Check the limit of processes and the space for temporary files.",
            ) from None

    def record_poll(self, now: datetime) -> None:
        """Stores `now` as the time of the daemon's last poll."""
        record_poll(str(self._app.settings.db_path), now)

    def ping(self, *, failed: bool) -> Callable[[], object] | None:
        """A function that sends the ping, for another thread; None if no ping is set up."""
        if not self._app.settings.ping_url:
            return None

        def send() -> None:
            with self._app.session() as session:
                session.ping(failed=failed)

        return lambda: guarded(send, "The ping was not sent")

    def reloaded(self, session: Session) -> tuple[Program, Session]:
        """A program with the present settings, and a session for it on the same store. Raises `SettingsError`."""
        app = self._app.reloaded()
        if app.settings.db_path != self._app.settings.db_path:
            raise SettingsError(
                f"DB_PATH was changed to {app.settings.db_path}, but a running daemon keeps its database",
                hint="Stop the daemon and start it again.",
                details={"path": str(app.settings.db_path), "served": str(self._app.settings.db_path)},
            )
        log.reopen(lambda: own_log(app, level="info"))
        return Program(app), session.under(app)
