"""Which rows retention may delete, and deleting them. A deleted slot stays accounted for: `jobs.pruned_through`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from db import Database, Row


@dataclass(frozen=True)
class OldRun:
    """An ended run that may go; `has_output` when its folder was not deleted yet."""

    run_id: str
    job_id: str
    has_output: bool
    output_bytes: int | None


#: What may never go: running rows, what is still to be told or to be retried, and each job's newest row.
_MAY_GO = """
    r.status <> 'running' AND r.retry_due = 0
    AND NOT EXISTS (SELECT 1 FROM events e JOIN deliveries d USING (event_id)
                    WHERE e.run_id = r.run_id AND d.state = 'waiting')
    AND EXISTS (SELECT 1 FROM runs n WHERE n.job_id = r.job_id AND (n.started_at, n.run_id) > (r.started_at, r.run_id)
                AND (r.status IN ('skipped', 'missed') OR n.status NOT IN ('skipped', 'missed')))
"""


class RetentionRows:
    """Rows of `runs`, `events` and `deliveries` that have outlived their use."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def job_ids(self) -> list[str]:
        """All jobs that ever were."""
        return [row["job_id"] for row in self._db.rows("SELECT job_id FROM jobs ORDER BY job_id")]

    def beyond_count(self, job_id: str, keep: int, limit: int, now: str) -> list[OldRun]:
        """The oldest runs of a job that are not among its newest `keep` up to `now` (UTC text).

        Rows that a clock once wrong has dated into the future push out no real ones.
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
            f" AND {_MAY_GO} ORDER BY r.started_at, r.run_id LIMIT ?",
            (job_id, edge["started_at"], edge["run_id"], limit),
        )
        return [_old(row) for row in rows]

    def older_than(self, started_before: str, limit: int) -> list[OldRun]:
        """The oldest runs that started before an instant (UTC text)."""
        rows = self._db.rows(
            f"SELECT r.* FROM runs r WHERE r.started_at < ? AND {_MAY_GO} ORDER BY r.started_at, r.run_id LIMIT ?",  # noqa: S608
            (started_before, limit),
        )
        return [_old(row) for row in rows]

    def with_output(self, limit: int) -> list[OldRun]:
        """The oldest ended runs whose output is there."""
        rows = self._db.rows(
            "SELECT * FROM runs WHERE output_dir IS NOT NULL AND finished_at IS NOT NULL ORDER BY finished_at, run_id"
            " LIMIT ?",
            (limit,),
        )
        return [_old(row) for row in rows]

    def unmeasured(self, limit: int) -> list[OldRun]:
        """Ended runs whose output nobody has measured: their scheduler died."""
        rows = self._db.rows(
            "SELECT * FROM runs WHERE output_dir IS NOT NULL AND finished_at IS NOT NULL AND output_bytes IS NULL"
            " LIMIT ?",
            (limit,),
        )
        return [_old(row) for row in rows]

    def output_bytes(self) -> int:
        """The size of all output that is there, as it was at the runs' ends."""
        row = self._db.row(
            "SELECT coalesce(sum(output_bytes), 0) FROM runs WHERE output_dir IS NOT NULL AND finished_at IS NOT NULL"
        )
        return int(row[0]) if row is not None else 0

    def note_size(self, run_id: str, size: int) -> None:
        """Keeps the size of a run's output."""
        self._db.run("UPDATE runs SET output_bytes = ? WHERE run_id = ?", (size, run_id))

    def forget_output(self, runs: Sequence[OldRun]) -> None:
        """Notes that the output of these runs is gone."""
        with self._db.transaction("forget_output"):
            for run in runs:
                self._db.run("UPDATE runs SET output_dir = NULL WHERE run_id = ?", (run.run_id,))

    def forget(self, runs: Sequence[OldRun]) -> tuple[int, int]:
        """Deletes the rows of these runs and their events, as far as they still may go: how many runs, how many events.

        No slot up to the newest deleted one of its job ever starts again.
        """
        gone, events = 0, 0
        with self._db.transaction("prune"):
            for run in runs:
                row = self._db.row(
                    f"SELECT r.job_id, r.scheduled_for FROM runs r WHERE r.run_id = ? AND {_MAY_GO}",  # noqa: S608
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
                gone += self._db.run("DELETE FROM runs WHERE run_id = ?", (run.run_id,))
        return gone, events

    def count_events(self, runs: Sequence[OldRun]) -> int:
        """How many events these runs have."""
        found = (self._db.row("SELECT count(*) FROM events WHERE run_id = ?", (run.run_id,)) for run in runs)
        return sum(int(row[0]) for row in found if row is not None)

    def knows_run(self, run_id: str) -> bool:
        """Whether there is a row of this name."""
        return self._db.row("SELECT 1 FROM runs WHERE run_id = ?", (run_id,)) is not None


def _old(row: Row) -> OldRun:
    return OldRun(row["run_id"], row["job_id"], row["output_dir"] is not None, row["output_bytes"])
