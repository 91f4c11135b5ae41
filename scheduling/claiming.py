"""Prepares claims of due slots and of retries: reads and plans outside a transaction, and claims inside one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from channels import channels_of
from core.clock import Clock
from core.job import Job, JobState
from core.run import Refusal
from execution.retries import ceiling_sec
from schedules.calendar import Calendar
from scheduling.planner import plan
from store.claims import Claim, ClaimTerms, Owner

if TYPE_CHECKING:
    from store.bundle import Store

#: Makes a claim that was prepared outside a transaction; to be called inside one.
PreparedClaim = Callable[[], Claim]


class QueuedSlot(NamedTuple):
    """A due slot of a job, or the retry of the interrupted run `retry_of`. `since` (UTC text) sorts the queue."""

    since: str
    job_id: str
    retry_of: str = ""


@dataclass(frozen=True)
class ClaimSettings:
    """The settings for claims: the lease and the kill grace in seconds, and the most runs at a time."""

    lease_sec: int
    max_running: int
    kill_grace_sec: int


class Claiming:
    """Prepares claims. `gate` returns why a job may not start now, or None if it may."""

    def __init__(
        self,
        *,
        store: Store,
        calendar: Calendar,
        clock: Clock,
        owner: Owner,
        settings: ClaimSettings,
        gate: Callable[[JobState, datetime], Refusal | None],
    ) -> None:
        self._store = store
        self._calendar = calendar
        self._clock = clock
        self.owner = owner
        self.settings = settings
        self._gate = gate

    def slot(self, job_id: str, now: datetime, orphan_candidates: frozenset[str]) -> PreparedClaim | str:
        """Prepares the claim of the job's oldest due slot.

        Returns "left" if the slot must stay due for now, and "taken" if none is due any more. `orphan_candidates` are
        jobs with a running row whose owner is gone, but whose lease has not expired yet. Raises `ScheduleError`,
        `DefinitionUnreadable` and `DatabaseError`.
        """
        state = self._store.definitions.load(job_id)
        if state is None or not state.enabled or state.next_run_at is None or state.next_run_at > now:
            return "taken"
        running = self._store.runs.is_running(job_id)
        if running and (job_id in orphan_candidates or state.job.catch_up == "all"):
            return "left"
        # The daemon claims a slot a few milliseconds ahead; for the plan, the slot starts at its own time.
        starts_at = max(self._clock.now(), state.next_run_at)
        planned = plan(state, now, self._calendar, starts_at=starts_at)
        gate = None if running else self._gate(state, starts_at)
        terms = self.terms_of(state.job, starts_at)
        return lambda: self._store.claims.claim(
            state,
            planned,
            self.owner,
            terms,
            running=running,
            max_running=self.settings.max_running,
            channels=channels_of(state.job.notify_channel),
            gate=gate,
        )

    def retry(self, job_id: str, interrupted: str) -> PreparedClaim | str:
        """Prepares the claim of the retry of an interrupted run. Returns "left" while a gate is closed."""
        state = self._store.definitions.load(job_id)
        at = self._clock.now()
        if state is not None and self._gate(state, at) is not None:
            # It stays due until the gate opens, or until a newer run replaces it.
            return "left"
        terms = self.terms_of(state.job, at) if state is not None else ClaimTerms(at, at, 0)
        return lambda: self._store.claims.claim_retry(
            state, interrupted, self.owner, terms, max_running=self.settings.max_running
        )

    def terms_of(self, job: Job, at: datetime) -> ClaimTerms:
        """The end of the lease, and the deadline after which the owner counts as hung, of a run claimed at `at`."""
        ceiling = ceiling_sec(job, self.settings.kill_grace_sec)
        lease = timedelta(seconds=self.settings.lease_sec)
        deadline = self._clock.monotonic() + self.settings.lease_sec + ceiling
        return ClaimTerms(now=at, lease_until=at + lease, ceiling=deadline)

    def refusal(self, state: JobState, at: datetime) -> Refusal | None:
        """Why a gate does not let the job start at `at`; None if it may."""
        return self._gate(state, at)
