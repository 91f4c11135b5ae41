"""The gate of money: what a job's runs of a day may cost. Source: the job's field `max_cost_usd_per_day`."""

from __future__ import annotations

from core.job import Job
from core.run import Refusal

CODE = "COST_LIMIT"


def verdict(job: Job, day: str, spent_usd: float) -> Refusal | None:
    """The refusal when the day's ceiling is reached. What a run that is under way costs is known at its calls' ends."""
    limit = job.max_cost_usd_per_day
    if limit is None or spent_usd < limit:
        return None
    reason = f"its runs of {day} have cost {_usd(spent_usd)} of {_usd(limit)} dollars (max_cost_usd_per_day)"
    return Refusal(CODE, reason, day, {"day": day, "cost_usd": round(spent_usd, 6), "max_cost_usd_per_day": limit})


def _usd(amount: float) -> str:
    """Cents, and more digits where there are none."""
    return f"{amount:.2f}" if amount >= 0.01 or amount == 0 else f"{amount:.2g}"
