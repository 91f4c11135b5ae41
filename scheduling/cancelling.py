"""What a person can do to a run from another process: cancel it, or release its job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypedDict

from core import crash_points
from core.clock import Clock, utc_text
from core.errors import JobNotFound, RunNotFound, RunNotRunning, UnlockRefused
from core.json_objects import ErrorObject
from core.run import RunStatus
from scheduling.reaper import ForcedEnd, Health, Reaper

#: Seconds between two checks whether a cancelled run has ended.
POLL_SEC = 0.1
#: Seconds that a run's own process gets, in addition to its kill grace, to write the verdict; then it counts as hung.
TIMEOUT_SEC = 10


class CancelReport(TypedDict):
    """What `cancel` prints. `ended_by` says which process wrote the verdict; `finished_at` is UTC text."""

    status: Literal["ok"]
    job_id: object
    run_id: str
    run_status: object
    ended_by: Literal["its scheduler", "cancel"]
    finished_at: object
    error: object


class EndedRun(TypedDict):
    """A run that `unlock` ended. `owner` is host:pid; `ended_meanwhile`: it had already ended by itself."""

    run_id: str
    owner: str
    owner_was: Literal["alive", "hangs", "gone"]
    ended_meanwhile: bool
    error: ErrorObject | None


class UnlockReport(TypedDict):
    """What `unlock` prints."""

    status: Literal["ok"]
    job_id: str
    was_locked: bool
    ended_runs: list[EndedRun]


class Ledger(Protocol):
    """What `Control` needs of the store."""

    def find(self, run_id: str) -> Mapping[str, object] | None: ...

    def running(self) -> Sequence[Any]: ...

    def request_cancel(self, run_id: str, by: str, now: str) -> bool: ...


class Jobs(Protocol):
    """What `Control` needs of the stored definitions."""

    def ever_existed(self, job_id: str) -> bool: ...

    def clear_lease(self, job_id: str) -> bool: ...


@dataclass(frozen=True)
class Control:
    """Cancels runs and releases jobs.

    `me` is host:pid of this process, `pause` waits for some seconds, and `notify` wakes the daemon if there is one.
    """

    ledger: Ledger
    jobs: Jobs
    reaper: Reaper
    clock: Clock
    pause: Callable[[float], object]
    me: str
    kill_grace_sec: int
    notify: Callable[[], object]

    def cancel(self, run_id: str) -> CancelReport:
        """Asks the run's own process to end it, and waits for that. Ends it here if that process is gone or hung.

        Raises `RunNotFound` and `RunNotRunning`.
        """
        self._require_running(run_id)
        self.ledger.request_cancel(run_id, self.me, utc_text(self.clock.now()))
        crash_points.point("cancel.requested")
        self.notify()
        deadline = self.clock.monotonic() + self.kill_grace_sec + TIMEOUT_SEC
        ended_by: Literal["its scheduler", "cancel"] = "its scheduler"
        while (run := self._running(run_id)) is not None:
            is_gone = self.reaper.health(run) in (Health.DEAD, Health.ORPHAN_CANDIDATE)
            if is_gone or self.clock.monotonic() >= deadline:
                owner = f"its scheduler {run.lease_owner} {'is gone' if is_gone else 'hangs'}"
                reason = f"cancelled by {self.me}; {owner}"
                self.reaper.end(run, ForcedEnd(RunStatus.CANCELLED, "CANCELLED", reason))
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

    def unlock(self, job_id: str, *, yes: bool) -> UnlockReport:
        """Releases a job: ends its running row and kills the processes that are left of the run.

        Raises `JobNotFound`; and `UnlockRefused` if the run's scheduler is alive, unless `yes`.
        """
        if not self.jobs.ever_existed(job_id):
            raise JobNotFound(f"There is no job {job_id}", hint="See: python3 main.py list", details={"job_id": job_id})
        ended_runs: list[EndedRun] = []
        for run in [run for run in self.ledger.running() if run.job_id == job_id]:
            health = self.reaper.health(run)
            if health is Health.ALIVE and not yes:
                raise _is_alive(run)
            reason = f"{job_id} was unlocked by {self.me}"
            settled = self.reaper.end(run, ForcedEnd(RunStatus.INTERRUPTED, "INTERRUPTED", reason))
            ended_runs.append(
                {
                    "run_id": run.run_id,
                    "owner": run.lease_owner,
                    "owner_was": _OWNER_STATES.get(health, "gone"),
                    "ended_meanwhile": settled is None,
                    "error": settled["error"] if settled is not None else None,
                }
            )
        # A lease without a running row: somebody changed the database by hand.
        cleared = self.jobs.clear_lease(job_id)
        # A permit is free, and slots of this job may be due.
        self.notify()
        return {"status": "ok", "job_id": job_id, "was_locked": bool(ended_runs) or cleared, "ended_runs": ended_runs}

    def _require_running(self, run_id: str) -> None:
        row = self.ledger.find(run_id)
        if row is None:
            raise RunNotFound(
                f"There is no run {run_id}",
                hint="The runs that are running: python3 main.py status",
                details={"run_id": run_id},
            )
        if row["status"] != RunStatus.RUNNING:
            raise RunNotRunning(
                f"The run {run_id} is not running: it ended as {row['status']} at {row['finished_at']}",
                hint="The runs that are running: python3 main.py status",
                details={"run_id": run_id, "run_status": row["status"]},
            )

    def _running(self, run_id: str) -> Any | None:
        return next((run for run in self.ledger.running() if run.run_id == run_id), None)


_OWNER_STATES: dict[Health, Literal["alive", "hangs", "gone"]] = {Health.ALIVE: "alive", Health.TOO_OLD: "hangs"}


def _is_alive(run: Any) -> UnlockRefused:
    return UnlockRefused(
        f"The run {run.run_id} of {run.job_id} is alive: {run.lease_owner} has been running it since {run.started_at}",
        hint=f"End it gently: python3 main.py cancel {run.run_id}. Kill it: python3 main.py unlock {run.job_id} --yes",
        details={
            "job_id": run.job_id,
            "run_id": run.run_id,
            "lease_owner": run.lease_owner,
            "lease_expires_at": run.lease_expires_at,
            "attempt": run.attempt,
            "child_pid": run.child.pid if run.child else None,
        },
    )
