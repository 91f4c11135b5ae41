"""`Session` is an `App` with an open store: it makes the parts of the program that need the database."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict, cast

from app import fast_tick
from channels import channels_of
from core import log
from core.boundary import Failure, guarded
from core.clock import utc_text
from core.errors import DatabaseError, DefinitionUnreadable
from core.job import Job
from core.json_objects import ErrorObject
from core.run import folder_of
from db import is_disk_full
from reports import health
from schedules.calendar import show_instant
from store.idle_check import SEEN_KEY
from store.retention import UnwrittenRows

if TYPE_CHECKING:
    from datetime import datetime

    from app.app import App
    from config.problems import Problem
    from core.job import JobState
    from core.run import Refusal
    from executor import Executor, Invoke
    from jobs.sync import Sync, SyncReport, SyncResult
    from maintenance.pruning import Upkeep
    from maintenance.retention import Retention
    from scheduler import Scheduler
    from scheduling.cancelling import Control
    from scheduling.claiming import Claiming
    from scheduling.dispatcher import Reporter
    from scheduling.reaper import Reaper
    from store.bundle import Store
    from store.runs import RunningRun
    from system.processes import Stop

    WrapInvoke = Callable[[Invoke], Invoke]

SYNC_ERROR = "sync_error"
SYNCED_FILE = "synced_file"
LAST_SYNC = "last_sync_at"
#: Subjects of the scheduler's own events: the file of jobs, and the settings of a running daemon.
JOBS_FILE, SETTINGS = "jobs_file", "settings"
_NOT_LOADED = {
    JOBS_FILE: ".jobs.json can't be loaded, so the jobs stay as they were",
    SETTINGS: "The settings can't be loaded, so the daemon keeps the old ones",
}
_LOADED = {JOBS_FILE: ".jobs.json can be loaded again", SETTINGS: "The settings can be loaded again"}
#: Seconds after which a faulty file must still be the same before its fault is reported: it may just be being written.
_SETTLED_SEC = 0.1
CHECKED_ENTRIES = "checked_entries"


class SyncState(TypedDict):
    """When .jobs.json was last synced (UTC text), whether it has not changed since, and the error of the last sync.

    `missing` is there, and true, if there is no such file.
    """

    last_sync_at: str | None
    in_step: bool
    auto_sync: bool
    error: Mapping[str, Any] | None
    missing: NotRequired[Literal[True]]


class SyncFailure(TypedDict):
    """That .jobs.json could not be synced."""

    status: Literal["error"]
    error: ErrorObject


class Session:
    """An `App` and an open store. It belongs to one thread, as its store does."""

    def __init__(self, app: App, store: Store) -> None:
        self.app = app
        self.store = store

    def under(self, app: App) -> Session:
        """A session with other settings on the same store."""
        return Session(app, self.store)

    def close(self) -> None:
        """Closes the connection."""
        self.store.close()

    def job(self, job_id: str) -> Job | None:
        """The job's stored definition; None if there is none, or if it can't be read."""
        with log.tolerated(DefinitionUnreadable, "The stored definition of the job can't be read", job=job_id):
            state = self.store.definitions.load(job_id)
            return None if state is None else state.job
        return None

    # --- running ---

    def scheduler(self, stop: Stop, wrap_invoke: WrapInvoke | None = None, hop: int = 0) -> Scheduler:
        """Serves due slots in the calling thread. `wrap_invoke` can wrap the calls of runs.

        `hop` is that of a run by hand: one more than that of the run in which it is started, else 0.
        """
        from scheduler import Scheduler

        return Scheduler(
            store=self.store,
            make_executor=lambda: self.executor(stop.for_run(), wrap_invoke, hop),
            reap=lambda: self.reaper().reap(),
            claiming=self.claiming(),
            reporter=self.reporter(),
            context=self,
            upkeep=self.upkeep(),
            calendar=self.app.calendar,
            clock=self.app.clock,
            stop=stop,
        )

    def executor(self, stop: Stop, wrap_invoke: WrapInvoke | None = None, hop: int = 0) -> Executor:
        """Runs one run to its end. `stop` is the run's own; the executor closes it."""
        from executor import Executor
        from maintenance.trees import size_of

        app, call = self.app, self.app.invoker.call
        return Executor(
            ledger=self.store.runs,
            invoke=wrap_invoke(call) if wrap_invoke else call,
            clock=app.clock,
            stop=stop,
            pause=app.pause,
            limits=app.limits(hop),
            runs_folder=str(app.settings.runs_folder),
            measure=size_of,
            new_id=lambda: os.urandom(16).hex(),
            redactor=lambda run: app.redactor(run.job),
            memory=self.store.sessions,
            day_of=app.day_of,
        )

    def claiming(self) -> Claiming:
        """Prepares claims."""
        from scheduling.claiming import Claiming, ClaimSettings

        app, settings = self.app, self.app.settings
        return Claiming(
            store=self.store,
            calendar=app.calendar,
            clock=app.clock,
            owner=app.owner,
            settings=ClaimSettings(settings.lease_sec, settings.max_running, settings.kill_grace_sec),
            gate=self.gate,
        )

    def gate(self, state: JobState, now: datetime) -> Refusal | None:
        """Why no run of the job may start now; None if it may."""
        import gates
        from gates.base import Facts

        return gates.verdict(state, now, Facts(self.store.spending.spent, self.app.day_of))

    def reporter(self) -> Reporter:
        """Delivers the events of runs."""
        from scheduling.dispatcher import Reporter

        return Reporter(
            store=self.store,
            notifier=self.app.notifier,
            clock=self.app.clock,
            paths_of=self.app.notification_paths,
            mask=self.app.redactor(None),
        )

    def reaper(self) -> Reaper:
        """Settles the runs that dead schedulers left."""
        from scheduling.reaper import Reaper
        from system.cgroups import group_name
        from system.processes import boot_id, is_alive, marks, sweep

        def end_leftovers(run: RunningRun) -> int:
            process_marks = marks(run.run_id, self._run_folder(run))
            # What a dead scheduler has left in its cgroup, and carries no marks, is of one of its runs.
            is_gone = run.owner.boot_id == boot_id() and not is_alive(run.owner)
            group = group_name(run.owner) if is_gone else ""
            grace_sec, clock = self.app.settings.kill_grace_sec, self.app.clock
            return len(sweep(process_marks, grace_sec, clock, root=run.child, group=group).pids)

        return Reaper(
            ledger=self.store.runs,
            clock=self.app.clock,
            is_alive=is_alive,
            end_leftovers=end_leftovers,
            last_output=self._last_output,
            wants_retry=self._wants_retry,
            channels_of=channels_of,
            lease_sec=self.app.settings.lease_sec,
        )

    def control(self) -> Control:
        """Cancels runs and releases jobs."""
        from scheduling.cancelling import Control

        return Control(
            ledger=self.store.runs,
            jobs=self.store.definitions,
            reaper=self.reaper(),
            clock=self.app.clock,
            pause=self.app.pause,
            me=self.app.owner.name,
            kill_grace_sec=self.app.settings.kill_grace_sec,
            notify=self.app.wake_daemon,
        )

    def _run_folder(self, run: RunningRun) -> str:
        return run.output_dir or str(self.app.settings.runs_folder / folder_of(run.job_id, run.run_id))

    def _last_output(self, run: RunningRun) -> dict[str, object]:
        """The end of what an interrupted run's last attempt printed: `stdout`, `stderr`, without secrets."""
        from invocation.runners.base import read_tail

        folder, call = Path(self._run_folder(run)), f"attempt-{run.attempt}"
        # With a heartbeat, or after a lost session, an attempt has several calls: the last one counts.
        number = 2
        while os.path.exists(folder / f"{call.partition('.')[0]}.call-{number}.stdout"):
            call, number = f"{call.partition('.')[0]}.call-{number}", number + 1
        tails = {name: read_tail(folder / f"{call}.{name}") for name in ("stdout", "stderr")}
        return self.app.redactor(self.job(run.job_id))({name: tail for name, tail in tails.items() if tail})

    def _wants_retry(self, run: RunningRun) -> bool:
        """Whether an interrupted run is retried, if its job says so.

        A retry is not retried again, because it may be what crashes the machine. Nor is a run whose failure pauses its
        job.
        """
        job = self.job(run.job_id)
        if job is None or not job.retry_interrupted or run.retry_of:
            return False
        limit = job.pause_after_failures
        return limit is None or self.store.definitions.failures(run.job_id) + 1 < limit

    # --- maintenance ---

    def retention(self, *, dry_run: bool = False, files_only: bool = False) -> Retention:
        """Deletes old runs, events and outputs; `files_only` stores nothing, so that it needs no room."""
        from maintenance.retention import Retention

        settings = self.app.settings
        return Retention(
            rows=UnwrittenRows(self.store.db) if files_only else self.store.retention,
            runs_folder=settings.runs_folder,
            events_folder=settings.local_events.parent,
            limits=settings,
            clock=self.app.clock,
            dry_run=dry_run,
        )

    def upkeep(self) -> Upkeep:
        """Prunes after runs have ended, and warns about paused jobs."""
        from maintenance.pruning import Upkeep

        return Upkeep(self.store, self.retention, self.app.clock.now)

    # --- syncing ---

    def sync_jobs(
        self, now: datetime, *, allow_removals: bool = False, renames: Mapping[str, str] = MappingProxyType({})
    ) -> SyncReport:
        """Reads and checks .jobs.json, and stores its jobs. Raises `ConfigurationError`; then nothing was changed.

        `renames` are old and new names that are known to be the same job.
        """
        from jobs.jobs_file import read_changes, sync_cache_of

        app = self.app
        # The version from before the file is read, so that an edit in the meantime counts as a change.
        version = app.jobs_file_version()
        # Clears SEEN_KEY, so that the next tick is a full one: it notices if the clock was set back.
        facts = {SYNCED_FILE: version, LAST_SYNC: utc_text(now), SYNC_ERROR: "", SEEN_KEY: ""}
        with _no_collection():
            cache = sync_cache_of(app.default_zone, self.store.state.get(CHECKED_ENTRIES))
            file = read_changes(app.settings.jobs_file, app.check_schedule, cache)

            def remember(definitions: Mapping[str, str]) -> dict[str, str]:
                entries = cache.text(definitions)
                return {} if entries is None else {CHECKED_ENTRIES: entries}

            report = self._sync().apply(
                file, now, allow_removals=allow_removals, facts=facts, remember=remember, renames=renames
            )
        report.warnings += app.zone_warning()
        if report.added or report.changed or report.removed or report.renamed:
            app.wake_daemon()
        self.report_mended(JOBS_FILE, now)
        return report

    def _sync(self) -> Sync:
        from jobs.sync import Sync
        from store.job_codec import job_json

        return Sync(
            store=self.store,
            calendar=self.app.calendar,
            set_zone=self.app.settings.timezone,
            machine_zone=self.app.machine_zone,
            definition_of=job_json,
            show=show_instant,
        )

    def sync_if_changed(self, now: datetime) -> SyncResult | SyncFailure | None:
        """Syncs .jobs.json if it was edited. Returns the report; an error object if it is broken; None if unchanged."""
        if not self.app.settings.auto_sync:
            return None
        state = self.store.state
        last_error = state.get_fact(SYNC_ERROR)
        if state.get(SYNCED_FILE) == self.app.jobs_file_version():
            if last_error is not None:
                # A broken edit was undone: this is the version that was synced last.
                state.set_fact(SYNC_ERROR, None)
            self.report_mended(JOBS_FILE, now)
            return None
        version = self.app.jobs_file_version()
        report = guarded(lambda: self.sync_jobs(now))
        if not isinstance(report, Failure):
            return report.as_dict()
        error = cast("ErrorObject", self.app.redactor(None)(report.as_dict()))
        log.warning(f".jobs.json was not synced: {report.message}", code=report.code)
        if last_error is None or last_error["error"] != error:
            state.set_fact(SYNC_ERROR, {"at": utc_text(now), "error": error})
        if not report.code.startswith("DATABASE_") and self.store.notices.would_report(JOBS_FILE, error):
            self.app.pause(_SETTLED_SEC)
            if self.app.jobs_file_version() == version:
                self.report_fault(JOBS_FILE, error, now)
        return {"status": "error", "error": error}

    def report_fault(self, subject: str, error: ErrorObject, now: datetime) -> None:
        """Stores an event of the scheduler's own about a fault, once until it is over. `error` holds no secret."""
        # If the database refuses this, the next tick or poll tries again.
        with log.tolerated(DatabaseError, "The fault will be reported later"):
            self.store.notices.report(subject, _NOT_LOADED[subject], error, now, channels_of(Job.notify_channel))

    def report_mended(self, subject: str, now: datetime) -> None:
        """Stores an event that a fault which was reported is over."""
        with log.tolerated(DatabaseError, "That the fault is over will be reported later"):
            self.store.notices.mended(subject, _LOADED[subject], now, channels_of(Job.notify_channel))

    def sync_for_tick(self, now: datetime) -> SyncResult | SyncFailure | None:
        """Like `sync_if_changed`. Also stores the fingerprint with which the next idle tick compares."""
        version = fast_tick.fingerprint(self.app.root, self.app.environ)
        sync = self.sync_if_changed(now)
        is_broken = sync is not None and sync["status"] == "error"
        # A broken file is reported by every tick, so no tick may be idle.
        self.store.state.set(SEEN_KEY, "" if is_broken else version)
        return sync

    def sync_state(self) -> SyncState:
        """Whether the stored jobs are those of the file, for `status`."""
        state = self.store.state
        found: SyncState = {
            "last_sync_at": state.get(LAST_SYNC) or None,
            "in_step": state.get(SYNCED_FILE) == self.app.jobs_file_version(),
            "auto_sync": self.app.settings.auto_sync,
            "error": state.get_fact(SYNC_ERROR),
        }
        if not os.path.lexists(self.app.settings.jobs_file):
            found["missing"] = True
        return found

    def has_jobs_to_load(self) -> bool:
        """Whether .jobs.json has changed since it was loaded, and has jobs or a fault: a sync is the next step."""
        if self.sync_state()["in_step"]:
            return False
        jobs = guarded(lambda: self.app.editor().jobs())
        return isinstance(jobs, Failure) or bool(jobs)

    def end_pause(self, job_id: str, now: datetime) -> bool:
        """Ends the pause of a job that failed too often. Returns False if it was not paused for that."""
        from scheduling.planner import Slots

        state = self.store.definitions.load(job_id)
        if state is None or not state.job.enabled:
            return False
        ended = self.store.definitions.end_pause(job_id, Slots(self.app.calendar).following(state, now))
        if ended:
            self.app.wake_daemon()
        return ended

    # --- health ---

    def waiting_events(self) -> list[health.WaitingEvents]:
        """For each channel how many events have not arrived, since when, and why."""
        return health.waiting_events(self.store)

    def scheduler_health(self, now: datetime) -> health.SchedulerHealth:
        """What `status` reports under `scheduler`."""
        from system.processes import is_alive

        app = self.app
        is_full = self.store.db.is_copy or is_disk_full(self.store.db.path)
        moment = health.Now(now, app.clock.monotonic(), is_alive, is_full)
        condition = health.condition(self.store, app.last_tick(), moment, app.settings.lease_sec)
        if is_full:
            condition["anomalies"].insert(0, health.full_disk(self.store.db.path))
        return {**app.tick_state(now), **condition, "daemon": app.daemon_state(), "paths": app.paths()}

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Settings that are unusual, but not wrong."""
        return self.app.settings.warnings

    def touch_last_tick(self, now: datetime) -> None:
        """Stores `now` as the time of the last tick."""
        self.app.touch_last_tick(now)

    def note_clock_anomaly(self, anomaly: Mapping[str, object], now: datetime) -> None:
        """Stores for `status` and `doctor` that the clock was set back."""
        self.store.state.set_fact(health.CLOCK_FACT, health.clock_fact(anomaly, now))

    def ping(self, *, failed: bool) -> None:
        """Sends the dead-man's ping and stores the result. A server that does not answer is not an error."""
        fact = self.app.ping(failed=failed)
        # If the database refuses this, the tick has already reported it.
        guarded(lambda: self.store.state.set_fact(health.PING_FACT, fact), "The ping was not recorded")

    def last_seen(self) -> datetime | None:
        """The latest time that a tick or a sync has stored."""
        instants = (self.app.last_tick(), health.instant(self.store.state.get(LAST_SYNC)))
        return max((instant for instant in instants if instant is not None), default=None)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Turns the cyclic garbage collector off: a sync makes millions of objects, no cycles, and ends soon.

    With 100,000 jobs, the collector took a third of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
