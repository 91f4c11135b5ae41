"""What is done about due slots: a table of cases. The calendar is the real one; nothing else is needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from core.run import Missed, Trigger
from schedules import language
from scheduling.planner import ON_TIME_SEC, Slots, corrected_cursor, plan, skip_all, slots_between, start_of
from tests.fakes import NOON, at, make_state

SCHEDULE, CATCH_UP = Trigger.SCHEDULE, Trigger.CATCH_UP


@dataclass(frozen=True)
class Case:
    """One job, one tick, one plan. `missed` is (how many, first, last, made up for by the slot that runs)."""

    name: str
    cursor: str
    now: str
    slot: str | None
    trigger: Trigger
    following: str | None
    missed: tuple[int, str, str, bool] | None = None
    starts_at: str | None = None
    schedule: str = "0 * * * *"
    zone: str = "UTC"
    anchor: datetime = NOON
    fields: dict[str, Any] = field(default_factory=dict)


LATEST = [
    Case("on time", "02-25 12:00", "02-25 12:00:20", "02-25 12:00", SCHEDULE, "02-25 13:00"),
    Case("in the very second", "02-25 12:00", "02-25 12:00", "02-25 12:00", SCHEDULE, "02-25 13:00"),
    Case("at the edge of on time", "02-25 12:00", "02-25 12:02", "02-25 12:00", SCHEDULE, "02-25 13:00"),
    Case("a second beyond it", "02-25 12:00", "02-25 12:02:01", "02-25 12:00", CATCH_UP, "02-25 13:00"),
    Case("one late slot", "02-25 12:00", "02-25 12:59:59", "02-25 12:00", CATCH_UP, "02-25 13:00"),
    Case(
        "the newest of several, the rest made up for",
        "02-25 08:00",
        "02-25 12:30",
        "02-25 12:00",
        CATCH_UP,
        "02-25 13:00",
        (4, "02-25 08:00", "02-25 11:00", True),
    ),
    Case(
        "a newest one that is on time is no catch-up, though older ones are missed",
        "02-25 10:00",
        "02-25 12:00:30",
        "02-25 12:00",
        SCHEDULE,
        "02-25 13:00",
        (2, "02-25 10:00", "02-25 11:00", True),
    ),
    Case(
        "two slots: one runs, one is missed",
        "02-25 11:00",
        "02-25 12:30",
        "02-25 12:00",
        CATCH_UP,
        "02-25 13:00",
        (1, "02-25 11:00", "02-25 11:00", True),
    ),
    Case(
        "a year of minutes is one run and one row",
        "2025-02-25 12:00",
        "02-25 12:00",
        "02-25 12:00",
        SCHEDULE,
        "02-25 12:01",
        (365 * 1440, "2025-02-25 12:00", "02-25 11:59", True),
        schedule="* * * * *",
    ),
    Case(
        "a cursor that is no slot counts as one",
        "02-25 11:17",
        "02-25 12:30",
        "02-25 12:00",
        CATCH_UP,
        "02-25 13:00",
        (1, "02-25 11:17", "02-25 11:17", True),
    ),
    Case(
        "a cursor that is no slot runs when nothing is newer",
        "02-25 11:17",
        "02-25 11:18",
        "02-25 11:17",
        SCHEDULE,
        "02-25 12:00",
    ),
]

NONE = [
    Case("on time", "02-25 12:00", "02-25 12:01", "02-25 12:00", SCHEDULE, "02-25 13:00", fields={"catch_up": "none"}),
    Case(
        "too late by a second",
        "02-25 12:00",
        "02-25 12:02:01",
        None,
        SCHEDULE,
        "02-25 13:00",
        (1, "02-25 12:00", "02-25 12:00", False),
        fields={"catch_up": "none"},
    ),
    Case(
        "the newest is on time, the older are missed and not made up for by policy but by it",
        "02-25 09:00",
        "02-25 12:00:10",
        "02-25 12:00",
        SCHEDULE,
        "02-25 13:00",
        (3, "02-25 09:00", "02-25 11:00", True),
        fields={"catch_up": "none"},
    ),
    Case(
        "all missed, in one row",
        "02-25 09:00",
        "02-25 12:30",
        None,
        SCHEDULE,
        "02-25 13:00",
        (4, "02-25 09:00", "02-25 12:00", False),
        fields={"catch_up": "none"},
    ),
    Case(
        "max_lateness_sec widens what is in time",
        "02-25 12:00",
        "02-25 12:10",
        "02-25 12:00",
        CATCH_UP,
        "02-25 13:00",
        fields={"catch_up": "none", "max_lateness_sec": 600},
    ),
]

ALL = [
    Case(
        "the oldest first, the cursor stays on the next",
        "02-25 09:00",
        "02-25 12:30",
        "02-25 09:00",
        CATCH_UP,
        "02-25 10:00",
        fields={"catch_up": "all"},
    ),
    Case(
        "the last of them moves the cursor beyond now",
        "02-25 12:00",
        "02-25 12:30",
        "02-25 12:00",
        CATCH_UP,
        "02-25 13:00",
        fields={"catch_up": "all"},
    ),
    Case(
        "exactly as many as the limit",
        "02-25 10:00",
        "02-25 12:30",
        "02-25 10:00",
        CATCH_UP,
        "02-25 11:00",
        fields={"catch_up": "all", "catch_up_limit": 3},
    ),
    Case(
        "one more than the limit",
        "02-25 09:00",
        "02-25 12:30",
        "02-25 10:00",
        CATCH_UP,
        "02-25 11:00",
        (1, "02-25 09:00", "02-25 09:00", True),
        fields={"catch_up": "all", "catch_up_limit": 3},
    ),
    Case(
        "many more than the limit",
        "02-24 09:00",
        "02-25 12:30",
        "02-25 11:00",
        CATCH_UP,
        "02-25 12:00",
        (26, "02-24 09:00", "02-25 10:00", True),
        fields={"catch_up": "all", "catch_up_limit": 2},
    ),
    Case(
        "a limit of one is latest",
        "02-25 09:00",
        "02-25 12:30",
        "02-25 12:00",
        CATCH_UP,
        "02-25 13:00",
        (3, "02-25 09:00", "02-25 11:00", True),
        fields={"catch_up": "all", "catch_up_limit": 1},
    ),
    Case(
        "max_lateness_sec cuts deeper than the limit",
        "02-25 06:00",
        "02-25 12:30",
        "02-25 11:00",
        CATCH_UP,
        "02-25 12:00",
        (5, "02-25 06:00", "02-25 10:00", True),
        fields={"catch_up": "all", "catch_up_limit": 4, "max_lateness_sec": 2 * 3600},
    ),
]

LATENESS = [
    Case(
        "to the second still in time",
        "02-25 12:00",
        "02-25 12:10",
        "02-25 12:00",
        CATCH_UP,
        "02-25 13:00",
        fields={"max_lateness_sec": 600},
    ),
    Case(
        "a second too late",
        "02-25 12:00",
        "02-25 12:10:01",
        None,
        SCHEDULE,
        "02-25 13:00",
        (1, "02-25 12:00", "02-25 12:00", False),
        fields={"max_lateness_sec": 600},
    ),
    Case(
        "lateness is measured when the slot is served, not when the tick began",
        "02-25 12:00",
        "02-25 12:00:05",
        None,
        SCHEDULE,
        "02-25 13:00",
        (1, "02-25 12:00", "02-25 12:00", False),
        starts_at="02-25 12:20",
        fields={"max_lateness_sec": 600},
    ),
    Case(
        "a slot that waited for a permit is a catch-up",
        "02-25 12:00",
        "02-25 12:00:05",
        "02-25 12:00",
        CATCH_UP,
        "02-25 13:00",
        starts_at="02-25 12:20",
    ),
    Case(
        "what comes due while a tick waits is left to the next tick",
        "02-25 12:00",
        "02-25 12:00:05",
        "02-25 12:00",
        CATCH_UP,
        "02-25 13:00",
        starts_at="02-25 15:20",
    ),
]

ONCE = [
    Case("on time", "02-25 12:00", "02-25 12:00:30", "02-25 12:00", SCHEDULE, None, schedule="@at 2026-02-25T12:00Z"),
    Case("days late", "02-25 12:00", "03-01 12:00", "02-25 12:00", CATCH_UP, None, schedule="@at 2026-02-25T12:00Z"),
    Case(
        "too late for good",
        "02-25 12:00",
        "03-01 12:00",
        None,
        SCHEDULE,
        None,
        (1, "02-25 12:00", "02-25 12:00", False),
        schedule="@at 2026-02-25T12:00Z",
        fields={"max_lateness_sec": 60},
    ),
]

EVERY = [
    Case(
        "the grid starts at the anchor and does not drift with a late tick",
        "02-25 12:07",
        "02-25 12:07:50",
        "02-25 12:07",
        SCHEDULE,
        "02-25 12:14",
        schedule="@every 7m",
    ),
    Case(
        "missed ones are counted on the grid",
        "02-25 12:07",
        "02-25 13:00",
        "02-25 12:56",
        CATCH_UP,
        "02-25 13:03",
        (7, "02-25 12:07", "02-25 12:49", True),
        schedule="@every 7m",
    ),
    Case(
        "an anchor of odd seconds",
        "02-25 12:00:41",
        "02-25 12:03",
        "02-25 12:02:11",
        SCHEDULE,
        "02-25 12:03:41",
        (1, "02-25 12:00:41", "02-25 12:00:41", True),
        schedule="@every 90s",
        anchor=at("02-25 11:59:11"),
    ),
]

MADRID = "Europe/Madrid"  # 2026-03-29 02:00 → 03:00, 2026-10-25 03:00 → 02:00
DAYLIGHT_SAVING = [
    Case(
        "a skipped wall time runs once, after the gap",
        "03-29 01:00",
        "03-29 01:00:20",
        "03-29 01:00",
        SCHEDULE,
        "03-30 00:30",
        schedule="30 2 * * *",
        zone=MADRID,
    ),
    Case(
        "the gap makes no extra slot for a wild job",
        "03-29 00:00",
        "03-29 02:30",
        "03-29 02:00",
        CATCH_UP,
        "03-29 03:00",
        (2, "03-29 00:00", "03-29 01:00", True),
        schedule="0 * * * *",
        zone=MADRID,
    ),
    Case(
        "a wall time that comes twice runs the first time",
        "10-25 00:30",
        "10-25 01:40",
        "10-25 00:30",
        CATCH_UP,
        "10-26 01:30",
        schedule="30 2 * * *",
        zone=MADRID,
    ),
    Case(
        "both passes of the repeated hour are slots of a wild job",
        "10-25 00:00",
        "10-25 02:00",
        "10-25 02:00",
        SCHEDULE,
        "10-25 03:00",
        (2, "10-25 00:00", "10-25 01:00", True),
        schedule="0 * * * *",
        zone=MADRID,
    ),
    Case(
        "Lord Howe's half hour: two daily slots are 23 and a half hours apart",
        "10-02 15:30",
        "10-04 12:00",
        "10-03 15:30",
        CATCH_UP,
        "10-04 15:00",
        (1, "10-02 15:30", "10-02 15:30", True),
        schedule="0 2 * * *",
        zone="Australia/Lord_Howe",
    ),
]

TABLE = {
    "latest": LATEST,
    "none": NONE,
    "all": ALL,
    "max_lateness_sec": LATENESS,
    "@at": ONCE,
    "@every": EVERY,
    "daylight saving": DAYLIGHT_SAVING,
}


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{group}: {case.name}") for group, cases in TABLE.items() for case in cases]
)
def test_a_due_job_is_planned_as_the_table_says(case: Case) -> None:
    state = make_state(at(case.cursor), zone=case.zone, anchor=case.anchor, schedule=case.schedule, **case.fields)
    starts_at = at(case.starts_at) if case.starts_at else None
    found = plan(state, at(case.now), language, starts_at=starts_at)
    assert found.cursor == at(case.cursor)
    assert found.slot == (at(case.slot) if case.slot else None)
    assert found.trigger is case.trigger
    assert found.next_run_at == (at(case.following) if case.following else None)
    assert _shape(found.missed) == case.missed
    assert found.following == language.next_fire(case.schedule, case.zone, at(case.now), anchor=case.anchor)


def _shape(missed: Missed | None) -> tuple[int, str, str, bool] | None:
    if missed is None:
        return None

    def text(instant: datetime) -> str:
        full = instant.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")
        return full.removeprefix("2026-")

    return missed.count, text(missed.first), text(missed.last), missed.superseded


@pytest.mark.parametrize("cursor", [None, at("02-25 12:00:01")])
def test_a_job_that_is_not_due_can_not_be_planned(cursor: datetime | None) -> None:
    with pytest.raises(ValueError, match="report is not due"):
        plan(make_state(cursor), NOON, language)


def test_catch_up_all_serves_the_slots_one_after_another_until_none_is_due() -> None:
    served = []
    state = make_state(at("02-25 08:00"), schedule="0 * * * *", catch_up="all", catch_up_limit=3)
    now = at("02-25 12:30")
    while state.next_run_at is not None and state.next_run_at <= now:
        step = plan(state, now, language)
        served.append((step.slot, step.missed.count if step.missed else 0))
        state = make_state(step.next_run_at, schedule="0 * * * *", catch_up="all", catch_up_limit=3)
    assert served == [(at("02-25 10:00"), 2), (at("02-25 11:00"), 0), (at("02-25 12:00"), 0)]
    assert state.next_run_at == at("02-25 13:00")


# --- why a slot is missed ---


@pytest.mark.parametrize(
    ("fields", "now", "reason"),
    [
        pytest.param({}, "02-25 12:30", ". Only the latest slot is run later (catch_up: latest)", id="latest"),
        pytest.param({"catch_up": "none"}, "02-25 12:30", " (catch_up: none)", id="none"),
        pytest.param(
            {"catch_up": "all", "catch_up_limit": 2}, "02-25 12:30", " (catch_up_limit: 2)", id="beyond the limit"
        ),
        pytest.param({"catch_up": "none"}, "02-25 12:00:10", " (catch_up: none)", id="none, though the newest runs"),
        pytest.param({"max_lateness_sec": 60}, "02-25 12:30", " (max_lateness_sec: 60)", id="too old"),
        pytest.param(
            {"catch_up": "all", "max_lateness_sec": 9000},
            "02-25 12:30",
            " (max_lateness_sec: 9000)",
            id="all, the older ones too old",
        ),
        pytest.param(
            {"catch_up": "all", "max_lateness_sec": 60}, "02-25 12:30", " (max_lateness_sec: 60)", id="all, too old"
        ),
        pytest.param(
            {"max_lateness_sec": 86_400},
            "02-25 12:30",
            ". Only the latest slot is run later (catch_up: latest)",
            id="young enough, but not the newest",
        ),
        pytest.param(
            {"catch_up": "all", "catch_up_limit": 2, "max_lateness_sec": 86_400},
            "02-25 12:30",
            " (catch_up_limit: 2)",
            id="young enough, but beyond the limit",
        ),
    ],
)
def test_a_missed_row_says_the_true_reason(fields: dict[str, Any], now: str, reason: str) -> None:
    found = plan(make_state(at("02-25 08:00"), schedule="0 * * * *", **fields), at(now), language)
    assert found.missed is not None
    assert found.missed.reason == f"the scheduler was not running then{reason}"


# --- slots that a change drops ---


def test_a_job_that_is_not_due_drops_nothing() -> None:
    assert skip_all(make_state(at("02-25 12:01")), NOON, language, "gone") is None
    assert skip_all(make_state(None), NOON, language, "gone") is None


def test_a_change_drops_all_due_slots_with_their_number() -> None:
    state = make_state(at("02-25 09:00"), schedule="0 * * * *", catch_up="all", max_lateness_sec=60)
    assert skip_all(state, at("02-25 12:30"), language, "gone") == Missed(
        4, at("02-25 09:00"), at("02-25 12:00"), "gone", superseded=False
    )


def test_a_change_drops_a_single_due_slot() -> None:
    assert skip_all(make_state(NOON, schedule="0 * * * *"), NOON, language, "gone") == Missed(
        1, NOON, NOON, "gone", superseded=False
    )


# --- a clock that was wrong ---


def test_a_cursor_too_far_ahead_is_moved_back_to_the_next_slot() -> None:
    state = make_state(at("2031-01-01 00:00"), schedule="0 * * * *")
    assert corrected_cursor(state, at("02-25 12:30"), language) == at("02-25 13:00")


@pytest.mark.parametrize("cursor", ["02-25 09:00", "02-25 13:00"])
def test_a_cursor_that_is_not_after_the_next_slot_stays(cursor: str) -> None:
    instant = at(cursor)
    assert corrected_cursor(make_state(instant, schedule="0 * * * *"), at("02-25 12:30"), language) == instant


def test_a_job_without_a_cursor_gets_one_if_a_slot_is_to_come() -> None:
    once = make_state(None, schedule="@at 2031-01-01T00:00Z")
    assert corrected_cursor(once, NOON, language) == at("2031-01-01 00:00")
    assert corrected_cursor(once, at("2031-01-01 00:00"), language) is None


def test_a_job_that_runs_once_in_the_future_is_left_alone() -> None:
    state = make_state(at("2031-01-01 00:00"), schedule="@at 2031-01-01T00:00Z")
    assert corrected_cursor(state, NOON, language) == at("2031-01-01 00:00")


def test_the_cursor_of_a_job_that_never_fires_again_stays() -> None:
    state = make_state(at("2031-01-01 00:00"), schedule="@at 2025-01-01T00:00Z")
    assert corrected_cursor(state, NOON, language) == at("2031-01-01 00:00")


def test_an_interval_job_is_moved_back_onto_its_grid_after_a_wrong_clock() -> None:
    state = make_state(at("2031-01-01 00:01"), schedule="@every 7m", anchor=at("02-25 11:56"))
    assert corrected_cursor(state, NOON, language) == at("02-25 12:03")


def test_an_interval_job_that_was_first_synced_under_a_wrong_clock_is_not_silent_for_years() -> None:
    state = make_state(at("2031-01-01 00:07"), schedule="@every 7m", anchor=at("2031-01-01 00:00"))
    found = corrected_cursor(state, NOON, language)
    assert found is not None
    assert NOON < found <= NOON + timedelta(minutes=7)


def test_on_time_covers_a_tick_a_minute_and_a_slow_start() -> None:
    assert 60 < ON_TIME_SEC < 300


# --- pauses, and slots that are only shown ---


@pytest.mark.parametrize(
    ("now", "start"),
    [
        pytest.param("02-25 12:00", "02-25 14:59:59", id="paused: a slot at the very end of the pause counts"),
        pytest.param("02-25 14:59:59", "02-25 14:59:59", id="the last second"),
        pytest.param("02-25 15:00", "02-25 15:00", id="over"),
    ],
)
def test_the_next_slot_lies_after_the_pause(now: str, start: str) -> None:
    job = make_state(NOON, paused_until="2026-02-25T15:00:00+00:00").job
    assert start_of(job, at(now)) == at(start)
    assert start_of(make_state(NOON).job, at(now)) == at(now)


@pytest.mark.parametrize(
    ("fields", "following"),
    [
        pytest.param({"schedule": "0 * * * *"}, "02-25 13:00", id="an hour"),
        pytest.param({"schedule": "0 * * * *", "paused_until": "2026-02-25T15:00:00+00:00"}, "02-25 15:00", id="pause"),
        pytest.param({"schedule": "@every 7m"}, "02-25 12:03", id="an interval, from its anchor"),
        pytest.param({"schedule": "0 9 * * *", "zone": "Asia/Tokyo"}, "02-26 00:00", id="a zone"),
    ],
)
def test_the_store_gets_the_next_slot(fields: dict[str, Any], following: str) -> None:
    state = make_state(NOON, anchor=at("02-25 11:56"), **fields)
    assert Slots(language).following(state, NOON) == at(following)


@pytest.mark.parametrize(
    ("fields", "missed"),
    [
        pytest.param({"schedule": "0 * * * *"}, (5, "02-25 08:00", "02-25 12:00", False), id="hours"),
        pytest.param({"schedule": "@every 50m"}, (6, "02-25 08:00", "02-25 11:40", False), id="an interval"),
        pytest.param(
            {"schedule": "0 18 * * *", "zone": "Asia/Tokyo"}, (2, "02-25 08:00", "02-25 09:00", False), id="a zone"
        ),
    ],
)
def test_the_store_gets_the_due_slots(fields: dict[str, Any], missed: tuple[int, str, str, bool]) -> None:
    found = Slots(language).due(make_state(at("02-25 08:00"), anchor=at("02-25 08:20"), **fields), NOON, "paused")
    assert found is not None
    assert (_shape(found), found.reason) == (missed, "paused")


@pytest.mark.parametrize(
    ("fields", "after", "until", "most", "count", "first", "last"),
    [
        pytest.param({}, "02-25 12:00", "02-25 15:00", 10, 3, "02-25 13:00", "02-25 15:00", id="its end counts"),
        pytest.param({}, "02-25 12:00", "02-25 15:00", 2, 2, "02-25 13:00", "02-25 14:00", id="no more than most"),
        pytest.param({}, "02-25 12:00", "02-28 12:00", 99, 72, "02-25 13:00", "02-28 12:00", id="two steps"),
        pytest.param({}, "02-25 12:00", "06-25 12:00", 2882, 2880, "02-25 13:00", "06-25 12:00", id="many steps"),
        pytest.param(
            {"paused_until": "2026-02-25T14:00:00+00:00"},
            "02-25 12:00", "02-25 15:00", 9, 2, "02-25 14:00", "02-25 15:00", id="paused",
        ),
        pytest.param(
            {"schedule": "0 9 * * *", "zone": "Asia/Tokyo"},
            "02-25 12:00", "02-28 12:00", 9, 3, "02-26 00:00", "02-28 00:00", id="a zone",
        ),
        pytest.param(
            {"schedule": "@every 7m"}, "02-25 12:00", "02-25 12:20", 9, 3, "02-25 12:03", "02-25 12:17", id="an anchor",
        ),
    ],
)  # fmt: skip
def test_the_first_slots_of_a_span(
    fields: dict[str, Any], after: str, until: str, most: int, count: int, first: str, last: str
) -> None:
    state = make_state(None, anchor=at("02-25 11:56"), **{"schedule": "0 * * * *", **fields})
    found = slots_between(state, at(after), at(until), language, most)
    assert (len(found), found[0], found[-1]) == (count, at(first), at(last))


def test_a_span_that_is_empty_or_lies_in_a_pause_has_no_slots() -> None:
    assert slots_between(make_state(None, schedule="* * * * *"), NOON, NOON, language, 9) == ()
    paused = make_state(None, schedule="* * * * *", paused_until="2026-02-25T15:00:00+00:00")
    assert slots_between(paused, NOON, at("02-25 14:00"), language, 9) == ()
