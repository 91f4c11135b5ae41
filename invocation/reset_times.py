"""Reads from an agent's message when its quota is there again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

_UNITS = {
    "ms": 0.001, "millisecond": 0.001, "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600,
    "hr": 3600, "hour": 3600, "d": 86_400, "day": 86_400, "w": 604_800, "week": 604_800,
}  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

#: Words after which an instant or a duration stands. `reset` is also a part of names, like `quotaResetDelay`.
_LEAD = re.compile(
    r"(?:resets?_?(?:at|in|after|delay|time(?:stamp)?|in_seconds|after_seconds)?|(?:try|available) again|retry"
    r"(?:[ -]?after|delay)?|retrying|renews?|regain access)\b[\"']?\s*[:=]?\s*[\"']?(?:(?:at|in|on|after|until|"
    r"from)\b\s*)?",
    re.IGNORECASE,
)
_PIPED = re.compile(r"\blimit reached\s*\|\s*(\d{10}|\d{13})\b", re.IGNORECASE)
_PART = re.compile(
    r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)"
    r"(?![a-z])\s*,?\s*(?:and\s+)?",
    re.IGNORECASE,
)
#: `3h20m`: the next part follows at once.
_JOINED_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)(?=\d)", re.IGNORECASE)
_ISO = re.compile(
    r"\d{4}-\d\d-\d\d(?:[t ]| at )\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?\s?(?:z|utc|[+-]\d\d:?\d\d)?", re.IGNORECASE
)
_NUMBER = re.compile(r"(\d{13}|\d{10}|\d{1,9}(?:\.\d+)?)(?![\d:/-]|\s*[ap]\.?m)", re.IGNORECASE)
_MONTH = "(?P<month>" + "|".join(_MONTHS) + r")[a-z]*\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_DATE = rf"(?:{_MONTH}\s+{_DAY}|{_DAY.replace('day', 'day2')}\s+{_MONTH.replace('month', 'month2')})"
_WHEN = re.compile(
    rf"(?:(?:(?:{'|'.join(_DAYS)})[a-z]*,?\s+)?{_DATE}(?:,?\s+(?P<year>20\d\d))?|(?P<weekday>{'|'.join(_DAYS)})[a-z]*"
    rf"|(?P<tomorrow>tomorrow)|today)?(?:\s*,?\s*(?:at\s+)?(?P<hour>\d{{1,2}})(?::(?P<minute>\d\d)(?::\d\d)?)?"
    rf"\s*(?P<half>[ap])?(?:\.?m\b\.?)?)?(?:\s*\(?(?P<zone>utc|gmt|[a-z]+(?:/[a-z0-9_+-]+)+|(?-i:[A-Z]{{2,5}}))\b\)?)?",
    re.IGNORECASE,
)


def reset_time(message: str, now: datetime, zone: tzinfo | None = None) -> datetime | None:
    """The instant that a message names, in UTC; None if it names none.

    Of `resets 6:20pm (Europe/Berlin)`, `resets Mar 5 at 10am`, `try again in 2 hours 5 minutes`, `limit reached|` and
    seconds since 1970, and the like. `now` is when it was said, aware. A time without a zone is one of `zone`, by
    default of this machine, and the next one; a date without a year is the next one.
    """
    text = message.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")
    for instant in _instants(text, now, zone):
        if abs(instant - now) < timedelta(days=400):
            # In whole seconds, and not before it.
            return (instant + timedelta(microseconds=999_999)).astimezone(UTC).replace(microsecond=0)
    return None


def _instants(text: str, now: datetime, zone: tzinfo | None) -> Iterator[datetime]:
    if piped := _PIPED.search(text):
        yield from _epoch(piped[1])
    for lead in _LEAD.finditer(text):
        start = lead.end()
        if iso := _ISO.match(text, start):
            yield from _iso(iso[0], zone)
        elif (seconds := _duration(text, start)) is not None:
            yield now + timedelta(seconds=seconds)
        elif number := _NUMBER.match(text, start):
            if len(number[1]) in (10, 13) and number[1].isdigit():
                yield from _epoch(number[1])
            elif re.search("second|retry[ -]?after", lead[0], re.IGNORECASE):
                yield now + timedelta(seconds=min(float(number[1]), 1e9))
            else:
                yield from _spoken(text, start, now, zone)
        else:
            yield from _spoken(text, start, now, zone)


def _epoch(digits: str) -> Iterator[datetime]:
    seconds = int(digits) / (1000 if len(digits) == 13 else 1)
    yield datetime.fromtimestamp(seconds, UTC)


def _iso(text: str, zone: tzinfo | None) -> Iterator[datetime]:
    try:
        instant = datetime.fromisoformat(re.sub(r"\s?(?:UTC|Z)$", "Z", text.upper()).replace(" AT ", "T"))
    except ValueError:
        return
    yield instant if instant.tzinfo else _in_zone(instant, zone)


def _duration(text: str, position: int) -> float | None:
    """Seconds; None if there is no duration."""
    seconds = None
    while match := _JOINED_PART.match(text, position) or _PART.match(text, position):
        unit = match[2].lower()
        seconds = min((seconds or 0.0) + float(match[1]) * _UNITS[unit if unit in _UNITS else unit.rstrip("s")], 1e9)
        position = match.end()
    return seconds


def _spoken(text: str, start: int, now: datetime, zone: tzinfo | None) -> Iterator[datetime]:
    """A date, a day of the week or a time, as people write it."""
    match = _WHEN.match(text, start)
    if match is None or not match[0].strip():
        return
    part = {name: text and (text if name == "zone" else text.lower()) for name, text in match.groupdict().items()}
    month, day = part["month"] or part["month2"], part["day"] or part["day2"]
    # A bare number is no time of day.
    if part["hour"] and not (part["minute"] or part["half"]) and not (month or part["weekday"] or part["tomorrow"]):
        return
    if not (part["hour"] or month or part["weekday"]):
        return
    try:
        there = _zone(part["zone"]) if part["zone"] else zone
    except (ValueError, OSError, KeyError):
        # A zone that is not known here: better no instant than a wrong one.
        return
    today = now.astimezone(there)
    try:
        hour = int(part["hour"] or 0)
        hour = hour % 12 + (12 if part["half"] == "p" else 0) if part["half"] else hour
        at = today.replace(hour=hour, minute=int(part["minute"] or 0), second=0, microsecond=0, tzinfo=None)
        if month:
            at = at.replace(year=int(part["year"] or at.year), month=_MONTHS.index(month) + 1, day=int(day))
            if not part["year"] and _in_zone(at, there) < now - timedelta(days=1):
                at = at.replace(year=at.year + 1)
        elif part["weekday"]:
            at += timedelta(days=(_DAYS.index(part["weekday"]) - at.weekday()) % 7)
            at += timedelta(days=7 if _in_zone(at, there) < _minute(now) else 0)
        elif part["tomorrow"] or _in_zone(at, there) < _minute(now):
            at += timedelta(days=1)
    except ValueError:
        return
    yield _in_zone(at, there)


def _minute(now: datetime) -> datetime:
    # Such times have no seconds: the minute that runs is not over.
    return now.replace(second=0, microsecond=0)


def _in_zone(naive: datetime, zone: tzinfo | None) -> datetime:
    return naive.replace(tzinfo=zone) if zone is not None else naive.astimezone()


def _zone(name: str) -> tzinfo:
    return UTC if name.upper() in ("UTC", "GMT") else ZoneInfo(name)
