"""Names by their beginning, for the completion of a command line."""

from __future__ import annotations

from db import Database

#: More than that nobody reads.
MOST = 200
#: Behind every character that a name can have.
_LAST = "\x7f"


class Names:
    """Reads through indexes only: a key that is pressed waits for the answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def jobs(self, beginning: str) -> list[str]:
        """Jobs of .jobs.json."""
        rows = self._db.rows(
            "SELECT job_id FROM jobs WHERE job_id >= ? AND job_id < ? AND removed_at IS NULL ORDER BY job_id LIMIT ?",
            (beginning, beginning + _LAST, MOST),
        )
        return [str(row[0]) for row in rows]

    def runs(self, beginning: str, *, running: bool = False) -> list[str]:
        """Runs, the newest first; with `running` only those that go on."""
        text = (
            "SELECT run_id FROM runs WHERE status = 'running' ORDER BY started_at DESC LIMIT 1000"
            if running
            else "SELECT run_id FROM runs ORDER BY started_at DESC, run_id DESC LIMIT 1000"
        )
        found = [str(row[0]) for row in self._db.rows(text)]
        return [name for name in found if name.startswith(beginning)][:MOST]
