"""Names of jobs and runs by prefix, for the completion of a command line."""

from __future__ import annotations

from db import Database

#: The most names that are returned.
MOST = 200
#: Sorts after every character of a name.
_LAST = "\x7f"


class Names:
    """Queries that only use indexes, because a person waits for the answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def jobs(self, prefix: str, *, most: int = MOST) -> list[str]:
        """The jobs in .jobs.json, by name."""
        rows = self._db.rows(
            "SELECT job_id FROM jobs WHERE job_id >= ? AND job_id < ? AND removed_at IS NULL ORDER BY job_id LIMIT ?",
            (prefix, prefix + _LAST, most),
        )
        return [str(row[0]) for row in rows]

    def last_run(self, job_id: str) -> str:
        """The newest run of a job; "" if there is none."""
        row = self._db.row("SELECT run_id FROM runs WHERE job_id = ? ORDER BY started_at DESC LIMIT 1", (job_id,))
        return "" if row is None else str(row[0])

    def runs(self, prefix: str, *, running: bool = False, most: int = MOST) -> list[str]:
        """Runs, the newest first; with `running` only those that are running."""
        query = (
            "SELECT run_id FROM runs WHERE status = 'running' ORDER BY started_at DESC LIMIT 1000"
            if running
            else "SELECT run_id FROM runs ORDER BY started_at DESC, run_id DESC LIMIT 1000"
        )
        run_ids = [str(row[0]) for row in self._db.rows(query)]
        return [run_id for run_id in run_ids if run_id.startswith(prefix)][:most]
