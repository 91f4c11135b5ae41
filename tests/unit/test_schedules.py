"""schedules.py: properties of all schedules, @every, @at, the ends of the calendar, the machine's zone."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import CroniterBadDateError, croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InternalError, ScheduleError
from schedules.language import DueSlots, due_slots, kind, next_fire
from tests.support_schedules import NOON, expressions

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
ZONES = [
    "America/New_York",
    "Europe/Madrid",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "Pacific/Apia",
    "Asia/Tehran",
    "Antarctica/Vostok",
    "UTC",
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(instant: datetime | None, zone: str) -> str:
    assert instant is not None
    return instant.astimezone(ZoneInfo(zone)).isoformat()


instants = st.datetimes(datetime(1969, 12, 1), datetime(2090, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001
anchors = st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2027, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
intervals = st.integers(1, 366 * 86_400).map(lambda seconds: f"@every {seconds}s")
grids = st.tuples(intervals, anchors)
any_schedule = st.one_of(st.tuples(expressions, st.none()), grids)
properties = settings(max_examples=100, derandomize=True)


# --- all schedules ----------------------------------------------------------------------------------------------------


@properties
@given(pair=any_schedule, zone=st.sampled_from(ZONES), after=instants)
def test_the_next_slot_is_later_whole_and_in_utc(pair: tuple[str, datetime | None], zone: str, after: datetime) -> None:
    schedule, anchor = pair
    slot = next_fire(schedule, zone, after, anchor=anchor)
    assert slot is not None
    assert slot > after
    assert slot.tzinfo is UTC
    assert slot.microsecond == 0
    if kind(schedule) in ("wild", "fixed"):
        assert slot.astimezone(ZoneInfo(zone)).second == 0


@properties
@given(pair=any_schedule, zone=st.sampled_from(ZONES), after=instants, part=st.floats(0, 1, exclude_max=True))
def test_any_instant_before_a_slot_has_that_slot_as_its_next(
    pair: tuple[str, datetime | None], zone: str, after: datetime, part: float
) -> None:
    schedule, anchor = pair
    slot = next_fire(schedule, zone, after, anchor=anchor)
    assert slot is not None
    between = min(after + (slot - after) * part, slot - timedelta(microseconds=1))
    assert next_fire(schedule, zone, between, anchor=anchor) == slot


@properties
@given(pair=any_schedule, zone=st.sampled_from(ZONES), after=instants, days=st.integers(0, 500), keep=st.integers(0, 9))
def test_due_slots_are_what_stepping_finds(
    pair: tuple[str, datetime | None], zone: str, after: datetime, days: int, keep: int
) -> None:
    schedule, anchor = pair
    found: list[datetime] = []
    slot = next_fire(schedule, zone, after, anchor=anchor)
    until = after + days * DAY
    while slot is not None and slot <= until and len(found) < 150:
        found.append(slot)
        slot = next_fire(schedule, zone, slot, anchor=anchor)
    until = min(until, found[-1]) if found else until
    expected = DueSlots(len(found), found[0] if found else None, tuple(found[max(len(found) - keep, 0) :]))
    assert due_slots(schedule, zone, after, until, anchor=anchor, keep=keep) == expected


@properties
@given(
    pair=any_schedule, zone=st.sampled_from(ZONES), times=st.tuples(instants, st.integers(0, 120), st.integers(0, 120))
)
def test_the_slots_of_two_spans_are_those_of_both_together(
    pair: tuple[str, datetime | None], zone: str, times: tuple[datetime, int, int]
) -> None:
    schedule, anchor = pair
    start = times[0]
    middle, end = start + times[1] * DAY, start + (times[1] + times[2]) * DAY
    parts = [due_slots(schedule, zone, *span, anchor=anchor) for span in ((start, middle), (middle, end))]
    both = due_slots(schedule, zone, start, end, anchor=anchor)
    assert both.count == parts[0].count + parts[1].count
    assert both.first == (parts[0].first or parts[1].first)
    assert both.last == (parts[1].last or parts[0].last)


def test_a_slot_is_not_later_than_itself_and_is_due_at_its_own_instant() -> None:
    slot = utc("2026-02-15T09:00")
    assert next_fire("0 9 * * *", "UTC", slot) == slot + DAY
    assert next_fire("0 9 * * *", "UTC", slot - timedelta(microseconds=1)) == slot
    assert due_slots("0 9 * * *", "UTC", slot, slot + DAY) == DueSlots(1, slot + DAY, (slot + DAY,))
    assert due_slots("0 9 * * *", "UTC", slot - SECOND, slot) == DueSlots(1, slot, (slot,))


def test_nothing_is_due_in_an_empty_or_backward_span() -> None:
    for schedule in ("* * * * *", "@every 1m", "@at 2026-02-15T12:00Z"):
        assert due_slots(schedule, "UTC", NOON, NOON) == DueSlots(0, None, ())
        assert due_slots(schedule, "UTC", NOON, NOON - DAY, keep=5) == DueSlots(0, None, ())


def test_a_year_of_minutes_is_counted_exactly_and_keeps_the_newest() -> None:
    start, end = utc("2026-01-01T00:00"), utc("2027-01-01T00:00")
    wild = due_slots("* * * * *", "America/New_York", start, end, keep=3)
    assert wild == DueSlots(525_600, start + 60 * SECOND, tuple(end - minutes * 60 * SECOND for minutes in (2, 1, 0)))
    assert due_slots("0-59 0-23 * * *", "America/New_York", start, end).count == 525_600 - 60


def test_instants_in_any_zone_are_understood() -> None:
    after = datetime(2026, 2, 15, 9, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert next_fire("0 * * * *", "UTC", after) == utc("2026-02-15T05:00")


def test_an_instant_without_an_offset_is_reported_as_our_bug() -> None:
    with pytest.raises(InternalError, match="offset"):
        next_fire("0 * * * *", "UTC", NOON.replace(tzinfo=None))


def test_threads_that_share_a_schedule_take_turns_with_its_croniter(monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[int] = []
    crowds: list[int] = []
    engine: Any = croniter
    search = engine._calc_next

    def watched(self: object, is_prev: bool) -> object:
        inside.append(1)
        for _ in range(20):
            time.sleep(0)  # let the others run
        crowds.append(len(inside))
        inside.pop()
        return search(self, is_prev)

    starts = [NOON + hours * 37 * 60 * SECOND for hours in range(40)]
    alone = [next_fire("17 4,16 * * 1-5", "Europe/Madrid", start) for start in starts]
    monkeypatch.setattr(engine, "_calc_next", watched)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda start: next_fire("17 4,16 * * 1-5", "Europe/Madrid", start), starts))
    assert together == alone
    assert len(crowds) >= len(starts)
    assert set(crowds) == {1}


def test_a_failure_of_croniter_is_not_taken_for_the_end_of_all_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> datetime:
        raise CroniterBadDateError("failed to find next date")

    monkeypatch.setattr(croniter, "get_next", fail)
    with pytest.raises(CroniterBadDateError):
        next_fire("13 13 13 * *", "UTC", NOON)
    assert next_fire("13 13 13 * *", "UTC", utc("9990-01-01T00:00")) is None


def test_the_newest_slots_are_kept_over_several_whole_days() -> None:
    found = due_slots("0 6,18 * * *", "UTC", utc("2026-01-01T00:00"), utc("2026-02-01T00:00"), keep=5)
    assert [f"{slot:%d %H}" for slot in found.last] == ["29 18", "30 06", "30 18", "31 06", "31 18"]
    assert (found.count, found.first) == (62, utc("2026-01-01T06:00"))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("* * * * *", "wild"),
        ("*/5 3 * * *", "wild"),
        ("5 */2 * * *", "wild"),
        ("*,5 3 * * *", "wild"),
        ("@hourly", "wild"),
        ("5,* 3 * * *", "fixed"),
        ("0-59 0-23 * * *", "fixed"),
        ("0 3 * * *", "fixed"),
        ("@daily", "fixed"),
        ("@every 15m", "interval"),
        ("@at 2026-02-15T14:30", "once"),
    ],
)
def test_the_kind_is_decided_by_how_minute_and_hour_start(schedule: str, expected: str) -> None:
    assert kind(schedule) == expected


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_a_name_is_its_five_fields(name: str, fields: str) -> None:
    span = (utc("2026-01-01T00:00"), utc("2028-01-02T00:00"))
    slots = due_slots(name.upper(), "Europe/Madrid", *span, keep=20_000)
    assert slots == due_slots(fields, "Europe/Madrid", *span, keep=20_000)
    assert slots.count > 1


def test_a_zone_whose_offset_has_seconds_still_fires_on_whole_minutes_of_its_clock() -> None:
    slots = due_slots("*/30 * * * *", "Africa/Monrovia", utc("1972-01-06T22:00"), utc("1972-01-07T02:00"), keep=99)
    assert slots.count == len(slots.last) >= 7
    assert all(
        slot.astimezone(ZoneInfo("Africa/Monrovia")).strftime("%M:%S") in ("00:00", "30:00") for slot in slots.last
    )


def test_a_gap_that_ends_within_a_minute_is_over_at_the_next_whole_one() -> None:
    # the clock of Monrovia went from 00:00:00 to 00:44:30
    assert next_fire("15 0 * * *", "Africa/Monrovia", utc("1972-01-07T00:00")) == utc("1972-01-07T00:45:00")


# --- @every -----------------------------------------------------------------------------------------------------------


def test_an_interval_counts_from_its_anchor_and_starts_one_interval_later() -> None:
    anchor = utc("2026-02-15T12:00:07")
    assert next_fire("@every 15m", "UTC", anchor - 400 * DAY, anchor=anchor) == anchor - 400 * DAY + timedelta(
        minutes=15
    )
    assert next_fire("@every 15m", "UTC", anchor, anchor=anchor) == utc("2026-02-15T12:15:07")
    assert next_fire("@every 15m", "UTC", utc("2026-02-15T12:15:07"), anchor=anchor) == utc("2026-02-15T12:30:07")
    assert next_fire("@every 15m", "UTC", utc("2026-02-15T12:29"), anchor=anchor) == utc("2026-02-15T12:30:07")
    assert due_slots("@every 15m", "UTC", anchor - DAY, anchor + DAY, anchor=anchor).count == 192


def test_an_interval_without_an_anchor_counts_from_the_epoch() -> None:
    assert next_fire("@every 6h", "Asia/Tokyo", utc("2026-02-15T12:00:01")) == utc("2026-02-15T18:00")


def test_a_fraction_in_the_anchor_does_not_reach_the_slots() -> None:
    anchor = utc("2026-02-15T12:00:07.999999")
    slot = next_fire("@every 90s", "UTC", anchor, anchor=anchor)
    assert slot == utc("2026-02-15T12:01:37")


def test_an_interval_ignores_daylight_saving() -> None:
    found = due_slots("@every 1d", "America/New_York", utc("2026-03-06T17:00"), utc("2026-03-10T17:00"), keep=9)
    assert {b - a for a, b in zip(found.last, found.last[1:], strict=False)} == {DAY}


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("6h", timedelta(hours=6)),
        ("1d", timedelta(days=1)),
        ("1h30m", timedelta(minutes=90)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("0d90m", timedelta(minutes=90)),
        ("366d", timedelta(days=366)),
        ("1s", timedelta(seconds=1)),
    ],
)
def test_the_length_of_an_interval_is_the_sum_of_its_units(text: str, length: timedelta) -> None:
    assert next_fire(f"@every {text}", "UTC", NOON, anchor=NOON) == NOON + length


# --- @at --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-02-15T14:30:00+01:00", "Asia/Tokyo", "2026-02-15T13:30:00"),
        ("2026-02-15T14:30Z", "Asia/Tokyo", "2026-02-15T14:30:00"),
        ("2026-02-15T14:30:15-03:30", "UTC", "2026-02-15T18:00:15"),
        ("2026-02-15T14:30", "Europe/Madrid", "2026-02-15T13:30:00"),
        ("2026-07-15T14:30:59", "Europe/Madrid", "2026-07-15T12:30:59"),
        ("2026-03-29T02:30:30", "Europe/Madrid", "2026-03-29T01:00:00"),  # skipped: 03:00 summer time
        ("2026-03-29T02:00:00", "Europe/Madrid", "2026-03-29T01:00:00"),
        ("2026-03-29T01:59:59", "Europe/Madrid", "2026-03-29T00:59:59"),
        ("2026-10-25T02:30:30", "Europe/Madrid", "2026-10-25T00:30:30"),  # twice: the first
        ("2026-10-25T02:30:30+01:00", "Europe/Madrid", "2026-10-25T01:30:30"),
        ("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:30:00"),
        ("2011-12-30T12:00", "Pacific/Apia", "2011-12-30T10:00:00"),  # a day that never was: the first minute after
        ("1970-01-01T00:00", "Asia/Tokyo", "1969-12-31T15:00:00"),
        ("2038-01-19T03:14:08", "UTC", "2038-01-19T03:14:08"),
        ("9999-12-31T23:59:59", "Asia/Tokyo", "9999-12-31T14:59:59"),
    ],
)
def test_a_moment_fires_once_at_its_instant(text: str, zone: str, expected: str) -> None:
    schedule, instant = f"@at {text}", utc(expected)
    assert next_fire(schedule, zone, instant - 999 * DAY) == instant
    assert next_fire(schedule, zone, instant - SECOND) == instant
    assert next_fire(schedule, zone, instant) is None
    assert due_slots(schedule, zone, instant - SECOND, instant) == DueSlots(1, instant, (instant,))
    assert due_slots(schedule, zone, instant - SECOND, instant, keep=0) == DueSlots(1, instant, ())
    assert due_slots(schedule, zone, instant, datetime.max.replace(tzinfo=UTC)) == DueSlots(0, None, ())


def test_a_moment_whose_instant_lies_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(ScheduleError, match="after the year 9999"):
        next_fire("@at 9999-12-31T23:30", "America/New_York", NOON)


# --- the ends of the calendar -----------------------------------------------------------------------------------------


def test_leap_days_are_found_across_a_century_without_one() -> None:
    slot: datetime | None = utc("2088-01-01T00:00")
    years = []
    for _ in range(5):
        assert slot is not None
        slot = next_fire("0 0 29 2 *", "Europe/Madrid", slot)
        years.append(local(slot, "Europe/Madrid")[:10])
    assert years == ["2088-02-29", "2092-02-29", "2096-02-29", "2104-02-29", "2108-02-29"]


def test_a_gap_of_forty_years_is_not_taken_for_the_end() -> None:
    assert next_fire("0 0 29 2 */7", "UTC", utc("2088-02-29T00:00")) == utc("2128-02-29T00:00")


def test_the_year_2038_does_no_harm() -> None:
    assert next_fire("14 3 * * *", "UTC", utc("2038-01-19T03:13:59")) == utc("2038-01-19T03:14:00")
    assert next_fire("14 3 * * *", "UTC", utc("2038-01-19T03:14:07")) == utc("2038-01-20T03:14:00")
    summer = next_fire("0 12 * * *", "America/New_York", utc("2050-07-01T00:00"))
    assert local(summer, "America/New_York") == "2050-07-01T12:00:00-04:00"


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Apia", "America/New_York", "Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize(
    "schedule", ["* * * * *", "0 0 * * *", "59 23 31 12 *", "0 0 29 2 *", "0 0 29 2 */7", "@every 366d", "@every 1s"]
)
def test_the_last_days_of_the_calendar_end_in_none_and_not_in_an_exception(schedule: str, zone: str) -> None:
    last = datetime.max.replace(tzinfo=UTC)
    assert next_fire(schedule, zone, last) is None
    assert next_fire(schedule, zone, datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))) is None
    for days in (*range(1, 6), 300, 9_000, 18_000):
        slot = next_fire(schedule, zone, last - days * DAY)
        assert slot is None or last - days * DAY < slot <= last
        if days < 300:
            assert (due_slots(schedule, zone, last - days * DAY, last).count > 0) == (slot is not None)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Apia", "America/New_York"])
def test_the_first_days_of_the_calendar_do_no_harm(zone: str) -> None:
    for first in (datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=timezone(timedelta(hours=12)))):
        assert next_fire("* * * * *", zone, first) == utc("1970-01-01T00:00")
        assert next_fire("@every 1h", zone, first) == utc("1970-01-01T01:00")
        assert due_slots("* * * * *", zone, first, utc("1970-01-01T00:09")).count == 10
