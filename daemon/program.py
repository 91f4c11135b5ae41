"""The whole program, as the daemon knows it. It is the one place that knows both."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from app import fast_tick
from app.app import App
from core.boundary import guarded
from core.clock import utc_text
from core.errors import CronError, SettingsError
from core.run import ProcessId
from reports.health import CLOCK_FACT, PING_FACT, clock_fact
from system.daemon_lock import leave_look
from system.processes import BackgroundProcess, is_alive

if TYPE_CHECKING:
    from datetime import datetime

    from maintenance.pruning import Upkeep
    from scheduler import Scheduler
    from scheduling.reaper import Reaped
    from store.bundle import Store
    from system.processes import Stop

#: Runners that need nothing of a provider's: nearly every daemon has runs of theirs.
_COMMON = ("command", "invoke")


class Program(Protocol):
    """What the daemon asks of the whole program; made anew by `reload`."""

    poll_sec: float
    stop_sec: int
    pings: bool
    """Whether a server wants to hear that the daemon lives."""

    def open(self) -> Store: ...

    def scheduler(self, store: Store, stop: Stop) -> Scheduler: ...

    def upkeep(self, store: Store) -> Upkeep: ...

    def warm_up(self, store: Store) -> None:
        """Imports now what the first run would."""

    def is_alive(self, owner: ProcessId) -> bool:
        """Whether that very process lives; False when nobody can tell."""

    def reap(self, given_up: frozenset[str]) -> Reaped:
        """Over a store of its own: it may take a while, and is done in another thread."""

    def settings_seen(self) -> str:
        """Which version of .env stands there."""

    def file_seen(self) -> str:
        """Which version of .jobs.json stands there; "" when it is not to be synced."""

    def begin_sync(self) -> BackgroundProcess: ...

    def touch(self, now: datetime) -> None: ...

    def last_seen(self, store: Store) -> datetime | None: ...

    def note_anomaly(self, store: Store, anomaly: dict[str, object], now: datetime) -> None: ...

    def ping(self, *, failed: bool) -> Callable[[], object] | None:
        """What sends the ping, to be called in another thread; None when none is wanted."""

    def reload(self) -> Program:
        """The program by the settings of now. Raises `SettingsError`."""


class Served:
    """`app`, served by one daemon. `reload` makes the next one."""

    def __init__(self, app: App) -> None:
        """Raises `SettingsError`."""
        self._app = app
        self.stop_sec = app.settings.stop_sec
        # The time that is left at each look must not go stale.
        self.poll_sec = min(app.settings.poll_sec, app.settings.stale_after_sec / 2)
        self.pings = bool(app.settings.ping_url)

    def open(self) -> Store:
        return self._app.open_store()

    def scheduler(self, store: Store, stop: Stop) -> Scheduler:
        return self._app.scheduler(store, stop)

    def upkeep(self, store: Store) -> Upkeep:
        return self._app.upkeep(store)

    def warm_up(self, store: Store) -> None:
        import gates
        from invocation import runners

        for name in _COMMON:
            runners.named(name)
        # Each brings what it stands on; the answers are of no interest.
        app = self._app
        _ = gates, app.invoker, app.retention(store)
        app.calendar.next_fire("0 3 * * 1-5", app.machine_zone, app.clock.now())

    def is_alive(self, owner: ProcessId) -> bool:
        return guarded(lambda: is_alive(owner)) is True

    def reap(self, given_up: frozenset[str]) -> Reaped:
        with self._app.store() as store:
            return self._app.reaper(store).reap(given_up)

    def settings_seen(self) -> str:
        return fast_tick.identity(os.path.join(self._app.root, fast_tick.ENV_FILE))

    def file_seen(self) -> str:
        return fast_tick.identity(str(self._app.settings.jobs_file)) if self._app.settings.auto_sync else ""

    def begin_sync(self) -> BackgroundProcess:
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

    def touch(self, now: datetime) -> None:
        # `status` will call the scheduler stale, which is the truth about a folder that can't be written.
        place = str(self._app.settings.db_path)
        with suppress(OSError):
            fast_tick.touch(place, utc_text(now))
        leave_look(place, now)

    def last_seen(self, store: Store) -> datetime | None:
        return self._app.last_seen(store)

    def note_anomaly(self, store: Store, anomaly: dict[str, object], now: datetime) -> None:
        store.state.set_fact(CLOCK_FACT, clock_fact(anomaly, now))

    def ping(self, *, failed: bool) -> Callable[[], object] | None:
        app = self._app
        if not app.settings.ping_url:
            return None

        def send() -> None:
            fact = app.ping(failed=failed)

            def keep() -> None:
                with app.store() as store:
                    store.state.set_fact(PING_FACT, fact)

            # A database that refuses this note has shown itself before.
            guarded(keep)

        return send

    def reload(self) -> Served:
        app = App(self._app.clock, self._app.environ, self._app.root)
        if app.settings.db_path != self._app.settings.db_path:
            raise SettingsError(
                f"DB_PATH names another database now: {app.settings.db_path}",
                hint="A daemon serves one database: end it and start it again.",
                details={"path": str(app.settings.db_path), "served": str(self._app.settings.db_path)},
            )
        return Served(app)
