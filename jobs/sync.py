"""Syncs `.jobs.json` to the jobs table: writes all changes or nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypedDict

from core import log
from core.errors import DatabaseLocked, DefinitionUnreadable, RemovalsRefused, ScheduleError
from core.job import Job, JobState
from core.run import Missed
from jobs.renames import find as find_renames
from schedules.calendar import Calendar, LocalInstant
from schedules.zones import is_zone
from scheduling.planner import skip_all, start_of
from store.definitions import Change, Removal, Rename, Zone, job_state
from store.pauses import how_to_resume

if TYPE_CHECKING:
    from db import Row
    from store.bundle import Store

#: Number of next instants that are reported for a new or changed job.
PREVIEW = 3
#: Fewer removed jobs than these are no accident that anybody would not notice.
FEWEST_REFUSED = 4
#: How often a sync is tried again because another process has changed the jobs.
ATTEMPTS = 5

#: Cached, because many jobs have the same zone.
_zone_of = functools.cache(Zone)


class CachedJob(Protocol):
    """A job whose entry has not changed since the last sync. `load` makes the `Job`."""

    @property
    def job_id(self) -> str: ...

    @property
    def timezone(self) -> str | None: ...

    def is_stored_as(self, definition: str) -> bool:
        """Whether this is the definition that was stored for the entry."""

    def load(self) -> Job: ...


class JobsFile(Protocol):
    """The checked content of .jobs.json."""

    @property
    def jobs(self) -> Sequence[Job | CachedJob]: ...

    @property
    def warnings(self) -> tuple[Mapping[str, object], ...]: ...


class NextInstants(TypedDict):
    """The zone of a new or changed job, whether it is enabled, and its next instants."""

    timezone: str
    enabled: bool
    instants: list[LocalInstant]


#: A job that has another name, and has kept its history: its old name and its new one.
RenamedJob = TypedDict("RenamedJob", {"from": str, "to": str})


class SyncResult(TypedDict):
    """The answer of `sync-jobs`. The lists contain job_ids; `next` is for new and changed jobs, by job_id.

    A job that was only renamed is in `renamed`, and in no other list.

    Source: docs/contract.md "Commands".
    """

    status: str
    synced_jobs: int
    added: list[str]
    changed: list[str]
    removed: list[str]
    unchanged: list[str]
    renamed: list[RenamedJob]
    warnings: list[Mapping[str, object]]
    next: dict[str, NextInstants]


@dataclass
class SyncReport:
    """The result of a sync; lists contain job_ids."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    renamed: list[RenamedJob] = field(default_factory=list)
    warnings: list[Mapping[str, object]] = field(default_factory=list)
    next: dict[str, NextInstants] = field(default_factory=dict)

    def as_dict(self) -> SyncResult:
        """The answer of `sync-jobs`."""
        only_renamed = {rename["to"] for rename in self.renamed}.difference(self.changed)
        return {
            "status": "ok",
            "synced_jobs": len(self.added) + len(self.changed) + len(self.unchanged) + len(only_renamed),
            "added": self.added,
            "changed": self.changed,
            "removed": self.removed,
            "unchanged": self.unchanged,
            "renamed": self.renamed,
            "warnings": self.warnings,
            "next": self.next,
        }


@dataclass
class _Work:
    report: SyncReport = field(default_factory=SyncReport)
    changes: list[Change] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    renames: list[Rename] = field(default_factory=list)
    #: The stored definitions, by job_id, of the jobs that were not found in the cache.
    definitions: dict[str, str] = field(default_factory=dict)


class Sync:
    """Updates the stored jobs to match a checked file.

    A job without a timezone gets `set_zone` (PURUTO_CRON_TIMEZONE), else `machine_zone`. The machine's zone is stored
    when the job is new, and kept then, because a shell, the crontab and a later process may each see another one.
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
        show: Callable[[datetime, str], LocalInstant],
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
        renames: Mapping[str, str] = MappingProxyType({}),
    ) -> SyncReport:
        """Stores the jobs of the file, and in the same transaction `facts`, which are rows of `state`.

        `remember` returns further rows of `state`, given the stored definitions by job_id of the jobs that were not
        cached. A job keeps its cursor unless its schedule or zone has changed or it was enabled; due slots that a
        change drops are written off as skipped. A job of which only the name has changed keeps all that is stored about
        it; `renames` are old and new names that belong together whatever has changed besides.

        Raises `RemovalsRefused` if four jobs or more would be removed, and more than half, of those that are enabled
        and have run; and `DatabaseLocked` if other processes keep changing the jobs.
        """
        for _ in range(ATTEMPTS):
            rows = {row["job_id"]: row for row in self._store.definitions.active()}
            work = self._compare(file, rows, now, renames)
            if not allow_removals:
                _refuse_removals(work.report.removed, rows)
            work.report.warnings = [*file.warnings, *work.report.warnings]
            if self._write(work, now, {**(facts or {}), **(remember(work.definitions) if remember else {})}):
                return work.report
        raise DatabaseLocked("The sync was given up: other processes kept changing the jobs", hint="Try again.")

    def _write(self, work: _Work, now: datetime, facts: Mapping[str, str]) -> bool:
        """Writes the changes; False, with nothing written, if a cursor has moved since it was read."""
        try:
            with self._store.db.transaction("sync"):
                if not self._store.definitions.apply(work.changes, work.removals, now, work.renames):
                    raise _OvertakenError
                for key, value in facts.items():
                    self._store.state.set(key, value)
        except _OvertakenError:
            return False
        return True

    def _compare(
        self, file: JobsFile, rows: Mapping[str, Row], now: datetime, known_renames: Mapping[str, str]
    ) -> _Work:
        work = _Work()
        names_in_file = {entry.job_id for entry in file.jobs}
        rows = self._renamed(file, rows, names_in_file, known_renames, work)
        renamed = {rename.new for rename in work.renames}
        for entry in file.jobs:
            row = rows.get(entry.job_id)
            zone = self._zone(entry, row)
            same_zone = row is not None and row["timezone"] == zone.name
            if row is not None and same_zone and _is_stored(entry, row["definition_json"]):
                work.report.unchanged.append(entry.job_id)
                continue
            job = entry if isinstance(entry, Job) else entry.load()
            if row is not None and same_zone and self._is_same_job(row, job):
                if job.job_id not in renamed:
                    work.report.unchanged.append(job.job_id)
                work.definitions[job.job_id] = row["definition_json"]
                continue
            change = self._change(job, self._definition_of(job), zone, row, now)
            work.changes.append(change)
            work.definitions[job.job_id] = change.definition_json
            (work.report.added if row is None else work.report.changed).append(job.job_id)
            self._preview(work.report, change, now)
        for job_id, row in rows.items():
            if job_id not in names_in_file:
                old = _readable(row)
                skipped = self._dropped(old, now, "the job was removed from .jobs.json")
                work.removals.append(Removal(job_id, row["next_run_at"], old.job if old else None, skipped))
                work.report.removed.append(job_id)
        self._warn_of_zones(work.report, rows)
        _warn_of_pauses(work, rows)
        return work

    def _renamed(
        self,
        file: JobsFile,
        rows: Mapping[str, Row],
        names_in_file: Set[str],
        known: Mapping[str, str],
        work: _Work,
    ) -> Mapping[str, Row]:
        """The stored rows by the names that their jobs have now. Adds the renames to `work`."""
        missing = rows.keys() - names_in_file
        if not missing or not names_in_file - rows.keys():
            return rows

        def readable(row: Row) -> Job | None:
            state = _readable(row)
            return None if state is None else replace(state.job, job_id=row["job_id"])

        new_entries = (entry for entry in file.jobs if entry.job_id not in rows)
        renames = find_renames(
            rows,
            (entry if isinstance(entry, Job) else entry.load() for entry in new_entries),
            missing,
            known,
            readable=readable,
            definition_of=self._definition_of,
            is_used=self._store.definitions.has_history,
        )
        work.renames = renames.found
        work.report.renamed = [{"from": rename.old, "to": rename.new} for rename in renames.found]
        work.report.warnings += renames.warnings
        return renames.rows

    def _is_same_job(self, row: Row, job: Job) -> bool:
        """Whether a row contains this job. Fields that an earlier version did not write have their defaults."""
        if row["definition_json"] == self._definition_of(job):
            return True
        old = _readable(row)
        return old is not None and old.job == job

    def _zone(self, job: Job | CachedJob, row: Row | None) -> Zone:
        if job.timezone is not None:
            return _zone_of(job.timezone, "job")
        if self._set_zone is not None:
            return _zone_of(self._set_zone, "setting")
        # A stored zone that this machine no longer knows can't be kept.
        kept = row is not None and row["timezone_source"] == "machine" and is_zone(row["timezone"])
        return _zone_of(row["timezone"] if row is not None and kept else self._machine_zone, "machine")

    def _warn_of_zones(self, report: SyncReport, rows: Mapping[str, Row]) -> None:
        """Warns if the machine's zone is now another one, because it was moved or TZ is set: jobs keep their zone."""
        kept = {row["timezone"] for row in rows.values() if row["timezone_source"] == "machine"}
        for zone in sorted(kept - {self._machine_zone}) if self._set_zone is None else []:
            message = f"The machine's zone is {self._machine_zone} here, but jobs without a timezone keep {zone}"
            hint = "To use another zone, set timezone in the jobs, or PURUTO_CRON_TIMEZONE in .env."
            report.warnings.append({"code": "ZONE_KEPT", "message": message, "hint": hint})

    def _change(self, job: Job, definition: str, zone: Zone, row: Row | None, now: datetime) -> Change:
        old = _readable(row)
        # A new default zone changes the job, but not the cause of its failures, so a pause stays.
        stays_paused = row is not None and row["paused_at"] is not None and old is not None and old.job == job
        same_schedule = old is not None and old.job.schedule == job.schedule
        anchor = old.anchor if old is not None and same_schedule else now
        keeps_cursor = old is not None and same_schedule and old.timezone == zone.name and old.enabled and job.enabled
        keeps_cursor = keeps_cursor and old is not None and old.job.paused_until == job.paused_until
        if old is not None and keeps_cursor:
            cursor, skipped = old.next_run_at, None
        else:
            will_run = job.enabled and not stays_paused
            cursor = self._next_fire(job.schedule, zone.name, start_of(job, now), anchor) if will_run else None
            cause = "it was changed" if job.enabled else "it was disabled"
            if old is not None and (old.job.schedule, old.timezone) != (job.schedule, zone.name) and job.enabled:
                cause = "its schedule or zone was changed"
            skipped = self._dropped(old, now, cause)
        expected = None if row is None else row["next_run_at"]
        before = old.job if old else None
        return Change(job, definition, zone, anchor, cursor, expected, before, skipped, stays_paused)

    def _next_fire(self, schedule: str, zone: str, after: datetime, anchor: datetime) -> datetime | None:
        # Cached: many jobs of a large file share a schedule, and a first sync does little else.
        key = (schedule, zone, after, anchor)
        if key not in self._fires:
            self._fires[key] = self._calendar.next_fire(schedule, zone, after, anchor=anchor)
        return self._fires[key]

    def _dropped(self, old: JobState | None, now: datetime, cause: str) -> Missed | None:
        """The due slots that will not run because of a change."""
        if old is None or old.next_run_at is None:
            return None
        reason = f"{cause} before it could run"
        try:
            return skip_all(old, now, self._calendar, reason)
        except ScheduleError:
            # The stored schedule is no longer valid: only the slot in the cursor is known.
            due = old.next_run_at <= now
            return Missed(1, old.next_run_at, old.next_run_at, reason, superseded=False) if due else None

    def _preview(self, report: SyncReport, change: Change, now: datetime) -> None:
        job = change.job
        instants: list[LocalInstant] = []
        # The cursor of an enabled job is its next instant; a disabled job has none, and no slot before `paused_until`.
        instant = change.next_run_at
        enabled = job.enabled and not change.stays_paused
        if not enabled:
            instant = self._next_fire(job.schedule, change.zone.name, start_of(job, now), change.anchor)
        while instant is not None:
            instants.append(self._show(instant, change.zone.name))
            if len(instants) == PREVIEW:
                break
            instant = self._next_fire(job.schedule, change.zone.name, instant, change.anchor)
        report.next[job.job_id] = {"timezone": change.zone.name, "enabled": enabled, "instants": instants}
        if not instants:
            report.warnings.append(
                {
                    "code": "NEVER_FIRES_AGAIN",
                    "job_id": job.job_id,
                    "message": f"The job {job.job_id} will not run: `{job.schedule}` is in the past",
                }
            )


def _refuse_removals(removed: Sequence[str], rows: Mapping[str, Row]) -> None:
    """Raises `RemovalsRefused` if so many jobs that do something would be removed that it looks like an accident.

    Jobs that are disabled, or have never run, do not count: nobody misses them.
    """
    counted = {job_id for job_id, row in rows.items() if _does_something(row)}
    lost = [job_id for job_id in removed if job_id in counted]
    if len(lost) < FEWEST_REFUSED or len(lost) * 2 <= len(counted):
        return
    raise RemovalsRefused(
        f"The sync would remove {len(lost)} of the {len(counted)} enabled jobs that have run: that is more than half",
        hint="Nothing was changed. If you want that: python3 main.py sync-jobs --allow-removals",
        details={"would_remove": removed[:100], "stored": len(rows)},
    )


def _does_something(row: Row) -> bool:
    return row["last_run_at"] is not None and bool(row["enabled"] or row["paused_at"])


def _is_stored(entry: Job | CachedJob, definition: str) -> bool:
    return not isinstance(entry, Job) and entry.is_stored_as(definition)


def _warn_of_pauses(work: _Work, rows: Mapping[str, Row]) -> None:
    ended = {*work.report.removed, *(change.job.job_id for change in work.changes if not change.stays_paused)}
    for job_id, row in rows.items():
        if row["paused_at"] is not None and job_id not in ended:
            since = row["paused_at"]
            message = f"The job {job_id} stays paused (since {since}), because its entry has not changed"
            work.report.warnings.append(
                {"code": "JOB_PAUSED", "job_id": job_id, "message": message, "hint": how_to_resume(job_id)}
            )


def _readable(row: Row | None) -> JobState | None:
    """The stored job; None if there is none or it can't be read, so that the job in the file replaces it."""
    if row is None:
        return None
    with log.tolerated(DefinitionUnreadable, "The stored job is replaced", job=str(row["job_id"])):
        return job_state(row)
    return None


class _OvertakenError(Exception):
    """Rolls back a sync because a cursor has moved since it was read."""
