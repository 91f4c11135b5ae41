"""Turns the text of a `schedule` into instants. Pure: no clock, no database.

Source of the rules: docs/schedules.md. Instants are aware UTC, whole seconds.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from core.errors import InternalError, ScheduleError
from schedules.cron import Cron
from schedules.fields import parse_fields
from schedules.likely import likely, zone_before
from schedules.moments import Every, Once, parse_at, parse_every
from schedules.slots import EPOCH, DueSlots, Kind
from schedules.zones import known_zone, zone_text

__all__ = [
    "DueSlots",
    "Kind",
    "check",
    "check_timezone",
    "describe",
    "due_slots",
    "kind",
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

    Only `@every` uses `anchor`: its slots are anchor + k × interval; the default is the Unix epoch.
    Five fields have no slots before 1970 or in the last days of 9999. Raises ScheduleError, TimezoneError.
    """
    return _compiled(schedule, timezone).next_after(_utc(after), _grid_start(anchor))


def due_slots(
    schedule: str, timezone: str, after: datetime, until: datetime, *, anchor: datetime | None = None, keep: int = 1
) -> DueSlots:
    """All slots s with after < s ≤ until, counted exactly; `last` holds the `keep` newest.

    The same slots that repeated calls of `next_fire` give, but at a cost per day instead of per slot.
    Raises ScheduleError, TimezoneError.
    """
    return _compiled(schedule, timezone).due(_utc(after), _utc(until), _grid_start(anchor), max(keep, 0))


def check(schedule: object, timezone: str) -> None:
    """Raises ScheduleError or TimezoneError, with field, text and fix, if `schedule` is invalid or never fires."""
    _compiled(schedule, timezone)


def check_timezone(timezone: object) -> None:
    """Raises TimezoneError unless `timezone` is an IANA name that this machine knows, not a path or a POSIX string."""
    known_zone(zone_text(timezone))


def local_day(timezone: str, instant: datetime) -> str:
    """The date of an instant in a zone, like `2026-02-25`. Raises TimezoneError."""
    return instant.astimezone(known_zone(timezone)).date().isoformat()


def kind(schedule: str) -> Kind:
    """`wild` or `fixed` (five fields), `interval` (@every) or `once` (@at). Raises ScheduleError."""
    return _compiled(schedule, "UTC").kind


def describe(schedule: str, timezone: str) -> str:
    """The meaning of the schedule in plain English, and the effect of daylight saving.

    Raises ScheduleError, TimezoneError.
    """
    return _compiled(schedule, timezone).words()


def _utc(instant: datetime) -> datetime:
    if instant.utcoffset() is None:
        raise InternalError("schedules: an instant must have an offset, this one is naive")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return instant.replace(tzinfo=UTC)  # the first or last day of the calendar, which has no slots


def _grid_start(anchor: datetime | None) -> datetime:
    # slots are stored in whole seconds: with a fraction, the stored slot would be before the slot
    return EPOCH if anchor is None else _utc(anchor).replace(microsecond=0)


_FORBIDDEN = re.compile(r"[^\t -~]")


def _compiled(schedule: object, timezone: object) -> Cron | Every | Once:
    if not isinstance(schedule, str):
        raise ScheduleError(f"schedule: must be text, not {type(schedule).__name__}", hint="write it in quotes")
    return _compile(schedule, zone_text(timezone))


@functools.lru_cache(maxsize=1024)
def _compile(schedule: str, timezone: str) -> Cron | Every | Once:
    if len(schedule) > MAX_LENGTH:
        message = f"schedule: has {len(schedule)} characters, at most {MAX_LENGTH} are allowed"
        raise ScheduleError(message, text=schedule, hint="use ranges and steps")
    forbidden = _FORBIDDEN.search(schedule)
    if forbidden:
        message = f"schedule: the character {forbidden[0]!a} is not allowed"
        raise ScheduleError(message, text=schedule, hint="use ASCII letters, digits, signs and spaces on one line")
    text = schedule.strip(" \t")
    if not text:
        raise ScheduleError("schedule: it is empty", text=schedule, hint="for example, write 0 9 * * 1-5 or @every 15m")
    if zoned := zone_before(text):
        message = f"schedule '{text}': a zone is not part of the schedule"
        hint = f"write {zoned[1] or '0 9 * * *'} here, and {zoned[0]} into the field timezone"
        raise ScheduleError(message, text=text, hint=hint)
    if text.startswith("@"):
        return _compile_word(text, known_zone(timezone))
    return Cron(parse_fields(text), known_zone(timezone))


def _compile_word(text: str, zone: ZoneInfo) -> Cron | Every | Once:
    first, *arguments = text.split()
    word = first.lower()
    if word in NAMED:
        if arguments:
            hint = likely(text) or f"write {word}"
            raise ScheduleError(f"schedule '{text}': {word} takes no argument", text=text, hint=hint)
        return Cron(parse_fields(NAMED[word]), zone)
    if word not in ("@every", "@at"):
        raise _unknown_word(text, word)
    if len(arguments) != 1:
        example = "@every 1h30m" if word == "@every" else "@at 2026-02-15T14:30"
        message = f"{word} '{' '.join(arguments)}': must have one argument without spaces"
        meant = likely(f"every {' '.join(arguments)}" if word == "@every" else " ".join(arguments)) if arguments else ""
        hint = meant or f"for example, write {example}"
        raise ScheduleError(message, field=word, text=" ".join(arguments), hint=hint)
    return parse_every(arguments[0]) if word == "@every" else parse_at(arguments[0], zone)


def _unknown_word(text: str, word: str) -> ScheduleError:
    import difflib

    if word == "@reboot":
        hint = "run `python3 main.py run-now JOB_ID` from an @reboot line of your crontab or from a systemd unit"
        return ScheduleError(
            f"schedule '{text}': @reboot is not supported, because it is not an instant", text=text, hint=hint
        )
    known = [*NAMED, "@every", "@at"]
    similar = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    hint = f"did you mean {similar[0]}?" if similar else "use one of " + ", ".join(known)
    return ScheduleError(f"schedule '{text}': {word} is unknown", text=text, hint=hint)
