"""How a run ended: its status, and its result or error as the contract's objects. Source: docs/contract.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypedDict, cast

from core.boundary import Failure
from core.errors import CronError
from core.invocation import AttemptOutcome, InvocationRequest, InvocationResult
from core.invocation_errors import InvocationStopped, TargetAnsweredError
from core.json_objects import ErrorObject, RunFacts
from core.redact import Redactor
from core.run import ClaimedRun, RunStatus

#: Most processes that a result names.
NAMED_PROCESSES = 20


class LeftProcesses(TypedDict, total=False):
    """How many processes a run had left and were ended, and the first of them as `name (pid)`."""

    processes_ended: int
    ended_processes: list[str]


@dataclass(frozen=True)
class RunEnd:
    """Status, result or error, and the facts for the event and for `run-now`. If `quiet`, no event is sent."""

    status: RunStatus
    result: Mapping[str, object] | None
    error: ErrorObject | None
    facts: RunFacts
    quiet: bool


def end_of(
    run: ClaimedRun,
    request: InvocationRequest,
    outcome: AttemptOutcome,
    attempt: int,
    stop_reason: str,
    redact: Redactor,
) -> RunEnd:
    """The end of a run whose last attempt was number `attempt`, without secrets."""
    outcome = replace(outcome, facts={**outcome.facts, **_left(outcome)})
    facts: RunFacts
    result: dict[str, object] | None = None
    error: ErrorObject | None = None
    if outcome.stopped:
        status, error = RunStatus.CANCELLED, _with_facts(_cancelled(stop_reason, attempt, outcome), outcome, redact)
        facts = {"attempts": attempt, "error": error}
    elif outcome.response.error is not None:
        status, error = RunStatus.ERROR, _with_facts(run_error(outcome, attempt), outcome, redact)
        facts = {"attempts": attempt, "error": error}
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
        facts = {"attempt": attempt, "result": result}
    if run.missed:
        facts["missed_slots"] = run.missed
    if run.retry_of:
        facts["retry_of"] = run.retry_of
    if outcome.survivors:
        facts["survivors"] = list(outcome.survivors)
    quiet = outcome.quiet and status is RunStatus.OK and set(facts) == {"attempt", "result"}
    return RunEnd(status, result, error, facts, quiet)


def _left(outcome: AttemptOutcome) -> LeftProcesses:
    if outcome.left is None:
        return {}
    names: LeftProcesses = {"ended_processes": list(outcome.left[:NAMED_PROCESSES])} if outcome.left else {}
    return {"processes_ended": len(outcome.left), **names}


def _with_facts(failure: Failure, outcome: AttemptOutcome, redact: Redactor) -> ErrorObject:
    """The error object with the attempt's facts among its details, without secrets."""
    explained = replace(failure, details={**failure.details, **outcome.facts})
    return cast("ErrorObject", redact(explained.as_dict()))


def run_error(outcome: AttemptOutcome, attempt: int) -> Failure:
    """The error of a run that failed.

    An error that the invoker found keeps its code (`TIMEOUT`, `INVALID_RESPONSE`, …). One that the target answered
    becomes the contract's `INVOKER_ERROR_STATUS`, with the target's error in `details.response_error`.
    """
    error = outcome.response.error or Failure("INTERNAL_ERROR", "The attempt failed without a reason")
    details: dict[str, object] = {"attempt": attempt, "response_status": "error"}
    if outcome.exit_code is not None:
        details["exit_code"] = outcome.exit_code
    if not outcome.from_target:
        return Failure(error.code, error.message, {**error.details, **details})
    if "not_retried" in error.details:
        details["not_retried"] = error.details["not_retried"]
    response_error = {**error.as_dict(), "details": {k: v for k, v in error.details.items() if k != "not_retried"}}
    details["response_error"] = response_error
    return Failure(TargetAnsweredError.code, "El invoker devolvió status != ok", details)


def not_started(request: InvocationRequest, error: CronError, *, stopped: bool) -> AttemptOutcome:
    """The outcome of a call that could not be started."""
    failure = Failure(error.code, error.message, dict(error.as_dict()["details"]))
    result = InvocationResult(request.request_id, request.correlation_id, 0, error=failure)
    return AttemptOutcome(result, stopped=stopped)


def with_detail(outcome: AttemptOutcome, key: str, value: str) -> AttemptOutcome:
    """The outcome with another detail in its error. Unchanged if it has no error."""
    error = outcome.response.error
    if error is None:
        return outcome
    explained = replace(error, details={**error.details, key: value})
    return replace(outcome, response=replace(outcome.response, error=explained))


def _cancelled(reason: str, attempt: int, outcome: AttemptOutcome) -> Failure:
    details: dict[str, object] = {"attempt": attempt, "stopped_by": reason}
    if outcome.exit_code is not None:
        details["exit_code"] = outcome.exit_code
    error = outcome.response.error
    # If the run was stopped in a backoff, its attempt had already failed by itself.
    if error is not None and error.code != InvocationStopped.code:
        details["last_error"] = error.as_dict()
    return Failure(InvocationStopped.code, f"The run was ended by {reason}", details)
