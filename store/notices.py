"""Events of the scheduler's own: a fault that concerns all jobs is reported once, and once when it is over.

They are events like those of runs, under the reserved job id `SCHEDULER_ID`, but no run belongs to them.
Source: docs/contract.md "Events".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from core.clock import utc_text
from core.job import SCHEDULER_ID
from core.json_objects import ErrorObject
from db import Database
from store.events import Events
from store.state import State

#: Most different faults of one subject that are reported before it is over: somebody may be editing the file.
MOST = 5
#: Problems of a file that an event names; `status` and the command name more.
_PROBLEMS = 5


class Notices:
    """What was reported of each subject, like `jobs_file`, in rows of `state`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._events = Events(db)
        self._state = State(db)

    def is_open(self, subject: str) -> bool:
        """Whether a fault of the subject was reported and is not over."""
        return bool(self._state.get(_key(subject)))

    def would_report(self, subject: str, error: ErrorObject) -> bool:
        """Whether `report` would store an event."""
        reported = _reported(self._state.get_fact(_key(subject)))
        return _fault(error) not in reported and len(reported) < MOST

    def report(self, subject: str, message: str, error: ErrorObject, now: datetime, channels: Sequence[str]) -> bool:
        """Stores an event about a fault, unless it was reported since the subject was last in order.

        Another fault of the same subject is reported too. `error` holds no secret; `message` begins the event's.
        Returns whether it stored one. Raises `DatabaseError`.
        """
        with self._db.transaction("sync"):
            fact = self._state.get_fact(_key(subject))
            reported, fault = _reported(fact), _fault(error)
            if fault in reported or len(reported) >= MOST:
                return False
            run_id = self._free_id(now)
            details = {**error["details"], "about": subject}
            if isinstance(details.get("problems"), list):
                details["problems"] = details["problems"][:_PROBLEMS]
            told = {"code": error["code"], "message": f"{message}: {error['message']}", "details": details}
            payload = {"job_id": SCHEDULER_ID, "run_id": run_id, "attempts": 0, "error": told}
            self._events.add(run_id, SCHEDULER_ID, utc_text(now), payload, channels)
            first = str(fact["run_id"]) if fact else run_id
            self._state.set_fact(_key(subject), {"run_id": first, "at": utc_text(now), "reported": [*reported, fault]})
        return True

    def mended(self, subject: str, summary: str, now: datetime, channels: Sequence[str]) -> bool:
        """Stores an event that the reported fault of the subject is over. False if none was reported."""
        if not self.is_open(subject):
            return False
        with self._db.transaction("sync"):
            fact = self._state.get_fact(_key(subject))
            if fact is None:
                return False
            run_id = self._free_id(now)
            result = {
                "status": "ok",
                "request": {"request_id": f"req-{run_id}", "correlation_id": f"corr-{fact['run_id']}"},
                "response": {"status": "ok", "result": {"summary": summary, "about": subject}},
            }
            payload = {"job_id": SCHEDULER_ID, "run_id": run_id, "attempt": 0, "result": result}
            self._events.add(run_id, SCHEDULER_ID, utc_text(now), payload, channels)
            self._state.set_fact(_key(subject), None)
        return True

    def _free_id(self, now: datetime) -> str:
        base = f"{SCHEDULER_ID}-{now:%Y%m%dT%H%M%S}"
        number, candidate = 1, base
        while self._db.row("SELECT 1 FROM events WHERE run_id = ?", (candidate,)) is not None:
            number += 1
            candidate = f"{base}-{number}"
        return candidate


def _reported(fact: Mapping[str, Any] | None) -> list[str]:
    return [str(fault) for fault in fact.get("reported", ())] if fact else []


def _key(subject: str) -> str:
    return f"reported_{subject}"


def _fault(error: ErrorObject) -> str:
    """What tells one fault from another: the codes, not the line in which it stands, nor the words."""
    problems = error["details"].get("problems")
    codes = [str(problem.get("code")) for problem in problems if isinstance(problem, dict)] if problems else []
    return " ".join([error["code"], *codes[:1]])
