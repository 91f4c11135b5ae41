"""What `status` says about the scheduler: overdue jobs, undelivered events, anomalies."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from core.clock import utc_text
from core.run import ProcessId
from reports import health
from store.events import Undelivered
from store.health import Overdue, Troubled
from tests.fakes import NOON, OWNER, RunningRow

QUIET = Troubled("report", "0 9 * * *", "", "", None, None, no_next_run=False, stray_lease=False)


@dataclass
class FakeStore:
    """Answers with the rows that the test sets, and records the instants of queries for overdue jobs."""

    overdue: list[Overdue] = field(default_factory=list)
    troubled: list[Troubled] = field(default_factory=list)
    runs_now: list[Any] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    waiting: list[Undelivered] = field(default_factory=list)
    overdue_queries: list[str] = field(default_factory=list)

    @property
    def health(self) -> Any:
        def overdue(before: str, limit: int) -> tuple[int, list[Overdue]]:
            self.overdue_queries.append(before)
            return 4711, self.overdue[:limit]

        return SimpleNamespace(overdue=overdue, troubled=lambda limit: self.troubled[:limit])

    @property
    def runs(self) -> Any:
        return SimpleNamespace(running=lambda: self.runs_now)

    @property
    def events(self) -> Any:
        return SimpleNamespace(undelivered_summary=lambda: self.waiting)

    @property
    def state(self) -> Any:
        return SimpleNamespace(get_fact=self.facts.get)


def now(*alive: ProcessId, monotonic: float = 1000.0, wall: datetime = NOON) -> health.Now:
    return health.Now(wall, monotonic, lambda process: process in alive)


def codes(store: FakeStore, moment: health.Now | None = None, last_tick: datetime | None = NOON) -> list[object]:
    return [anomaly["code"] for anomaly in health.anomalies(store, last_tick, moment or now(OWNER), 120)]


@pytest.mark.parametrize(
    ("age", "stale"), [(0, False), (300, False), (301, True), (-300, False), (-301, True), (10**8, True)]
)
def test_a_last_tick_too_long_ago_or_too_far_ahead_is_stale(age: int, stale: bool) -> None:
    state = health.tick_state(NOON - timedelta(seconds=age), NOON, 300)
    assert (state["last_tick_age_sec"], state["stale"]) == (age, stale)


def test_without_any_tick_the_scheduler_is_stale() -> None:
    state = health.tick_state(None, NOON, 300)
    assert state == {"last_tick_at": None, "last_tick_age_sec": None, "stale_after_sec": 300, "stale": True}


def test_a_quiet_machine_has_nothing_to_report() -> None:
    assert health.condition(FakeStore(), NOON, now(), 120) == {
        "overdue_count": 4711,
        "overdue_jobs": [],
        "waiting_events": [],
        "anomalies": [],
    }


def test_a_job_due_for_more_than_two_minutes_is_overdue() -> None:
    store = FakeStore(overdue=[Overdue("late", "2026-02-25T11:00:00+00:00", running=True)])
    count, jobs = health.overdue_jobs(store, NOON)
    assert store.overdue_queries == ["2026-02-25T11:57:59+00:00"], "121 s ago, so more than 120"
    assert count == 4711
    assert jobs == [{"job_id": "late", "next_run_at": "2026-02-25T11:00:00+00:00", "late_sec": 3600, "running": True}]


def test_at_most_a_hundred_overdue_jobs_are_shown() -> None:
    store = FakeStore(overdue=[Overdue("late", utc_text(NOON), running=False)] * 150)
    assert len(health.overdue_jobs(store, NOON)[1]) == 100


def test_waiting_events_say_since_when_and_why() -> None:
    store = FakeStore(waiting=[Undelivered("telegram", 3, utc_text(NOON), 7, "disk full")])
    assert health.waiting_events(store) == [
        {"channel": "telegram", "count": 3, "oldest_ts": utc_text(NOON), "failures": 7, "last_error": "disk full"}
    ]


def test_a_last_tick_in_the_future_is_an_anomaly() -> None:
    assert codes(FakeStore(), last_tick=NOON) == []
    assert codes(FakeStore(), last_tick=None) == []
    assert codes(FakeStore(), last_tick=NOON + timedelta(seconds=5)) == [], "it came during the report"
    assert codes(FakeStore(), last_tick=NOON + timedelta(seconds=6)) == ["LAST_TICK_IN_FUTURE"]


@pytest.mark.parametrize(("hours", "shown"), [(0, True), (24, True), (25, False), (-24, True), (-25, False)])
def test_the_last_clock_anomaly_is_shown_for_a_day(hours: int, shown: bool) -> None:
    anomaly = {"code": "CLOCK_SET_BACK", "last_seen_at": "2026-02-25T13:00:00+00:00", "corrected_jobs": ["a", "b"]}
    fact = health.clock_fact(anomaly, NOON)
    assert fact["corrected_jobs"] == 2, "the number only, because it is stored"
    store = FakeStore(facts={health.CLOCK_FACT: fact})
    moment = now(wall=NOON + timedelta(hours=hours))
    assert codes(store, moment, None) == (["CLOCK_SET_BACK"] if shown else [])


def test_a_damaged_clock_fact_is_left_out() -> None:
    assert codes(FakeStore(facts={health.CLOCK_FACT: {"code": "CLOCK_SET_BACK", "seen_at": "yesterday"}})) == []


def test_a_run_whose_owner_is_gone_is_reported_before_its_lease_is_over() -> None:
    store = FakeStore(runs_now=[RunningRow()])
    assert codes(store, now(OWNER)) == []
    (anomaly,) = health.anomalies(store, None, now(), 120)
    assert (anomaly["code"], anomaly["run_id"], anomaly["job_id"]) == ("OWNER_GONE", RunningRow().run_id, "report")


def test_a_run_beyond_its_ceiling_is_reported_while_its_owner_lives() -> None:
    store = FakeStore(runs_now=[RunningRow(ceiling=2000.0)])
    assert codes(store, now(OWNER, monotonic=1999.0)) == []
    assert codes(store, now(OWNER, monotonic=2000.0)) == ["RUN_BEYOND_CEILING"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"problem_json": '{"code": "X", "message": "no such zone"}'}, "JOB_PROBLEM"),
        ({"problem_json": "{"}, "JOB_PROBLEM"),
        ({"paused_at": "2026-02-25T11:00:00+00:00"}, "JOB_PAUSED"),
        ({"no_next_run": True}, "NO_NEXT_RUN"),
        ({"stray_lease": True, "lease_owner": "host:1"}, "LEASE_WITHOUT_RUN"),
    ],
)
def test_each_trouble_of_a_job_is_reported_with_its_name(change: dict[str, Any], code: str) -> None:
    store = FakeStore(troubled=[replace(QUIET, **change)])
    (anomaly,) = health.anomalies(store, None, now(), 120)
    assert (anomaly["code"], anomaly["job_id"]) == (code, "report")
    assert "report" in anomaly["message"]
    assert anomaly["hint"]


def test_a_job_may_have_several_troubles() -> None:
    job = replace(QUIET, problem_json='{"message": "no such zone"}', paused_at="2026-02-25T11:00:00+00:00")
    anomalies = health.anomalies(FakeStore(troubled=[job]), None, now(), 120)
    assert [anomaly["code"] for anomaly in anomalies] == ["JOB_PROBLEM", "JOB_PAUSED"]
    assert "no such zone" in anomalies[0]["message"]
