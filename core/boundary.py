"""The boundary that keeps a bad job, run or file from harming the others: an exception becomes a `Failure`."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from core.errors import CronError, InternalError

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """Why something failed: a stable code, a sentence, and details that can be written as JSON."""

    code: str
    message: str
    details: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """`{"code", "message", "details"}`."""
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


def guarded(work: Callable[[], T]) -> T | Failure:
    """Calls `work` and returns its value, or a `Failure` if it raised an exception."""
    outcome = outcome_of(work)
    return outcome.value if outcome.error is None else failure_of(outcome.error)


def failure_of(error: Exception) -> Failure:
    """An exception as a `Failure`. One that is no `CronError` gets INTERNAL_ERROR, with its type and origin."""
    if isinstance(error, CronError):
        details = {**error.details, "hint": error.hint} if error.hint else error.details
        return Failure(error.code, error.message, details)
    last = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    where = f"{os.path.basename(last.filename)}:{last.lineno}" if last is not None else "?"
    message = f"A bug in puruto-cron: {error}"[:2000]
    return Failure(InternalError.code, message, {"type": type(error).__name__, "where": where})
