"""Finds and deletes old rows. A deleted slot never starts again: `jobs.pruned_through` remembers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.job import SCHEDULER_ID
from db import Database, Row


@dataclass(frozen=True)
class OldRun:
    """An ended run that may be deleted. `has_output`: its folder still exists."""

    run_id: str
    job_id: str
    has_output: bool
    output_bytes: int | None
    position: tuple[str, str]
    """When it finished (UTC text; "" while it is running), and its ID: the order of `with_output`."""


#: Never deleted: running runs, runs with undelivered events or a pending retry, and the newest run of each job.
_DELETABLE = """
    r.status <> 'running' AND r.retry_due = 0
    AND NOT EXISTS (SELECT 1 FROM events e JOIN deliveries d USING (event_id)
                    WHERE e.run_id = r.run_id AND d.state = 'waiting')
    AND EXISTS (SELECT 1 FROM runs n WHERE n.job_id = r.job_id AND (n.started_at, n.run_id) > (r.started_at, r.run_id)
                AND (r.status IN ('skipped', 'missed') OR n.status NOT IN ('skipped', 'missed')))
"""

#: The scheduler's own events of before an instant that have arrived.
_OLD_NOTICES = """
    FROM events e WHERE e.job_id = ? AND e.ts < ?
    AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = e.event_id AND d.state = 'waiting')
"""


class RetentionRows:
    """Old rows of `runs`, `events` and `deliveries`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def job_ids(self) -> list[str]:
        """All jobs, also removed ones."""
        return [row["job_id"] for row in self._db.rows("SELECT job_id FROM jobs ORDER BY job_id")]

    def beyond_count(self, job_id: str, keep: int, limit: int, now: str) -> list[OldRun]:
        """The oldest runs of a job that are not among its newest `keep` up to `now` (UTC text).

        Runs with a start in the future, from a wrong clock, are not counted.
        """
        edge = self._db.row(
            "SELECT started_at, run_id FROM runs WHERE job_id = ? AND started_at <= ?"
            " ORDER BY started_at DESC, run_id DESC LIMIT 1 OFFSET ?",
            (job_id, now, keep),
        )
        if edge is None:
            return []
        rows = self._db.rows(
            "SELECT r.* FROM runs r WHERE r.job_id = ? AND (r.started_at, r.run_id) <= (?, ?)"  # noqa: S608 - fixed texts
            f" AND {_DELETABLE} ORDER BY r.started_at, r.run_id LIMIT ?",
            (job_id, edge["started_at"], edge["run_id"], limit),
        )
        return [_old(row) for row in rows]

    def older_than(self, started_before: str, limit: int) -> list[OldRun]:
        """The oldest `limit` runs that started before an instant (UTC text)."""
        rows = self._db.rows(
            f"SELECT r.* FROM runs r WHERE r.started_at < ? AND {_DELETABLE} ORDER BY r.started_at, r.run_id LIMIT ?",  # noqa: S608
            (started_before, limit),
        )
        return [_old(row) for row in rows]

    def with_output(self, job_id: str, after: tuple[str, str], limit: int) -> list[OldRun]:
        """The oldest `limit` ended runs of a job that still have output, after a `position`; ("", "") is the first."""
        rows = self._db.rows(
            "SELECT * FROM runs WHERE job_id = ? AND output_dir IS NOT NULL AND (finished_at, run_id) > (?, ?)"
            " ORDER BY finished_at, run_id LIMIT ?",
            (job_id, *after, limit),
        )
        return [_old(row) for row in rows]

    def unmeasured(self, limit: int) -> list[OldRun]:
        """Ended runs whose output was not measured, because their scheduler died."""
        rows = self._db.rows(
            "SELECT * FROM runs WHERE output_dir IS NOT NULL AND finished_at IS NOT NULL AND output_bytes IS NULL"
            " LIMIT ?",
            (limit,),
        )
        return [_old(row) for row in rows]

    def output_by_job(self) -> dict[str, int]:
        """What the output of each job holds of the disk in bytes, as measured at the runs' ends."""
        rows = self._db.rows(
            "SELECT job_id, sum(output_bytes) FROM runs WHERE output_dir IS NOT NULL AND finished_at IS NOT NULL"
            " AND output_bytes > 0 GROUP BY job_id"
        )
        return {str(row[0]): int(row[1]) for row in rows}

    def record_output_size(self, run_id: str, size: int) -> None:
        """Stores the size of a run's output in bytes."""
        self._db.run("UPDATE runs SET output_bytes = ? WHERE run_id = ?", (size, run_id))

    def forget_output(self, runs: Sequence[OldRun]) -> None:
        """Records that the output of these runs is deleted."""
        with self._db.transaction("forget_output"):
            for run in runs:
                self._db.run("UPDATE runs SET output_dir = NULL WHERE run_id = ?", (run.run_id,))

    def forget(self, runs: Sequence[OldRun]) -> tuple[int, int]:
        """Deletes these runs and their events, if still allowed. Returns how many runs and how many events.

        No slot of a job up to its newest deleted one will start again.
        """
        deleted, events = 0, 0
        with self._db.transaction("prune"):
            for run in runs:
                row = self._db.row(
                    f"SELECT r.job_id, r.scheduled_for FROM runs r WHERE r.run_id = ? AND {_DELETABLE}",  # noqa: S608
                    (run.run_id,),
                )
                if row is None:
                    continue
                if row["scheduled_for"] is not None:
                    self._db.run(
                        "UPDATE jobs SET pruned_through = max(coalesce(pruned_through, ''), ?) WHERE job_id = ?",
                        (row["scheduled_for"], row["job_id"]),
                    )
                self._db.run(
                    "DELETE FROM deliveries WHERE event_id IN (SELECT event_id FROM events WHERE run_id = ?)",
                    (run.run_id,),
                )
                events += self._db.run("DELETE FROM events WHERE run_id = ?", (run.run_id,))
                deleted += self._db.run("DELETE FROM runs WHERE run_id = ?", (run.run_id,))
        return deleted, events

    def count_events(self, runs: Sequence[OldRun]) -> int:
        """The number of events of these runs."""
        counts = (self._db.row("SELECT count(*) FROM events WHERE run_id = ?", (run.run_id,)) for run in runs)
        return sum(int(row[0]) for row in counts if row is not None)

    def forget_notices(self, before: str) -> int:
        """Deletes the scheduler's own events of before an instant (UTC text), unless they wait. Returns how many."""
        with self._db.transaction("prune"):
            old = f"SELECT event_id {_OLD_NOTICES}"
            self._db.run(f"DELETE FROM deliveries WHERE event_id IN ({old})", (SCHEDULER_ID, before))  # noqa: S608 - fixed text
            return self._db.run(f"DELETE FROM events WHERE event_id IN ({old})", (SCHEDULER_ID, before))  # noqa: S608

    def count_notices(self, before: str) -> int:
        """How many `forget_notices` would delete."""
        row = self._db.row(f"SELECT count(*) {_OLD_NOTICES}", (SCHEDULER_ID, before))
        return int(row[0]) if row is not None else 0

    def is_kept(self, job_id: str, ts: str) -> bool:
        """Whether a run of this job that ended at an instant (UTC text) would not have been deleted yet."""
        row = self._db.row(
            "SELECT min(started_at), (SELECT pruned_through FROM jobs WHERE job_id = ?) FROM"
            " (SELECT started_at FROM runs WHERE job_id = ? ORDER BY started_at LIMIT 2)",
            (job_id, job_id),
        )
        oldest, pruned_through = (row[0], row[1]) if row is not None else (None, None)
        if oldest is None:
            return pruned_through is None
        return ts > max(str(oldest), str(pruned_through or ""))

    def run_exists(self, run_id: str) -> bool:
        """Whether the ledger has this run."""
        return self._db.row("SELECT 1 FROM runs WHERE run_id = ?", (run_id,)) is not None


def _old(row: Row) -> OldRun:
    position = (row["finished_at"] or "", row["run_id"])
    return OldRun(row["run_id"], row["job_id"], row["output_dir"] is not None, row["output_bytes"], position)


class UnwrittenRows(RetentionRows):
    """The rows of a database that can't be written: what is deleted beside it is recorded by the next pruning."""

    def record_output_size(self, run_id: str, size: int) -> None:
        """Nothing."""

    def forget_output(self, runs: Sequence[OldRun]) -> None:
        """Nothing."""

    def forget(self, runs: Sequence[OldRun]) -> tuple[int, int]:  # noqa: ARG002
        """None: (0, 0)."""
        return 0, 0

    def forget_notices(self, before: str) -> int:  # noqa: ARG002
        """None: 0."""
        return 0
