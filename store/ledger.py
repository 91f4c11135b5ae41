"""Slots that did not run: rows of `runs` with status missed or skipped. Claims and the sync write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from core.clock import utc_text
from core.job import Job
from core.json_objects import ErrorObject
from core.run import Missed, Trigger
from db import Database


class WrittenOff(ErrorObject):
    """The row of slots that did not run, as `tick` prints it: the row's error and its run_id."""

    run_id: str


def free_run_id(db: Database, job_id: str, now: datetime) -> str:
    """An unused run_id: `daily-summary-20260225T200000`, with `-2`, `-3`, … if that is taken.

    Source: docs/contract.md "Commands".
    """
    base = f"{job_id}-{now:%Y%m%dT%H%M%S}"
    candidate, number = base, 1
    while db.row("SELECT 1 FROM runs WHERE run_id = ?", (candidate,)) is not None:
        number += 1
        candidate = f"{base}-{number}"
    return candidate


def is_pruned(db: Database, job_id: str, slot: datetime) -> bool:
    """Whether retention has deleted the rows of this slot: then it must not start, even if the clock was set back."""
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
    details: Mapping[str, object] = MappingProxyType({}),
) -> WrittenOff | None:
    """Records slots that will not run, in one row whose slot is the last of them. `details` are added to the error's.

    Returns None if a row of that slot already exists, because the clock was set back.
    """
    error: ErrorObject = {
        "code": code,
        "message": f"{_runs_were(missed.count, job.job_id)} {status}: {missed.reason}",
        "details": {
            "slots": missed.count,
            "first_slot": utc_text(missed.first),
            "last_slot": utc_text(missed.last),
            "made_up": missed.superseded,
            **details,
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


def _runs_were(count: int, job_id: str) -> str:
    return f"1 scheduled run of {job_id} was" if count == 1 else f"{count} scheduled runs of {job_id} were"
