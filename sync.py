"""`.jobs.json` → the jobs table: checks all of it, then writes all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from errors import DatabaseLocked, RemovalsRefused
from models import Job, JobState, Missed, utc_text
from planner import Calendar, skip_all
from store.definitions import Change, Removal, job_state

if TYPE_CHECKING:
    from db import Row
    from store.bundle import Store

#: How many instants of a new or changed job are shown.
PREVIEW = 3
#: A sync that other writers overtook is computed anew this often.
ATTEMPTS = 5


class JobsFile(Protocol):
    """What reading .jobs.json gives."""

    @property
    def jobs(self) -> tuple[Job, ...]: ...

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


class Sync:
    """Brings the stored jobs in step with a checked file. `default_zone` is for jobs that name none."""

    def __init__(
        self,
        *,
        store: Store,
        calendar: Calendar,
        default_zone: str,
        definition_of: Callable[[Job], str],
        show: Callable[[datetime, str], dict[str, str]],
    ) -> None:
        self._store = store
        self._calendar = calendar
        self._default_zone = default_zone
        self._definition_of = definition_of
        self._show = show

    def apply(
        self, file: JobsFile, now: datetime, *, allow_removals: bool, facts: Mapping[str, str] | None = None
    ) -> SyncReport:
        """Writes the file's jobs. `facts` are state rows that become true with it (which file was read).

        A job keeps its cursor unless its schedule or zone changed or it was enabled; due slots that a change drops are
        written off as skipped. Raises `RemovalsRefused` when more than half of the jobs would go.
        """
        for _ in range(ATTEMPTS):
            rows = {row["job_id"]: row for row in self._store.definitions.active()}
            work = self._compare(file, rows, now)
            self._refuse_removals(work, len(rows), allow_removals)
            work.report.warnings = [*file.warnings, *work.report.warnings]
            if self._write(work, now, facts or {}):
                return work.report
        raise DatabaseLocked("Other processes kept changing the jobs during the sync", hint="Try again.")

    def _write(self, work: _Work, now: datetime, facts: Mapping[str, str]) -> bool:
        """False, with nothing written, if a cursor moved since it was read."""
        try:
            with self._store.db.transaction():
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
        for job in file.jobs:
            named.add(job.job_id)
            zone = job.timezone or self._default_zone
            definition = self._definition_of(job)
            row = rows.get(job.job_id)
            if row is not None and row["definition_json"] == definition and row["timezone"] == zone:
                work.report.unchanged.append(job.job_id)
                continue
            change = self._change(job, definition, zone, None if row is None else job_state(row), now)
            work.changes.append(change)
            (work.report.added if row is None else work.report.changed).append(job.job_id)
            self._preview(work.report, change, now)
        for job_id, row in rows.items():
            if job_id not in named:
                state = job_state(row)
                skipped = skip_all(
                    state, now, self._calendar, "the job was removed from .jobs.json before it could run"
                )
                work.removals.append(Removal(state, skipped))
                work.report.removed.append(job_id)
        return work

    def _change(self, job: Job, definition: str, zone: str, old: JobState | None, now: datetime) -> Change:
        same_schedule = old is not None and old.job.schedule == job.schedule
        anchor = old.anchor if old is not None and same_schedule else now
        keeps = old is not None and same_schedule and old.timezone == zone and old.enabled and job.enabled
        if old is not None and keeps:
            cursor, skipped = old.next_run_at, None
        else:
            cursor = self._calendar.next_fire(job.schedule, zone, now, anchor=anchor) if job.enabled else None
            skipped = None if old is None else self._dropped(old, job, now)
        expected = None if old is None or old.next_run_at is None else utc_text(old.next_run_at)
        return Change(job, definition, zone, anchor, cursor, expected, skipped)

    def _dropped(self, old: JobState, job: Job, now: datetime) -> Missed | None:
        what = "its schedule or zone was changed" if job.enabled else "it was disabled"
        return skip_all(old, now, self._calendar, f"{what} before it could run")

    def _preview(self, report: SyncReport, change: Change, now: datetime) -> None:
        job = change.job
        instants: list[dict[str, str]] = []
        after: datetime | None = now
        if job.enabled and change.next_run_at is not None and change.next_run_at <= now:
            after = change.next_run_at - timedelta(seconds=1)
        while after is not None and len(instants) < PREVIEW:
            after = self._calendar.next_fire(job.schedule, change.timezone, after, anchor=change.anchor)
            if after is not None:
                instants.append(self._show(after, change.timezone))
        report.next[job.job_id] = {"timezone": change.timezone, "enabled": job.enabled, "instants": instants}
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


class _OvertakenError(Exception):
    """Rolls back a sync whose reading is out of date."""
