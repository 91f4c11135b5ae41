"""What is done now and then beside serving: cleaning behind the runs, and telling which jobs are paused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from core.clock import from_text, utc_text
from store.pauses import how_to_resume

if TYPE_CHECKING:
    from maintenance.retention import Pruned, Retention
    from store.bundle import Store

#: State row that holds when it was last cleaned by age and room, and how often that is done.
PRUNED_AT = "pruned_at"
PRUNE_EVERY = timedelta(hours=1)
#: State row that holds when the clock last jumped ahead: the machine was off, or its clock is wrong.
JUMPED_AT = "jumped_at"
JUMP = timedelta(days=1)


class Upkeep:
    """Looks after one store."""

    def __init__(self, store: Store, retention: Callable[[], Retention], now: Callable[[], datetime]) -> None:
        self._store = store
        self._retention = retention
        self._now = now

    def note_jump(self, last_seen: datetime | None, now: datetime) -> None:
        """Keeps when it was so long that nobody looked."""
        if last_seen is not None and now - last_seen > JUMP:
            self._store.state.set(JUMPED_AT, utc_text(now))

    def prune(self, ended: Iterable[str]) -> Pruned:
        """Cleans behind the jobs whose runs ended, bounded; now and then also by age and room."""
        now, jobs = self._now(), sorted(set(ended))
        retention, state = self._retention(), self._store.state
        last, jumped = state.get(PRUNED_AT), state.get(JUMPED_AT)
        # A clock that is wrong in the future makes everything old, and its slots accounted for: a day is left to set
        # it right.
        if jumped and jumped <= utc_text(now) < utc_text(from_text(jumped) + JUMP):
            return retention.after_runs([])
        pruned = retention.after_runs(jobs)
        if jobs and not (last and utc_text(now - PRUNE_EVERY) < last <= utc_text(now)):
            state.set(PRUNED_AT, utc_text(now))
            pruned = retention.hourly()
        return pruned

    def paused(self, ended: Sequence[dict[str, Any]]) -> list[dict[str, object]]:
        """A warning for each job that one of these runs has paused, or left so."""
        names = {str(row["job_id"]) for row in ended if row.get("status") != "ok"}
        return [
            {
                "code": "JOB_PAUSED",
                "job_id": job_id,
                "message": f"The job {job_id} is paused since {paused_at}: it failed too often",
                "hint": how_to_resume(job_id),
            }
            for job_id, paused_at in self._store.definitions.paused(names)
        ]
