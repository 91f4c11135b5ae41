"""Past runs for people: by job, status and time, the newest first, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, cast

from core.clock import utc_text
from core.run import RunStatus
from db import Database, Row, Value

#: Runs that are searched for successes: a job may have failed for months.
_SEARCHED = 500
_STORED = (
    *("run_id", "job_id", "status", "trigger", "scheduled_for", "started_at", "finished_at", "duration_ms"),
    *("attempt", "slots", "runner", "exit_code", "cost_usd", "retry_of", "prompt_sha256"),
)
#: The keys of a `RunSummary`, in the order in which they are printed.
FIELDS = (*_STORED, "error_code", "error")


class RunSummary(TypedDict):
    """A run or a slot that did not run, as `history` prints it. Instants are UTC text.

    `slots` is the number of slots that the row covers; `error_code` and `error` (its message) are null without error.
    """

    run_id: str
    job_id: str
    status: str
    trigger: str
    scheduled_for: str | None
    started_at: str
    finished_at: str | None
    duration_ms: int | None
    attempt: int
    slots: int
    runner: str | None
    exit_code: int | None
    cost_usd: float | None
    retry_of: str | None
    prompt_sha256: str | None
    error_code: str | None
    error: str | None


class LastRun(TypedDict):
    """A job's newest run, as `list` prints it. Instants are UTC text."""

    run_id: str
    status: str
    trigger: str
    started_at: str
    finished_at: str | None


@dataclass(frozen=True)
class RunFilter:
    """Selects runs by job, status and start; `since` is aware. "" and None select all."""

    job_id: str = ""
    status: str = ""
    since: datetime | None = None
    before: tuple[str, str] | None = None
    """`(started_at, run_id)` of the last run of the previous page: only older ones are selected."""
    limit: int = 50


class History:
    """Rows of `runs`, without the lease's token."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def page(self, selection: RunFilter) -> list[RunSummary]:
        """The newest selected runs."""
        conditions, values = ["1"], list[Value]()
        if selection.job_id:
            conditions.append("job_id = ?")
            values.append(selection.job_id)
        if selection.status:
            # A literal, not a parameter: only then SQLite uses a partial index. For one job, the plus prefers that
            # job's index, which retention keeps small.
            conditions.append(f"{'+' * bool(selection.job_id)}status = '{RunStatus(selection.status)}'")
        if selection.since is not None:
            conditions.append("started_at >= ?")
            values.append(utc_text(selection.since))
        if selection.before is not None:
            conditions.append("(started_at, run_id) < (?, ?)")
            values += selection.before
        # Running runs are few and found by status; the plus keeps SQLite from scanning all runs by time.
        first = "+started_at" if selection.status == RunStatus.RUNNING else "started_at"
        rows = self._db.rows(
            f"SELECT * FROM runs WHERE {' AND '.join(conditions)} ORDER BY {first} DESC, run_id DESC LIMIT ?",  # noqa: S608 - fixed texts
            [*values, selection.limit],
        )
        return [_summary(row) for row in rows]

    def last_runs(self, job_ids: Iterable[str]) -> dict[str, LastRun]:
        """The newest run of each of these jobs that was started, by job_id."""
        last_runs: dict[str, LastRun] = {}
        for job_id in job_ids:
            row = self._db.row(
                "SELECT run_id, status, trigger, started_at, finished_at FROM runs"
                " WHERE job_id = ? AND status NOT IN ('skipped', 'missed')"
                " ORDER BY started_at DESC, run_id DESC LIMIT 1",
                (job_id,),
            )
            if row is not None:
                last_runs[job_id] = cast("LastRun", dict(row))
        return last_runs

    def median_duration_ms(self, job_id: str) -> int | None:
        """Median duration, in milliseconds, of the job's last twenty successes; None if its newest runs have none."""
        rows = self._db.rows(
            "SELECT duration_ms FROM (SELECT status, duration_ms FROM runs WHERE job_id = ?"
            " ORDER BY started_at DESC, run_id DESC LIMIT ?)"
            " WHERE status = 'ok' AND duration_ms IS NOT NULL LIMIT 20",
            (job_id, _SEARCHED),
        )
        durations = sorted(int(row[0]) for row in rows)
        return durations[len(durations) // 2] if durations else None


def _summary(row: Row) -> RunSummary:
    error = json.loads(row["error_json"]) if row["error_json"] else {}
    stored = {name: row[name] for name in _STORED}
    return cast("RunSummary", {**stored, "error_code": error.get("code"), "error": error.get("message")})
