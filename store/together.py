"""Several pieces of work in one transaction, and so with one wait for the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from core.boundary import Done, attempt
from core.errors import DatabaseLocked
from db import Database


def together(db: Database, works: Sequence[Callable[[], Any]]) -> list[Done]:
    """What became of each, in their order. One that fails is undone alone and hurts no other.

    If they can't be committed together, each is tried alone, so that each has its own answer.
    """
    if len(works) > 1:
        found = attempt(lambda: _grouped(db, works))
        if found.error is None and found.value is not None:
            return list(found.value)
        if isinstance(found.error, DatabaseLocked):
            # Each alone would wait as long again.
            return [found] * len(works)
    return [attempt(work) for work in works]


def _grouped(db: Database, works: Sequence[Callable[[], Any]]) -> list[Done] | None:
    """None when the group was lost on the way."""
    outcomes: list[Done] = []
    with db.group() as group:
        for work in works:
            outcomes.append(attempt(work))
            if group.broken:
                return None
    return outcomes
