"""Reads instants that are given on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from core.errors import UsageError
from core.strict_json import excerpt

EXAMPLE = "2026-03-28T00:00 or 2026-03-28T00:00:00+01:00"


def given_instant(option: str, text: str, zone: str, example: str = EXAMPLE) -> datetime:
    """The instant of an ISO 8601 text, in UTC; without an offset it is local time of `zone`. Raises `UsageError`."""
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=ZoneInfo(zone))
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{option} {excerpt(text)} is not a date and time"
        raise UsageError(message, hint=f"Write it as {example}.") from None


_SPAN = re.compile(r"([1-9][0-9]{0,5}) ?(m|min|h|d|w)")
_SPANS = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
END_EXAMPLE = "2h, 30m, 3d, 18:00, tomorrow, tomorrow 9:00, monday 9:00 or 2026-03-28T09:00"


def given_end(option: str, text: str, zone: str, now: datetime) -> datetime:
    """The instant, in UTC, of a span from `now` (`2h`), a day and time in `zone` (`monday 9:00`), or ISO 8601.

    A day without a time is its midnight; a time or a weekday is the next one after `now`. Raises `UsageError`.
    """
    words = text.strip().lower()
    if match := _SPAN.fullmatch(words):
        try:
            return now + timedelta(**{_SPANS[match[2]]: int(match[1])})
        except OverflowError:
            raise UsageError(f"{option} {excerpt(text)} is too far ahead", hint=f"Write it as {END_EXAMPLE}.") from None
    named = _named(words, now.astimezone(ZoneInfo(zone)))
    if named is not None:
        return named.astimezone(UTC)
    return given_instant(option, text, zone, END_EXAMPLE)


def _named(words: str, local: datetime) -> datetime | None:
    """The instant of `18:00`, `tomorrow` or `fri 9:00` after the local time; None if the words are none of these."""
    day, _, time = words.partition(" ")
    if _CLOCK.fullmatch(day) and not time:
        day, time = "", day
    match = _CLOCK.fullmatch(time.strip()) if time else None
    if time and match is None:
        return None
    hour, minute = (int(match[1]), int(match[2])) if match else (0, 0)
    start = local.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0)
    if day == "tomorrow":
        return start + timedelta(days=1)
    if day in ("", "today") and match:
        return start if start > local or day else start + timedelta(days=1)
    weekday = next((n for n, name in enumerate(_WEEKDAYS) if len(day) >= 3 and name.startswith(day)), None)
    if weekday is None:
        return None
    found = start + timedelta(days=(weekday - local.weekday()) % 7)
    return found if found > local else found + timedelta(days=7)
