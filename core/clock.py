"""Where time comes from, and the one written form of an instant: aware datetimes in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


def utc_text(instant: datetime) -> str:
    """`2026-02-25T20:00:00+00:00`: UTC, whole seconds, one width, so that text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="seconds")


def from_text(text: str) -> datetime:
    """The aware UTC instant that `utc_text` wrote. Raises ValueError for any other text, also one without an offset."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return instant.astimezone(UTC)


class Clock(Protocol):
    """Where time comes from. One real one is made in `main`; tests bring their own."""

    def now(self) -> datetime:
        """The wall time, aware, in UTC: it decides what is due."""

    def monotonic(self) -> float:
        """Seconds from an unknown start, never set back: it measures how long things take."""
