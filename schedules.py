"""The text of a `schedule` → instants. Pure: no clock, no database. The only module that imports croniter.

Source of the rules: CRON.md. croniter is asked about naive wall time only; what becomes of a wall time that daylight
saving skips or repeats is decided here, by the rule of Debian's cron(8). Instants are aware UTC, whole seconds.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from errors import InternalError, ScheduleError, TimezoneError

Kind = Literal["wild", "fixed", "interval", "once"]

MAX_LENGTH = 256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(9999, 12, 29, tzinfo=UTC)  # no zone's wall time overflows before it
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_CLOCK_CHANGE = 3 * _HOUR  # a longer shift is no daylight saving
_LONGEST_INTERVAL = 366 * _DAY


@dataclass(frozen=True)
class DueSlots:
    """The slots in a span of time: how many, the oldest, and the newest ones, ascending."""

    count: int
    first: datetime | None
    last: tuple[datetime, ...]


def next_fire(schedule: str, timezone: str, after: datetime, *, anchor: datetime | None = None) -> datetime | None:
    """The first slot strictly later than `after`, in UTC; None when the schedule never fires again.

    `anchor` matters to `@every` alone: its slots are anchor + k × interval, k ≥ 1; without one, the Unix epoch.
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
    _zone(_zone_text(timezone))


def kind(schedule: str) -> Kind:
    """`wild` or `fixed` (five fields), `interval` (@every) or `once` (@at). Raises ScheduleError."""
    return _compiled(schedule, "UTC").kind


def describe(schedule: str, timezone: str) -> str:
    """What the schedule means, in plain English, and what daylight saving does to it.

    Raises ScheduleError, TimezoneError.
    """
    return _compiled(schedule, timezone).words()


def machine_timezone() -> str:
    """The IANA name of the machine's zone: TZ if it is one or a path to one, else what the system says, else UTC."""
    wanted = os.environ.get("TZ", "").removeprefix(":")
    parts = os.path.realpath(wanted).split(os.sep) if os.path.isabs(wanted) else [wanted]
    names = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((name for name in names if _is_zone(name)), None) or _system_timezone()


# --- zones ------------------------------------------------------------------------------------------------------------

_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
_NOT_IANA = {"localtime", "posixrules", "factory", "posix", "right"}  # files and folders beside the real zones


def _is_zone(name: str) -> bool:
    if not _ZONE_NAME.fullmatch(name) or name.split("/")[0].lower() in _NOT_IANA:
        return False
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _zone_text(timezone: object) -> str:
    if not isinstance(timezone, str):
        raise TimezoneError(f"timezone: must be text, not {type(timezone).__name__}", field="timezone")
    return timezone


@functools.lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    if not _is_zone(name):
        message = f"timezone {name[:64]!r}: no IANA timezone that this machine knows"
        raise TimezoneError(message, field="timezone", text=name, hint=_nearest_zone(name))
    return ZoneInfo(name)


def _nearest_zone(name: str) -> str:
    import difflib
    from zoneinfo import available_timezones

    known = sorted(name for name in available_timezones() if name.lower() not in _NOT_IANA)
    wanted = name.casefold().replace(" ", "_")
    alike = [zone for zone in known if wanted in (zone.casefold(), zone.casefold().rpartition("/")[2])]
    alike = alike or difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    if alike:
        return f"did you mean {alike[0]}?"
    return "use an IANA name such as Europe/Madrid or UTC; abbreviations, offsets and paths are not zones"


def _system_timezone() -> str:
    import logging
    import warnings

    import tzlocal

    logging.getLogger("tzlocal").addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            name = tzlocal.get_localzone_name()
        except (KeyError, ValueError, OSError):
            name = None
    return name if name and _is_zone(name) else "UTC"


def _utc(instant: datetime) -> datetime:
    if instant.utcoffset() is None:
        raise InternalError("schedules: an instant must carry its offset, this one is naive")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return instant.replace(tzinfo=UTC)  # in the first or last day of the calendar, where no slot is


def _grid_start(anchor: datetime | None) -> datetime:
    # a fraction would be lost when a slot is stored, and the stored slot would lie before itself
    return _EPOCH if anchor is None else _utc(anchor).replace(microsecond=0)


def _readings(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Both readings of a wall time (PEP 495): equal; ascending if the clock shows it twice; descending if never."""
    return (
        wall.replace(tzinfo=zone, fold=0).astimezone(UTC),
        wall.replace(tzinfo=zone, fold=1).astimezone(UTC),
    )


# --- five fields ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Spec:
    """One of the five fields: its values are low…high; numbers up to `top` may be written (7 is Sunday)."""

    name: str
    low: int
    high: int
    top: int
    words: tuple[str, ...] = ()

    def number(self, text: str) -> int | None:
        """The value that a number or a three-letter name stands for, in any range; None if it is neither."""
        if text.isdecimal():
            return int(text)
        short = [word[:3].lower() for word in self.words]
        return self.low + short.index(text) if text in short else None

    def word(self, value: int) -> str:
        return self.words[value - self.low] if self.words else str(value)


_MONTHS = "January February March April May June July August September October November December"
_WEEKDAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday"
_SPECS = (
    _Spec("minute", 0, 59, 59),
    _Spec("hour", 0, 23, 23),
    _Spec("day of month", 1, 31, 31),
    _Spec("month", 1, 12, 12, tuple(_MONTHS.split())),
    _Spec("day of week", 0, 6, 7, tuple(_WEEKDAYS.split())),
)
_LONGEST_MONTH = dict(zip(range(1, 13), (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True))
_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ITEM = re.compile(r"(?:\*|([a-z]+|[0-9]+)(?:-([a-z]+|[0-9]+))?)(?:/([0-9]+))?")
_FOREIGN = re.compile(r"[#?~]|(?<![a-z])[lwhr]+(?![a-z])")  # marks of other schedulers' languages, in lower case


@dataclass(frozen=True)
class _Field:
    spec: _Spec
    text: str
    values: tuple[int, ...]

    @property
    def starred(self) -> bool:
        """Whether it starts with `*`, which is what Debian's cron looks at, not whether it takes every value."""
        return self.text.startswith("*")

    @property
    def full(self) -> bool:
        return len(self.values) == self.spec.high - self.spec.low + 1

    @property
    def for_croniter(self) -> str:
        # croniter takes `1,*` for a field that starts with `*`; a plain list has one meaning
        return self.text if self.starred else ",".join(map(str, self.values))


def _parse_fields(text: str) -> tuple[_Field, ...]:
    parts = text.split()
    if len(parts) != len(_SPECS):
        hint = "give minute, hour, day of month, month, day of week; there are no seconds or years"
        raise ScheduleError(f"schedule '{text}': exactly five fields, not {len(parts)}", text=text, hint=hint)
    fields = tuple(_parse_field(spec, part) for spec, part in zip(_SPECS, parts, strict=True))
    _, _, days, months, weekdays = fields
    either = not (days.starred or weekdays.starred)
    if not either and min(days.values) > max(_LONGEST_MONTH[month] for month in months.values):
        raise _bad(days.spec, days.text, "never fires: no such day in these months", "use a day that the month has")
    return fields


def _parse_field(spec: _Spec, text: str) -> _Field:
    found = {value for item in text.split(",") for value in _item_values(spec, item)}
    return _Field(spec, text, tuple(sorted({spec.low if value > spec.high else value for value in found})))


def _item_values(spec: _Spec, item: str) -> range:
    match = _ITEM.fullmatch(item.lower())
    if match is None:
        raise _unreadable(spec, item)
    first, last, step_text = match.groups()
    step = int(step_text or 1)
    if step == 0:
        raise _bad(spec, item, "a step of 0", "leave the step out, or use 1 or more")
    if first is None:
        return range(spec.low, spec.high + 1, step)
    low = _number(spec, item, first)
    if last is None:
        # croniter since 7.0.0: 5/15 is 5-59/15 and 59/15 is 59 alone. Debian's cron refuses both
        low = spec.low if low > spec.high else low
        return range(low, (spec.high if step_text else low) + 1, step)
    high = _number(spec, item, last)
    if low == high:
        raise _bad(spec, item, "a range of one value, which some crons take for the whole field", f"write {first}")
    if low > high:
        raise _bad(spec, item, "the range runs backwards", f"write {_unwrapped(spec, low, high)}")
    return range(low, high + 1, step)


def _unwrapped(spec: _Spec, low: int, high: int) -> str:
    """The two ranges that a backward one is read as elsewhere: `50-59,0-10`; Friday to Sunday is `5-7`."""
    start = spec.low + (spec.top > spec.high)
    ranges = [(low, spec.top)] + ([(start, high)] if high >= start else [])
    return ",".join(f"{a}-{b}" if a < b else str(a) for a, b in ranges)


def _number(spec: _Spec, item: str, text: str) -> int:
    value = spec.number(text)
    if value is None:
        raise _unreadable(spec, item)
    if not spec.low <= value <= spec.top:
        raise _bad(spec, item, "out of range", f"use {spec.low} to {spec.top}")
    return value


def _bad(spec: _Spec, item: str, problem: str, hint: str) -> ScheduleError:
    return ScheduleError(f"{spec.name} '{item}': {problem}", field=spec.name, text=item, hint=hint)


def _unreadable(spec: _Spec, item: str) -> ScheduleError:
    if not item:
        return _bad(spec, item, "an empty entry in the list", "remove the comma")
    foreign = _FOREIGN.search(item.lower())
    if foreign:
        mark = foreign[0][0].upper()
        hint = "write *" if mark == "?" else "write the values out; what cron can't say, the target has to decide"
        return _bad(spec, item, f"the character {mark} is not part of cron's language", hint)
    short = [word[:3].lower() for word in spec.words]
    near = [name for name in short if item.lower().startswith(name)]
    names = f", names {', '.join(short)}" if short else ""
    language = f"*, numbers {spec.low} to {spec.top}{names}; lists 1,2, ranges 1-3 and steps */2 of them"
    return _bad(spec, item, "can't be read", f"write {near[0] if near else language}")


class _Walls:
    """The wall times that five fields name. croniter keeps its place in itself, hence the lock."""

    def __init__(self, expression: str) -> None:
        from croniter import croniter

        self._lock = threading.Lock()
        self._croniter = croniter(expression, start_time=0, ret_type=datetime, implement_cron_bug=True)

    def after(self, wall: datetime) -> datetime | None:
        """The first one strictly later than `wall`; None at the end of the calendar."""
        try:
            with self._lock:
                found: datetime = self._croniter.get_next(datetime, start_time=wall)
        except (OverflowError, ValueError):
            # anywhere but at the calendar's end this would hide a job that never runs: 40 years is the longest wait
            if wall.year < _END.year - 50:
                raise
            return None
        return found if found <= _END.replace(tzinfo=None) + _DAY else None

    def between(self, start: datetime, stop: datetime) -> Iterator[datetime]:
        """All with start < wall ≤ stop."""
        wall = self.after(start)
        while wall is not None and wall <= stop:
            yield wall
            wall = self.after(wall)


class _Cron:
    """Five fields in a zone."""

    def __init__(self, fields: tuple[_Field, ...], zone: ZoneInfo) -> None:
        self.minutes, self.hours, self.days, self.months, self.weekdays = self.fields = fields
        self.zone = zone
        self.kind: Kind = "wild" if self.minutes.starred or self.hours.starred else "fixed"

    @functools.cached_property
    def _walls(self) -> _Walls:
        return _Walls(" ".join(field.for_croniter for field in self.fields))

    @functools.cached_property
    def _midnights(self) -> _Walls:
        """The same days, once each."""
        return _Walls(" ".join(["0 0", *(field.for_croniter for field in self.fields[2:])]))

    @functools.cached_property
    def _times(self) -> tuple[timedelta, ...]:
        """The times of each of these days, as a clock without daylight saving shows them."""
        pairs = itertools.product(self.hours.values, self.minutes.values)
        return tuple(hour * _HOUR + minute * _MINUTE for hour, minute in pairs)

    def next_after(self, after: datetime, _anchor: datetime) -> datetime | None:
        after = max(after, _EPOCH - _MINUTE)
        if after >= _END:
            return None
        local = after.astimezone(self.zone)
        wall = local.replace(tzinfo=None, fold=0, second=0, microsecond=0)
        found = self._search(wall, after)
        shown = self._instants(wall)
        if len(shown) == 2 and not local.fold:  # what the clock has shown since the stretch began comes again
            found = min(filter(None, [found, self._search(wall - (shown[1] - shown[0]), after)]), default=None)
        return found if found is None or found <= _END else None

    def _search(self, wall: datetime, after: datetime) -> datetime | None:
        """The first instant later than `after` of the first later wall time that has one."""
        while (found := self._walls.after(wall)) is not None:
            wall = found
            for instant in self._instants(wall):
                if instant > after:
                    return instant
        return None

    def _instants(self, wall: datetime) -> tuple[datetime, ...]:
        """When a job that names this wall time runs: once; twice or never if it is wild or the clock was changed.

        Source: cron(8) of Debian, restated in CRON.md, "Daylight saving".
        """
        first, second = _readings(wall, self.zone)
        if first == second:
            return (first,)
        as_shown = self.kind == "wild" or abs(first - second) > _CLOCK_CHANGE
        if first < second:
            return (first, second) if as_shown else (first,)
        return () if as_shown else (_gap_end(wall, self.zone),)

    def due(self, after: datetime, until: datetime, _anchor: datetime, keep: int) -> DueSlots:
        after, until = max(after, _EPOCH - _MINUTE), min(until, _END)
        if after >= until:
            return DueSlots(0, None, ())
        whole, loose = self._split(after, until)
        count = len(loose) + len(whole) * len(self._times)
        oldest, newest = whole[:1], whole[-(keep // len(self._times) + 1) :]
        ends = sorted({*loose, *(start + time for start in (*oldest, *newest) for time in self._times)})
        return DueSlots(count, ends[0] if ends else None, tuple(ends[max(len(ends) - keep, 0) :]))

    def _split(self, after: datetime, until: datetime) -> tuple[list[datetime], set[datetime]]:
        """The span as the starts of whole ordinary days, and the slots of all other days one by one."""
        whole: list[datetime] = []
        loose: set[datetime] = set()
        low, high = (instant.astimezone(self.zone).replace(tzinfo=None, fold=0) for instant in (after, until))
        for midnight in self._midnights.between(low - 2 * _DAY, high + _DAY):
            start = _readings(midnight, self.zone)[0]
            if after < start and start + _DAY <= until and self._is_ordinary(midnight):
                whole.append(start)
            else:
                loose.update(instant for time in self._times for instant in self._instants(midnight + time))
        return whole, {instant for instant in loose if after < instant <= until}

    def _is_ordinary(self, midnight: datetime) -> bool:
        """Whether no change of offset is near this day. Nowhere do two changes lie within three days of each other."""
        near = (midnight + hours * _HOUR for hours in (-12, 12, 36))
        return len({wall.replace(tzinfo=self.zone).utcoffset() for wall in near}) == 1

    def words(self) -> str:
        return f"{_clock_words(self)}{_day_words(self)}, {self.zone.key} time. {_shift_words(self)}"


def _gap_end(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first whole minute on the clock after the gap in which `wall` lies."""
    after, before = (int(reading.timestamp()) for reading in _readings(wall, zone))
    old = datetime.fromtimestamp(before, zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    local = datetime.fromtimestamp(after, zone)
    return datetime.fromtimestamp(after + (60 - local.second) % 60, UTC)


# --- @every and @at ---------------------------------------------------------------------------------------------------


class _Every:
    """A grid of instants: no wall clock moves it."""

    kind: Kind = "interval"

    def __init__(self, interval: timedelta) -> None:
        self.interval = interval

    def next_after(self, after: datetime, anchor: datetime) -> datetime | None:
        try:
            return anchor + max((after - anchor) // self.interval + 1, 1) * self.interval
        except OverflowError:
            return None

    def due(self, after: datetime, until: datetime, anchor: datetime, keep: int) -> DueSlots:
        low, high = max((after - anchor) // self.interval, 0), (until - anchor) // self.interval
        count = max(high - low, 0)
        newest = (anchor + step * self.interval for step in range(high - min(keep, count) + 1, high + 1))
        return DueSlots(count, anchor + (low + 1) * self.interval if count else None, tuple(newest))

    def words(self) -> str:
        hours, seconds = divmod(int(self.interval.total_seconds()), 3600)
        parts = zip((*divmod(hours, 24), *divmod(seconds, 60)), ("day", "hour", "minute", "second"), strict=True)
        length = _listing([f"{number} {unit}{'s' * (number > 1)}" for number, unit in parts if number])
        grid = "on a fixed grid from the instant the job first had this schedule, however long a run takes"
        note = ""
        if self.interval >= _DAY:
            note = " A day is 24 hours here: after a clock change the time of day differs; use five fields to keep it."
        return f"Every {length}, {grid}. Daylight saving does not move it.{note}"


class _Once:
    """One instant."""

    kind: Kind = "once"

    def __init__(self, instant: datetime, zone: ZoneInfo, note: str) -> None:
        self.instant, self.zone, self.note = instant, zone, note

    def next_after(self, after: datetime, _anchor: datetime) -> datetime | None:
        return self.instant if self.instant > after else None

    def due(self, after: datetime, until: datetime, _anchor: datetime, keep: int) -> DueSlots:
        slots = (self.instant,) if after < self.instant <= until else ()
        return DueSlots(len(slots), self.instant if slots else None, slots if keep else ())

    def words(self) -> str:
        try:
            local = self.instant.astimezone(self.zone)
        except OverflowError:
            local = self.instant
        return f"Once, at {local.isoformat(' ')}, {self.zone.key} time{self.note}. Then the job is complete."


_INTERVAL = re.compile(r"(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?(?:Z|([+-](?:0[0-9]|1[0-4]):[0-5][0-9]))?"
)


def _parse_every(text: str) -> _Every:
    match = _INTERVAL.fullmatch(text)
    if match is None or not text:
        hint = "write whole numbers with units, largest first: 90s, 15m, 6h, 1d, 1h30m"
        raise ScheduleError(f"@every '{text}': no interval", field="@every", text=text, hint=hint)
    days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not 1 <= total <= _LONGEST_INTERVAL // timedelta(seconds=1):
        message, hint = f"@every '{text}': out of range", "use 1s to 366d"
        raise ScheduleError(message, field="@every", text=text, hint=hint)
    return _Every(timedelta(seconds=total))


def _parse_at(text: str, zone: ZoneInfo) -> _Once:
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError("no date and time")
        moment = datetime.fromisoformat(text)
        if moment.year < _EPOCH.year:
            raise ValueError("before 1970")
        if moment.tzinfo is not None:
            return _Once(moment.astimezone(UTC), zone, "")
        first, second = _readings(moment, zone)
    except OverflowError:
        raise _bad_moment(text, "after the year 9999 in UTC") from None
    except ValueError as error:
        raise _bad_moment(text, str(error)) from None
    if first > second:
        note = f" (the first minute after the gap: {moment.isoformat(' ')} is skipped there)"
        return _Once(_gap_end(moment, zone), zone, note)
    return _Once(first, zone, " (the first of two: the clock shows this time twice)" if first < second else "")


def _bad_moment(text: str, problem: str) -> ScheduleError:
    hint = "write 2026-02-15T14:30 for a time in the job's zone, or 2026-02-15T14:30:00+01:00; no fractions of a second"
    return ScheduleError(f"@at '{text}': {problem}", field="@at", text=text, hint=hint)


# --- the language -----------------------------------------------------------------------------------------------------

_FORBIDDEN = re.compile(r"[^\t -~]")


def _compiled(schedule: object, timezone: object) -> _Cron | _Every | _Once:
    if not isinstance(schedule, str):
        raise ScheduleError(f"schedule: must be text, not {type(schedule).__name__}", hint="write it in quotes")
    return _compile(schedule, _zone_text(timezone))


@functools.lru_cache(maxsize=1024)
def _compile(schedule: str, timezone: str) -> _Cron | _Every | _Once:
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
        return _compile_word(text, _zone(timezone))
    return _Cron(_parse_fields(text), _zone(timezone))


def _compile_word(text: str, zone: ZoneInfo) -> _Cron | _Every | _Once:
    written, *rest = text.split()
    word = written.lower()
    if word in _NAMED:
        if rest:
            raise ScheduleError(f"schedule '{text}': {word} stands alone", text=text, hint=f"write {word}")
        return _Cron(_parse_fields(_NAMED[word]), zone)
    if word not in ("@every", "@at"):
        raise _unknown_word(text, word)
    if len(rest) != 1:
        example = "@every 1h30m" if word == "@every" else "@at 2026-02-15T14:30"
        message = f"{word} '{' '.join(rest)}': needs one piece of text without spaces"
        raise ScheduleError(message, field=word, text=" ".join(rest), hint=f"write for example {example}")
    return _parse_every(rest[0]) if word == "@every" else _parse_at(rest[0], zone)


def _unknown_word(text: str, word: str) -> ScheduleError:
    import difflib

    if word == "@reboot":
        hint = "start it from the crontab's own @reboot line or a systemd unit with `main.py run-now JOB_ID`"
        return ScheduleError(f"schedule '{text}': a start of the machine is no instant", text=text, hint=hint)
    known = [*_NAMED, "@every", "@at"]
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else "known are " + ", ".join(known)
    return ScheduleError(f"schedule '{text}': {word} is unknown", text=text, hint=hint)


# --- words ------------------------------------------------------------------------------------------------------------


def _listing(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _runs(field: _Field, plural: str = "") -> str:
    """The field's values with runs of three or more shortened: `1, 9 to 17 and 23`."""
    words: list[str] = []
    for _, group in itertools.groupby(enumerate(field.values), lambda pair: pair[1] - pair[0]):
        run = [field.spec.word(value) + plural for _, value in group]
        words += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else run
    return _listing(words)


def _clock_words(cron: _Cron) -> str:
    minutes, hours = cron.minutes, cron.hours
    if len(minutes.values) * len(hours.values) <= 6:
        return "At " + _listing([f"{hour:02}:{minute:02}" for hour in hours.values for minute in minutes.values])
    step = 60 // len(minutes.values)
    if minutes.full:
        text = "Every minute"
    elif len(minutes.values) > 1 and minutes.values == tuple(range(0, 60, step)):
        text = f"Every {step} minutes"
    else:
        text = f"At minute{'s' * (len(minutes.values) > 1)} {_runs(minutes)}" + " of every hour" * hours.full
    return text if hours.full else f"{text} of hour{'s' * (len(hours.values) > 1)} {_runs(hours)}"


def _day_words(cron: _Cron) -> str:
    dates = f"on day{'s' * (len(cron.days.values) > 1)} {_runs(cron.days)} of the month"
    weekdays = f"on {_runs(cron.weekdays, 's')}"
    if cron.days.starred or cron.weekdays.starred:
        if cron.days.full:
            text = "every day" if cron.weekdays.full else weekdays
        elif cron.weekdays.full:
            text = dates
        else:
            text = f"{dates}, but only {weekdays} (both must match, because one of the two day fields starts with *)"
    elif cron.days.full or cron.weekdays.full:
        text = "every day (one of the two day fields is enough, and one of them names every day)"
    else:
        text = f"{dates} and also {weekdays} (either is enough, because neither day field starts with *)"
    return f", {text}" + ("" if cron.months.full else f", in {_runs(cron.months)}")


def _shift_words(cron: _Cron) -> str:
    months = (datetime(year, month, 1, tzinfo=UTC) for year in range(2000, 2038) for month in range(1, 13))
    if len({month.astimezone(cron.zone).utcoffset() for month in months}) == 1:
        return "There is no daylight saving in this zone."
    if cron.kind == "wild":
        return "Daylight saving: it follows the clock: both passes of a repeated hour, and nothing for a skipped one."
    return (
        "Daylight saving: a time that is skipped runs once, in the first minute after the gap; "
        "a time that comes twice runs the first time only."
    )
