"""A run from its plan to its verdict: the dataclasses and enums that packages pass to each other."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from core.invocation import AgentSession, Usage
from core.job import Job


class RunStatus(enum.StrEnum):
    """The status of a run. All but `RUNNING` are final."""

    RUNNING = "running"
    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    MISSED = "missed"


class Trigger(enum.StrEnum):
    """Why a run was started."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch_up"
    MANUAL = "manual"
    RETRY = "retry"
    """It repeats an interrupted run, because the job has `retry_interrupted`."""


@dataclass(frozen=True)
class ProcessId:
    """Identifies a process: its pid, its start time and the boot. A pid alone may be used again."""

    pid: int
    started: str
    boot_id: str


@dataclass(frozen=True)
class ClaimedRun:
    """A claimed run. It is ours as long as its row has this `token`."""

    run_id: str
    job: Job
    trigger: Trigger
    token: str
    started_at: datetime
    scheduled_for: datetime | None
    next_run_at: datetime | None
    """The job's next slot after the claim: no retry starts after it."""
    missed: int = 0
    retry_of: str = ""
    """The interrupted run that this one repeats; then `scheduled_for` is that run's slot."""
    timezone: str = "UTC"
    """The IANA zone of the job, which says when a day begins."""


@dataclass(frozen=True)
class Refusal:
    """Why a gate lets no run start now. It is reported once per `day`, the job's local date (`2026-02-25`)."""

    code: str
    reason: str
    day: str
    details: Mapping[str, object]


@dataclass(frozen=True)
class Missed:
    """Slots that will not run. `superseded` if a newer slot of the job runs instead of them."""

    count: int
    first: datetime
    last: datetime
    reason: str
    superseded: bool


@dataclass(frozen=True)
class Plan:
    """What to do with a job whose cursor is due: start or skip `slot`, write off `missed`, move the cursor."""

    cursor: datetime
    slot: datetime | None
    trigger: Trigger
    missed: Missed | None
    next_run_at: datetime | None
    following: datetime | None
    """The first slot after now: a retry starts before it. With slots left to catch up, `next_run_at` is earlier."""


@dataclass(frozen=True)
class Verdict:
    """How a run ended. `event` is the payload of its event; None sends none."""

    status: RunStatus
    finished_at: datetime
    duration_ms: int
    result: Mapping[str, object] | None = None
    error: Mapping[str, object] | None = None
    exit_code: int | None = None
    event: Mapping[str, object] | None = None
    output_bytes: int | None = None
    """Size of the run's output in bytes; None if it was not measured."""
    retry: bool = False
    """Whether the run is to be repeated: it was interrupted, and its job has `retry_interrupted`."""
    runner: str = ""
    session_id: str = ""
    iterations: int | None = None
    spent: tuple[str, Usage] | None = None
    """Usage that could not be stored during the run, and the job's local day."""
    session: AgentSession | None = None
    """What the run keeps for the job's next run; None keeps what is stored."""
    prompt_sha256: str | None = None
    """SHA-256 of the job's prompt file as it was read, in hexadecimal digits; None without one."""
