"""Queries of `status` and `doctor` about late and troubled jobs. Only reads."""

from __future__ import annotations

from dataclasses import dataclass

from db import Database, Row

_OVERDUE = "FROM jobs WHERE enabled = 1 AND next_run_at <= ?"

#: An `@at` job that has run is complete: it rightly has no next run.
_COMPLETE = "next_run_at IS NULL AND last_run_at IS NOT NULL AND ltrim(schedule, ' ' || char(9)) LIKE '@at%'"

_TROUBLED = f"""
SELECT job_id, schedule, problem_json, paused_at, lease_owner, lease_expires_at,
       enabled = 1 AND next_run_at IS NULL AND removed_at IS NULL
       AND NOT ({_COMPLETE}) AS no_next_run,
       lease_owner IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.job_id = jobs.job_id AND r.status = 'running') AS stray_lease
FROM jobs
WHERE no_next_run OR stray_lease OR (removed_at IS NULL AND (problem_json IS NOT NULL OR paused_at IS NOT NULL))
ORDER BY job_id LIMIT ?
"""  # noqa: S608 - fixed texts


@dataclass(frozen=True)
class Overdue:
    """An enabled job whose cursor (UTC text) has been due for too long."""

    job_id: str
    next_run_at: str
    running: bool
    """Whether a run of it is running: then its slot waits for the end of that run."""


@dataclass(frozen=True)
class Troubled:
    """A job with a problem; at least one of the last five fields says what it is."""

    job_id: str
    schedule: str
    lease_owner: str
    lease_expires_at: str
    problem_json: str | None
    paused_at: str | None
    no_next_run: bool
    """It is enabled, but has no next run; complete `@at` jobs are not included."""
    stray_lease: bool
    """It has a lease, but no running run."""


class Health:
    """Queries over all jobs, with limits."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def overdue(self, before: str, limit: int) -> tuple[int, list[Overdue]]:
        """The number of enabled jobs that have been due since `before` (UTC text) or longer, and the oldest `limit`."""
        counted = self._db.row(f"SELECT count(*) {_OVERDUE}", (before,))
        rows = self._db.rows(
            f"SELECT job_id, next_run_at, EXISTS (SELECT 1 FROM runs r WHERE r.job_id = jobs.job_id"  # noqa: S608 - fixed text
            f" AND r.status = 'running') AS running {_OVERDUE} ORDER BY next_run_at, job_id LIMIT ?",
            (before, limit),
        )
        overdue = [Overdue(row["job_id"], row["next_run_at"], bool(row["running"])) for row in rows]
        return int(counted[0]) if counted is not None else 0, overdue

    def complete(self) -> set[str]:
        """The enabled jobs with an `@at` schedule that have run."""
        return {row["job_id"] for row in self._db.rows(f"SELECT job_id FROM jobs WHERE enabled = 1 AND {_COMPLETE}")}  # noqa: S608 - fixed texts

    def troubled(self, limit: int) -> list[Troubled]:
        """Jobs with a problem, paused jobs, jobs without a next run, and jobs with a lease but no run."""
        return [_troubled(row) for row in self._db.rows(_TROUBLED, (limit,))]


def _troubled(row: Row) -> Troubled:
    return Troubled(
        job_id=row["job_id"],
        schedule=row["schedule"],
        lease_owner=row["lease_owner"] or "",
        lease_expires_at=row["lease_expires_at"] or "",
        problem_json=row["problem_json"],
        paused_at=row["paused_at"],
        no_next_run=bool(row["no_next_run"]),
        stray_lease=bool(row["stray_lease"]),
    )
