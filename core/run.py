"""A run from its plan to its verdict, as the packages hand it to each other: frozen dataclasses and closed sets."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from core.invocation import Session, Usage
from core.job import Job


class RunStatus(enum.StrEnum):
    """How a slot stands or ended. `RUNNING` is the only one that is not an end."""

    RUNNING = "running"
    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    MISSED = "missed"


class Trigger(enum.StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch_up"
    MANUAL = "manual"
    RETRY = "retry"
    """It makes up for an interrupted run, because the job says `retry_interrupted`."""


@dataclass(frozen=True)
class ProcessId:
    """A process that can't be confused with a later one of the same pid: pid, its start time, and the boot."""

    pid: int
    started: str
    boot_id: str


@dataclass(frozen=True)
class ClaimedRun:
    """A run that is ours as long as the token in the database is `token`."""

    run_id: str
    job: Job
    trigger: Trigger
    token: str
    started_at: datetime
    scheduled_for: datetime | None
    next_run_at: datetime | None
    """The job's next slot after the claim: no retry starts behind it."""
    missed: int = 0
    retry_of: str = ""
    """The interrupted run that this one makes up for; then `scheduled_for` is that run's slot."""
    timezone: str = "UTC"
    """The zone in which the job's days begin."""


@dataclass(frozen=True)
class Refusal:
    """Why a gate lets no run start now. `day` is the job's local day (`2026-02-25`) for which that is told once."""

    code: str
    reason: str
    day: str
    details: Mapping[str, object]


@dataclass(frozen=True)
class Missed:
    """Slots that will not run. `made_up` when a newer slot of the job runs in their place."""

    count: int
    first: datetime
    last: datetime
    reason: str
    made_up: bool


@dataclass(frozen=True)
class Plan:
    """What to do about a job whose cursor is due: start (or skip) `slot`, write off `missed`, move the cursor."""

    cursor: datetime
    slot: datetime | None
    trigger: Trigger
    missed: Missed | None
    next_run_at: datetime | None
    following: datetime | None
    """The first slot after now: a retry starts before it. With slots still to catch up, `next_run_at` is earlier."""


@dataclass(frozen=True)
class Verdict:
    """How a run ended, with what it has to tell: `event` None tells nobody."""

    status: RunStatus
    finished_at: datetime
    duration_ms: int
    result: Mapping[str, object] | None = None
    error: Mapping[str, object] | None = None
    exit_code: int | None = None
    event: Mapping[str, object] | None = None
    output_bytes: int | None = None
    """The size of the run's output; None when nobody measured it."""
    retry: bool = False
    """Whether the run is to be made up for by one more: an interrupted one of a job with `retry_interrupted`."""
    runner: str = ""
    session_id: str = ""
    iterations: int | None = None
    spent: tuple[str, Usage] | None = None
    """What agents have used and could not be noted at once, and the job's local day."""
    session: Session | None = None
    """What the run leaves for the job's next one; None leaves what there is."""
