"""What the live view and the picture of a span ask. Reading only, each question by an index and with a limit."""

from __future__ import annotations

from dataclasses import dataclass

from db import Database, Row

_COLUMNS = (
    "run_id, status, trigger, scheduled_for, started_at, finished_at, attempt, slots,"
    " CASE WHEN status IN ('skipped', 'missed') THEN error_json END AS error_json"
)
#: Behind the slots that a long run has skipped stands that run, or nobody cares any more.
_LOOKED_AT = 5_000
_NEVER_RAN = "('skipped', 'missed')"


@dataclass(frozen=True)
class Span:
    """From and to, UTC text, both ends in it."""

    start: str
    end: str


class Views:
    """Rows of `jobs` and `runs` as people look at them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def running(self, limit: int) -> list[dict[str, object]]:
        """What runs now, longest first, with `max_retries` of its job (null when that is gone)."""
        rows = self._db.rows(
            "SELECT r.run_id, r.job_id, r.started_at, r.trigger, r.attempt, r.waiting, r.lease_expires_at,"
            " j.max_retries FROM runs r LEFT JOIN jobs j ON j.job_id = r.job_id WHERE r.status = 'running'"
            " ORDER BY +r.started_at, r.run_id LIMIT ?",
            (limit,),
        )
        return [{**dict(row), "waiting": bool(row["waiting"])} for row in rows]

    def next_up(self, limit: int) -> list[dict[str, object]]:
        """The jobs that are due first: job_id, next_run_at, timezone."""
        rows = self._db.rows(
            "SELECT job_id, next_run_at, timezone FROM jobs WHERE enabled = 1 AND next_run_at IS NOT NULL"
            " ORDER BY next_run_at, job_id LIMIT ?",
            (limit,),
        )
        return [dict(row) for row in rows]

    def jobs(self, span: Span) -> list[Row]:
        """All jobs by name, as `job_state` reads them; `ran` says whether runs lie in the span, or one goes on."""
        return self._db.rows(
            "SELECT job_id, definition_json, timezone, anchor_at, next_run_at, enabled, paused_at, removed_at,"
            " EXISTS (SELECT 1 FROM runs r WHERE r.job_id = jobs.job_id AND r.started_at BETWEEN ? AND ?)"
            " OR EXISTS (SELECT 1 FROM runs r WHERE r.job_id = jobs.job_id AND r.status = 'running') AS ran"
            " FROM jobs ORDER BY job_id",
            (span.start, span.end),
        )

    def count(self, job_id: str, span: Span) -> int:
        """How many rows of a job's ledger began in the span."""
        row = self._db.row(
            "SELECT count(*) FROM runs WHERE job_id = ? AND started_at BETWEEN ? AND ?", (job_id, span.start, span.end)
        )
        return 0 if row is None else int(row[0])

    def runs(self, job_id: str, span: Span, limit: int) -> list[Row]:
        """The newest rows of a job that began in the span, oldest of them first."""
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM runs WHERE job_id = ? AND started_at BETWEEN ? AND ?"  # noqa: S608 - fixed texts
            " ORDER BY started_at DESC, run_id DESC LIMIT ?",
            (job_id, span.start, span.end, limit),
        )
        return rows[::-1]

    def under_way(self, job_id: str, start: str) -> Row | None:
        """The run of a job that began before `start` (UTC text) and still went on then."""
        row = self._db.row(
            f"SELECT * FROM (SELECT {_COLUMNS} FROM runs WHERE job_id = ? AND started_at < ?"  # noqa: S608 - fixed texts
            " ORDER BY started_at DESC, run_id DESC LIMIT ?)"
            f" WHERE status NOT IN {_NEVER_RAN} LIMIT 1",
            (job_id, start, _LOOKED_AT),
        )
        ended = None if row is None else row["finished_at"]
        return None if ended is not None and ended <= start else row
