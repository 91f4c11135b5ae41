"""What agents have used, by job and day of the job's zone."""

from __future__ import annotations

from core.invocation import Usage
from db import Database


class Spending:
    """Rows of `spending`; they outlive the rows of the runs."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def spent(self, job_id: str, day: str) -> float:
        """Dollars that the job's runs have cost on that day."""
        row = self._db.row("SELECT cost_usd FROM spending WHERE job_id = ? AND day = ?", (job_id, day))
        return 0.0 if row is None else float(row[0])

    def since(self, day: str) -> list[dict[str, object]]:
        """What each job has used on each day from `day` on, newest first."""
        rows = self._db.rows(
            "SELECT job_id, day, runs, cost_usd, turns, input_tokens, output_tokens FROM spending"
            " WHERE day >= ? AND runs > 0 ORDER BY day DESC, job_id",
            (day,),
        )
        return [{**dict(row), "cost_usd": round(row["cost_usd"], 6)} for row in rows]


def add(db: Database, run_id: str, job_id: str, day: str, usage: Usage) -> None:
    """Adds to the run's row and to the job's day. Belongs to the caller's transaction."""
    used = (usage.cost_usd, usage.turns, usage.input_tokens, usage.output_tokens)
    known = db.row("SELECT cost_usd FROM runs WHERE run_id = ?", (run_id,))
    first = known is not None and known[0] is None
    db.run(
        "UPDATE runs SET cost_usd = coalesce(cost_usd, 0) + ?, turns = coalesce(turns, 0) + ?,"
        " input_tokens = coalesce(input_tokens, 0) + ?, output_tokens = coalesce(output_tokens, 0) + ?"
        " WHERE run_id = ?",
        (*used, run_id),
    )
    db.run(
        "INSERT INTO spending (job_id, day, runs, cost_usd, turns, input_tokens, output_tokens)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id, day) DO UPDATE SET runs = runs + excluded.runs,"
        " cost_usd = cost_usd + excluded.cost_usd, turns = turns + excluded.turns,"
        " input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens",
        (job_id, day, int(first), *used),
    )
