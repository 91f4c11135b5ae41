"""`Schedules` gives the answers of `schedules.language`, also from its cache."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from schedules import language
from schedules.calendar import Schedules

ANCHOR = datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC)
# Hypothesis wants bounds without a zone.
FIRST, LAST = datetime(2026, 1, 1), datetime(2027, 12, 31)  # noqa: DTZ001
INSTANTS = st.datetimes(FIRST, LAST, timezones=st.just(UTC))


@given(
    schedule=st.sampled_from(["* * * * *", "*/7 3-9 * * 1-5", "@hourly", "0 2 * * *", "@every 90s", "30 1 29 2 *"]),
    zone=st.sampled_from(["UTC", "Europe/Madrid", "Australia/Lord_Howe"]),
    after=INSTANTS,
    seconds=st.floats(0, 200_000),
)
def test_fractions_of_a_second_and_the_cache_change_no_answer(
    schedule: str, zone: str, after: datetime, seconds: float
) -> None:
    until = after + timedelta(seconds=seconds)
    calendar = Schedules()
    for _ in range(2):
        assert calendar.next_fire(schedule, zone, after, anchor=ANCHOR) == language.next_fire(
            schedule, zone, after, anchor=ANCHOR
        )
        assert calendar.due_slots(schedule, zone, after, until, anchor=ANCHOR, keep=3) == language.due_slots(
            schedule, zone, after, until, anchor=ANCHOR, keep=3
        )
