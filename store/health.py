"""What `status` and `doctor` ask about jobs that are late or in trouble. Reading only."""

from __future__ import annotations

from dataclasses import dataclass

from db import Database, Row

_OVERDUE = "FROM jobs WHERE enabled = 1 AND next_run_at <= ?"

#: An `@at` that has run: that it has no next run is as it should be.
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
    """Whether a run of it goes on: then its slot waits for that one."""


@dataclass(frozen=True)
class Troubled:
    """A job with which something is wrong; at least one of the last five says what."""

    job_id: str
    schedule: str
    lease_owner: str
    lease_expires_at: str
    problem_json: str | None
    paused_at: str | None
    no_next_run: bool
    """Enabled, and nothing will start it; an `@at` that has run is complete and does not count."""
    stray_lease: bool
    """It mirrors a lease, and no run of it is running."""


class Health:
    """Questions over all jobs, each answered with at most so many rows."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def overdue(self, before: str, limit: int) -> tuple[int, list[Overdue]]:
        """How many enabled jobs have been due since `before` (UTC text) or longer, and the oldest of them."""
        counted = self._db.row(f"SELECT count(*) {_OVERDUE}", (before,))
        rows = self._db.rows(
            f"SELECT job_id, next_run_at, EXISTS (SELECT 1 FROM runs r WHERE r.job_id = jobs.job_id"  # noqa: S608 - fixed text
            f" AND r.status = 'running') AS running {_OVERDUE} ORDER BY next_run_at, job_id LIMIT ?",
            (before, limit),
        )
        found = [Overdue(row["job_id"], row["next_run_at"], bool(row["running"])) for row in rows]
        return int(counted[0]) if counted is not None else 0, found

    def complete(self) -> set[str]:
        """Enabled jobs that were to run once, and have."""
        return {row["job_id"] for row in self._db.rows(f"SELECT job_id FROM jobs WHERE enabled = 1 AND {_COMPLETE}")}  # noqa: S608 - fixed texts

    def troubled(self, limit: int) -> list[Troubled]:
        """Jobs with a problem, paused ones, ones that nothing will start, and ones with a lease that no run has."""
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
