"""What a job's last run keeps for the next: the agent's session, and a summary."""

from __future__ import annotations

from core.invocation import AgentSession, Usage
from db import Database, Row


class Sessions:
    """Rows of `sessions`, one per job."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def find(self, job_id: str) -> AgentSession | None:
        """The job's session, or None."""
        row = self._db.row("SELECT * FROM sessions WHERE job_id = ?", (job_id,))
        return None if row is None else _session(row)

    def all(self) -> list[AgentSession]:
        """The sessions of all jobs, by name."""
        return [_session(row) for row in self._db.rows("SELECT * FROM sessions ORDER BY job_id")]

    def reset(self, job_id: str) -> bool:
        """Deletes the job's session, so that the next run starts a new one. False if there was none."""
        return self._db.run("DELETE FROM sessions WHERE job_id = ?", (job_id,)) == 1


def remember(db: Database, session: AgentSession) -> None:
    """Stores a session, and replaces the job's previous one. Belongs to the caller's transaction."""
    db.run(
        "INSERT OR REPLACE INTO sessions"
        " (job_id, runner, session_id, summary, run_id, updated_at, input_tokens, output_tokens, cost_usd)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            session.job_id,
            session.runner,
            session.session_id,
            session.summary,
            session.run_id,
            session.updated_at,
            session.usage.input_tokens or 0,
            session.usage.output_tokens or 0,
            session.usage.cost_usd,
        ),
    )


def _session(row: Row) -> AgentSession:
    return AgentSession(
        job_id=row["job_id"],
        runner=row["runner"],
        session_id=row["session_id"],
        summary=row["summary"],
        run_id=row["run_id"],
        updated_at=row["updated_at"],
        usage=Usage(row["cost_usd"], 0, row["input_tokens"], row["output_tokens"]),
    )
