"""From a slot that is due to its claim: what is to be asked of the store, prepared outside any transaction."""

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

#: Prepared outside a transaction, made in one.
Prepared = Callable[[], Claim]


class Waiting(NamedTuple):
    """A slot to be served, or an interrupted run to be made up for; `since` (UTC text) says which comes first."""

    since: str
    job_id: str
    retry_of: str = ""


@dataclass(frozen=True)
class Terms:
    """The settings that claims are made under."""

    lease_sec: int
    max_running: int
    kill_grace_sec: int


class Claiming:
    """Prepares claims. `gate` says why no run of a job may start now; None when nothing speaks against it."""

    def __init__(
        self,
        *,
        store: Store,
        calendar: Calendar,
        clock: Clock,
        owner: Owner,
        terms: Terms,
        gate: Callable[[JobState, datetime], Refusal | None],
    ) -> None:
        self._store = store
        self._calendar = calendar
        self._clock = clock
        self.owner = owner
        self.terms = terms
        self._gate = gate

    def slot(self, job_id: str, now: datetime, orphan_candidates: frozenset[str]) -> Prepared | str:
        """The claim of the job's oldest due slot, "left" when it has to stay due for now, "taken" when none is due.

        `suspects` are jobs whose owner is gone and whose lease is not over. Raises what can't be read or planned.
        """
        state = self._store.definitions.load(job_id)
        if state is None or not state.enabled or state.next_run_at is None or state.next_run_at > now:
            return "taken"
        running = self._store.runs.is_running(job_id)
        if running and (job_id in orphan_candidates or state.job.catch_up == "all"):
            return "left"
        # A daemon prepares a slot some milliseconds ahead: it is served at its instant.
        served_at = max(self._clock.now(), state.next_run_at)
        planned = plan(state, now, self._calendar, served_at=served_at)
        gate = None if running else self._gate(state, served_at)
        terms = self.terms_of(state.job, served_at)
        return lambda: self._store.claims.claim(
            state,
            planned,
            self.owner,
            terms,
            running=running,
            max_running=self.terms.max_running,
            channels=channels_of(state.job.notify_channel),
            gate=gate,
        )

    def retry(self, job_id: str, interrupted: str) -> Prepared | str:
        """The claim of the run that makes up for an interrupted one; "left" while a gate is closed."""
        state = self._store.definitions.load(job_id)
        at = self._clock.now()
        if state is not None and self._gate(state, at) is not None:
            # It stays due until the gate is open again, or a newer run takes its place.
            return "left"
        terms = self.terms_of(state.job, at) if state is not None else ClaimTerms(at, at, 0)
        return lambda: self._store.claims.claim_retry(
            state, interrupted, self.owner, terms, max_running=self.terms.max_running
        )

    def terms_of(self, job: Job, at: datetime) -> ClaimTerms:
        """Under which terms a run of the job is claimed at that instant."""
        ceiling = ceiling_sec(job, self.terms.kill_grace_sec)
        lease = timedelta(seconds=self.terms.lease_sec)
        deadline = self._clock.monotonic() + self.terms.lease_sec + ceiling
        return ClaimTerms(now=at, lease_until=at + lease, ceiling=deadline)

    def refused(self, state: JobState, at: datetime) -> Refusal | None:
        """Why no run of the job may start now."""
        return self._gate(state, at)
