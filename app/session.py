"""Makes the rooms of one command from its settings, each when it is asked for, so that none is imported in vain."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from app import fast_tick
from config.settings import Settings, load
from core.clock import Clock
from core.errors import CronError, DefinitionUnreadable, SettingsError, TimezoneError
from core.job import Job, JobState
from core.run import Refusal
from schedules.calendar import Schedules, show_instant

if TYPE_CHECKING:
    from datetime import datetime

    from core.redact import Redactor
    from executor import Executor, Invoke, Limits
    from invocation.policy import PolicyFile
    from invocation.runners.base import Host
    from invocation.targets import Targets
    from invoker import Invoker
    from jobs.editing import Editor
    from jobs.sync import Sync
    from maintenance.retention import Retention
    from notifier import Notifier
    from scheduler import Scheduler
    from scheduling.cancelling import Control
    from scheduling.claiming import Claiming
    from scheduling.dispatcher import Reporter
    from scheduling.reaper import Reaper
    from store.bundle import Store
    from store.claims import Owner
    from store.runs import RunningRun
    from system.processes import Stop

    Around = Callable[[Invoke], Invoke]


class Rooms:
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
            from schedules.language import check_timezone

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
        from schedules.language import machine_timezone

        return machine_timezone(self.environ.get("TZ", ""))

    @cached_property
    def calendar(self) -> Schedules:
        """`schedules` as the planner knows it."""
        return Schedules()

    def open_store(self, *, read_only: bool = False, busy_timeout_sec: float | None = None) -> Store:
        """A connection of its own; the caller closes it. `patience_sec` is how long it waits while others write."""
        from db import BUSY_TIMEOUT_MS, Database
        from scheduling.planner import Slots
        from store.bundle import Store

        busy_timeout = BUSY_TIMEOUT_MS / 1000 if busy_timeout_sec is None else busy_timeout_sec
        database = Database(str(self.settings.db_path), read_only=read_only, busy_timeout_sec=busy_timeout)
        return Store(database, Slots(self.calendar))

    @contextmanager
    def store(self, *, read_only: bool = False, busy_timeout_sec: float | None = None) -> Iterator[Store]:
        """A store for the length of a `with`."""
        store = self.open_store(read_only=read_only, busy_timeout_sec=busy_timeout_sec)
        try:
            yield store
        finally:
            store.close()

    @cached_property
    def notifier(self) -> Notifier:
        """Delivers to all channels."""
        from channels.base import Surroundings
        from notifier import Notifier

        # An event that nobody sets: a plain pause.
        return Notifier.of(Surroundings(self.settings, self.clock.now, threading.Event().wait))

    def notification_paths(self, notify_channel: str = "telegram") -> dict[str, str]:
        """The contract's `notification_paths`: a path is empty where the job's events do not go."""
        return self.notifier.paths_of(notify_channel)

    def editor(self) -> Editor:
        """Edits .jobs.json in place; what a sync would refuse is refused."""
        from jobs.editing import Editor
        from jobs.jobs_file import parse_jobs, read_file
        from schedules.language import check

        path = self.settings.jobs_file

        def known(data: bytes) -> object:
            return parse_jobs(data, str(path), lambda schedule, zone: check(schedule, zone or self.default_zone))

        return Editor(path, known, lambda: read_file(path))

    # --- running ---

    @cached_property
    def invoker(self) -> Invoker:
        """Starts targets under the policy."""
        from invoker import Invoker

        return Invoker(self.targets(), self.policy(), self.host(), self.settings.kill_grace_sec, self.clock)

    def targets(self) -> Targets:
        """Names of targets → folders."""
        from invocation.targets import Targets

        return Targets(self.settings.home, self.settings.data_path)

    def policy(self) -> PolicyFile:
        """Who may ask whom for what."""
        from invocation.policy import POLICY_FILE, PolicyFile

        return PolicyFile(self.settings.root / POLICY_FILE)

    def host(self) -> Host:
        """What runners may know of this machine."""
        from invocation.runners.base import Host

        return Host(self.settings.variables, self.settings.agents, self.settings.agent_path)

    def make_executor(self, store: Store, stop: Stop, around: Around | None = None) -> Executor:
        """An executor over a store, with a stop of the run's own, which it closes.

        `around` may put something around the calls that it makes.
        """
        from executor import Executor
        from maintenance.retention import size_of

        return Executor(
            ledger=store.runs,
            invoke=around(self.invoker.call) if around else self.invoker.call,
            clock=self.clock,
            stop=stop,
            pause=threading.Event().wait,
            limits=self._limits,
            runs_folder=str(self.settings.runs_folder),
            measure=size_of,
            new_id=lambda: os.urandom(16).hex(),
            redactor=lambda run: self.redactor(run.job),
            memory=store.sessions,
            day_of=self.day_of,
        )

    @cached_property
    def _limits(self) -> Limits:
        from executor import Limits

        hop = self.environ.get("PURUTO_CRON_HOP", "")
        return Limits(
            lease_sec=self.settings.lease_sec,
            max_running=self.settings.max_running,
            # A run that is started from within a run is one hop further from the person who asked for it.
            hop=int(hop) + 1 if hop.isdecimal() and len(hop) < 6 else 0,
        )

    def redactor(self, job: Job | None) -> Redactor:
        """Masks what a run of this job may have seen of our secrets, and what looks like one; None: of no job."""
        from core.redact import NO_SECRETS, Redactor, secrets_of

        settings, own = self.settings, dict(job.env) if job else {}
        if not own and not (job and job.allow_env):
            return self._plain_redactor
        named = [*settings.redact, fast_tick.PING_VARIABLE, *(set(job.allow_env) - NO_SECRETS if job else ())]
        return Redactor([*secrets_of(settings.variables, named), *secrets_of(own, settings.redact)])

    @cached_property
    def _plain_redactor(self) -> Redactor:
        from core.redact import Redactor, secrets_of

        named = [*self.settings.redact, fast_tick.PING_VARIABLE]
        return Redactor(secrets_of(self.settings.variables, named))

    def reaper(self, store: Store) -> Reaper:
        """Settles what dead schedulers left."""
        from channels import channels_of
        from scheduling.reaper import Reaper
        from system.processes import is_alive, marks, sweep

        return Reaper(
            ledger=store.runs,
            clock=self.clock,
            is_alive=is_alive,
            end_leftovers=lambda run: len(
                sweep(
                    marks(run.run_id, self._run_folder(run)), self.settings.kill_grace_sec, self.clock, root=run.child
                ).pids
            ),
            last_output=lambda run: self._last_output(store, run),
            wants_retry=lambda run: _wants_retry(store, run),
            channels_of=channels_of,
            lease_sec=self.settings.lease_sec,
        )

    def _run_folder(self, run: RunningRun) -> str:
        return run.output_dir or str(self.settings.runs_folder / run.job_id / run.run_id)

    def _last_output(self, store: Store, run: RunningRun) -> dict[str, object]:
        """The end of what an interrupted run's last attempt printed, as far as there is anything."""
        from invocation.runners.base import read_tail

        folder, call = Path(self._run_folder(run)), f"attempt-{run.attempt}"
        # Of a heartbeat, or after a lost session, the call that was made last.
        number = 2
        while (folder / f"{call.partition('.')[0]}.call-{number}.stdout").exists():
            call, number = f"{call.partition('.')[0]}.call-{number}", number + 1
        tails = {name: read_tail(folder / f"{call}.{name}") for name in ("stdout", "stderr")}
        return self.redactor(job_of(store, run.job_id))({name: tail for name, tail in tails.items() if tail})

    def control(self, store: Store) -> Control:
        """Cancels and frees from outside."""
        from scheduling.cancelling import Control

        return Control(
            ledger=store.runs,
            jobs=store.definitions,
            reaper=self.reaper(store),
            clock=self.clock,
            pause=threading.Event().wait,
            me=self._owner().name,
            kill_grace_sec=self.settings.kill_grace_sec,
            notify=self.notify,
        )

    def notify(self) -> bool:
        """Wakes the daemon of this database, after a commit that it is to see; whether there is one that listens."""
        from system import wakeup

        return wakeup.notify(str(self.settings.db_path))

    def retention(self, store: Store, *, dry_run: bool = False) -> Retention:
        """Deletes what is older or more than is kept."""
        from maintenance.retention import Limits, Retention

        settings = self.settings
        return Retention(
            rows=store.retention,
            runs_folder=settings.runs_folder,
            events_folder=settings.local_events.parent,
            limits=Limits(settings.keep_runs, settings.keep_days, settings.keep_output_mb),
            clock=self.clock,
            dry_run=dry_run,
        )

    def waits(self, job: Job) -> Callable[[int], int]:
        """Seconds that a job waits after its n-th failed attempt."""
        from execution.retries import backoff_sec

        return lambda attempt: backoff_sec(job.retry_backoff_sec, attempt)

    def scheduler(self, store: Store, stop: Stop, around: Around | None = None) -> Scheduler:
        """Serves due slots in the calling thread, from its store."""
        from scheduler import Scheduler

        return Scheduler(
            store=store,
            make_executor=lambda: self.make_executor(store, stop.for_run(), around),
            reap=lambda: self.reaper(store).reap(),
            claiming=self.claiming(store),
            reporter=self.reporter(store),
            calendar=self.calendar,
            clock=self.clock,
            stop=stop,
        )

    def claiming(self, store: Store) -> Claiming:
        """Prepares claims."""
        from scheduling.claiming import Claiming, Terms

        return Claiming(
            store=store,
            calendar=self.calendar,
            clock=self.clock,
            owner=self._owner(),
            terms=Terms(
                lease_sec=self.settings.lease_sec,
                max_running=self.settings.max_running,
                kill_grace_sec=self.settings.kill_grace_sec,
            ),
            gate=lambda state, now: self.gate(store, state, now),
        )

    def reporter(self, store: Store) -> Reporter:
        """Brings what has happened to who is told."""
        from scheduling.dispatcher import Reporter

        return Reporter(
            store=store,
            notifier=self.notifier,
            clock=self.clock,
            paths_of=self.notification_paths,
            mask=self.redactor(None),
        )

    def gate(self, store: Store, state: JobState, now: datetime) -> Refusal | None:
        """Why no run of the job may start now; None when nothing speaks against it."""
        import gates
        from gates.base import Facts

        return gates.verdict(state, now, Facts(store.spending.spent, self.day_of))

    def day_of(self, timezone: str, instant: datetime) -> str:
        """The local day of an instant, like `2026-02-25`."""
        from schedules.language import local_day

        return local_day(timezone, instant)

    def _owner(self) -> Owner:
        from store.claims import Owner
        from system.processes import identify

        me = identify(os.getpid())
        if me is None:
            raise CronError("This process can't see itself in the process table", hint="Is /proc mounted?")
        return Owner(f"{os.uname().nodename}:{os.getpid()}", me)

    def sync(self, store: Store) -> Sync:
        """Brings the stored jobs in step with .jobs.json."""
        from jobs.sync import Sync
        from store.job_codec import job_json

        return Sync(
            store=store,
            calendar=self.calendar,
            set_zone=self.settings.timezone,
            machine_zone=self.machine_zone,
            definition_of=job_json,
            show=show_instant,
        )


def job_of(store: Store, job_id: str) -> Job | None:
    """The job's present definition; None when it is gone or can't be read."""
    try:
        state = store.definitions.load(job_id)
    except DefinitionUnreadable:
        return None
    return None if state is None else state.job


def _wants_retry(store: Store, run: RunningRun) -> bool:
    """Once: a run that makes up for another is not made up for itself. It may be what brings the machine down.

    Nor is a run whose failure pauses its job.
    """
    job = job_of(store, run.job_id)
    if job is None or not job.retry_interrupted or run.retry_of:
        return False
    limit = job.pause_after_failures
    return limit is None or store.definitions.failures(run.job_id) + 1 < limit
