"""Reading the ledger for people: runs by job, status and time, newest first, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from core.clock import utc_text
from core.run import RunStatus
from db import Database, Row, Value

#: A job that has failed for months must not be read back to its last success each time somebody looks.
_LOOKED_AT = 500
_STORED = (
    *("run_id", "job_id", "status", "trigger", "scheduled_for", "started_at", "finished_at", "duration_ms"),
    *("attempt", "slots", "runner", "exit_code", "cost_usd", "retry_of"),
)
#: What a row of a page holds, in this order.
FIELDS = (*_STORED, "error_code", "error")


@dataclass(frozen=True)
class Wanted:
    """Which runs: of one job or all, of one status or all, started since an instant, behind a run, at most so many."""

    job_id: str = ""
    status: str = ""
    since: datetime | None = None
    before: tuple[str, str] | None = None
    """`(started_at, run_id)` of the last run that was shown: what comes is older."""
    limit: int = 50


class History:
    """Rows of `runs`, without the token."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def page(self, wanted: Wanted) -> list[dict[str, object]]:
        """The newest runs that are wanted, with their error's code and message, and without results."""
        conditions, values = ["1"], list[Value]()
        if wanted.job_id:
            conditions.append("job_id = ?")
            values.append(wanted.job_id)
        if wanted.status:
            # As a text of the statement, not as a value: only so does SQLite see that a partial index holds it. Of one
            # job the plus keeps to that job's index: retention bounds it.
            conditions.append(f"{'+' * bool(wanted.job_id)}status = '{RunStatus(wanted.status)}'")
        if wanted.since is not None:
            conditions.append("started_at >= ?")
            values.append(utc_text(wanted.since))
        if wanted.before is not None:
            conditions.append("(started_at, run_id) < (?, ?)")
            values += wanted.before
        # What runs is few, and found by its status; in the order of time it would be looked for among all.
        first = "+started_at" if wanted.status == RunStatus.RUNNING else "started_at"
        rows = self._db.rows(
            f"SELECT * FROM runs WHERE {' AND '.join(conditions)} ORDER BY {first} DESC, run_id DESC LIMIT ?",  # noqa: S608 - fixed texts
            [*values, wanted.limit],
        )
        return [_summary(row) for row in rows]

    def last_runs(self, job_ids: Iterable[str]) -> dict[str, dict[str, object]]:
        """Of each of these jobs its newest run that started: run_id, status, trigger, started_at, finished_at."""
        found = {}
        for job_id in job_ids:
            row = self._db.row(
                "SELECT run_id, status, trigger, started_at, finished_at FROM runs"
                " WHERE job_id = ? AND status NOT IN ('skipped', 'missed')"
                " ORDER BY started_at DESC, run_id DESC LIMIT 1",
                (job_id,),
            )
            if row is not None:
                found[job_id] = dict(row)
        return found

    def usual_ms(self, job_id: str) -> int | None:
        """The median duration of the job's last twenty successes; None when its newest runs hold none."""
        rows = self._db.rows(
            "SELECT duration_ms FROM (SELECT status, duration_ms FROM runs WHERE job_id = ?"
            " ORDER BY started_at DESC, run_id DESC LIMIT ?)"
            " WHERE status = 'ok' AND duration_ms IS NOT NULL LIMIT 20",
            (job_id, _LOOKED_AT),
        )
        found = sorted(int(row[0]) for row in rows)
        return found[len(found) // 2] if found else None


def _summary(row: Row) -> dict[str, object]:
    error = json.loads(row["error_json"]) if row["error_json"] else {}
    return {**{name: row[name] for name in _STORED}, "error_code": error.get("code"), "error": error.get("message")}
