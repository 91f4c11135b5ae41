"""Keeps for `status` that the machine refuses the scheduler itself what it needs, until a run can start again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.boundary import guarded
from core.clock import Clock, utc_text

if TYPE_CHECKING:
    from core.json_objects import ErrorObject
    from store.state import State

#: Key of the state row.
MACHINE_FACT = "machine_fault"


class MachineFaults:
    """The record of one scheduler. It never raises: the database may be refused the same."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._noted: str | None = None

    def note(self, error: ErrorObject) -> bool:
        """Stores the fault. Returns False if it is the one that was noted last."""
        if error["message"] == self._noted:
            return False
        self._noted = error["message"]
        fact = {"at": utc_text(self._clock.now()), "message": error["message"], "hint": error["details"].get("hint")}
        guarded(lambda: self._state.set_fact(MACHINE_FACT, fact), "It was not stored that the machine lacks something")
        return True

    def end(self) -> None:
        """Removes the fault that is stored, as something could be started."""
        self._noted = None

        def remove() -> None:
            if self._state.get(MACHINE_FACT):
                self._state.set_fact(MACHINE_FACT, None)

        guarded(remove, "It was not stored that the machine lacks nothing any more")
