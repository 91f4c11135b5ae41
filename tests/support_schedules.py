"""An oracle for schedules: cron's own loop, walked minute by minute. It shares nothing with schedules.py or croniter.

Source of the rule: cron(8) of Debian as docs/schedules.md states it. A program that wakes once a minute compares the
wall clock with the wall minute it has served last:

- one minute on: serve everything;
- further on, by a gap of at most three hours: serve wild jobs for the minute shown, fixed jobs for all minutes passed;
- back by at most three hours: serve wild jobs only, until the clock has caught up;
- anything else: somebody set the clock; go on from what it shows.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 2, 15, 12, tzinfo=UTC)
THREE_HOURS = 180
MONTH_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAY_NAMES = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
BOUNDS: list[tuple[int, int, dict[str, int]]] = [
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: index + 1 for index, name in enumerate(MONTH_NAMES)}),
    (0, 6, {name: index for index, name in enumerate(DAY_NAMES)}),
]


def members(text: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    """The values of one field, in the plain reading of crontab(5); `7` is left as it is."""
    found: set[int] = set()
    for part in text.lower().split(","):
        span, _, stride = part.partition("/")
        ends = [names[end] if end in names else int(end) for end in span.split("-")] if span != "*" else [low, high]
        if len(ends) == 1:
            ends.append(high if stride else ends[0])
        found |= {value for value in range(ends[0], ends[1] + 1) if (value - ends[0]) % int(stride or "1") == 0}
    return found


class Crontab:
    """A parsed line, asked whether it matches a wall minute (minutes since 1970-01-01T00:00 on the wall clock)."""

    def __init__(self, expression: str) -> None:
        texts = expression.split()
        sets = [members(text, *bounds) for text, bounds in zip(texts, BOUNDS, strict=True)]
        self.minutes, self.hours, self.dates, self.months = sets[:4]
        self.weekdays = {value % 7 for value in sets[4]}
        self.wild = texts[0][0] == "*" or texts[1][0] == "*"
        self.both = texts[2][0] == "*" or texts[4][0] == "*"
        self.days: dict[int, bool] = {}

    def has_day(self, number: int) -> bool:
        if number not in self.days:
            day = date(1970, 1, 1) + timedelta(days=number)
            hits = [day.day in self.dates, day.isoweekday() % 7 in self.weekdays]
            self.days[number] = day.month in self.months and (all(hits) if self.both else any(hits))
        return self.days[number]

    def matches(self, wall: int) -> bool:
        return wall % 60 in self.minutes and wall // 60 % 24 in self.hours and self.has_day(wall // 1440)


@functools.lru_cache(maxsize=64)
def wall_clock(zone: str, start: datetime, end: datetime) -> list[int]:
    """What the wall clock shows at each UTC minute from start to end, both included, as minutes since 1970."""
    info, epoch, shown, instant = ZoneInfo(zone), datetime(1970, 1, 1, tzinfo=UTC), [], start
    while instant <= end:
        offset = instant.astimezone(info).utcoffset()
        assert offset is not None
        shown.append((instant - epoch + offset) // MINUTE)
        instant += MINUTE
    return shown


def walk(expression: str, zone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    """The slots with start < slot ≤ end, by serving every minute; `start` and `end` are whole UTC minutes."""
    line = Crontab(expression)
    clock = wall_clock(zone, start, end)
    served = clock[0]
    for count, shown in enumerate(clock[1:], 1):
        step = shown - served
        if 1 < step <= 1 + THREE_HOURS:
            hit = any(map(line.matches, [shown] if line.wild else range(served + 1, shown + 1)))
            served = shown
        elif 1 - THREE_HOURS <= step < 1:
            hit = line.wild and line.matches(shown)
        else:
            hit = line.matches(shown)
            served = shown
        if hit:
            yield start + count * MINUTE


def field(low: int, high: int) -> st.SearchStrategy[str]:
    """Texts of one field that are good by our guards."""
    number = st.integers(low, high)
    span = st.tuples(number, number).filter(lambda ends: ends[0] < ends[1]).map(lambda ends: f"{ends[0]}-{ends[1]}")
    step = st.integers(1, high + 5)
    stepped_item = st.tuples(st.one_of(span, st.just("*")), step).map(lambda pair: f"{pair[0]}/{pair[1]}")
    item = st.one_of(number.map(str), span, stepped_item)
    return st.one_of(st.just("*"), st.lists(item, min_size=1, max_size=3).map(",".join))


#: Minutes and hours lean to those in which clocks change; dates always leave something to find.
expressions = st.tuples(
    field(0, 59), st.one_of(field(0, 3), field(0, 23)), field(1, 28), field(1, 12), field(0, 7)
).map(" ".join)
