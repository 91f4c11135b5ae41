"""May this run start? Each gate is a file; the first that refuses decides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from core.job import JobState
from core.run import Refusal
from gates import budget

#: `(job_id, day)` → dollars that the job's runs have cost on that local day.
Spent = Callable[[str, str], float]
#: `(timezone, instant)` → the local day, like `2026-02-25`.
DayOf = Callable[[str, datetime], str]


def verdict(state: JobState, now: datetime, spent: Spent, day_of: DayOf) -> Refusal | None:
    """Why no run of this job may start now; None when nothing speaks against it."""
    if state.job.max_cost_usd_per_day is None:
        return None
    day = day_of(state.timezone, now)
    return budget.verdict(state.job, day, spent(state.job.job_id, day))
