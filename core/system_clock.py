"""The one place that asks the system for the time. The mains make it; everybody else is handed a `Clock`.

The idle tick loads it: it imports nothing that Python's sqlite3 does not import anyway.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """The `Clock` of a real process."""

    def now(self) -> datetime:
        """Wall time, aware, in UTC, with its microseconds."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()
