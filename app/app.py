"""`App` makes the parts of the program from the settings. Each part is made and imported on first use.

Parts that need the database are made by the `Session` that `App.session` opens.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from app import fast_tick
from app.session import Session
from config.settings import Settings, load
from core import log
from core.clock import Clock, utc_text
from core.errors import CronError
from reports import health
from schedules.calendar import Schedules
from store import last_tick

if TYPE_CHECKING:
    from datetime import datetime

    from core.invocation import AgentSession
    from core.job import Job, JobState
    from core.redact import Redactor
    from executor import RunLimits
    from invocation.dry_run import PlannedStart
    from invocation.policy import PolicyFile
    from invocation.runners.base import Host
    from invocation.targets import Targets
    from invoker import Invoker
    from jobs.editing import Editor
    from notifier import Notifier
    from schedules.machine_zone import MachineZone
    from store.claims import Owner
    from system.daemon_lock import DaemonState


class App:
    """The parts of the program. Whatever needs `settings` raises `SettingsError` if they are wrong."""

    def __init__(self, clock: Clock, environ: Mapping[str, str], root: str) -> None:
        """`root` is the folder that holds main.py, links resolved."""
        self.clock = clock
        self.environ = environ
        self.root = root

    def reloaded(self) -> App:
        """An `App` that reads the settings again."""
        return App(self.clock, self.environ, self.root)

    @contextmanager
    def session(self, *, read_only: bool = False, busy_timeout_sec: float | None = None) -> Iterator[Session]:
        """A session that is closed at the end of the `with` block. Parameters and errors: `open_session`."""
        session = self.open_session(read_only=read_only, busy_timeout_sec=busy_timeout_sec)
        try:
            yield session
        finally:
            session.close()

    def open_session(self, *, read_only: bool = False, busy_timeout_sec: float | None = None) -> Session:
        """A session with its own connection, which the caller closes. Raises `DatabaseError`.

        It waits for `busy_timeout_sec` at most while another process writes; None: 5 seconds.
        """
        from db import BUSY_TIMEOUT_MS, Database
        from scheduling.planner import Slots
        from store.bundle import Store

        timeout = BUSY_TIMEOUT_MS / 1000 if busy_timeout_sec is None else busy_timeout_sec
        database = Database(str(self.settings.db_path), read_only=read_only, busy_timeout_sec=timeout)
        return Session(self, Store(database, Slots(self.calendar)))

    # --- settings ---

    @cached_property
    def settings(self) -> Settings:
        """The settings from the environment and .env, checked. Raises `SettingsError`."""

        def check_zone(zone: str) -> None:
            from schedules.language import check_timezone

            check_timezone(zone)

        return load(self.environ, Path(self.root), check_zone)

    @cached_property
    def default_zone(self) -> str:
        """The IANA zone of a new job that names none."""
        return self.settings.timezone or self.machine_zone

    @cached_property
    def machine_zone(self) -> str:
        """The machine's IANA zone, as this process sees it."""
        return self._machine_zone.name

    @cached_property
    def _machine_zone(self) -> MachineZone:
        from schedules.machine_zone import machine_zone

        return machine_zone(self.environ.get("TZ"))

    def zone_warning(self) -> list[health.WarningEntry]:
        """A warning if it is doubtful which zone jobs without a timezone should have; else an empty list."""
        if self.settings.timezone is not None or not self._machine_zone.doubt:
            return []
        message = f"Jobs without a timezone are computed in {self.machine_zone}: {self._machine_zone.doubt}"
        hint = "Set PURUTO_CRON_TIMEZONE in .env, or timezone in the jobs, to a name like Europe/Madrid."
        return [{"code": "ZONE_DOUBTFUL", "message": message, "hint": hint}]

    def paths(self) -> dict[str, str]:
        """The absolute paths of files and folders, for `status`: they show which copy of the program runs."""
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

    # --- jobs and schedules ---

    @cached_property
    def calendar(self) -> Schedules:
        """Computes the times of schedules."""
        return Schedules()

    def check_schedule(self, schedule: str, zone: str | None) -> None:
        """Raises `ScheduleError` or `TimezoneError` if a job may not have this schedule and zone."""
        from schedules.language import check

        check(schedule, zone or self.default_zone)

    def day_of(self, timezone: str, instant: datetime) -> str:
        """The local day of a time, like `2026-02-25`."""
        from schedules.language import local_day

        return local_day(timezone, instant)

    def editor(self) -> Editor:
        """Edits .jobs.json in place. It refuses what a sync would refuse."""
        from jobs.editing import Editor
        from jobs.jobs_file import parse_jobs, read_file

        path = self.settings.jobs_file
        return Editor(path, lambda data: parse_jobs(data, str(path), self.check_schedule), lambda: read_file(path))

    def waits(self, job: Job) -> Callable[[int], int]:
        """A function that gives the seconds that the job waits after its n-th failed attempt."""
        from execution.retries import backoff_sec

        return lambda attempt: backoff_sec(job.retry_backoff_sec, attempt)

    # --- running ---

    @cached_property
    def invoker(self) -> Invoker:
        """Invokes targets, as far as the policy allows."""
        from invoker import Invoker

        return Invoker(self.targets(), self.policy(), self.host(), self.settings.kill_grace_sec, self.clock)

    def dry_run(self, state: JobState, remembered: AgentSession | None, now: datetime) -> PlannedStart:
        """The first call that a run would make, with its secrets. Raises `InvocationError` if it could not start."""
        from execution.requests import first_call
        from invocation.dry_run import DryRun

        call = first_call(state, remembered, now, str(self.settings.runs_folder))
        return DryRun(self.targets(), self.policy(), self.host()).of(call)

    def targets(self) -> Targets:
        """Finds the folders of targets by their names."""
        from invocation.targets import Targets

        return Targets(self.settings.home, self.settings.data_path, self.settings.root)

    def policy(self) -> PolicyFile:
        """The file that says which caller may invoke which target."""
        from invocation.policy import POLICY_FILE, PolicyFile

        return PolicyFile(self.settings.root / POLICY_FILE)

    def host(self) -> Host:
        """What runners need to know about this machine."""
        from invocation.runners.base import Host

        return Host(self.settings.variables, self.settings.agents, self.settings.agent_path)

    def limits(self, hop: int) -> RunLimits:
        """The limits of a run: from the settings, and the hop of a run by hand."""
        from executor import RunLimits

        return RunLimits(lease_sec=self.settings.lease_sec, max_running=self.settings.max_running, hop=hop)

    @cached_property
    def owner(self) -> Owner:
        """This process, as the owner of claims. Raises `CronError` if it can't find itself in the process table."""
        from store.claims import Owner
        from system.processes import identify

        me = identify(os.getpid())
        if me is None:
            raise CronError("This process can't find itself in the process table", hint="Is /proc mounted?")
        return Owner(f"{os.uname().nodename}:{os.getpid()}", me)

    @property
    def pause(self) -> Callable[[float], object]:
        """A function that waits for some seconds."""
        return threading.Event().wait

    # --- secrets ---

    def redactor(self, job: Job | None) -> Redactor:
        """Masks the secrets that a run of this job may have seen; None: those that every run may have seen."""
        from core.redact import NO_SECRETS, Redactor, secrets_of

        settings, job_env = self.settings, dict(job.env) if job else {}
        if not job_env and not (job and job.allow_env):
            return self._plain_redactor
        named = [*settings.redact, fast_tick.PING_VARIABLE, *(set(job.allow_env) - NO_SECRETS if job else ())]
        return Redactor([*secrets_of(settings.variables, named), *secrets_of(job_env, settings.redact)])

    @cached_property
    def _plain_redactor(self) -> Redactor:
        from core.redact import Redactor, secrets_of

        named = [*self.settings.redact, fast_tick.PING_VARIABLE]
        return Redactor(secrets_of(self.settings.variables, named))

    # --- reporting ---

    @cached_property
    def notifier(self) -> Notifier:
        """Delivers events to all channels."""
        from channels.base import Surroundings
        from notifier import Notifier

        return Notifier.of(Surroundings(self.settings, self.clock.now, self.pause))

    def notification_paths(self, notify_channel: str = "telegram") -> dict[str, str]:
        """The contract's `notification_paths`. The path of a channel that does not get the job's events is empty."""
        return self.notifier.paths_of(notify_channel)

    def ping(self, *, failed: bool) -> health.PingResult:
        """Sends the dead-man's ping to PURUTO_CRON_PING_URL, which must be set. Never raises for a failed ping."""
        from channels import ping

        error = ping.send(ping.address(self.settings.ping_url or "", failed=failed))
        if error:
            log.warning(f"The ping did not arrive: {error}")
        return {"at": utc_text(self.clock.now()), "ok": not error, "failed": failed, "error": error or None}

    # --- the tick and the daemon ---

    def wake_daemon(self) -> bool:
        """Wakes the daemon of this database, after a commit that concerns it. Returns whether one listens."""
        from system import wakeup

        return wakeup.notify(str(self.settings.db_path))

    def jobs_file_version(self) -> str:
        """The version of .jobs.json and its default zone: a text that changes with every edit."""
        return f"{fast_tick.identity(str(self.settings.jobs_file))} zone={self.settings.timezone or ''}"

    def last_tick(self) -> datetime | None:
        """When the last tick ran; None if there was none."""
        return health.instant(last_tick.read(str(self.settings.db_path)))

    def touch_last_tick(self, now: datetime) -> None:
        """Stores `now` as the time of the last tick.

        If the folder is not writable, that is only logged, and `status` reports the scheduler as stale.
        """
        with log.tolerated(OSError, "The time of this tick was not recorded"):
            last_tick.touch(str(self.settings.db_path), utc_text(now))

    def tick_state(self, now: datetime) -> health.TickState:
        """When the last tick ran, and whether that is too long ago (or in the future, after a wrong clock)."""
        return health.tick_state(self.last_tick(), now, self.settings.stale_after_sec)

    def daemon_state(self) -> DaemonState:
        """Whether a daemon serves this database, and which one."""
        from system.daemon_lock import daemon_state

        return daemon_state(str(self.settings.db_path))

    def last_poll(self) -> datetime | None:
        """When the daemon last polled; None if it never did."""
        from system.daemon_lock import last_poll

        return last_poll(str(self.settings.db_path))

    def is_starting(self, now: datetime) -> bool:
        """Whether the crontab got its line just now, so that no tick could have come yet."""
        ticks = self.tick_state(now)
        if not ticks["stale"] or self.daemon_state()["running"]:
            return False
        from app import installation

        at = installation.known(self).crontab_at
        return health.first_tick_comes(ticks, health.TickLine("", at), now)

    def no_tick_warning(self, now: datetime) -> list[health.WarningEntry]:
        """A warning if there was no tick lately, because then no job starts; else an empty list."""
        ticks, daemon, last_poll = self.tick_state(now), self.daemon_state(), self.last_poll()
        if health.silence(ticks, daemon, last_poll, now) is not health.Silence.TICK:
            return health.silence_warning(ticks, daemon, last_poll, now)
        from app import installation

        line = installation.tick_line(self, installation.known(self).crontab_at)
        return health.silence_warning(ticks, daemon, last_poll, now, line)
