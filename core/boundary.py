"""The boundary that keeps a bad job, run or file from harming the others: an exception becomes a `Failure`."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from core import log
from core.errors import CronError, InternalError, machine_fault
from core.json_objects import ErrorObject

if TYPE_CHECKING:
    from core.job import Job
    from core.json_objects import ErrorObject

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """Why something failed: a stable code, a sentence, and details that can be written as JSON."""

    code: str
    message: str
    details: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> ErrorObject:
        """The failure as a JSON object."""
        return {"code": self.code, "message": self.message, "details": dict(self.details)}


class Outcome(NamedTuple):
    """What a function returned, or the exception that it raised. `value` is None if there is an `error`."""

    value: Any
    error: Exception | None


def outcome_of(work: Callable[[], Any]) -> Outcome:
    """Calls `work` and returns its value or its exception. Only KeyboardInterrupt and its kin come through."""
    try:
        return Outcome(work(), None)
    except Exception as error:  # noqa: BLE001 - this is the boundary
        return Outcome(None, error)


def guarded(work: Callable[[], T], note: str = "", *, job: Job | str = "", run_id: str = "") -> T | Failure:
    """Calls `work` and returns its value, or a `Failure` if it raised an exception.

    For callers that continue after a failure: with `note`, which says what was not done, it is logged as a warning.
    """
    outcome = outcome_of(work)
    return outcome.value if outcome.error is None else failure_of(outcome.error, note, job=job, run_id=run_id)


def failure_of(error: Exception, note: str = "", *, job: Job | str = "", run_id: str = "") -> Failure:
    """An exception as a `Failure`; it is also logged.

    One that is no `CronError` gets INTERNAL_ERROR, with its type and origin. A bug is logged with its traceback; the
    reference of that log entry is in the details.
    """
    error = machine_fault(error) or error
    message, details = _described(error)
    code = error.code if isinstance(error, CronError) else InternalError.code
    line = f"{note}: {message}" if note else message
    if code == InternalError.code:
        details |= log.fault(line, error, job=job, run_id=run_id, code=code)
        if "reference" in details:
            hint = (
                f"{details.get('hint', 'Please report it.')} Its traceback: {details['reference']} in {details['log']}"
            )
            details["hint"] = hint
    else:
        log.write(log.WARNING if note else log.DEBUG, line, job=job, run_id=run_id, code=code)
    return Failure(code, message, details)


def _described(error: Exception) -> tuple[str, dict[str, object]]:
    if isinstance(error, CronError):
        return error.message, {**error.details, **({"hint": error.hint} if error.hint else {})}
    last = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    where = f"{os.path.basename(last.filename)}:{last.lineno}" if last is not None else "?"
    return f"A bug in puruto-cron: {error}"[:2000], {"type": type(error).__name__, "where": where}
