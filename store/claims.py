"""Claims a slot, a manual run or a retry, each in one transaction."""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.clock import from_text, utc_text
from core.errors import JobDisabled, JobLocked, LeaseLost
from core.job import JobState
from core.run import ClaimedRun, Missed, Plan, ProcessId, Refusal, Trigger
from db import Database, Row
from store.definitions import STATE_COLUMNS, Definitions, Pause, job_state, no_such_job, text_or_null
from store.events import Events
from store.ledger import WrittenOff, free_run_id, is_pruned, write_off
from store.pauses import how_to_resume, how_to_run_once
from store.runs import PERMITS

#: The state of a job that a claim depends on, in one statement.
_JOB_QUERY = (
    f"SELECT {', '.join(STATE_COLUMNS)},"  # noqa: S608 - fixed names
    " EXISTS (SELECT 1 FROM runs WHERE runs.job_id = jobs.job_id AND status = 'running') AS is_running,"
    f" {PERMITS} AS permits"
    " FROM jobs WHERE job_id = ? AND removed_at IS NULL"
)


class ClaimOutcome(enum.Enum):
    """The outcome of an attempt to claim."""

    CLAIMED = "claimed"
    WRITTEN_OFF = "written_off"  # missed or skipped: the slot is recorded, and nothing runs
    NO_PERMIT = "no_permit"  # PURUTO_CRON_MAX_RUNNING runs are running
    CHANGED = "changed"  # another process took the slot, or the job has changed since the plan was made
    RUNNING = "running"  # a run of the job has started or ended since the plan was made


@dataclass(frozen=True)
class Claim:
    """The outcome, the run if one was claimed, and the slots written off in the same transaction."""

    outcome: ClaimOutcome
    run: ClaimedRun | None = None
    written_off: tuple[WrittenOff, ...] = ()


@dataclass(frozen=True)
class Owner:
    """The process that claims. `name` is the contract's `lease_owner` (host:pid)."""

    name: str
    process: ProcessId


@dataclass(frozen=True)
class ClaimTerms:
    """The instant of a claim, the end of its lease, and the ceiling of the run.

    `ceiling` is the monotonic deadline, in seconds, after which the owner counts as hung. A clock that is set does not
    change it.
    """

    now: datetime
    lease_until: datetime
    ceiling: float


class Claims:
    """Claims of runs. The UNIQUE key (job_id, scheduled_for, target) prevents a second start of a slot."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._events = Events(db)

    def claim(
        self,
        state: JobState,
        plan: Plan,
        owner: Owner,
        terms: ClaimTerms,
        *,
        running: bool,
        max_running: int,
        channels: Sequence[str],
        gate: Refusal | None = None,
    ) -> Claim:
        """Claims `plan.slot` if the job has not changed since the plan was made.

        If the job is `running`, the slot is skipped as an overlap. If a `gate` is closed, it is skipped for that
        reason, which is reported once a day. One transaction writes the run's row, the row of missed slots, and the
        cursor.
        """
        with self._db.transaction("claim"):
            starts = plan.slot is not None and not running and gate is None
            obstacle = self._obstacle(state, running, max_running, starts=starts)
            if obstacle is not None:
                return Claim(obstacle)
            written_off, run = [], None
            if plan.slot is not None and running:
                written_off.append(self._skip(state, plan.slot, terms.now))
            elif plan.slot is not None and gate is not None:
                written_off.append(self._refuse(state, plan.slot, gate, terms.now, channels))
            elif plan.slot is not None:
                run = self._insert(state, plan.slot, plan, owner, terms)
            if plan.missed is not None:
                written_off.append(self._miss(state, plan.missed, terms.now, channels))
            if run is not None:
                self._advance_and_lease(run, plan, owner, terms)
            else:
                self._advance(state, plan)
        rows = tuple(row for row in written_off if row is not None)
        return Claim(ClaimOutcome.CLAIMED if run else ClaimOutcome.WRITTEN_OFF, run, rows)

    def claim_retry(
        self, state: JobState | None, interrupted: str, owner: Owner, terms: ClaimTerms, *, max_running: int
    ) -> Claim:
        """Claims the retry of an interrupted run, once.

        The retry is dropped (`WRITTEN_OFF`) if the job was removed or disabled, has run since, or has a newer slot due,
        which runs instead.
        """
        with self._db.transaction("retry_claim"):
            row = self._db.row("SELECT * FROM runs WHERE run_id = ? AND retry_due = 1", (interrupted,))
            if row is None:
                return Claim(ClaimOutcome.CHANGED)
            if state is None or not state.enabled or self._is_outdated(state, row, terms.now):
                self._db.run("UPDATE runs SET retry_due = 0 WHERE run_id = ?", (interrupted,))
                return Claim(ClaimOutcome.WRITTEN_OFF)
            if (obstacle := self._obstacle(state, False, max_running, starts=True)) is not None:
                return Claim(obstacle)
            self._db.run("UPDATE runs SET retry_due = 0 WHERE run_id = ?", (interrupted,))
            slot = row["scheduled_for"]
            run = self._insert(state, from_text(slot) if slot else None, None, owner, terms, retry_of=interrupted)
            if run is not None:
                self._mirror_lease(run, owner, terms)
        return Claim(ClaimOutcome.CLAIMED, run)

    def _is_outdated(self, state: JobState, interrupted: Row, now: datetime) -> bool:
        if state.next_run_at is not None and state.next_run_at <= now:
            return True
        since = (state.job.job_id, interrupted["started_at"], interrupted["run_id"])
        newer = (
            "SELECT 1 FROM runs WHERE job_id = ? AND (started_at, run_id) > (?, ?)"
            " AND status NOT IN ('skipped', 'missed')"
        )
        return self._db.row(newer, since) is not None

    def claim_manual(self, job_id: str, owner: Owner, terms: ClaimTerms, *, force: bool) -> ClaimedRun:
        """Claims a manual run. Raises `JobNotFound`, `JobDisabled` (unless `force`) or `JobLocked`."""
        with self._db.transaction("manual_claim"):
            row = self._db.row("SELECT * FROM jobs WHERE job_id = ? AND removed_at IS NULL", (job_id,))
            if row is None:
                raise no_such_job(job_id)
            state = job_state(row)
            pause = Definitions(self._db).pause(job_id, terms.now)
            if not force and (pause is not None or not state.enabled):
                raise _off(job_id, row, pause)
            self._refuse_if_running(job_id)
            run = self._insert(state, None, None, owner, terms)
            if run is None:
                raise JobLocked(f"The job {job_id} is already running", details={"job_id": job_id})
            self._mirror_lease(run, owner, terms)
        return run

    def give_back(self, run: ClaimedRun) -> None:
        """Undoes the claim of a run of which nothing was started: its slot, or its retry, is due again.

        Slots that were written off with it stay so. Raises `LeaseLost`.
        """
        job_id, slot = run.job.job_id, None if run.scheduled_for is None else utc_text(run.scheduled_for)
        with self._db.transaction("claim"):
            deleted = self._db.run(
                "DELETE FROM runs WHERE run_id = ? AND lease_token = ? AND status = 'running'", (run.run_id, run.token)
            )
            if deleted != 1:
                raise LeaseLost(f"The run {run.run_id} of job {job_id} was settled by another process")
            self._db.run(
                "UPDATE jobs SET lease_owner = NULL, lease_expires_at = NULL, last_run_at = (SELECT max(started_at)"
                " FROM runs WHERE runs.job_id = jobs.job_id AND status NOT IN ('skipped', 'missed')) WHERE job_id = ?",
                (job_id,),
            )
            if run.retry_of:
                self._db.run("UPDATE runs SET retry_due = 1 WHERE run_id = ?", (run.retry_of,))
            elif slot is not None:
                self._db.run(
                    "UPDATE jobs SET next_run_at = ? WHERE job_id = ? AND enabled = 1 AND removed_at IS NULL"
                    " AND (next_run_at IS NULL OR next_run_at > ?)",
                    (slot, job_id, slot),
                )

    def _refuse_if_running(self, job_id: str) -> None:
        running = self._db.row(
            "SELECT run_id, lease_owner, lease_expires_at FROM runs WHERE job_id = ? AND status = 'running'", (job_id,)
        )
        if running is not None:
            raise JobLocked(
                f"The job {job_id} is already running as {running['run_id']}, owned by {running['lease_owner']}",
                hint="Wait for its end: python3 main.py status. If its owner is dead, it is settled after its lease.",
                details={"job_id": job_id, **dict(running)},
            )

    def _obstacle(self, state: JobState, running: bool, max_running: int, *, starts: bool) -> ClaimOutcome | None:
        row = self._db.row(_JOB_QUERY, (state.job.job_id,))
        if row is None or tuple(row)[:-2] != state.stored:
            return ClaimOutcome.CHANGED
        if bool(row["is_running"]) != running:
            return ClaimOutcome.RUNNING
        return ClaimOutcome.NO_PERMIT if starts and row["permits"] >= max_running else None

    def _insert(
        self,
        state: JobState,
        slot: datetime | None,
        plan: Plan | None,
        owner: Owner,
        terms: ClaimTerms,
        *,
        retry_of: str = "",
    ) -> ClaimedRun | None:
        # A row in a file that was removed would be no row.
        self._db.require_in_place()
        job = state.job
        if slot is not None and not retry_of and is_pruned(self._db, job.job_id, slot):
            return None
        unplanned = Trigger.RETRY if retry_of else Trigger.MANUAL
        # The slot of a retry belongs to the row of the interrupted run.
        own_slot = None if retry_of else slot
        run = ClaimedRun(
            run_id=free_run_id(self._db, job.job_id, terms.now),
            job=job,
            trigger=plan.trigger if plan is not None else unplanned,
            token=os.urandom(16).hex(),
            started_at=terms.now,
            scheduled_for=slot,
            next_run_at=plan.following if plan is not None else _if_future(state.next_run_at, terms.now),
            missed=plan.missed.count if plan is not None and plan.missed is not None else 0,
            retry_of=retry_of,
            timezone=state.timezone,
        )
        inserted = self._db.insert_new(
            "INSERT INTO runs (run_id, job_id, started_at, status, target, scheduled_for, trigger, slots, attempt,"
            " lease_token, lease_owner, lease_expires_at, ceiling_monotonic, owner_pid, owner_started, boot_id,"
            " retry_of)"
            " VALUES (?, ?, ?, 'running', ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run.run_id,
                job.job_id,
                utc_text(terms.now),
                job.puruto_target,
                None if own_slot is None else utc_text(own_slot),
                run.trigger,
                0 if own_slot is None else 1,
                run.token,
                owner.name,
                utc_text(terms.lease_until),
                terms.ceiling,
                owner.process.pid,
                owner.process.started,
                owner.process.boot_id,
                retry_of or None,
            ),
        )
        return run if inserted else None

    def _mirror_lease(self, run: ClaimedRun, owner: Owner, terms: ClaimTerms) -> None:
        self._db.run(
            "UPDATE jobs SET last_run_at = ?, lease_owner = ?, lease_expires_at = ? WHERE job_id = ?",
            (utc_text(terms.now), owner.name, utc_text(terms.lease_until), run.job.job_id),
        )

    def _advance(self, state: JobState, plan: Plan) -> None:
        self._db.run(
            "UPDATE jobs SET next_run_at = ?, problem_json = NULL WHERE job_id = ?",
            (text_or_null(plan.next_run_at), state.job.job_id),
        )

    def _advance_and_lease(self, run: ClaimedRun, plan: Plan, owner: Owner, terms: ClaimTerms) -> None:
        """Moves the cursor and copies the lease in one statement, because every claim needs both."""
        self._db.run(
            "UPDATE jobs SET next_run_at = ?, problem_json = NULL, last_run_at = ?, lease_owner = ?,"
            " lease_expires_at = ? WHERE job_id = ?",
            (
                text_or_null(plan.next_run_at),
                utc_text(terms.now),
                owner.name,
                utc_text(terms.lease_until),
                run.job.job_id,
            ),
        )

    def _skip(self, state: JobState, slot: datetime, now: datetime) -> WrittenOff | None:
        running = self._db.row("SELECT run_id FROM runs WHERE job_id = ? AND status = 'running'", (state.job.job_id,))
        reason = f"{running['run_id'] if running is not None else 'the previous run'} was still running"
        overlap = Missed(1, slot, slot, reason, superseded=False)
        return write_off(self._db, state.job, overlap, now, status="skipped", code="OVERLAP")

    def _refuse(
        self, state: JobState, slot: datetime, gate: Refusal, now: datetime, channels: Sequence[str]
    ) -> WrittenOff | None:
        skipped = Missed(1, slot, slot, gate.reason, superseded=False)
        row = write_off(self._db, state.job, skipped, now, status="skipped", code=gate.code, details=gate.details)
        if row is not None and self._is_first_refusal(state.job.job_id, gate):
            self._add_event(state, row, now, channels)
        return row

    def _is_first_refusal(self, job_id: str, gate: Refusal) -> bool:
        """Whether the refusal of this gate is not yet reported for the day. Records that it is now."""
        added = self._db.run(
            "INSERT INTO refusals_reported (job_id, day, code) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (job_id, gate.day, gate.code),
        )
        return added == 1

    def _add_event(self, state: JobState, row: WrittenOff, now: datetime, channels: Sequence[str]) -> None:
        error = {"code": row["code"], "message": row["message"], "details": row["details"]}
        payload = {"job_id": state.job.job_id, "run_id": row["run_id"], "attempts": 0, "error": error}
        self._events.add(row["run_id"], state.job.job_id, utc_text(now), payload, channels)

    def _miss(self, state: JobState, missed: Missed, now: datetime, channels: Sequence[str]) -> WrittenOff | None:
        row = write_off(self._db, state.job, missed, now, status="missed", code="SLOT_MISSED")
        # If a newer slot runs instead, that run's event reports it. Only a real gap has an event of its own.
        if row is not None and not missed.superseded:
            self._add_event(state, row, now, channels)
        return row


def _off(job_id: str, row: Row, pause: Pause | None) -> JobDisabled:
    """The error about a job that is paused or disabled: it says which, in the words of `list`, and what ends it."""
    details: dict[str, object] = {"job_id": job_id}
    if pause is None:
        hint = f"Enable it: python3 main.py resume-job {job_id}. {how_to_run_once(job_id)}"
        return JobDisabled(f"The job {job_id} is disabled", hint=hint, details=details)
    if row["paused_at"] is not None:
        details |= {"paused_at": row["paused_at"], "consecutive_failures": row["consecutive_failures"]}
        message = f"The job {job_id} has been paused since {pause['since']}: {pause['reason']}"
        return JobDisabled(message, hint=how_to_resume(job_id), details=details)
    hint = f"End the pause: python3 main.py resume-job {job_id}. {how_to_run_once(job_id)}"
    if pause["until"] is not None:
        details["paused_until"] = pause["until"]
        return JobDisabled(f"The job {job_id} is paused until {pause['until']}", hint=hint, details=details)
    details["paused_at"] = pause["since"]
    return JobDisabled(f"The job {job_id} has been paused since {pause['since']}", hint=hint, details=details)


def _if_future(cursor: datetime | None, now: datetime) -> datetime | None:
    """The cursor if it is in the future: an overdue slot must not prevent retries of a manual run."""
    return cursor if cursor is not None and cursor > now else None
