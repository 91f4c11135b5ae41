"""Group commit: several writes in one transaction, and so with one wait for the disk.

Source: docs/decisions/0003-group-commit.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from core.boundary import Outcome, outcome_of
from core.errors import DatabaseLocked
from db import Database


def group_commit(db: Database, works: Sequence[Callable[[], Any]]) -> list[Outcome]:
    """Calls all `works` in one transaction, and returns their outcomes in the same order.

    One that fails is rolled back alone. If they can't be committed together, each is committed alone.
    """
    if len(works) > 1:
        group = outcome_of(lambda: _in_one_group(db, works))
        if group.error is None and group.value is not None:
            return list(group.value)
        if isinstance(group.error, DatabaseLocked):
            # Each of them would wait as long again.
            return [group] * len(works)
    return [outcome_of(work) for work in works]


def _in_one_group(db: Database, works: Sequence[Callable[[], Any]]) -> list[Outcome] | None:
    """The outcomes; None if SQLite has rolled back the whole group."""
    outcomes: list[Outcome] = []
    with db.group() as group:
        for work in works:
            outcomes.append(outcome_of(work))
            if group.broken:
                return None
    return outcomes
