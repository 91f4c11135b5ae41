"""What a text that is no schedule probably means: forms of other schedulers, and plain words."""

from __future__ import annotations

import re
from collections.abc import Callable

_UNITS = {"s": "s", "sec": "s", "second": "s", "m": "m", "min": "m", "minute": "m", "h": "h", "hr": "h", "hour": "h",
          "d": "d", "day": "d", "w": "w", "week": "w"}  # fmt: skip
_NAMED = ("hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually")
_NAMES = "sun|mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_FIELD = re.compile(rf"(?:[\d*?,/LW#-]|{_NAMES})+", re.IGNORECASE)
_SPAN = re.compile(r"(?:every\s+)?(\d+)?\s*([a-z]+)", re.IGNORECASE)
_COMPACT = re.compile(r"(?:every\s+)?(?=\d)((?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?)", re.IGNORECASE)
_CLOCK = re.compile(
    r"(?:every ?day\s+|daily\s+|@daily\s+)?(?:at\s+)?(\d{1,2})(?:[:.h](\d{2}))?(?::\d{2})?\s*(am|pm)?", re.I
)
_MOMENT = re.compile(r"(?:at\s+|@at\s+)?(\d{4}-\d{2}-\d{2})[T ]+(\d{1,2}:\d{2}(?::\d{2})?)(Z|[+-]\d{2}:\d{2})?", re.I)
_ON_CALENDAR = re.compile(r"(?:([A-Za-z.,]+)\s+)?(?:\*-\*-\*\s+)?(\d{1,2}):(\d{2})(?::\d{2})?")


def likely(text: str) -> str:
    """A hint that says what the text probably means and what to write; "" if nobody can tell."""
    return next((hint for guess in _GUESSES if (hint := guess(text.strip()))), "")


def zone_before(text: str) -> tuple[str, str] | None:
    """The zone and the rest of `CRON_TZ=Europe/Rome 0 9 * * *`; None if it does not begin so."""
    match = re.match(r"(?:CRON_TZ|TZ)=[\"']?([^\s\"']+)[\"']?\s*(.*)", text, re.I | re.DOTALL)
    return (match[1], match[2]) if match else None


def _interval(text: str) -> str:
    if match := _COMPACT.fullmatch(text):
        return f"for an interval, write @every {match[1].lower()}"
    match = _SPAN.fullmatch(text)
    word = match[2].lower() if match else ""
    # `ms` are milliseconds, not minutes.
    unit = _UNITS.get(word) or (_UNITS.get(word.removesuffix("s")) if len(word) > 2 else None)
    if match is None or unit is None or not (match[1] or text.lower().startswith("every")):
        return ""
    return f"for an interval, write @every {match[1] or 1}{unit}"


def _named(text: str) -> str:
    word = text.lower().removeprefix("every ")
    return f"write @{word}" if word in _NAMED else ""


def _moment(text: str) -> str:
    match = _MOMENT.fullmatch(text)
    return f"for one run at that time, write @at {match[1]}T{match[2]:0>5}{match[3] or ''}" if match else ""


def _time_of_day(text: str) -> str:
    match = _CLOCK.fullmatch(text)
    # A number alone may be anything.
    if match is None or text.isdecimal():
        return ""
    if match[2] is None and match[3] is None and "at " not in text:
        return ""
    hour, minute, half = int(match[1]), int(match[2] or 0), (match[3] or "").lower()
    if half:
        hour = hour % 12 + 12 * (half == "pm")
    return f"for each day at that time, write {minute} {hour} * * *" if hour < 24 and minute < 60 else ""


def _on_calendar(text: str) -> str:
    match = _ON_CALENDAR.fullmatch(text)
    if match and ("*-" in text or ".." in text or match[1]):
        days = (match[1] or "*").replace("..", "-")
        return f"that looks like OnCalendar of systemd; here write {int(match[3])} {int(match[2])} * * {days}"
    if re.search(r"\*-|-\*|\.\.", text):
        return "that looks like OnCalendar of systemd; here write minute, hour, day of month, month, day of week"
    return ""


def _too_many(text: str) -> str:
    parts = text.split()
    if len(parts) < 6:
        return ""
    cron = next((count for count, part in enumerate(parts) if not _FIELD.fullmatch(part)), len(parts))
    if cron == 5:
        return f"write {' '.join(parts[:5])}; the program behind it belongs into command"
    if cron == len(parts) and cron in (6, 7):
        five = " ".join(part.replace("?", "*") for part in parts[1:6])
        return f"there are no seconds and no years; if the first field is for seconds, write {five}"
    return ""


def _too_few(text: str) -> str:
    is_step = re.fullmatch(r"\*/\d+", text)
    return f"for minutes, write {text} * * * *" if is_step else ""


_GUESSES: tuple[Callable[[str], str], ...] = (
    _interval, _named, _moment, _time_of_day, _on_calendar, _too_many, _too_few
)  # fmt: skip
