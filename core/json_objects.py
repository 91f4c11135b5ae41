"""The JSON objects that packages hand on to each other. Times are UTC text, like `2026-02-25T20:00:00+00:00`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict


class ErrorObject(TypedDict):
    """An error in an answer, an event or a row: a stable code, a sentence for people, and details.

    `details.hint`, if there is one, says what to do. Source: docs/contract.md "Commands", docs/errors.md.
    """

    code: str
    message: str
    details: Mapping[str, Any]


class RequestObject(TypedDict):
    """An InvocationRequest. Source: docs/contract.md "Invocation"."""

    request_id: str
    correlation_id: str
    caller: str
    target: str
    action: str
    prompt: str
    timeout_sec: int
    hop: int
    requested_at: str
    payload: Mapping[str, object]


class ResultObject(TypedDict):
    """An InvocationResult: it has either `result` or `error`. Source: docs/contract.md "Invocation"."""

    request_id: str
    correlation_id: str
    status: str
    duration_ms: int
    result: NotRequired[Mapping[str, object]]
    error: NotRequired[ErrorObject]


class SettledRun(TypedDict):
    """A run whose scheduler was gone, and that another process has ended."""

    job_id: str
    run_id: str
    error: ErrorObject


class JobProblem(TypedDict):
    """Why a job could not be served; `job_id` is None if it concerns all jobs."""

    job_id: str | None
    error: ErrorObject


class RunFacts(TypedDict, total=False):
    """How a run ended: `attempts` and `error` if it failed, `attempt` (the number of the last) and `result` if not."""

    attempts: int
    error: ErrorObject
    attempt: int
    result: dict[str, Any]
    missed_slots: int
    retry_of: str
    survivors: list[str]
    verdict_not_stored: ErrorObject


class RunEvent(RunFacts):
    """What is reported of a run that ended."""

    job_id: str
    run_id: str


class RunResult(RunEvent):
    """A run's event and its status, `ok` or `error`."""

    status: str


class UndeliveredChannel(TypedDict):
    """A channel that could not deliver a run's event yet, and why."""

    channel: str
    error: str


class RunDelivery(TypedDict, total=False):
    """The files that a run's event was written to (the contract's object), and the channels where it still waits."""

    notification_paths: dict[str, str]
    events_waiting: list[UndeliveredChannel]


class ReportedRun(RunResult, RunDelivery):
    """What `run-now` prints, and a tick for each run."""
