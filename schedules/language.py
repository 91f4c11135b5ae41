"""The text of a `schedule` → instants. Pure: no clock, no database. Its parts are in timetable/.

Source of the rules: docs/schedules.md. Instants are aware UTC, whole seconds.
"""

from __future__ import annotations

import functools
import os
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from core.errors import InternalError, ScheduleError
from schedules.cron import Cron
from schedules.fields import parse_fields
from schedules.moments import Every, Once, parse_at, parse_every
from schedules.slots import EPOCH, DueSlots, Kind
from schedules.zones import is_zone, known_zone, system_timezone, zone_text

__all__ = [
    "DueSlots",
    "Kind",
    "check",
    "check_timezone",
    "describe",
    "due_slots",
    "kind",
    "machine_timezone",
    "next_fire",
]


MAX_LENGTH = 256
NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def next_fire(schedule: str, timezone: str, after: datetime, *, anchor: datetime | None = None) -> datetime | None:
    """The first slot strictly later than `after`, in UTC; None when the schedule never fires again.

    `anchor` matters to `@every` alone: its slots are anchor + k × interval; without one, the Unix epoch.
    No slot of five fields lies before 1970 or in the last days of 9999. Raises ScheduleError, TimezoneError.
    """
    return _compiled(schedule, timezone).next_after(_utc(after), _grid_start(anchor))


def due_slots(
    schedule: str, timezone: str, after: datetime, until: datetime, *, anchor: datetime | None = None, keep: int = 1
) -> DueSlots:
    """All slots s with after < s ≤ until, counted exactly; `last` holds the `keep` newest.

    The same slots as asking `next_fire` step by step, at a cost per day instead of per slot.
    Raises ScheduleError, TimezoneError.
    """
    return _compiled(schedule, timezone).due(_utc(after), _utc(until), _grid_start(anchor), max(keep, 0))


def check(schedule: object, timezone: str) -> None:
    """Raise ScheduleError or TimezoneError, naming field, text and fix, unless `schedule` is good and can fire."""
    _compiled(schedule, timezone)


def check_timezone(timezone: object) -> None:
    """Raise TimezoneError unless `timezone` is an IANA name that this machine knows: no path, no POSIX string."""
    known_zone(zone_text(timezone))


def local_day(timezone: str, instant: datetime) -> str:
    """The date of an instant in a zone, like `2026-02-25`. Raises TimezoneError."""
    return instant.astimezone(known_zone(timezone)).date().isoformat()


def kind(schedule: str) -> Kind:
    """`wild` or `fixed` (five fields), `interval` (@every) or `once` (@at). Raises ScheduleError."""
    return _compiled(schedule, "UTC").kind


def describe(schedule: str, timezone: str) -> str:
    """What the schedule means, in plain English, and what daylight saving does to it.

    Raises ScheduleError, TimezoneError.
    """
    return _compiled(schedule, timezone).words()


def machine_timezone(tz: str | None = None) -> str:
    """The IANA name of the machine's zone: TZ if it is one or a path to one, else what the system says, else UTC.

    `tz` stands for the variable TZ; None reads it from the environment.
    """
    wanted = (os.environ.get("TZ", "") if tz is None else tz).removeprefix(":")
    parts = os.path.realpath(wanted).split(os.sep) if os.path.isabs(wanted) else [wanted]
    names = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((name for name in names if is_zone(name)), None) or system_timezone()


def _utc(instant: datetime) -> datetime:
    if instant.utcoffset() is None:
        raise InternalError("schedules: an instant must carry its offset, this one is naive")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return instant.replace(tzinfo=UTC)  # in the first or last day of the calendar, where no slot is


def _grid_start(anchor: datetime | None) -> datetime:
    # a fraction would be lost when a slot is stored, and the stored slot would lie before itself
    return EPOCH if anchor is None else _utc(anchor).replace(microsecond=0)


_FORBIDDEN = re.compile(r"[^\t -~]")


def _compiled(schedule: object, timezone: object) -> Cron | Every | Once:
    if not isinstance(schedule, str):
        raise ScheduleError(f"schedule: must be text, not {type(schedule).__name__}", hint="write it in quotes")
    return _compile(schedule, zone_text(timezone))


@functools.lru_cache(maxsize=1024)
def _compile(schedule: str, timezone: str) -> Cron | Every | Once:
    if len(schedule) > MAX_LENGTH:
        message = f"schedule: {len(schedule)} characters, at most {MAX_LENGTH} are read"
        raise ScheduleError(message, text=schedule, hint="use ranges and steps")
    forbidden = _FORBIDDEN.search(schedule)
    if forbidden:
        message = f"schedule: the character {forbidden[0]!a} can't be used"
        raise ScheduleError(message, text=schedule, hint="use plain letters, digits, signs and spaces on one line")
    text = schedule.strip(" \t")
    if not text:
        raise ScheduleError("schedule: it is empty", text=schedule, hint="write for example 0 9 * * 1-5 or @every 15m")
    if text.startswith("@"):
        return _compile_word(text, known_zone(timezone))
    return Cron(parse_fields(text), known_zone(timezone))


def _compile_word(text: str, zone: ZoneInfo) -> Cron | Every | Once:
    written, *rest = text.split()
    word = written.lower()
    if word in NAMED:
        if rest:
            raise ScheduleError(f"schedule '{text}': {word} stands alone", text=text, hint=f"write {word}")
        return Cron(parse_fields(NAMED[word]), zone)
    if word not in ("@every", "@at"):
        raise _unknown_word(text, word)
    if len(rest) != 1:
        example = "@every 1h30m" if word == "@every" else "@at 2026-02-15T14:30"
        message = f"{word} '{' '.join(rest)}': needs one piece of text without spaces"
        raise ScheduleError(message, field=word, text=" ".join(rest), hint=f"write for example {example}")
    return parse_every(rest[0]) if word == "@every" else parse_at(rest[0], zone)


def _unknown_word(text: str, word: str) -> ScheduleError:
    import difflib

    if word == "@reboot":
        hint = "start it from the crontab's own @reboot line or a systemd unit with `main.py run-now JOB_ID`"
        return ScheduleError(f"schedule '{text}': a start of the machine is no instant", text=text, hint=hint)
    known = [*NAMED, "@every", "@at"]
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else "known are " + ", ".join(known)
    return ScheduleError(f"schedule '{text}': {word} is unknown", text=text, hint=hint)
