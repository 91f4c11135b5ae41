"""`.jobs.json` → the jobs table: checks all of it, then writes all of it or nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from core import log
from core.errors import DatabaseLocked, DefinitionUnreadable, RemovalsRefused, ScheduleError
from core.job import Job, JobState
from core.run import Missed
from schedules.calendar import Calendar
from schedules.zones import is_zone
from scheduling.planner import skip_all, start_of
from store.definitions import Change, Removal, Zone, job_state
from store.pauses import how_to_resume

if TYPE_CHECKING:
    from db import Row
    from store.bundle import Store

#: How many instants of a new or changed job are shown.
PREVIEW = 3
#: A sync that other writers overtook is computed anew this often.
ATTEMPTS = 5

#: Many jobs have the same.
_zone_of = functools.cache(Zone)


class CachedJob(Protocol):
    """A job whose entry is the very one that was synced last; `load` makes the job itself."""

    @property
    def job_id(self) -> str: ...

    @property
    def timezone(self) -> str | None: ...

    def is_stored_as(self, definition: str) -> bool:
        """Whether a definition is the one that was stored for this entry."""

    def load(self) -> Job: ...


class JobsFile(Protocol):
    """What reading .jobs.json gives."""

    @property
    def jobs(self) -> Sequence[Job | CachedJob]: ...

    @property
    def warnings(self) -> tuple[Mapping[str, object], ...]: ...


@dataclass
class SyncReport:
    """What a sync did, by job_id."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    warnings: list[Mapping[str, object]] = field(default_factory=list)
    next: dict[str, dict[str, object]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """The contract's object with our keys added."""
        return {
            "status": "ok",
            "synced_jobs": len(self.added) + len(self.changed) + len(self.unchanged),
            "added": self.added,
            "changed": self.changed,
            "removed": self.removed,
            "unchanged": self.unchanged,
            "warnings": self.warnings,
            "next": self.next,
        }


@dataclass
class _Work:
    report: SyncReport = field(default_factory=SyncReport)
    changes: list[Change] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    #: By job_id: what is stored for those that were not known, or are stored otherwise than is known.
    definitions: dict[str, str] = field(default_factory=dict)


class Sync:
    """Brings the stored jobs in step with a checked file.

    A job that names no zone gets `set_zone` (PURUTO_CRON_TIMEZONE), else `machine_zone`. The machine's zone is asked
    once, when the job is new, and kept: a shell, the crontab and a later process may each see another one.
    Source: docs/schedules.md "Zones".
    """

    def __init__(
        self,
        *,
        store: Store,
        calendar: Calendar,
        set_zone: str | None,
        machine_zone: str,
        definition_of: Callable[[Job], str],
        show: Callable[[datetime, str], dict[str, str]],
    ) -> None:
        self._store = store
        self._calendar = calendar
        self._set_zone = set_zone
        self._machine_zone = machine_zone
        self._definition_of = definition_of
        self._show = show
        self._fires: dict[tuple[str, str, datetime, datetime], datetime | None] = {}

    def apply(
        self,
        file: JobsFile,
        now: datetime,
        *,
        allow_removals: bool,
        facts: Mapping[str, str] | None = None,
        remember: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None,
    ) -> SyncReport:
        """Writes the file's jobs. `facts` are state rows that become true with it (which file was read).

        `remember` gives further ones, from the stored definitions by job_id of all jobs that were not found as known.
        A job keeps its cursor unless its schedule or zone changed or it was enabled; due slots that a change drops are
        written off as skipped. Raises `RemovalsRefused` when more than half of the jobs would go.
        """
        for _ in range(ATTEMPTS):
            rows = {row["job_id"]: row for row in self._store.definitions.active()}
            work = self._compare(file, rows, now)
            self._refuse_removals(work, len(rows), allow_removals)
            work.report.warnings = [*file.warnings, *work.report.warnings]
            if self._write(work, now, {**(facts or {}), **(remember(work.definitions) if remember else {})}):
                return work.report
        raise DatabaseLocked("Other processes kept changing the jobs during the sync", hint="Try again.")

    def _write(self, work: _Work, now: datetime, facts: Mapping[str, str]) -> bool:
        """False, with nothing written, if a cursor moved since it was read."""
        try:
            with self._store.db.transaction("sync"):
                if not self._store.definitions.apply(work.changes, work.removals, now):
                    raise _OvertakenError
                for key, value in facts.items():
                    self._store.state.set(key, value)
        except _OvertakenError:
            return False
        return True

    def _compare(self, file: JobsFile, rows: Mapping[str, Row], now: datetime) -> _Work:
        work = _Work()
        named = set()
        for found in file.jobs:
            named.add(found.job_id)
            row = rows.get(found.job_id)
            zone = self._zone(found, row)
            stays = row is not None and row["timezone"] == zone.name
            if row is not None and stays and not isinstance(found, Job) and found.is_stored_as(row["definition_json"]):
                work.report.unchanged.append(found.job_id)
                continue
            job = found if isinstance(found, Job) else found.load()
            if row is not None and stays and self._says(row, job):
                work.report.unchanged.append(job.job_id)
                work.definitions[job.job_id] = row["definition_json"]
                continue
            change = self._change(job, self._definition_of(job), zone, row, now)
            work.changes.append(change)
            work.definitions[job.job_id] = change.definition_json
            (work.report.added if row is None else work.report.changed).append(job.job_id)
            self._preview(work.report, change, now)
        for job_id, row in rows.items():
            if job_id not in named:
                old = _readable(row)
                skipped = self._dropped(old, now, "the job was removed from .jobs.json")
                work.removals.append(Removal(job_id, row["next_run_at"], old.job if old else None, skipped))
                work.report.removed.append(job_id)
        self._warn_of_zones(work.report, rows)
        _warn_of_pauses(work, rows)
        return work

    def _says(self, row: Row, job: Job) -> bool:
        """Whether a row holds this job. An earlier version wrote fewer fields: the others have their defaults."""
        if row["definition_json"] == self._definition_of(job):
            return True
        old = _readable(row)
        return old is not None and old.job == job

    def _zone(self, job: Job | CachedJob, row: Row | None) -> Zone:
        if job.timezone is not None:
            return _zone_of(job.timezone, "job")
        if self._set_zone is not None:
            return _zone_of(self._set_zone, "setting")
        # One that this machine does not know any more can't be kept.
        kept = row is not None and row["timezone_source"] == "machine" and is_zone(row["timezone"])
        return _zone_of(row["timezone"] if row is not None and kept else self._machine_zone, "machine")

    def _warn_of_zones(self, report: SyncReport, rows: Mapping[str, Row]) -> None:
        """A machine that moved, or a shell with a TZ of its own: the jobs stay where they were, and that is said."""
        kept = {row["timezone"] for row in rows.values() if row["timezone_source"] == "machine"}
        for zone in sorted(kept - {self._machine_zone}) if self._set_zone is None else []:
            message = f"The machine's zone is {self._machine_zone} here, but jobs without a timezone keep {zone}"
            hint = "To change that, set timezone in the jobs, or PURUTO_CRON_TIMEZONE in .env."
            report.warnings.append({"code": "ZONE_KEPT", "message": message, "hint": hint})

    def _change(self, job: Job, definition: str, zone: Zone, row: Row | None, now: datetime) -> Change:
        old = _readable(row)
        # Another default zone changes the job, and is no word about what it failed of.
        stays_paused = row is not None and row["paused_at"] is not None and old is not None and old.job == job
        same_schedule = old is not None and old.job.schedule == job.schedule
        anchor = old.anchor if old is not None and same_schedule else now
        keeps = old is not None and same_schedule and old.timezone == zone.name and old.enabled and job.enabled
        keeps = keeps and old is not None and old.job.paused_until == job.paused_until
        if old is not None and keeps:
            cursor, skipped = old.next_run_at, None
        else:
            starts = job.enabled and not stays_paused
            cursor = self._next_fire(job.schedule, zone.name, start_of(job, now), anchor) if starts else None
            what = "it was changed" if job.enabled else "it was disabled"
            if old is not None and (old.job.schedule, old.timezone) != (job.schedule, zone.name) and job.enabled:
                what = "its schedule or zone was changed"
            skipped = self._dropped(old, now, what)
        expected = None if row is None else row["next_run_at"]
        before = old.job if old else None
        return Change(job, definition, zone, anchor, cursor, expected, before, skipped, stays_paused)

    def _next_fire(self, schedule: str, zone: str, after: datetime, anchor: datetime) -> datetime | None:
        # Many jobs of a large file share a schedule, and nearly all of a first sync is this question.
        key = (schedule, zone, after, anchor)
        if key not in self._fires:
            self._fires[key] = self._calendar.next_fire(schedule, zone, after, anchor=anchor)
        return self._fires[key]

    def _dropped(self, old: JobState | None, now: datetime, what: str) -> Missed | None:
        """The due slots that a change leaves unserved."""
        if old is None or old.next_run_at is None:
            return None
        reason = f"{what} before it could run"
        try:
            return skip_all(old, now, self._calendar, reason)
        except ScheduleError:
            # A stored schedule that was once good and no longer is: of its slots only the promised one is known.
            due = old.next_run_at <= now
            return Missed(1, old.next_run_at, old.next_run_at, reason, made_up=False) if due else None

    def _preview(self, report: SyncReport, change: Change, now: datetime) -> None:
        job = change.job
        instants: list[dict[str, str]] = []
        # The cursor of an enabled job is its next instant already; a disabled one has none.
        found = change.next_run_at
        enabled = job.enabled and not change.stays_paused
        if not enabled:
            found = self._next_fire(job.schedule, change.zone.name, now, change.anchor)
        while found is not None:
            instants.append(self._show(found, change.zone.name))
            if len(instants) == PREVIEW:
                break
            found = self._next_fire(job.schedule, change.zone.name, found, change.anchor)
        report.next[job.job_id] = {"timezone": change.zone.name, "enabled": enabled, "instants": instants}
        if not instants:
            report.warnings.append(
                {
                    "code": "NEVER_FIRES_AGAIN",
                    "job_id": job.job_id,
                    "message": f"{job.job_id}: `{job.schedule}` lies in the past, so it will not run",
                }
            )

    def _refuse_removals(self, work: _Work, stored: int, allow: bool) -> None:
        removed = work.report.removed
        if allow or len(removed) * 2 <= stored:
            return
        raise RemovalsRefused(
            f"The file lacks {len(removed)} of the {stored} jobs in the database: that is more than half",
            hint="If that is meant: python3 main.py sync-jobs --allow-removals. Nothing was changed.",
            details={"would_remove": removed[:100], "stored": stored},
        )


def _warn_of_pauses(work: _Work, rows: Mapping[str, Row]) -> None:
    gone = {*work.report.removed, *(change.job.job_id for change in work.changes if not change.stays_paused)}
    for job_id, row in rows.items():
        if row["paused_at"] is not None and job_id not in gone:
            message = f"The job {job_id} stays paused, since {row['paused_at']}: its entry has not changed"
            work.report.warnings.append(
                {"code": "JOB_PAUSED", "job_id": job_id, "message": message, "hint": how_to_resume(job_id)}
            )


def _readable(row: Row | None) -> JobState | None:
    """The stored job; None when there is none, or none that can be read: then the file's takes its place."""
    if row is None:
        return None
    with log.tolerated(DefinitionUnreadable, "The stored job is replaced", job=str(row["job_id"])):
        return job_state(row)
    return None


class _OvertakenError(Exception):
    """Rolls back a sync whose reading is out of date."""
