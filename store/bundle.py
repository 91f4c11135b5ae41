"""`Store`: the tables of one database, over one connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from core.boundary import Outcome
from db import Database
from store.claims import Claims
from store.definitions import Definitions
from store.events import Events
from store.group_commit import group_commit
from store.health import Health
from store.notices import Notices
from store.pauses import SlotCalendar
from store.retention import RetentionRows
from store.runs import Runs
from store.sessions import Sessions
from store.spending import Spending
from store.state import State


class Store:
    """Access to the tables of one database. Not shared between threads: each opens its own."""

    def __init__(self, db: Database, slots: SlotCalendar | None = None) -> None:
        """`slots` computes the slots of a job; without it a success does not end a pause."""
        self.db = db
        self.definitions = Definitions(db)
        self.claims = Claims(db)
        self.runs = Runs(db, slots)
        self.sessions = Sessions(db)
        self.spending = Spending(db)
        self.retention = RetentionRows(db)
        self.events = Events(db)
        self.state = State(db)
        self.notices = Notices(db)
        self.health = Health(db)

    def group_commit(self, works: Sequence[Callable[[], Any]]) -> list[Outcome]:
        """Calls all `works` in one transaction, and returns their outcomes in the same order."""
        return group_commit(self.db, works)

    def close(self) -> None:
        """Closes the connection."""
        self.db.close()
