"""Instants, durations and money in a few words. Imports nothing from this package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from core.clock import from_text
from core.listing import sentences
from core.strict_json import visible

_MOMENT_SEC = 30
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def local(text: object, zone: str) -> str:
    """A stored instant in a zone, `Fri 2026-02-27 09:00 +01:00`; "" for none, and damaged text unchanged."""
    if not isinstance(text, str) or not text:
        return ""
    try:
        instant = from_text(text).astimezone(ZoneInfo(zone))
    except (ValueError, OverflowError):
        return text
    offset = instant.strftime("%z")
    seconds = instant.strftime(":%S") if instant.second else ""
    return f"{instant:%a %Y-%m-%d %H:%M}{seconds} {offset[:3]}:{offset[3:5]}"


def relative(text: object, now: datetime) -> str:
    """A stored instant as seen from `now`: `in 3 h`, `5 min ago`, `now`; "" for none."""
    if not isinstance(text, str) or not text:
        return ""
    try:
        seconds = (from_text(text) - now).total_seconds()
    except ValueError:
        return ""
    if abs(seconds) < 1:
        return "now"
    return f"in {span(seconds)}" if seconds > 0 else f"{span(-seconds)} ago"


def span(seconds: float) -> str:
    """Seconds in the two largest units: `1 h 5 min`."""
    left = round(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts[:2])


def duration(milliseconds: object) -> str:
    """Milliseconds as text: `824 ms`, `3.2 s`, `12 min 5 s`; "" for none."""
    if not isinstance(milliseconds, int | float):
        return ""
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else span(milliseconds / 1000)


def dollars(amount: object) -> str:
    """US dollars, `$0.25`, with more digits below a cent; "" for none."""
    if not isinstance(amount, int | float):
        return ""
    return f"${amount:.2f}" if amount >= 0.01 or amount == 0 else f"${amount:.2g}"


def one_line(text: object) -> str:
    """A text with all its blanks, as a path has them, on one line and without characters that move a cursor."""
    return re.sub("[\n\r\t]", " ", visible(str(text or "")))


def plain(text: object, most: int = 200) -> str:
    """One line of at most `most` characters, without characters that move a cursor, colour text or hide it."""
    flat = " ".join(visible(str(text or "")).split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)")
_SOON_SEC = 6 * 86_400


def short(text: object, now: datetime, zone: str, *, seconds: bool = False) -> str:
    """A stored instant in few words: `21:04` today, `Fri 09:00` within six days, else `27 Feb 09:00`; "" for none."""
    instant = instant_of(text)
    if instant is None:
        return ""
    at, today = instant.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    clock = f"{at:%H:%M:%S}" if seconds else f"{at:%H:%M}"
    if at.date() == today.date():
        return clock
    if abs((instant - now).total_seconds()) < _SOON_SEC:
        return f"{at:%a} {clock}"
    year = "" if at.year == today.year else f" {at.year}"
    return f"{at.day} {at:%b}{year} {clock}"


def distance(text: object, now: datetime) -> str:
    """A stored instant as seen from `now`, in its largest unit: `in 3 h`, `5 min ago`, `now`; "" for none."""
    instant = instant_of(text)
    if instant is None:
        return ""
    seconds = (instant - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    # What was two hours ahead a moment ago still is.
    nearly = abs(seconds) + (_MOMENT_SEC if abs(seconds) > 2 * _MOMENT_SEC else 0.5)
    size, unit = next((entry for entry in _UNITS if nearly >= entry[0]), _UNITS[-1])
    count = f"{int(nearly // size)} {unit}"
    return f"in {count}" if seconds > 0 else f"{count} ago"


def when(text: object, now: datetime, zone: str) -> str:
    """A stored instant in few words and as seen from `now`: `Fri 09:00 (in 3 h)`; "" for what is none."""
    at = short(text, now, zone)
    return f"{at} ({distance(text, now)})" if at else ""


def instant_of(text: object) -> datetime | None:
    """A stored instant; None for what is none."""
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        return None
    try:
        return from_text(text)
    except (ValueError, OverflowError):
        return None


def counted(number: int, thing: str, things: str = "") -> str:
    """`1 run`, `2 runs`, `1,200 runs`; `things` is a plural that does not end in s."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def size(count: object) -> str:
    """Bytes as text: `512 B`, `1.2 KB`, `34 MB`; "" for none."""
    if not isinstance(count, int | float):
        return ""
    amount, unit = float(count), "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if amount < 1_000:
            break
        amount, unit = amount / 1_000, larger
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"


def sentence(text: object, now: datetime, zone: str, most: int = 1_000) -> str:
    """A sentence of ours on one line, with the stored instants in it in few words and in that zone."""
    flat = plain(text, most)
    return _INSTANT.sub(lambda match: short(match[0], now, zone) or match[0], flat)


def advised(entry: Mapping[str, Any]) -> str:
    """What a warning says, `message`, and behind it what to do, `hint`, if it has one."""
    return sentences(str(entry.get("message") or ""), str(entry.get("hint") or ""))


def verbatim(text: object) -> str:
    """Text with its line ends and blanks as they are, without other control characters."""
    return "\n".join(visible(line) for line in str(text or "").splitlines())


def undelivered(entry: Mapping[str, Any]) -> str:
    """That events wait for a channel, and why, as `status` and `tick` report it. The local one is a file."""
    events, channel = counted(entry["count"], "event"), plain(entry["channel"])
    text = f"{events} for {channel} not told yet"
    if channel == "local":
        text = f"{events} not in notifications/events.jsonl yet"
    return f"{text}: {plain(entry['last_error'], 300)}" if entry.get("last_error") else f"{text}: the next tick does it"
