"""Where time comes from, and the one written form of an instant: aware datetimes in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


def utc_text(instant: datetime) -> str:
    """`2026-02-25T20:00:00+00:00`: UTC, whole seconds, one width, so that text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="seconds")


def from_text(text: str) -> datetime:
    """The instant that `utc_text` wrote, aware, in UTC. Raises ValueError for other text, also if it has no offset."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return instant.astimezone(UTC)


class Clock(Protocol):
    """A source of time. `main` makes the real one; tests pass their own."""

    def now(self) -> datetime:
        """The wall clock's time, aware, in UTC. It decides what is due."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back. It measures how long things take."""
