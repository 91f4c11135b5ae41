"""The slots of a span, as `simulate` and `timeline` list them, and how a limit is shared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from reports.overview import shares
from schedules.calendar import Schedules
from scheduling.planner import slots_between
from tests.fakes import NOON, at, make_state

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("schedule", "zone"),
    [
        ("*/7 * * * *", "Europe/Madrid"),
        ("30 2 * * *", "Europe/Madrid"),
        ("0 9 * * 5", "America/New_York"),
        ("0 0 29 2 *", "UTC"),
        ("@every 37m", "UTC"),
        ("@every 45s", "UTC"),
        ("@at 2026-03-29T12:00:00+00:00", "UTC"),
    ],
)
@pytest.mark.parametrize("most", [3, 500, 100_000])
def test_the_slots_of_a_span_equal_the_chain_of_next_runs(schedule: str, zone: str, most: int) -> None:
    state, calendar = make_state(zone=zone, schedule=schedule), Schedules()
    after, until = at("03-27 00:00"), at("03-31 00:00")
    chain: list[datetime] = []
    slot = calendar.next_fire(schedule, zone, after, anchor=state.anchor)
    while slot is not None and slot <= until and len(chain) < most:
        chain.append(slot)
        slot = calendar.next_fire(schedule, zone, slot, anchor=state.anchor)
    assert slots_between(state, after, until, calendar, most) == tuple(chain)


def test_slots_of_years_are_found() -> None:
    state = make_state(schedule="0 0 1 1 *")
    slots = slots_between(state, NOON, NOON + 3 * 366 * DAY, Schedules(), 100)
    assert [slot.isoformat()[:10] for slot in slots] == ["2027-01-01", "2028-01-01", "2029-01-01"]
    last = datetime(9999, 12, 31, 23, tzinfo=UTC)
    assert slots_between(state, last - DAY, last, Schedules(), 100) == ()


def test_slots_of_a_paused_job_come_after_its_pause() -> None:
    state = make_state(schedule="0 * * * *", paused_until="2026-02-25T20:00:00+00:00")
    slots = slots_between(state, NOON, NOON + DAY, Schedules(), 2)
    assert slots == (at("02-25 20:00"), at("02-25 21:00"))
    assert all(a < b for a, b in pairwise(slots_between(state, NOON, NOON + 5 * DAY, Schedules(), 99)))


@pytest.mark.parametrize(
    ("counts", "most", "result"),
    [
        ([], 10, []),
        ([1, 2, 3], 10, [1, 2, 3]),
        ([100, 1, 100], 11, [5, 1, 5]),
        ([100, 30, 100, 2], 100, [34, 30, 34, 2]),
        ([5, 5], 0, [0, 0]),
    ],
)
def test_a_limit_cuts_the_largest_counts_first(counts: list[int], most: int, result: list[int]) -> None:
    assert shares(counts, most) == list(zip(result, counts, strict=True))
