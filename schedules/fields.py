"""Parses the five fields of a cron expression, and explains what is wrong with them."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from core.errors import ScheduleError
from schedules.likely import likely


@dataclass(frozen=True)
class Spec:
    """One of the five fields: its values are `low` to `high`. Numbers up to `top` may be written (7 is Sunday)."""

    name: str
    low: int
    high: int
    top: int
    words: tuple[str, ...] = ()

    def number(self, text: str) -> int | None:
        """The value of a number or of a three-letter name, which may be out of range; None if the text is neither."""
        if text.isdecimal():
            return int(text)
        short = [word[:3].lower() for word in self.words]
        return self.low + short.index(text) if text in short else None

    def word(self, value: int) -> str:
        """The name of a value."""
        return self.words[value - self.low] if self.words else str(value)


_MONTHS = "January February March April May June July August September October November December"
_WEEKDAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday"
_SPECS = (
    Spec("minute", 0, 59, 59),
    Spec("hour", 0, 23, 23),
    Spec("day of month", 1, 31, 31),
    Spec("month", 1, 12, 12, tuple(_MONTHS.split())),
    Spec("day of week", 0, 6, 7, tuple(_WEEKDAYS.split())),
)
_LONGEST_MONTH = dict(zip(range(1, 13), (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True))
_ITEM = re.compile(r"(?:\*|([a-z]+|[0-9]+)(?:-([a-z]+|[0-9]+))?)(?:/([0-9]+))?")
_FOREIGN = re.compile(r"[#?~]|(?<![a-z])[lwhr]+(?![a-z])")  # characters of other schedulers' languages, in lower case


@dataclass(frozen=True)
class Field:
    """One parsed field: its values, and its text."""

    spec: Spec
    text: str
    values: tuple[int, ...]

    @property
    def starred(self) -> bool:
        """Whether it starts with `*`. Debian's cron looks at that, not at whether the field has every value."""
        return self.text.startswith("*")

    @property
    def full(self) -> bool:
        return len(self.values) == self.spec.high - self.spec.low + 1

    def lone_steps(self) -> list[str]:
        """Its entries whose step is too large for a second value, each in words."""
        with_step = ((item, _item_values(self.spec, item)) for item in self.text.split(",") if "/" in item)
        return [
            f"`{item}` means {self.spec.name} {self.spec.word(values[0] % (self.spec.high + 1))} alone"
            for item, values in with_step
            if len(values) == 1
        ]

    @property
    def for_croniter(self) -> str:
        # croniter treats `1,*` like a field that starts with `*`; a plain list is unambiguous
        return self.text if self.starred else ",".join(map(str, self.values))


def parse_fields(text: str) -> tuple[Field, ...]:
    """The five fields of an expression. Raises ScheduleError, which names the field, its text and the fix."""
    parts = text.split()
    if len(parts) != len(_SPECS):
        hint = likely(text) or "give minute, hour, day of month, month, day of week; there are no seconds or years"
        raise ScheduleError(f"schedule '{text}': must have exactly five fields, not {len(parts)}", text=text, hint=hint)
    fields = tuple(_parse_field(spec, part) for spec, part in zip(_SPECS, parts, strict=True))
    _, _, days, months, weekdays = fields
    one_is_enough = not (days.starred or weekdays.starred)
    if not one_is_enough and min(days.values) > max(_LONGEST_MONTH[month] for month in months.values):
        raise _bad(days.spec, days.text, "never fires: these months have no such day", "use a day that the month has")
    return fields


@functools.lru_cache(maxsize=1024)
def _parse_field(spec: Spec, text: str) -> Field:
    values = {value for item in text.split(",") for value in _item_values(spec, item)}
    return Field(spec, text, tuple(sorted({spec.low if value > spec.high else value for value in values})))


def _item_values(spec: Spec, item: str) -> range:
    match = _ITEM.fullmatch(item.lower())
    if match is None:
        raise _unreadable(spec, item)
    first, last, step_text = match.groups()
    step = int(step_text or 1)
    if step == 0:
        raise _bad(spec, item, "has a step of 0", "remove the step, or use 1 or more")
    if first is None:
        return range(spec.low, spec.high + 1, step)
    low = _number(spec, item, first)
    if last is None:
        # croniter since 7.0.0: 5/15 is 5-59/15 and 59/15 is 59 alone. Debian's cron refuses both
        low = spec.low if low > spec.high else low
        return range(low, (spec.high if step_text else low) + 1, step)
    high = _number(spec, item, last)
    if low == high:
        raise _bad(spec, item, "is a range of one value, which some crons read as the whole field", f"write {first}")
    if low > high:
        raise _bad(spec, item, "the range runs backwards", f"write {_unwrapped(spec, low, high)}")
    return range(low, high + 1, step)


def _unwrapped(spec: Spec, low: int, high: int) -> str:
    """The two ranges that a backward one means elsewhere: `50-59,0-10`. Friday to Sunday is `5-7`."""
    start = spec.low + (spec.top > spec.high)
    ranges = [(low, spec.top)] + ([(start, high)] if high >= start else [])
    return ",".join(f"{a}-{b}" if a < b else str(a) for a, b in ranges)


def _number(spec: Spec, item: str, text: str) -> int:
    value = spec.number(text)
    if value is None:
        raise _unreadable(spec, item)
    if not spec.low <= value <= spec.top:
        raise _bad(spec, item, "is out of range", f"use {spec.low} to {spec.top}")
    return value


def _bad(spec: Spec, item: str, problem: str, hint: str) -> ScheduleError:
    return ScheduleError(f"{spec.name} '{item}': {problem}", field=spec.name, text=item, hint=hint)


def _unreadable(spec: Spec, item: str) -> ScheduleError:
    if not item:
        return _bad(spec, item, "is an empty entry in a list", "remove the comma")
    foreign = _FOREIGN.search(item.lower())
    if foreign:
        character = foreign[0][0].upper()
        hint = "write *" if character == "?" else "list the values; what cron can't express, the target must decide"
        return _bad(spec, item, f"the character {character} is not part of cron's language", hint)
    short = [word[:3].lower() for word in spec.words]
    similar = [name for name in short if item.lower().startswith(name)]
    names = f", names {', '.join(short)}" if short else ""
    language = f"*, numbers {spec.low} to {spec.top}{names}; lists 1,2, ranges 1-3 and steps */2 of them"
    return _bad(spec, item, "can't be read", f"write {similar[0] if similar else language}")
