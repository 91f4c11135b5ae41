"""The boundary behind which one bad job, run or file hurts itself only: an exception becomes a `Failure`."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from core import log
from core.errors import CronError, InternalError

if TYPE_CHECKING:
    from core.job import Job

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """Why something failed: a stable code, a sentence, and facts that JSON can carry."""

    code: str
    message: str
    details: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """`{"code", "message", "details"}`."""
        return {"code": self.code, "message": self.message, "details": dict(self.details)}


class Done(NamedTuple):
    """What became of a piece of work: its value, or why there is none."""

    value: Any
    error: Exception | None


def attempt(work: Callable[[], Any]) -> Done:
    """What `work` returns or raises."""
    try:
        return Done(work(), None)
    except Exception as error:  # noqa: BLE001 - this is the boundary
        return Done(None, error)


def guarded(work: Callable[[], T], note: str = "", *, job: Job | str = "", run_id: str = "") -> T | Failure:
    """What `work` returns, or why it could not: an error of ours as it is, any other exception as a fault of ours.

    With `note`, which says what was not done, an error is a warning in the log: for callers that go on all the same.
    """
    done = attempt(work)
    return done.value if done.error is None else failure_of(done.error, note, job=job, run_id=run_id)


def failure_of(error: Exception, note: str = "", *, job: Job | str = "", run_id: str = "") -> Failure:
    """The stable code, message and details of an exception, and a line in the log.

    A fault of ours goes there with its traceback: the details say under which reference. Of an exception that nobody
    expected they also have the type, and where it was raised.
    """
    message, details = _described(error)
    code = error.code if isinstance(error, CronError) else InternalError.code
    said = f"{note}: {message}" if note else message
    if code == InternalError.code:
        details |= log.fault(said, error, job=job, run_id=run_id, code=code)
        if "reference" in details:
            hint = (
                f"{details.get('hint', 'Please report it.')} Its traceback: {details['reference']} in {details['log']}"
            )
            details["hint"] = hint
    else:
        log.write(log.WARNING if note else log.DEBUG, said, job=job, run_id=run_id, code=code)
    return Failure(code, message, details)


def _described(error: Exception) -> tuple[str, dict[str, object]]:
    if isinstance(error, CronError):
        return error.message, {**error.details, **({"hint": error.hint} if error.hint else {})}
    last = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    where = f"{os.path.basename(last.filename)}:{last.lineno}" if last is not None else "?"
    return f"A fault of puruto-cron: {error}"[:2000], {"type": type(error).__name__, "where": where}
