"""Small values by key: what was synced last, what was wrong with it, which configuration was seen."""

from __future__ import annotations

import json
from collections.abc import Mapping

from db import Database


class State:
    """Rows of `state`. A value is text; a fact is a JSON object."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, key: str) -> str:
        """The value of `key`; "" if there is none."""
        row = self._db.row("SELECT value FROM state WHERE key = ?", (key,))
        return "" if row is None else str(row[0])

    def set(self, key: str, value: str) -> None:
        """Stores the value of `key`, in a transaction of its own if none is open."""
        self._db.run(
            "INSERT INTO state (key, value) VALUES (?, ?)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
            (key, value),
        )

    def get_fact(self, key: str) -> dict[str, object] | None:
        """The JSON object of `key`; None if there is none."""
        text = self.get(key)
        fact: dict[str, object] | None = json.loads(text) if text else None
        return fact

    def set_fact(self, key: str, fact: Mapping[str, object] | None) -> None:
        """Stores a JSON object as the value of `key`; None deletes it."""
        if fact is None:
            self._db.run("DELETE FROM state WHERE key = ?", (key,))
        else:
            self.set(key, json.dumps(fact, ensure_ascii=False, sort_keys=True))
