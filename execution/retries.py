"""How often and how late a failed attempt is made again. A leaf."""

from __future__ import annotations

from core.job import Job
from core.kinds import AGENTS

#: No wait between attempts is longer. Source: docs/design.md "The life of a slot".
LONGEST_BACKOFF_SEC = 3_600
#: A provider that is overloaded is worth so many retries even in a job that has none.
OVERLOAD_RETRIES = 2


def backoff_sec(first: int, failed_attempts: int) -> int:
    """Seconds to wait after the n-th failed attempt: `first × 2^(n-1)`, at most an hour."""
    doublings = min(failed_attempts - 1, 12)
    return min(first << doublings, LONGEST_BACKOFF_SEC)


def ceiling_sec(job: Job, grace: int) -> int:
    """The longest that any run of a job can take: its attempts, their waits, and as long again for places."""
    job_timeout, backoff = job.timeout_sec, job.retry_backoff_sec
    may_be_agent = job.command is None and (job.runner is None or job.runner in AGENTS)
    retries = max(job.max_retries, OVERLOAD_RETRIES) if may_be_agent else job.max_retries
    waits = sum(backoff_sec(backoff, n) for n in range(1, retries + 1))
    return (retries + 1) * (job_timeout + 2 * grace + 60) + waits + retries * LONGEST_BACKOFF_SEC
