"""How a run ended, in the words of the contract: its status, its result or error, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.boundary import Failure
from core.invocation import AttemptOutcome, InvocationRequest
from core.invocation_errors import InvocationStopped, TargetAnsweredError
from core.json_objects import ErrorObject
from core.redact import Redactor
from core.run import ClaimedRun, RunStatus


@dataclass(frozen=True)
class End:
    """Status, result or error, and the rest of the event and of what `run-now` prints. `quiet`: no event is told."""

    status: RunStatus
    result: Mapping[str, object] | None
    error: Mapping[str, object] | None
    told: Mapping[str, object]
    quiet: bool


def end_of(
    run: ClaimedRun,
    request: InvocationRequest,
    outcome: AttemptOutcome,
    attempt: int,
    stop_reason: str,
    redact: Redactor,
) -> End:
    """The end of a run whose last attempt was number `attempt`."""
    told: dict[str, object]
    result: dict[str, object] | None = None
    error: dict[str, object] | None = None
    if outcome.stopped:
        status, error = RunStatus.CANCELLED, redact(_with_facts(_cancelled(stop_reason, attempt, outcome), outcome))
        told = {"attempts": attempt, "error": error}
    elif outcome.response.error is not None:
        status, error = RunStatus.ERROR, redact(_with_facts(run_error(outcome, attempt), outcome))
        told = {"attempts": attempt, "error": error}
    else:
        status = RunStatus.OK
        result = redact(
            {
                "status": "ok",
                "request": {"request_id": request.request_id, "correlation_id": request.correlation_id},
                "response": {"status": "ok", "result": dict(outcome.response.result or {})},
                **outcome.facts,
            }
        )
        told = {"attempt": attempt, "result": result}
    if run.missed:
        told["missed_slots"] = run.missed
    if run.retry_of:
        told["retry_of"] = run.retry_of
    if outcome.survivors:
        told["survivors"] = list(outcome.survivors)
    quiet = outcome.quiet and status is RunStatus.OK and set(told) == {"attempt", "result"}
    return End(status, result, error, told, quiet)


def _with_facts(error: Mapping[str, object], outcome: AttemptOutcome) -> dict[str, object]:
    details = error["details"]
    return {**error, "details": {**(details if isinstance(details, dict) else {}), **outcome.facts}}


def run_error(outcome: AttemptOutcome, attempt: int) -> ErrorObject:
    """The error of a run that failed.

    A fault that the invoker found keeps its own code (`TIMEOUT`, `INVALID_RESPONSE`, …). An error that the target
    answered becomes the contract's `INVOKER_ERROR_STATUS`, with the target's own under `details.response_error`.
    """
    error = outcome.response.error or Failure("INTERNAL_ERROR", "The attempt failed without a reason")
    details: dict[str, object] = {"attempt": attempt, "response_status": "error"}
    if outcome.exit_code is not None:
        details["exit_code"] = outcome.exit_code
    if not outcome.from_target:
        return Failure(error.code, error.message, {**error.details, **details}).as_dict()
    if "not_retried" in error.details:
        details["not_retried"] = error.details["not_retried"]
    response_error = {**error.as_dict(), "details": {k: v for k, v in error.details.items() if k != "not_retried"}}
    details["response_error"] = response_error
    return Failure(TargetAnsweredError.code, "El invoker devolvió status != ok", details).as_dict()


def with_detail(outcome: AttemptOutcome, key: str, value: str) -> AttemptOutcome:
    """The outcome with one more fact in its error; as it is if there is none."""
    error = outcome.response.error
    if error is None:
        return outcome
    explained = replace(error, details={**error.details, key: value})
    return replace(outcome, response=replace(outcome.response, error=explained))


def _cancelled(reason: str, attempt: int, outcome: AttemptOutcome) -> ErrorObject:
    details: dict[str, object] = {"attempt": attempt, "stopped_by": reason}
    if outcome.exit_code is not None:
        details["exit_code"] = outcome.exit_code
    error = outcome.response.error
    # In a backoff it was the run that was ended, not the attempt: that one had failed by itself.
    if error is not None and error.code != InvocationStopped.code:
        details["last_error"] = error.as_dict()
    return Failure(InvocationStopped.code, f"The run was ended by {reason}", details).as_dict()
