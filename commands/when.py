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
    except (ValueError, OverflowError) as error:
        # Python's own words about a text that is no ISO 8601 help nobody; about a 30th of February they do.
        reason = "" if "isoformat" in str(error) else f": {error}"
        message = f"{option} {excerpt(text)} is not a date and time{reason}"
        raise UsageError(message, hint=f"Write it as {example}.") from None


_SPAN = re.compile(r"([1-9][0-9]{0,5}) ?(m|min|h|d|w)")
_SPANS = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
START_EXAMPLE = "90m, 12h, 7d, 18:00, yesterday, yesterday 9:00, monday 9:00 or 2026-03-28T09:00"
END_EXAMPLE = "2h, 30m, 3d, 18:00, tomorrow, tomorrow 9:00, monday 9:00 or 2026-03-28T09:00"


def given_end(option: str, text: str, zone: str, now: datetime) -> datetime:
    """The instant, in UTC, of a span from `now` (`2h`), a day and time in `zone` (`monday 9:00`), or ISO 8601.

    A day without a time is its midnight; a time or a weekday is the next one after `now`. Raises `UsageError`.
    """
    words = text.strip().lower()
    if (span := _span(words)) is not None:
        return _moved(option, text, now, span, END_EXAMPLE)
    named = _named(words, now.astimezone(ZoneInfo(zone)))
    return given_instant(option, text, zone, END_EXAMPLE) if named is None else named.astimezone(UTC)


def given_start(option: str, text: str, zone: str, now: datetime) -> datetime:
    """The same in the past: a span before `now` (`7d`, `7d ago`), or the last such time, weekday or day before it.

    Raises `UsageError`.
    """
    words = text.strip().lower().removesuffix(" ago")
    if (span := _span(words)) is not None:
        return _moved(option, text, now, -span, START_EXAMPLE)
    local, day = now.astimezone(ZoneInfo(zone)), words.partition(" ")[0]
    if day == "today":
        named = _named(words if " " in words else "today 0:00", local)
    elif day == "yesterday":
        named = _named(words.replace("yesterday", "tomorrow", 1), local - timedelta(days=2))
    else:
        # The last one is the first one after a day ago, or after a week ago.
        named = _named(words, local - timedelta(days=1 if _CLOCK.fullmatch(day) else 7)) if day != "tomorrow" else None
    return given_instant(option, text, zone, START_EXAMPLE) if named is None else named.astimezone(UTC)


def _span(words: str) -> timedelta | None:
    match = _SPAN.fullmatch(words)
    return timedelta(**{_SPANS[match[2]]: int(match[1])}) if match else None


def _moved(option: str, text: str, now: datetime, span: timedelta, example: str) -> datetime:
    try:
        return now + span
    except OverflowError:
        raise UsageError(f"{option} {excerpt(text)} is too far away", hint=f"Write it as {example}.") from None


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
