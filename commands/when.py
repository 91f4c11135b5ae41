"""Instants that are given on a command line."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from core.errors import UsageError

EXAMPLE = "2026-03-28T00:00 or 2026-03-28T00:00:00+01:00"


def given_instant(option: str, text: str, zone: str, example: str = EXAMPLE) -> datetime:
    """An instant in UTC from ISO 8601; in `zone` without an offset. Raises `UsageError`."""
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=ZoneInfo(zone))
        return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{option} {text!r} is no instant: {error}", hint=f"Write it as {example}.") from None
