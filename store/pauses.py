"""Pauses of jobs: a verdict counts failures in a row, enough of them pause the job, a success ends the pause."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from core import log
from core.clock import utc_text
from core.errors import DefinitionUnreadable, MachineExhausted, ScheduleError
from core.job import JobState
from core.json_objects import ErrorObject
from core.run import Missed, RunStatus, Verdict
from db import Database, Row
from store.definitions import job_state
from store.events import Events
from store.ledger import write_off

CODE = "JOB_PAUSED"
_FAILURES = (RunStatus.ERROR, RunStatus.INTERRUPTED)


class SlotCalendar(Protocol):
    """Computes the slots of a job. Both methods raise `ScheduleError`."""

    def following(self, state: JobState, now: datetime) -> datetime | None:
        """The job's first slot after `now`; None if there is none."""

    def due(self, state: JobState, now: datetime, reason: str) -> Missed | None:
        """The job's slots from its cursor up to `now`, which did not run for this reason; None if there are none."""


class Pauses:
    """Counters and pauses in `jobs`. All methods belong to the caller's transaction, which stores the verdict."""

    def __init__(self, db: Database, events: Events, slots: SlotCalendar | None) -> None:
        """Without `slots` a success ends no pause, as the next slot is unknown."""
        self._db = db
        self._events = events
        self._slots = slots

    def pause_if_needed(self, run_id: str, job_id: str, verdict: Verdict, channels: Sequence[str]) -> None:
        """After a failure: pauses the job if it has failed often enough in a row, and stores the event."""
        if _is_failure(verdict):
            self._pause_if_enough(run_id, job_id, verdict, channels)

    def release(self, job_id: str, verdict: Verdict) -> None:
        """Clears the job's lease. A failure is counted; a success resets the count and ends a pause."""
        kept, added = int(verdict.status is not RunStatus.OK), int(_is_failure(verdict))
        row = self._db.row(
            "UPDATE jobs SET lease_owner = NULL, lease_expires_at = NULL,"
            " consecutive_failures = consecutive_failures * ? + ? WHERE job_id = ? RETURNING paused_at",
            (kept, added, job_id),
        )
        if not kept and row is not None and row["paused_at"] is not None:
            self._end_pause(job_id, verdict.finished_at)

    def _end_pause(self, job_id: str, now: datetime) -> None:
        row = self._db.row("SELECT * FROM jobs WHERE job_id = ? AND paused_at IS NOT NULL", (job_id,))
        state = _readable(row)
        if row is None or state is None or self._slots is None:
            return
        is_enabled = state.job.enabled and row["removed_at"] is None
        cursor, problem = None, None
        try:
            cursor = self._slots.following(state, now) if is_enabled else None
        except ScheduleError as error:
            problem = json.dumps(error.as_dict(), ensure_ascii=False)
        self._db.run(
            "UPDATE jobs SET paused_at = NULL, enabled = ?, next_run_at = ?, problem_json = ? WHERE job_id = ?",
            (int(is_enabled), None if cursor is None else utc_text(cursor), problem, job_id),
        )

    def _pause_if_enough(self, run_id: str, job_id: str, verdict: Verdict, channels: Sequence[str]) -> None:
        row = self._db.row("SELECT * FROM jobs WHERE job_id = ? AND enabled = 1 AND removed_at IS NULL", (job_id,))
        state = _readable(row)
        limit = None if state is None else state.job.pause_after_failures
        if row is None or state is None or limit is None or row["consecutive_failures"] < limit:
            return
        now, failures = verdict.finished_at, int(row["consecutive_failures"])
        self._db.run(
            "UPDATE jobs SET enabled = 0, next_run_at = NULL, paused_at = ? WHERE job_id = ?", (utc_text(now), job_id)
        )
        unserved = self._unserved(state, now)
        if unserved is not None:
            write_off(self._db, state.job, unserved, now, status="skipped", code=CODE)
        error = _error(job_id, failures, limit, verdict)
        payload = {"job_id": job_id, "run_id": run_id, "attempts": 0, "error": error}
        self._events.add(run_id, job_id, utc_text(now), payload, channels)

    def _unserved(self, state: JobState, now: datetime) -> Missed | None:
        """The due slots that will not run because of the pause."""
        reason = "it was paused before it could run"
        try:
            if self._slots is not None:
                return self._slots.due(state, now, reason)
        except ScheduleError:
            # The stored schedule is no longer valid: only the slot in the cursor is known.
            pass
        cursor = state.next_run_at
        return None if cursor is None or cursor > now else Missed(1, cursor, cursor, reason, superseded=False)


def _is_failure(verdict: Verdict) -> bool:
    """Whether the job has failed. If the machine did not let it start, it has not."""
    return verdict.status in _FAILURES and (verdict.error or {}).get("code") != MachineExhausted.code


def why_paused(failures: int, limit: object) -> str:
    """The reason of a pause, to end a sentence with."""
    return f"its last {failures} runs failed, and pause_after_failures is {limit}"


def how_to_resume(job_id: str) -> str:
    """How to end a pause, as a sentence without its full stop."""
    commands = f"python3 main.py resume-job {job_id}, or python3 main.py run-now {job_id} --force if that succeeds"
    return f"Fix the cause, then run: {commands}. Changing its entry in .jobs.json also ends the pause"


def how_to_run_once(job_id: str) -> str:
    """How to run a job that is paused or disabled, as a sentence without its full stop."""
    return f"To run it once all the same: python3 main.py run-now {job_id} --force"


def _error(job_id: str, failures: int, limit: int, verdict: Verdict) -> ErrorObject:
    hint = how_to_resume(job_id)
    return {
        "code": CODE,
        "message": f"The job {job_id} is paused: {why_paused(failures, limit)}. {hint}",
        "details": {
            "consecutive_failures": failures,
            "pause_after_failures": limit,
            "paused_at": utc_text(verdict.finished_at),
            "last_error": (verdict.error or {}).get("code"),
            "hint": hint,
        },
    }


def _readable(row: Row | None) -> JobState | None:
    if row is None:
        return None
    with log.tolerated(DefinitionUnreadable, "The stored definition of the job can't be read", job=str(row["job_id"])):
        return job_state(row)
    return None
