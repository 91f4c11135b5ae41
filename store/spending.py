"""Usage of agents, by job and by day in the job's zone."""

from __future__ import annotations

from typing import TypedDict, cast

from core.invocation import Usage
from db import Database


class DailySpending(TypedDict):
    """The usage of a job on one day (`2026-02-25`, in its zone), as `status` prints it."""

    job_id: str
    day: str
    runs: int
    cost_usd: float
    turns: int
    input_tokens: int
    output_tokens: int


class Spending:
    """Rows of `spending`. They are kept when the runs are deleted."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def spent(self, job_id: str, day: str) -> float:
        """US dollars that the job's runs have cost on this day."""
        row = self._db.row("SELECT cost_usd FROM spending WHERE job_id = ? AND day = ?", (job_id, day))
        return 0.0 if row is None else float(row[0])

    def since(self, day: str) -> list[DailySpending]:
        """The usage of each job on each day since `day`, the newest day first."""
        rows = self._db.rows(
            "SELECT job_id, day, runs, cost_usd, turns, input_tokens, output_tokens FROM spending"
            " WHERE day >= ? AND runs > 0 ORDER BY day DESC, job_id",
            (day,),
        )
        return [cast("DailySpending", {**dict(row), "cost_usd": round(row["cost_usd"], 6)}) for row in rows]


def add(db: Database, run_id: str, job_id: str, day: str, usage: Usage) -> None:
    """Adds usage to the run and to the job's day. Belongs to the caller's transaction."""
    used = (usage.cost_usd, usage.turns, usage.input_tokens, usage.output_tokens)
    row = db.row("SELECT cost_usd FROM runs WHERE run_id = ?", (run_id,))
    is_first_call = row is not None and row[0] is None
    # A count that is not known changes nothing, and is not stored as 0.
    db.run(
        "UPDATE runs SET cost_usd = coalesce(cost_usd, 0) + ?, turns = coalesce(turns, 0) + ?,"
        " input_tokens = coalesce(input_tokens + ?, input_tokens, ?),"
        " output_tokens = coalesce(output_tokens + ?, output_tokens, ?) WHERE run_id = ?",
        (*used[:2], *used[2:3] * 2, *used[3:] * 2, run_id),
    )
    db.run(
        "INSERT INTO spending (job_id, day, runs, cost_usd, turns, input_tokens, output_tokens)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id, day) DO UPDATE SET runs = runs + excluded.runs,"
        " cost_usd = cost_usd + excluded.cost_usd, turns = turns + excluded.turns,"
        " input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens",
        (job_id, day, int(is_first_call), *(number or 0 for number in used)),
    )
