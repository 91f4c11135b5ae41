"""The only place that asks the system for the time. Only main programs create it; all others get a `Clock`.

The idle tick imports it, so it imports only what Python's sqlite3 imports anyway.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """The `Clock` of a real process."""

    def now(self) -> datetime:
        """The wall time, aware, in UTC, with microseconds."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        return time.monotonic()
