"""Queries of the live view and of the timeline. They only read, use an index and have a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, cast

from db import Database, Row

_COLUMNS = (
    "run_id, status, trigger, scheduled_for, started_at, finished_at, attempt, slots,"
    " CASE WHEN status IN ('skipped', 'missed') THEN error_json END AS error_json"
)
#: Rows that are searched for the run behind skipped slots; a longer row of skipped slots is not worth the search.
_SEARCHED = 5_000
_NEVER_RAN = "('skipped', 'missed')"


class RunningView(TypedDict):
    """A running run. Instants are UTC text; `max_retries` is null if its job was removed."""

    run_id: str
    job_id: str
    started_at: str
    trigger: str
    attempt: int
    waiting: bool
    lease_expires_at: str | None
    max_retries: int | None


class NextUp(TypedDict):
    """An enabled job and its cursor (UTC text)."""

    job_id: str
    next_run_at: str
    timezone: str


@dataclass(frozen=True)
class Span:
    """A span of time, as UTC text, with both ends."""

    start: str
    end: str


class Views:
    """Rows of `jobs` and `runs` for views."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def running(self, limit: int) -> list[RunningView]:
        """The running runs, the longest first."""
        rows = self._db.rows(
            "SELECT r.run_id, r.job_id, r.started_at, r.trigger, r.attempt, r.waiting, r.lease_expires_at,"
            " j.max_retries FROM runs r LEFT JOIN jobs j ON j.job_id = r.job_id WHERE r.status = 'running'"
            " ORDER BY +r.started_at, r.run_id LIMIT ?",
            (limit,),
        )
        return [cast("RunningView", {**dict(row), "waiting": bool(row["waiting"])}) for row in rows]

    def next_up(self, limit: int) -> list[NextUp]:
        """The enabled jobs that are due first."""
        rows = self._db.rows(
            "SELECT job_id, next_run_at, timezone FROM jobs WHERE enabled = 1 AND next_run_at IS NOT NULL"
            " ORDER BY next_run_at, job_id LIMIT ?",
            (limit,),
        )
        return [cast("NextUp", dict(row)) for row in rows]

    def jobs(self, span: Span) -> list[Row]:
        """All jobs by name, with the columns for `job_state`. `ran`: it has runs in the span, or one is running."""
        return self._db.rows(
            "SELECT job_id, definition_json, timezone, anchor_at, next_run_at, enabled, paused_at, removed_at,"
            " EXISTS (SELECT 1 FROM runs r WHERE r.job_id = jobs.job_id AND r.started_at BETWEEN ? AND ?)"
            " OR EXISTS (SELECT 1 FROM runs r WHERE r.job_id = jobs.job_id AND r.status = 'running') AS ran"
            " FROM jobs ORDER BY job_id",
            (span.start, span.end),
        )

    def count(self, job_id: str, span: Span) -> int:
        """The number of a job's runs that started in the span."""
        row = self._db.row(
            "SELECT count(*) FROM runs WHERE job_id = ? AND started_at BETWEEN ? AND ?", (job_id, span.start, span.end)
        )
        return 0 if row is None else int(row[0])

    def runs(self, job_id: str, span: Span, limit: int) -> list[Row]:
        """The newest `limit` runs of a job that started in the span, the oldest of them first."""
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM runs WHERE job_id = ? AND started_at BETWEEN ? AND ?"  # noqa: S608 - fixed texts
            " ORDER BY started_at DESC, run_id DESC LIMIT ?",
            (job_id, span.start, span.end, limit),
        )
        return rows[::-1]

    def running_at(self, job_id: str, start: str) -> Row | None:
        """The run of a job that started before `start` (UTC text) and was still running then; None if there is none."""
        row = self._db.row(
            f"SELECT * FROM (SELECT {_COLUMNS} FROM runs WHERE job_id = ? AND started_at < ?"  # noqa: S608 - fixed texts
            " ORDER BY started_at DESC, run_id DESC LIMIT ?)"
            f" WHERE status NOT IN {_NEVER_RAN} LIMIT 1",
            (job_id, start, _SEARCHED),
        )
        ended = None if row is None else row["finished_at"]
        return None if ended is not None and ended <= start else row
