"""Rows of `runs` that never ran: slots written off as missed or skipped. Used by claims and by the sync alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from core.clock import utc_text
from core.job import Job
from core.json_objects import ErrorObject, WrittenOffSlot
from core.run import Missed, Trigger
from db import Database


def free_run_id(db: Database, job_id: str, now: datetime) -> str:
    """`daily-summary-20260225T200000`, with `-2`, `-3`, … when that second is taken.

    Source: docs/contract.md "Commands".
    """
    base = f"{job_id}-{now:%Y%m%dT%H%M%S}"
    candidate, number = base, 1
    while db.row("SELECT 1 FROM runs WHERE run_id = ?", (candidate,)) is not None:
        number += 1
        candidate = f"{base}-{number}"
    return candidate


def is_pruned(db: Database, job_id: str, slot: datetime) -> bool:
    """Whether retention has deleted rows of this job up to this slot: then it is accounted for, whatever clocks do."""
    row = db.row("SELECT 1 FROM jobs WHERE job_id = ? AND pruned_through >= ?", (job_id, utc_text(slot)))
    return row is not None


def write_off(
    db: Database,
    job: Job,
    missed: Missed,
    now: datetime,
    *,
    status: str,
    code: str,
    more: Mapping[str, object] = MappingProxyType({}),
) -> WrittenOffSlot | None:
    """Accounts for slots that will not run, in one row whose slot is the last of them.

    Returns the error object that the row carries, with its run_id, or None when a row of that slot exists already
    (the clock was set back).
    """
    error: ErrorObject = {
        "code": code,
        "message": f"{_slots(missed.count)} of {job.job_id} did not run: {missed.reason}",
        "details": {
            "slots": missed.count,
            "first_slot": utc_text(missed.first),
            "last_slot": utc_text(missed.last),
            "made_up": missed.made_up,
            **more,
        },
    }
    if is_pruned(db, job.job_id, missed.last):
        return None
    run_id = free_run_id(db, job.job_id, now)
    written = db.insert_new(
        "INSERT INTO runs (run_id, job_id, started_at, finished_at, status, error_json, target, scheduled_for, trigger,"
        " slots) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run_id,
            job.job_id,
            utc_text(now),
            utc_text(now),
            status,
            json.dumps(error, ensure_ascii=False),
            job.puruto_target,
            utc_text(missed.last),
            Trigger.SCHEDULE,
            missed.count,
        ),
    )
    return {"run_id": run_id, **error} if written else None


def _slots(count: int) -> str:
    return "1 slot" if count == 1 else f"{count} slots"
