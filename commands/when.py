"""Reads instants that are given on the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from core.errors import UsageError

EXAMPLE = "2026-03-28T00:00 or 2026-03-28T00:00:00+01:00"


def given_instant(option: str, text: str, zone: str, example: str = EXAMPLE) -> datetime:
    """The instant of an ISO 8601 text, in UTC; without an offset it is local time of `zone`. Raises `UsageError`."""
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=ZoneInfo(zone))
        return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = f"{option} {text!r} is not a date and time: {error}"
        raise UsageError(message, hint=f"Write it as {example}.") from None
