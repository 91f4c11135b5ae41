"""Puts the rooms together for one command: which clock, which files, which store.

A room is imported when it is asked for.
"""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import idle
from boundary import guarded
from errors import CronError, SettingsError, TimezoneError
from models import ClaimedRun, Clock, Failure, from_text, utc_text
from settings import Settings, load
from store.look import SEEN_KEY

if TYPE_CHECKING:
    from datetime import datetime

    from executor import Executor
    from invoker import Invoker
    from notifier import Notifier
    from planner import DueSlots
    from processes import Stop
    from redact import Redactor
    from scheduler import Scheduler
    from settle import Settler
    from store.bundle import Store
    from store.claims import Owner
    from sync import Sync, SyncReport

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SYNC_ERROR = "sync_error"
SYNCED_FILE = "synced_file"
LAST_SYNC = "last_sync_at"


class App:
    """The rooms of one command. `settings` is checked on first use and raises `SettingsError`."""

    def __init__(self, clock: Clock, environ: Mapping[str, str], root: str) -> None:
        self.clock = clock
        self.environ = environ
        self.root = root

    @cached_property
    def settings(self) -> Settings:
        """The environment and .env, checked; also the zone."""
        settings = load(self.environ, Path(self.root))
        if settings.timezone is not None:
            from schedules import check_timezone

            try:
                check_timezone(settings.timezone)
            except TimezoneError as error:
                raise SettingsError(
                    f"PURUTO_CRON_TIMEZONE: {error.message}", hint=error.hint, details=error.details
                ) from error
        return settings

    @cached_property
    def default_zone(self) -> str:
        """The zone of a new job that names none."""
        return self.settings.timezone or self.machine_zone

    @cached_property
    def machine_zone(self) -> str:
        """The machine's zone, as this process sees it."""
        from schedules import machine_timezone

        return machine_timezone(self.environ.get("TZ", ""))

    @cached_property
    def calendar(self) -> _Schedules:
        """`schedules` as the planner knows it."""
        return _Schedules()

    def open_store(self, *, read_only: bool = False) -> Store:
        """A connection of its own; the caller closes it."""
        from db import Database
        from store.bundle import Store

        return Store(Database(str(self.settings.db_path), read_only=read_only))

    @contextmanager
    def store(self, *, read_only: bool = False) -> Iterator[Store]:
        """A store for the length of a `with`."""
        store = self.open_store(read_only=read_only)
        try:
            yield store
        finally:
            store.close()

    @cached_property
    def notifier(self) -> Notifier:
        """Delivers to events.jsonl and to the sibling."""
        from notifier import Notifier

        return Notifier(
            local_file=str(self.settings.local_events),
            telegram_repo=str(self.settings.telegram_path),
            telegram_file=str(self.settings.telegram_outbox),
            now=self.clock.now,
            # An event that nobody sets: a plain pause.
            pause=threading.Event().wait,
        )

    def notification_paths(self, notify_channel: str = "telegram") -> dict[str, str]:
        """The contract's `notification_paths`: the second is empty when nothing is mirrored."""
        mirrored = notify_channel == "telegram" and self.notifier.telegram_exists()
        return {
            "local_events": self.settings.display("local_events"),
            "telegram_outbox": self.settings.display("telegram_outbox") if mirrored else "",
        }

    # --- running ---

    def invoker(self) -> Invoker:
        """Starts targets under the policy."""
        from invoker import Invoker
        from policy import PolicyFile
        from targets import Targets

        return Invoker(
            Targets(self.settings.home, self.settings.data_path),
            PolicyFile(self.settings.root / ".puruto-ipc.json"),
            self.settings.variables,
            self.settings.kill_grace_sec,
            self.clock,
        )

    def make_executor(self, store: Store, stop: Stop) -> Executor:
        """An executor over a thread's own store."""
        from executor import Executor, Limits

        hop = self.environ.get("PURUTO_CRON_HOP", "")
        return Executor(
            ledger=store.runs,
            invoke=self.invoker().invoke,
            clock=self.clock,
            stop=stop,
            limits=Limits(
                lease_sec=self.settings.lease_sec,
                max_running=self.settings.max_running,
                # A run that is started from within a run is one hop further from the person who asked for it.
                hop=int(hop) + 1 if hop.isdecimal() and len(hop) < 6 else 0,
            ),
            runs_folder=str(self.settings.runs_folder),
            new_id=lambda: uuid.uuid4().hex,
            redactor=self._redactor,
        )

    def _redactor(self, run: ClaimedRun) -> Redactor:
        from redact import Redactor

        return Redactor(self.settings.variables.get(name, "") for name in run.job.allow_env)

    def settler(self, store: Store) -> Settler:
        """Settles what dead schedulers left."""
        from executor import channels_of
        from processes import is_alive, marks, sweep
        from settle import Settler

        return Settler(
            ledger=store.runs,
            clock=self.clock,
            is_alive=is_alive,
            end_leftovers=lambda run: len(
                sweep(
                    marks(run.run_id, str(self.settings.runs_folder / run.job_id / run.run_id)),
                    self.settings.kill_grace_sec,
                    self.clock,
                    root=run.child,
                ).pids
            ),
            channels_of=channels_of,
            lease_sec=self.settings.lease_sec,
        )

    def scheduler(self, store: Store, stop: Stop) -> Scheduler:
        """Serves due slots from the calling thread's store."""
        from scheduler import Scheduler, Terms

        return Scheduler(
            store=store,
            open_store=self.open_store,
            make_executor=lambda own: self.make_executor(own, stop),
            settle=lambda: self.settler(store).settle(),
            notifier=self.notifier,
            calendar=self.calendar,
            clock=self.clock,
            stop=stop,
            owner=self._owner(),
            terms=Terms(
                lease_sec=self.settings.lease_sec,
                max_running=self.settings.max_running,
                kill_grace_sec=self.settings.kill_grace_sec,
            ),
            paths_of=self.notification_paths,
        )

    def _owner(self) -> Owner:
        from processes import identify
        from store.claims import Owner

        me = identify(os.getpid())
        if me is None:
            raise CronError("This process can't see itself in the process table", hint="Is /proc mounted?")
        return Owner(f"{os.uname().nodename}:{os.getpid()}", me)

    # --- syncing ---

    def sync(self, store: Store) -> Sync:
        """Brings the stored jobs in step with .jobs.json."""
        from definition import job_json
        from sync import Sync

        return Sync(
            store=store,
            calendar=self.calendar,
            set_zone=self.settings.timezone,
            machine_zone=self.machine_zone,
            definition_of=job_json,
            show=show_instant,
        )

    def sync_jobs(self, store: Store, now: datetime, *, allow_removals: bool = False) -> SyncReport:
        """Reads, checks and writes .jobs.json. Raises `ConfigurationError`s with nothing changed."""
        from jobs import read_jobs
        from schedules import check

        # Taken before the file is read: a later edit then shows as a change.
        seen = self._synced_file()
        file = read_jobs(self.settings.jobs_file, lambda schedule, zone: check(schedule, zone or self.default_zone))
        # The next tick is a whole one: it sees to a clock that was set back since.
        facts = {SYNCED_FILE: seen, LAST_SYNC: utc_text(now), SYNC_ERROR: "", SEEN_KEY: ""}
        return self.sync(store).apply(file, now, allow_removals=allow_removals, facts=facts)

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
        error = report.as_dict()
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
        return f"{idle.identity(str(self.settings.jobs_file))} zone={self.settings.timezone or ''}"

    # --- health ---

    def waiting_events(self, store: Store) -> list[dict[str, object]]:
        """Per channel how many events have not arrived, since when, and why."""
        return [
            {
                "channel": waiting.channel,
                "count": waiting.count,
                "oldest_ts": waiting.oldest_ts,
                "failures": waiting.failures,
                "last_error": waiting.last_error or None,
            }
            for waiting in store.events.waiting_summary()
        ]

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
        last = _instant(idle.last_tick_text(str(self.settings.db_path)))
        age = None if last is None else round((now - last).total_seconds())
        return {
            "last_tick_at": None if last is None else utc_text(last),
            "last_tick_age_sec": age,
            "stale_after_sec": self.settings.stale_after_sec,
            "stale": age is None or abs(age) > self.settings.stale_after_sec,
        }

    def last_seen(self, store: Store) -> datetime | None:
        """The latest instant that a tick or a sync has taken for now."""
        known = (idle.last_tick_text(str(self.settings.db_path)), store.state.get(LAST_SYNC))
        return max((instant for text in known if (instant := _instant(text)) is not None), default=None)

    def no_tick_warning(self, now: datetime) -> list[dict[str, object]]:
        """One warning when no tick has been seen lately: then nothing fires, however good the jobs are."""
        state = self.tick_state(now)
        if not state["stale"]:
            return []
        since = f"since {state['last_tick_at']}" if state["last_tick_at"] else "so far"
        return [
            {
                "code": "NO_TICK",
                "message": f"No tick has run {since}: no job will start by itself. "
                "Put the crontab line of the README into your crontab.",
            }
        ]


def _instant(text: str) -> datetime | None:
    """What a stored text says; None when it is empty, or damaged."""
    try:
        return from_text(text) if text else None
    except ValueError:
        return None


class _Schedules:
    """`schedules`, imported when first asked: most commands never need it."""

    def next_fire(
        self, schedule: str, timezone: str, after: datetime, *, anchor: datetime | None = None
    ) -> datetime | None:
        from schedules import next_fire

        return next_fire(schedule, timezone, after, anchor=anchor)

    def due_slots(
        self,
        schedule: str,
        timezone: str,
        after: datetime,
        until: datetime,
        *,
        anchor: datetime | None = None,
        keep: int = 1,
    ) -> DueSlots:
        from schedules import due_slots

        return due_slots(schedule, timezone, after, until, anchor=anchor, keep=keep)


def show_instant(instant: datetime, zone: str) -> dict[str, str]:
    """An instant for people: `{"utc": …, "local": …}`, the second in `zone` with its offset."""
    from zoneinfo import ZoneInfo

    try:
        local = instant.astimezone(ZoneInfo(zone))
    except OverflowError:
        # In the last hours of the year 9999 there is no later date to show.
        local = instant
    return {"utc": utc_text(instant), "local": local.replace(microsecond=0).isoformat()}


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A stop flag that Ctrl-C, TERM and a closed terminal set, so that running jobs end in order."""
    from processes import Stop

    # Inherited as ignored, it would hide the exit codes of what we start.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stop = Stop()
    # A closed terminal that nohup wants ignored stays ignored. SIGINT does not: a script's `&` ignores it for all that
    # it starts, and who sends it then means the run.
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    names = [name for name in STOP_SIGNALS if not (nohup and name is signal.SIGHUP)]
    old = {name: signal.signal(name, lambda number, _: stop.set(signal.Signals(number).name)) for name in names}
    try:
        yield stop
    finally:
        for name, handler in old.items():
            signal.signal(name, handler)
        stop.close()
