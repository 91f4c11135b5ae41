"""What the scheduler does between runs: pruning after runs have ended, and warnings about paused jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypedDict

from core.clock import from_text, utc_text
from store.pauses import how_to_resume

if TYPE_CHECKING:
    from maintenance.retention import Pruned, Retention
    from store.bundle import Store

#: Key of the state row with the last pruning by age and size (UTC text), and how often that is done.
PRUNED_AT = "pruned_at"
PRUNE_EVERY = timedelta(hours=1)
#: Key of the state row with the last forward jump of the clock (UTC text), and the shortest jump that counts.
JUMPED_AT = "jumped_at"
JUMP = timedelta(days=1)


class PausedJob(TypedDict):
    """The warning that a job is paused."""

    code: str
    job_id: str
    message: str
    hint: str


class Upkeep:
    """Prunes one store and reports its paused jobs."""

    def __init__(self, store: Store, retention: Callable[[], Retention], now: Callable[[], datetime]) -> None:
        self._store = store
        self._retention = retention
        self._now = now

    def note_jump(self, last_seen: datetime | None, now: datetime) -> None:
        """Records a forward jump of the clock: the machine was off for more than `JUMP`, or its clock is wrong."""
        if last_seen is not None and now - last_seen > JUMP:
            self._store.state.set(JUMPED_AT, utc_text(now))

    def prune(self, ended: Iterable[str]) -> Pruned:
        """Prunes the runs of the jobs in `ended`, a bounded number; once an hour also by age and size."""
        now, jobs = self._now(), sorted(set(ended))
        retention, state = self._retention(), self._store.state
        last, jumped = state.get(PRUNED_AT), state.get(JUMPED_AT)
        # With a clock wrongly in the future everything looks old. Nothing is deleted by age for a day after a jump, so
        # that somebody can correct the clock first.
        if jumped and jumped <= utc_text(now) < utc_text(from_text(jumped) + JUMP):
            return retention.after_runs([])
        pruned = retention.after_runs(jobs)
        if jobs and not (last and utc_text(now - PRUNE_EVERY) < last <= utc_text(now)):
            state.set(PRUNED_AT, utc_text(now))
            pruned = retention.hourly()
        return pruned

    def paused(self, ended: Sequence[Mapping[str, object]]) -> list[PausedJob]:
        """A warning for each job that is paused after one of these ended runs."""
        job_ids = {str(row["job_id"]) for row in ended if row.get("status") != "ok"}
        return [
            {
                "code": "JOB_PAUSED",
                "job_id": job_id,
                "message": f"The job {job_id} was paused at {paused_at}, because it failed too often",
                "hint": how_to_resume(job_id),
            }
            for job_id, paused_at in self._store.definitions.paused(job_ids)
        ]
