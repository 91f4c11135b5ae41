"""describe() says what the engine does: its words are read back and compared with the slots."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.language import describe, due_slots, next_fire
from tests.support_schedules import NOON, expressions

DAY = timedelta(days=1)
DAYS = ["Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
NUMBERS = [str(number) for number in range(60)]
properties = settings(max_examples=50, derandomize=True)


def listed(words: str, before: str, names: list[str]) -> set[int]:
    """The values of the list after `before`, such as `1, 9 to 17 and 23`; empty if there is none."""
    name = "|".join(sorted(names, key=len, reverse=True))
    match = re.search(rf"{before} ((?:(?:, | and | to )?\b(?:{name})\b)+)", words)
    found: set[int] = set()
    for span in re.split(r", | and ", match[1]) if match else []:
        ends = [names.index(end) for end in span.split(" to ")]
        found |= set(range(ends[0], ends[-1] + 1))
    return found


def claimed_days(words: str, year: int) -> set[date]:
    """The days of a year on which the words say that it fires."""
    dates, weekdays = listed(words, "on days?", NUMBERS), listed(words, "on", DAYS)
    months = {month + 1 for month in listed(words, "in", MONTHS)} or set(range(1, 13))
    both, either = "both must match" in words, "either is enough" in words
    assert both + either + (", every day" in words) + (bool(dates) != bool(weekdays)) == 1
    found = set()
    for number in range(366 if year % 4 == 0 else 365):
        day = date(year, 1, 1) + number * DAY
        hits = [day.day in dates, day.isoweekday() % 7 in weekdays]
        if day.month in months and (", every day" in words or (all(hits) if both else any(hits))):
            found.add(day)
    return found


def claimed_minutes(words: str) -> set[int]:
    """The minutes of a day at which the words say that it fires."""
    clock = re.findall(r"\b(\d\d):(\d\d)\b", words)
    if clock:
        return {int(hour) * 60 + int(minute) for hour, minute in clock}
    hours = listed(words, "of hours?", NUMBERS) or set(range(24))
    every = re.match(r"Every (\d+) minutes", words)
    step = int(every[1]) if every else 1
    minutes = listed(words, "At minutes?", NUMBERS) or set(range(0, 60, step))
    assert ("of every hour" in words) + ("of hour" in words) + words.startswith("Every") >= 1
    return {hour * 60 + minute for hour in hours for minute in minutes}


EXPRESSIONS = """
0 0 * * *
0 0 */2 * 1
0 0 1 * */2
0 0 1,15 * 1
0 0 1,* * 1
0 0 *,1 * 1
0 0 1-31 * 1
0 0 1 * 0-7
0 0 1-31 * */2
0 0 */1 * 1
0 0 13 * fri
0 0 */13 * fri
0 0 * * 1-5
0 0 * * sun,sat
0 0 * 6-8 1,3,5
0 0 1 1,4,7,10 *
0 0 29 2 *
*/15 9-17 * * 1-5
*/7 * * * *
* * * * *
* 3 * * *
5 * * * *
5,35 */2 1-7 jan,jun-aug mon
0-10 3,4 * * *
0 9,12,18 * * *
0,30 9-17 * * *
0-59/20 0-23 * * *
1-59/2 * * * *
@hourly
@weekly
@yearly
""".strip().splitlines()


def fired_days(schedule: str, year: int) -> set[date]:
    start = datetime(year, 1, 1, tzinfo=UTC)
    slots = due_slots(schedule, "UTC", start - DAY / 1440, datetime(year, 12, 31, 23, 59, tzinfo=UTC), keep=600_000)
    return {slot.date() for slot in slots.last}


def fired_minutes(schedule: str) -> set[int]:
    slot = next_fire(schedule, "UTC", NOON)
    assert slot is not None
    start = slot.replace(hour=0, minute=0)
    slots = due_slots(schedule, "UTC", start - DAY / 1440, start + DAY - DAY / 1440, keep=1_440)
    return {slot.hour * 60 + slot.minute for slot in slots.last}


@pytest.mark.parametrize("schedule", EXPRESSIONS)
def test_the_words_name_the_days_and_times_of_the_slots(schedule: str) -> None:
    words = describe(schedule, "UTC")
    assert claimed_minutes(words) == fired_minutes(schedule)
    assert claimed_days(words, 2028) == fired_days(schedule, 2028)


@properties
@pytest.mark.slow
@given(schedule=expressions)
def test_the_words_of_any_expression_name_the_days_and_times_of_its_slots(schedule: str) -> None:
    words = describe(schedule, "UTC")
    assert claimed_minutes(words) == fired_minutes(schedule)
    once_a_day = " ".join(["0", "0", *schedule.split()[2:]])
    assert claimed_days(words, 2028) == fired_days(once_a_day, 2028)


@pytest.mark.parametrize(
    ("schedule", "claim"),
    [
        ("0 0 */2 * 1", "both must match"),
        ("0 0 1 * */2", "both must match"),
        ("0 0 1,15 * 1", "either is enough"),
        ("0 0 1,15 * *", "on days 1 and 15 of the month"),
        ("0 0 * * 1-5", "on Mondays to Fridays"),
        ("0 0 * * 0,7", "on Sundays, UTC"),
        ("0 0 1-31 * 1", "every day (one of the two day fields is enough"),
        ("0 0 1 * 0-7", "every day (one of the two day fields is enough"),
    ],
)
def test_the_rule_for_the_two_day_fields_is_described(schedule: str, claim: str) -> None:
    assert claim in describe(schedule, "UTC")


@pytest.mark.parametrize(
    "schedule",
    ["30 1 * * *", "30 0-23 * * *", "5,30 1 * * *", "30 * * * *", "*/30 * * * *", "* 1 * * *", "*,30 1 * * *"],
)
def test_the_effect_of_daylight_saving_is_described(schedule: str) -> None:
    words = describe(schedule, "America/New_York")
    spring = datetime(2026, 3, 8, 7, tzinfo=UTC)  # 03:00, after the gap
    autumn = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)  # 01:30, for the first time; again an hour later
    passes = [due_slots(schedule, "America/New_York", at - DAY / 1440, at).count for at in (autumn, autumn + DAY / 24)]
    assert passes == [1, 1 if "twice in a repeated hour" in words else 0]
    assert ("comes twice runs the first time only" in words) == (passes == [1, 0])
    skipped = schedule.replace(" 1 ", " 2 ").replace("*/30", "7-30/23")
    caught_up = due_slots(skipped, "America/New_York", spring - DAY / 1440, spring).count == 1
    assert ("in the first minute after the gap" in words) == caught_up
    assert ("not in a skipped one" in words) != caught_up


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Phoenix"])
def test_a_zone_without_daylight_saving_is_described_as_having_none(zone: str) -> None:
    assert describe("0 3 * * *", zone).endswith(f"{zone} time. This zone has no daylight saving.")


@pytest.mark.parametrize("zone", ["Europe/Madrid", "Australia/Lord_Howe", "Africa/Casablanca"])
def test_a_zone_with_daylight_saving_is_not_described_as_having_none(zone: str) -> None:
    assert "no daylight saving" not in describe("0 3 * * *", zone)
    assert f"{zone} time" in describe("0 3 * * *", zone)


@pytest.mark.slow
@given(parts=st.tuples(*(st.integers(0, 9) for _ in range(4))).filter(any))
@properties
def test_the_words_of_an_interval_name_its_length(parts: tuple[int, int, int, int]) -> None:
    text = "@every " + "".join(f"{number}{unit}" for number, unit in zip(parts, "dhms", strict=True))
    words = describe(text, "Europe/Madrid")
    units = {
        unit: timedelta(seconds=size)
        for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
    }
    named = [
        int(number) * units[unit]
        for number, unit in re.findall(r"(\d+) (day|hour|minute|second)s?\b", words.split(" on ")[0])
    ]
    assert next_fire(text, "UTC", NOON, anchor=NOON) == NOON + sum(named, timedelta())
    assert "Daylight saving does not move it" in words
    assert ("A day is 24 hours" in words) == (sum(named, timedelta()) >= DAY)


@pytest.mark.parametrize(
    ("text", "zone", "claims"),
    [
        ("2026-02-15T14:30:00+01:00", "America/New_York", ["2026-02-15 08:30:00-05:00"]),
        ("2026-02-15T14:30", "Europe/Madrid", ["2026-02-15 14:30:00+01:00"]),
        ("2026-03-29T02:30", "Europe/Madrid", ["2026-03-29 03:00:00+02:00", "02:30:00 is skipped"]),
        ("2026-10-25T02:30", "Europe/Madrid", ["2026-10-25 02:30:00+02:00", "first of two"]),
        ("9999-12-31T23:59Z", "Asia/Tokyo", ["9999-12-31 23:59:00+00:00"]),
    ],
)
def test_the_words_of_a_moment_name_its_instant(text: str, zone: str, claims: list[str]) -> None:
    words = describe(f"@at {text}", zone)
    assert words.startswith("Once, at ")
    for claim in claims:
        assert claim in words
    said = datetime.fromisoformat(words.removeprefix("Once, at ").split(",")[0])
    assert next_fire(f"@at {text}", zone, NOON - 99 * DAY) == said
