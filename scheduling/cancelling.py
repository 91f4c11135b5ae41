"""What a person does to a run from another process: cancel it, or free the job that it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core import crash_points
from core.clock import Clock, utc_text
from core.errors import JobNotFound, RunNotFound, RunNotRunning, UnlockRefused
from core.run import RunStatus
from scheduling.reaper import End, Health, Reaper

#: How often the end of a cancelled run is looked for.
POLL_SEC = 0.1
#: What a run's own process gets beyond its kill grace to write the verdict; then it counts as hanging.
TIMEOUT_SEC = 10


class Ledger(Protocol):
    """What control asks of the store."""

    def find(self, run_id: str) -> Mapping[str, object] | None: ...

    def running(self) -> Sequence[Any]: ...

    def request_cancel(self, run_id: str, by: str, now: str) -> bool: ...


class Jobs(Protocol):
    """What control asks of the stored definitions."""

    def ever_existed(self, job_id: str) -> bool: ...

    def clear_lease(self, job_id: str) -> bool: ...


@dataclass(frozen=True)
class Control:
    """`me` is host:pid of this process; `pause` waits some seconds; `ring` wakes the daemon, if there is one."""

    ledger: Ledger
    jobs: Jobs
    reaper: Reaper
    clock: Clock
    pause: Callable[[float], object]
    me: str
    kill_grace_sec: int
    notify: Callable[[], object]

    def cancel(self, run_id: str) -> dict[str, object]:
        """Asks the run's own process to end it, and waits; ends it here when that process is gone or hangs.

        Raises `RunNotFound` and `RunNotRunning`.
        """
        self._must_run(run_id)
        self.ledger.request_cancel(run_id, self.me, utc_text(self.clock.now()))
        crash_points.point("cancel.requested")
        self.notify()
        deadline = self.clock.monotonic() + self.kill_grace_sec + TIMEOUT_SEC
        ended_by = "its scheduler"
        while (run := self._running(run_id)) is not None:
            state = self.reaper.health(run)
            gone = state in (Health.DEAD, Health.ORPHAN_CANDIDATE)
            if gone or self.clock.monotonic() >= deadline:
                why = f"cancelled by {self.me}; its scheduler {run.lease_owner} {'is gone' if gone else 'hangs'}"
                self.reaper.end(run, End(RunStatus.CANCELLED, "CANCELLED", why))
                ended_by = "cancel"
                break
            self.pause(POLL_SEC)
        row = self.ledger.find(run_id) or {}
        return {
            "status": "ok",
            "job_id": row.get("job_id"),
            "run_id": run_id,
            "run_status": row.get("status"),
            "ended_by": ended_by,
            "finished_at": row.get("finished_at"),
            "error": row.get("error"),
        }

    def unlock(self, job_id: str, *, yes: bool) -> dict[str, object]:
        """Frees a job: ends its running row and whatever lives of it. Says what it did.

        A run whose scheduler lives is ended only with `yes`, else raises `UnlockRefused`; also raises `JobNotFound`.
        """
        if not self.jobs.ever_existed(job_id):
            raise JobNotFound(f"There is no job {job_id}", hint="See: python3 main.py list", details={"job_id": job_id})
        did: list[dict[str, object]] = []
        for run in [run for run in self.ledger.running() if run.job_id == job_id]:
            state = self.reaper.health(run)
            owner = {Health.ALIVE: "alive", Health.TOO_OLD: "hangs"}.get(state, "gone")
            if state is Health.ALIVE and not yes:
                raise _alive(run)
            end = End(RunStatus.INTERRUPTED, "INTERRUPTED", f"{job_id} was unlocked by {self.me}")
            told = self.reaper.end(run, end)
            error = told["error"] if told is not None else None
            ended = {"run_id": run.run_id, "owner": run.lease_owner, "owner_was": owner}
            did.append({**ended, "ended_meanwhile": told is None, "error": error})
        # A lease without a run: left by a hand that changed the rows.
        cleared = self.jobs.clear_lease(job_id)
        # A place is free, and what it kept from running may be due.
        self.notify()
        return {"status": "ok", "job_id": job_id, "was_locked": bool(did) or cleared, "ended_runs": did}

    def _must_run(self, run_id: str) -> None:
        row = self.ledger.find(run_id)
        if row is None:
            raise RunNotFound(
                f"There is no run {run_id}", hint="What runs now: python3 main.py status", details={"run_id": run_id}
            )
        if row["status"] != RunStatus.RUNNING:
            raise RunNotRunning(
                f"The run {run_id} is not running: it reads {row['status']} since {row['finished_at']}",
                hint="What runs now: python3 main.py status",
                details={"run_id": run_id, "run_status": row["status"]},
            )

    def _running(self, run_id: str) -> Any | None:
        return next((run for run in self.ledger.running() if run.run_id == run_id), None)


def _alive(run: Any) -> UnlockRefused:
    return UnlockRefused(
        f"The run {run.run_id} of {run.job_id} lives: {run.lease_owner} runs it since {run.started_at}",
        hint=f"Gently: python3 main.py cancel {run.run_id}. At once: python3 main.py unlock {run.job_id} --yes",
        details={
            "job_id": run.job_id,
            "run_id": run.run_id,
            "lease_owner": run.lease_owner,
            "lease_expires_at": run.lease_expires_at,
            "attempt": run.attempt,
            "child_pid": run.child.pid if run.child else None,
        },
    )
