"""The gate of money: what a job's runs of a day may cost. Source: the job's field `max_cost_usd_per_day`."""

from __future__ import annotations

from datetime import datetime

from core.job import Job, JobState
from core.run import Refusal
from gates.base import Facts, Gate

FIELD = "max_cost_usd_per_day"


class BudgetGate(Gate):
    """Closed when the day's ceiling is reached. What a call costs is known when it ends."""

    code = "COST_LIMIT"
    fields = (FIELD,)
    meaning = f"the job's runs of that day have cost `{FIELD}`. Reported once a day"
    fix = "it continues on the next day in the job's zone"

    def verdict(self, state: JobState, now: datetime, facts: Facts) -> Refusal | None:
        limit, day = state.job.max_cost_usd_per_day, facts.day_of(state.timezone, now)
        spent = _used_up(state.job, day, facts)
        if limit is None or spent is None:
            return None
        reason = f"its runs of {day} have cost {_usd(spent)} of {_usd(limit)} dollars ({FIELD})"
        return Refusal(self.code, reason, day, {"day": day, "cost_usd": round(spent, 6), FIELD: limit})

    def limit_reached(self, job: Job, timezone: str, now: datetime, facts: Facts) -> str:
        return FIELD if _used_up(job, facts.day_of(timezone, now), facts) is not None else ""


def _used_up(job: Job, day: str, facts: Facts) -> float | None:
    """The dollars of the day when they are all that it may cost; else None."""
    limit = job.max_cost_usd_per_day
    if limit is None:
        return None
    spent = facts.spent(job.job_id, day)
    return spent if spent >= limit else None


def _usd(amount: float) -> str:
    """Cents, and more digits where there are none."""
    return f"{amount:.2f}" if amount >= 0.01 or amount == 0 else f"{amount:.2g}"


KIND = BudgetGate()
