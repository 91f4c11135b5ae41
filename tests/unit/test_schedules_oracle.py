"""schedules.py against the oracle that walks every minute of cron's own loop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.language import due_slots, next_fire
from tests.effort import examples
from tests.support_schedules import expressions, walk

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)

EXPRESSIONS = """
* * * * *
*/5 * * * *
*/7 * * * *
*/30 * * * *
*/90 * * * *
0 * * * *
5 * * * *
59 * * * *
0,30 * * * *
5/15 * * * *
59/15 * * * *
0-59 * * * *
0-59 0-23 * * *
* 0-23 * * *
* 2 * * *
*/15 1-3 * * *
*/20 0,1,2,23 * * *
0 */2 * * *
15 */3 * * *
30 1 * * *
30 2 * * *
0 2 * * *
0 3 * * *
1 0 * * *
0 0 * * *
30 0 * * *
15 23 * * *
59 23 * * *
45 1 * * *
0,15,30,45 2 * * *
0,30 2,3 * * *
10-50/20 1-2 * * *
5 0-23 * * *
0 0-23/2 * * *
30 12 * * *
0 0 */2 * 1
0 0 1,15 * 1
30 2 8 3 *
30 2 29 3 0
30 1 1-7 * 0
30 1 */7 * 0
30 1 1-7 * */7
30 2 * mar,oct,nov sun
0 12 30 12 *
0 12 * * 5
30 1 * 4,10 7
0 0 1,* * 1
0 0 1-31 * 1
0 1 * * 0-7
0 4 * * 1-7/2
0 22 * * mon-fri
*,5 1 * * *
5,* 2 * * *
0 0 1 * *
0 5 29 2 *
""".strip().splitlines()

#: Zone and day around which two and a half days are compared.
CHANGES = [
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Europe/Madrid", "2026-03-29"),
    ("Europe/Madrid", "2026-10-25"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("America/St_Johns", "2010-03-14"),  # at 00:01, so that the gap crosses no midnight and the fold does
    ("America/St_Johns", "2010-11-07"),
    ("America/St_Johns", "2026-03-08"),
    ("America/St_Johns", "2026-11-01"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Africa/Casablanca", "2026-03-22"),
    ("Pacific/Apia", "2011-12-30"),  # a day that never was
    ("Pacific/Apia", "2011-04-02"),
    ("Asia/Tehran", "2022-03-22"),  # midnight is skipped
    ("Asia/Tehran", "2022-09-22"),  # midnight comes twice
    ("Asia/Tehran", "2026-03-22"),
    ("America/Havana", "2026-11-01"),
    ("America/Asuncion", "2023-10-01"),
    ("Antarctica/Casey", "2020-10-04"),  # three hours exactly
    ("Antarctica/Casey", "2021-03-14"),
    ("Antarctica/Vostok", "1994-02-01"),  # seven hours back
    ("Antarctica/Vostok", "1994-11-01"),
    ("Asia/Kathmandu", "1986-01-01"),  # a quarter of an hour
    ("Antarctica/Troll", "2026-03-29"),  # two hours
    ("UTC", "2026-03-29"),
]


def stepped(expression: str, zone: str, start: datetime, end: datetime, most: int = 10_000) -> list[datetime]:
    """The slots that repeated calls of `next_fire` give, at most `count` or so."""
    found: list[datetime] = []
    instant = next_fire(expression, zone, start)
    while instant is not None and instant <= end and len(found) < most:
        found.append(instant)
        instant = next_fire(expression, zone, instant)
    return found


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_slots_around_a_change_of_offset_are_those_of_cron_itself(zone: str, day: str) -> None:
    middle = datetime.fromisoformat(day).replace(tzinfo=UTC)
    start, end = middle - 30 * DAY / 24, middle + 30 * DAY / 24
    for expression in EXPRESSIONS:
        expected = list(walk(expression, zone, start, end))
        due = due_slots(expression, zone, start, end, keep=10_000)
        assert list(due.last) == expected, expression
        assert due.count == len(expected), expression
        if len(expected) < 100:
            assert stepped(expression, zone, start, end) == expected, expression


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_stepping_every_minute_through_a_change_of_offset_is_cron_itself(zone: str, day: str) -> None:
    middle = datetime.fromisoformat(day).replace(tzinfo=UTC)
    start, end = middle - DAY / 2, middle + 16 * DAY / 24
    for expression in ("*/6 * * * *", "0-59/10 0-23 * * *"):
        assert stepped(expression, zone, start, end) == list(walk(expression, zone, start, end)), expression


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("America/New_York", "2026-11-01T06:00"),
        ("America/St_Johns", "2010-11-07T02:31"),  # 00:01 became 23:01 of the day before
        ("America/St_Johns", "2010-03-14T03:31"),
        ("Asia/Tehran", "2022-09-21T19:30"),
        ("Antarctica/Vostok", "1994-01-31T17:00"),
        ("Pacific/Apia", "2011-12-30T10:00"),
    ],
)
def test_a_span_may_be_cut_anywhere_near_a_change_of_offset(zone: str, change: str) -> None:
    middle = datetime.fromisoformat(change).replace(tzinfo=UTC)
    start, end = middle - 2 * DAY, middle + 2 * DAY
    for expression in ("*/7 * * * *", "1,31 0-23 * * *"):
        slots = list(walk(expression, zone, start, end))
        for minutes in (-1, *range(-195, 200, 13)):
            cut = middle + minutes * timedelta(minutes=1)
            before, after = (due_slots(expression, zone, *span, keep=999) for span in ((start, cut), (cut, end)))
            assert [*before.last, *after.last] == slots, (expression, cut)


YEARS = [
    ("America/New_York", 2026, "*/15 * * * *"),
    ("Europe/Madrid", 2026, "0 0 */2 * 1"),
    ("Africa/Casablanca", 2026, "15 */2 * * *"),
    ("Pacific/Apia", 2011, "0,30 2-4 * * 6"),
    ("America/St_Johns", 2010, "*/20 0,23 * * *"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("zone", "year", "expression"), YEARS)
def test_a_whole_year_of_slots_is_that_of_cron_itself(zone: str, year: int, expression: str) -> None:
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    expected = list(walk(expression, zone, start, end))
    due = due_slots(expression, zone, start, end, keep=len(expected) + 1)
    assert due.count == len(expected)
    assert list(due.last) == expected
    assert due.first == expected[0]
    if len(expected) < 400:
        assert stepped(expression, zone, start, end) == expected


@pytest.mark.slow
@settings(max_examples=examples(250), derandomize=True)
@given(expression=expressions, change=st.sampled_from(CHANGES), late=st.integers(0, 59 * 60))
def test_any_expression_has_the_slots_of_cron_itself(expression: str, change: tuple[str, str], late: int) -> None:
    zone, day = change
    middle = datetime.fromisoformat(day).replace(tzinfo=UTC)
    start, end = middle - 30 * DAY / 24, middle + 30 * DAY / 24
    expected = list(walk(expression, zone, start, end))
    assert list(due_slots(expression, zone, start, end, keep=10_000).last) == expected
    entry = start + late * timedelta(minutes=1)
    assert stepped(expression, zone, entry, end, 60) == [slot for slot in expected if slot > entry][:60]
