"""How often a failed attempt is retried, and after how long."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from core.clock import from_text, utc_text
from core.job import Job
from core.kinds import AGENTS

#: The longest wait between two attempts, in seconds. Source: docs/design.md "The life of a slot".
LONGEST_BACKOFF_SEC = 3_600
#: Retries after an overloaded provider, even if the job has none.
OVERLOAD_RETRIES = 2
#: A quota that was renewed this many seconds ago, at most, is taken for renewed.
RENEWED_SEC = 60


def backoff_sec(first: int, failed_attempts: int) -> int:
    """Seconds to wait after the n-th failed attempt: `first × 2^(n-1)`, an hour at most."""
    doublings = min(failed_attempts - 1, 12)
    return min(first << doublings, LONGEST_BACKOFF_SEC)


def quota_blocks(details: Mapping[str, object], now: datetime, wait_sec: float) -> str | None:
    """Why a retry in `wait_sec` seconds would meet the same used-up quota; None if the quota is renewed by then.

    `details` are those of AGENT_QUOTA. A renewal that should have been long ago is none that the provider knows of.
    """
    told = details.get("resets_at")
    if not isinstance(told, str):
        return "nobody said when the quota is renewed"
    left = (from_text(told) - now).total_seconds()
    if left < -RENEWED_SEC:
        return f"the quota should have been renewed at {told}, so nobody knows when it is"
    if left <= wait_sec:
        return None
    return f"the quota is renewed at {told}, and the retry would start at {utc_text(now + timedelta(seconds=wait_sec))}"


def ceiling_sec(job: Job, grace: int) -> int:
    """Most seconds that a run of the job can take: its attempts, their kill grace, the backoffs, waits for permits."""
    job_timeout, backoff = job.timeout_sec, job.retry_backoff_sec
    may_be_agent = job.command is None and (job.runner is None or job.runner in AGENTS)
    retries = max(job.max_retries, OVERLOAD_RETRIES) if may_be_agent else job.max_retries
    waits = sum(backoff_sec(backoff, n) for n in range(1, retries + 1))
    return (retries + 1) * (job_timeout + 2 * grace + 60) + waits + retries * LONGEST_BACKOFF_SEC
