"""What the commands ask of the program beside its rooms: syncing, health, and where everything lies."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app import fast_tick
from app.session import Rooms, job_of
from core import log
from core.boundary import Failure, guarded
from core.clock import utc_text
from reports import health
from store.look import SEEN_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from invocation.dry_run import DryRun
    from jobs.sync import SyncReport
    from maintenance.pruning import Upkeep
    from store.bundle import Store

__all__ = ["App", "job_of"]

SYNC_ERROR = "sync_error"
SYNCED_FILE = "synced_file"
LAST_SYNC = "last_sync_at"
CHECKED_ENTRIES = "checked_entries"


class App(Rooms):
    """One command's way to everything."""

    # --- syncing ---

    def sync_jobs(self, store: Store, now: datetime, *, allow_removals: bool = False) -> SyncReport:
        """Reads, checks and writes .jobs.json. Raises `ConfigurationError`s with nothing changed."""
        from jobs.jobs_file import read_changes, sync_cache_of
        from schedules.language import check

        # Taken before the file is read: a later edit then shows as a change.
        seen = self._synced_file()
        # The next tick is a whole one: it sees to a clock that was set back since.
        facts = {SYNCED_FILE: seen, LAST_SYNC: utc_text(now), SYNC_ERROR: "", SEEN_KEY: ""}
        with _no_collection():
            known = sync_cache_of(self.default_zone, store.state.get(CHECKED_ENTRIES))
            file = read_changes(
                self.settings.jobs_file, lambda schedule, zone: check(schedule, zone or self.default_zone), known
            )

            def remember(definitions: Mapping[str, str]) -> dict[str, str]:
                entries = known.text(definitions)
                return {} if entries is None else {CHECKED_ENTRIES: entries}

            report = self.sync(store).apply(file, now, allow_removals=allow_removals, facts=facts, remember=remember)
        if report.added or report.changed or report.removed:
            self.notify()
        return report

    def sync_if_changed(self, store: Store, now: datetime) -> dict[str, object] | None:
        """The sync of a tick: None when the file is the one synced last. A broken file is reported, never raised."""
        if not self.settings.auto_sync:
            return None
        known = store.state.get_fact(SYNC_ERROR)
        if store.state.get(SYNCED_FILE) == self._synced_file():
            if known is not None:
                # The file that was synced last is back in its place.
                store.state.set_fact(SYNC_ERROR, None)
            return None
        report = guarded(lambda: self.sync_jobs(store, now))
        if not isinstance(report, Failure):
            return report.as_dict()
        error = self.redactor(None)(report.as_dict())
        log.warning(f".jobs.json was not synced: {report.message}", code=report.code)
        if known is None or known["error"] != error:
            store.state.set_fact(SYNC_ERROR, {"at": utc_text(now), "error": error})
        return {"status": "error", "error": error}

    def sync_state(self, store: Store) -> dict[str, object]:
        """Whether the stored jobs are those of the file, for `status`."""
        return {
            "last_sync_at": store.state.get(LAST_SYNC) or None,
            "in_step": store.state.get(SYNCED_FILE) == self._synced_file(),
            "auto_sync": self.settings.auto_sync,
            "error": store.state.get_fact(SYNC_ERROR),
        }

    def _synced_file(self) -> str:
        return f"{fast_tick.identity(str(self.settings.jobs_file))} zone={self.settings.timezone or ''}"

    def end_pause(self, store: Store, job_id: str, now: datetime) -> bool:
        """Lets a job go on that was paused because it failed too often; False when it was not."""
        from scheduling.planner import Slots

        state = store.definitions.load(job_id)
        if state is None or not state.job.enabled:
            return False
        ended = store.definitions.end_pause(job_id, Slots(self.calendar).following(state, now))
        if ended:
            self.notify()
        return ended

    def upkeep(self, store: Store) -> Upkeep:
        """Cleans behind the runs."""
        from maintenance.pruning import Upkeep

        return Upkeep(store, lambda: self.retention(store), self.clock.now)

    def dry_run(self) -> DryRun:
        """Tells what a run would be."""
        from invocation.dry_run import DryRun

        return DryRun(self.targets(), self.policy(), self.host(), str(self.settings.runs_folder))

    def ping(self, *, failed: bool) -> dict[str, object]:
        """Asks the address of PURUTO_CRON_PING_URL, which must be set; what is kept of it under `PING_FACT`."""
        from channels import ping

        error = ping.send(ping.address(self.settings.ping_url or "", failed=failed))
        if error:
            log.warning(f"The ping did not arrive: {error}")
        return {"at": utc_text(self.clock.now()), "ok": not error, "failed": failed, "error": error or None}

    # --- health ---

    def waiting_events(self, store: Store) -> list[dict[str, object]]:
        """Per channel how many events have not arrived, since when, and why."""
        return health.waiting_events(store)

    def scheduler_health(self, store: Store, now: datetime) -> dict[str, object]:
        """All that `status` says under `scheduler`."""
        from system.processes import is_alive

        moment = health.Now(now, self.clock.monotonic(), is_alive)
        found = health.condition(store, self._last_tick(), moment, self.settings.lease_sec)
        return {**self.tick_state(now), **found, "daemon": self.daemon_state(), "paths": self.paths()}

    def paths(self) -> dict[str, str]:
        """Where everything lies, absolute, so that nobody looks at another copy than the program does."""
        settings = self.settings
        return {
            "root": str(settings.root),
            "database": str(settings.db_path),
            "jobs_file": str(settings.jobs_file),
            "local_events": str(settings.local_events),
            "telegram_outbox": str(settings.telegram_outbox),
            "runs": str(settings.runs_folder),
            "siblings": str(settings.home),
            "registry": str(settings.data_path / "registry.json"),
        }

    def tick_state(self, now: datetime) -> dict[str, object]:
        """When the last tick ran, and whether that is too long ago (or, by a wrong clock, too far ahead)."""
        return health.tick_state(self._last_tick(), now, self.settings.stale_after_sec)

    def daemon_state(self) -> dict[str, object]:
        """Whether a daemon serves this database, and which: `running`, `pid`, `host`, `since`."""
        from system.daemon_lock import daemon_state

        return daemon_state(str(self.settings.db_path))

    def last_look(self) -> datetime | None:
        """When the daemon has last looked."""
        from system.daemon_lock import last_look

        return last_look(str(self.settings.db_path))

    def _last_tick(self) -> datetime | None:
        return health.instant(fast_tick.last_tick_text(str(self.settings.db_path)))

    def last_seen(self, store: Store) -> datetime | None:
        """The latest instant that a tick or a sync has taken for now."""
        known = (fast_tick.last_tick_text(str(self.settings.db_path)), store.state.get(LAST_SYNC))
        return max((found for text in known if (found := health.instant(text)) is not None), default=None)

    def no_tick_warning(self, now: datetime) -> list[dict[str, object]]:
        """One warning when no tick has been seen lately: then nothing fires, however good the jobs are."""
        state = self.tick_state(now)
        daemon, looked = self.daemon_state(), self.last_look()
        fault = health.silence(state, daemon, looked, now)
        if fault is None:
            return []
        last = state["last_tick_at"] if fault is health.Silence.TICK or looked is None else utc_text(looked)
        since = f"since {last}" if last else "so far"
        if fault is health.Silence.DAEMON:
            message = f"The daemon (process {daemon['pid']}) holds its lock, and has not looked {since}: it hangs. "
            return [{"code": fault.value, "message": f"{message}End it, and start it again."}]
        return [
            {
                "code": fault.value,
                "message": f"No tick has run {since}: no job will start by itself. "
                "Start them: python3 main.py install-crontab, or install-systemd.",
            }
        ]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Python's search for cycles waits: a sync makes millions of objects that live until its end, and no cycles.

    With 100,000 jobs a third of the time went into looking through them again and again.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
