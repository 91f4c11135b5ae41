"""The one question of the idle tick. Imports nothing but `db`."""

from __future__ import annotations

from db import Database

#: State row that holds the configuration that the last whole tick found good.
SEEN_KEY = "configuration_seen"

_LOOK = """
SELECT (SELECT value FROM state WHERE key = ?),
       EXISTS (SELECT 1 FROM jobs WHERE enabled = 1 AND next_run_at <= ?),
       EXISTS (SELECT 1 FROM deliveries WHERE state = 'waiting'),
       EXISTS (SELECT 1 FROM runs WHERE status = 'running'
               AND (lease_expires_at <= ? OR lease_expires_at > ? OR ceiling_monotonic <= ?)),
       EXISTS (SELECT 1 FROM runs WHERE retry_due = 1)
"""


def nothing_to_do(db: Database, seen: str, now: str, far: str, monotonic: float) -> bool:
    """No job due, no event waiting, no run to settle or to retry, and the configuration `seen` is the one found good.

    `now` and `far` are UTC text; a lease that ends after `far` is looked at closer. `monotonic` is in seconds.
    """
    row = db.row(_LOOK, (SEEN_KEY, now, now, far, monotonic))
    return row is not None and tuple(row) == (seen, 0, 0, 0, 0)
