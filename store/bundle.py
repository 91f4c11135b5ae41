"""What is said in SQL, a subject a file. `Store` bundles them over one connection, for one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from core.boundary import Done
from db import Database
from store.claims import Claims
from store.definitions import Definitions
from store.events import Events
from store.health import Health
from store.pauses import Slots
from store.retention import RetentionRows
from store.runs import Runs
from store.sessions import Sessions
from store.spending import Spending
from store.state import State
from store.together import together


class Store:
    """The rooms' way to the database. Not shared between threads: each opens its own."""

    def __init__(self, db: Database, slots: Slots | None = None) -> None:
        """`slots` knows the calendar; without it no success ends a pause."""
        self.db = db
        self.definitions = Definitions(db)
        self.claims = Claims(db)
        self.runs = Runs(db, slots)
        self.sessions = Sessions(db)
        self.spending = Spending(db)
        self.retention = RetentionRows(db)
        self.events = Events(db)
        self.state = State(db)
        self.health = Health(db)

    def together(self, works: Sequence[Callable[[], Any]]) -> list[Done]:
        """Several pieces of work in one commit; what became of each."""
        return together(self.db, works)

    def close(self) -> None:
        """Ends the connection."""
        self.db.close()
