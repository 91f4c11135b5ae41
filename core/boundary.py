"""The boundary behind which one bad job, run or file hurts itself only: an exception becomes a `Failure`."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, ParamSpec, TypeVar

from core.errors import CronError, InternalError

P = ParamSpec("P")
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


def guarded(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Failure:
    """What `work` returns, called with what follows it, or why it could not.

    An error of ours is told as it is, any other exception as a fault of ours.
    """
    done = attempt(lambda: work(*args, **kwargs))
    return done.value if done.error is None else failure_of(done.error)


def failure_of(error: Exception) -> Failure:
    """The stable code, message and details of an exception; of an unexpected one its type and where it was raised."""
    if isinstance(error, CronError):
        details = {**error.details, "hint": error.hint} if error.hint else error.details
        return Failure(error.code, error.message, details)
    last = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    where = f"{os.path.basename(last.filename)}:{last.lineno}" if last is not None else "?"
    message = f"A fault of puruto-cron: {error}"[:2000]
    return Failure(InternalError.code, message, {"type": type(error).__name__, "where": where})
