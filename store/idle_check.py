"""The only query of an idle tick. Imports only `db`."""

from __future__ import annotations

from db import Database

#: Key of the state row with the fingerprint of the configuration that the last full tick found valid.
SEEN_KEY = "configuration_seen"

_QUERY = """
SELECT (SELECT value FROM state WHERE key = ?),
       EXISTS (SELECT 1 FROM jobs WHERE enabled = 1 AND next_run_at <= ?),
       EXISTS (SELECT 1 FROM deliveries WHERE state = 'waiting'),
       EXISTS (SELECT 1 FROM runs WHERE status = 'running'
               AND (lease_expires_at <= ? OR lease_expires_at > ? OR ceiling_monotonic <= ?)),
       EXISTS (SELECT 1 FROM runs WHERE retry_due = 1)
"""


def is_idle(db: Database, seen: str, now: str, far: str, monotonic: float) -> bool:
    """Whether there is nothing to do: no due job, waiting event, run to settle or retry, or changed configuration.

    `seen` is the fingerprint of the configuration. `now` and `far` are UTC text: a lease that ends after `far` needs a
    full tick. `monotonic` is in seconds.
    """
    row = db.row(_QUERY, (SEEN_KEY, now, now, far, monotonic))
    return row is not None and tuple(row) == (seen, 0, 0, 0, 0)
