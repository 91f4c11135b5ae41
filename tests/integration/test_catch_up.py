"""Slots that no tick saw in time: what runs, what is written off, and what is told of it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.support_machine import COUNT, Machine, shell, slots, utc
from tests.workspace import FakeClock, Workspace

HOURLY = "0 * * * *"


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def told(workspace: Workspace) -> list[str]:
    """The slots that were started, by what the target itself wrote."""
    return [line.split()[1][11:16] for line in workspace.starts()]


def reason_of(row: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(row["error_json"])
    return error


def test_latest_runs_the_newest_slot_and_writes_off_the_others_in_one_row(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY))
    clock.advance(hours=5, minutes=30)
    report = machine.tick()
    assert told(workspace) == ["01:00"]
    rows = workspace.runs()
    (missed,) = [row for row in rows if row["status"] == "missed"]
    (ran,) = [row for row in rows if row["status"] == "ok"]
    assert (missed["slots"], missed["scheduled_for"]) == (4, "2026-02-26T00:00:00+00:00")
    assert reason_of(missed)["details"] == {
        "slots": 4,
        "first_slot": "2026-02-25T21:00:00+00:00",
        "last_slot": "2026-02-26T00:00:00+00:00",
        "made_up": True,
    }
    assert "(catch_up: latest)" in reason_of(missed)["message"]
    assert (ran["trigger"], ran["slots"]) == ("catch_up", 1)
    (event,) = workspace.events()
    assert (event["run_id"], event["missed_slots"]) == (ran["run_id"], 4), (
        "a gap that a newer slot makes up is no alarm"
    )
    assert [entry["run_id"] for entry in report["written_off"]] == [missed["run_id"]]
    assert machine.cursor() == utc(2026, 2, 26, 2)


def test_none_runs_no_late_slot_and_tells_the_gap(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY, catch_up="none"))
    clock.advance(hours=2, minutes=30)
    report = machine.tick()
    assert (report["results"], told(workspace)) == ([], [])
    (missed,) = workspace.runs()
    assert (missed["status"], missed["slots"], missed["finished_at"]) == ("missed", 2, report["now"])
    machine.tick()
    (event,) = workspace.events()
    assert (event["run_id"], event["attempts"], event["error"]["code"]) == (missed["run_id"], 0, "SLOT_MISSED")
    assert event["error"]["details"]["slots"] == 2
    assert "result" not in event


def test_a_gap_is_told_in_the_very_tick_that_finds_it(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY, catch_up="none"))
    clock.advance(hours=2, minutes=30)
    report = machine.tick()
    assert report["events"]["waiting"] == []
    assert len(workspace.events()) == 1


def test_none_runs_a_slot_that_a_punctual_tick_sees(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY, catch_up="none"))
    clock.advance(hours=2, seconds=59)
    machine.tick()
    assert told(workspace) == ["22:00"]
    assert sorted((row["status"], row["slots"]) for row in workspace.runs()) == [("missed", 1), ("ok", 1)]
    assert [row["trigger"] for row in workspace.runs() if row["status"] == "ok"] == ["schedule"]


def test_all_runs_the_newest_slots_up_to_its_limit_in_order_one_at_a_time(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    alone = f"mkdir alone && {COUNT} && rmdir alone"
    machine.ready(shell(alone, schedule=HOURLY, catch_up="all", catch_up_limit=3))
    clock.advance(hours=5, minutes=30)
    report = machine.tick()
    assert told(workspace) == ["23:00", "00:00", "01:00"]
    assert [result["status"] for result in report["results"]] == ["ok", "ok", "ok"]
    (missed,) = [row for row in workspace.runs() if row["status"] == "missed"]
    assert (missed["slots"], missed["scheduled_for"][11:16]) == (2, "22:00")
    assert "(catch_up_limit: 3)" in reason_of(missed)["message"]
    assert machine.cursor() == utc(2026, 2, 26, 2)
    assert [event.get("missed_slots") for event in workspace.events()] == [2, None, None]


def test_all_within_its_limit_misses_nothing(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY, catch_up="all"))
    clock.advance(hours=3)
    machine.tick()
    assert told(workspace) == ["21:00", "22:00", "23:00"]
    assert [row["status"] for row in workspace.runs()] == ["ok"] * 3


def test_a_slot_older_than_max_lateness_is_missed_and_told_whatever_catch_up_says(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(
        shell(COUNT, schedule=HOURLY, max_lateness_sec=600),
        shell(COUNT, schedule=HOURLY, max_lateness_sec=5400, catch_up="all", job_id="all"),
    )
    clock.advance(hours=2, minutes=20)
    machine.tick()
    assert [(row["status"], row["slots"]) for row in workspace.runs("job-0")] == [("missed", 2)]
    assert "max_lateness_sec: 600" in reason_of(workspace.runs("job-0")[0])["message"]
    assert slots(workspace.runs("all"), "ok") == ["21:00", "22:00"]
    clock.advance(minutes=50)
    machine.tick()
    assert slots(workspace.runs("job-0"), "ok") == ["23:00"], "ten minutes late is in time"
    gaps = [event["job_id"] for event in workspace.events() if event.get("error")]
    assert gaps == ["job-0"]


def test_a_job_with_a_single_instant_runs_late_and_once_and_is_then_complete(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule="@at 2026-02-25T21:30:00+00:00"))
    clock.advance(days=3)
    machine.tick()
    machine.tick()
    assert told(workspace) == ["21:30"]
    (job,) = machine.run("status")[1]["jobs"]
    assert job["next_run_at"] is None


def test_waking_after_a_week_starts_one_run_a_job(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(*(shell(COUNT, schedule="* * * * *") for _ in range(6)))
    clock.advance(days=7)
    report = machine.tick()
    assert len(report["results"]) == len(workspace.starts()) == 6
    week = 7 * 24 * 60
    assert {row["slots"] for row in workspace.runs() if row["status"] == "missed"} == {week - 1}
    assert sum(row["slots"] for row in workspace.runs()) == 6 * week


@pytest.mark.parametrize(
    "policy",
    [
        {"catch_up": "latest"},
        {"catch_up": "none"},
        {"catch_up": "all", "catch_up_limit": 2},
        {"catch_up": "all", "catch_up_limit": 3, "max_lateness_sec": 1500},
        {"catch_up": "latest", "max_lateness_sec": 200},
    ],
    ids=lambda policy: " ".join(str(value) for value in policy.values()),
)
def test_every_slot_is_accounted_for_exactly_once_however_ticks_come(
    machine: Machine, workspace: Workspace, clock: FakeClock, policy: dict[str, object]
) -> None:
    machine.ready(shell(COUNT, schedule="*/10 * * * *", **policy))
    began = clock.wall
    for minutes in (1, 9, 0.5, 35, 10, 20.2, 3, 61, 0, 10, 7):
        clock.advance(minutes=minutes)
        machine.tick()
    rows = workspace.runs()
    passed = (clock.wall - began) // timedelta(minutes=10)
    assert sum(row["slots"] for row in rows) == passed
    assert machine.cursor() == began + (passed + 1) * timedelta(minutes=10)
    spans = sorted((_first(row), row["scheduled_for"], row["slots"]) for row in rows)
    grid = [(began + n * timedelta(minutes=10)).isoformat() for n in range(1, passed + 1)]
    covered = [slot for first, last, _ in spans for slot in grid if first <= slot <= last]
    assert covered == grid
    assert [line.split()[1] for line in workspace.starts()] == sorted(
        row["scheduled_for"] for row in rows if row["status"] == "ok"
    )


def _first(row: dict[str, Any]) -> str:
    return str(reason_of(row)["details"]["first_slot"] if row["error_json"] else row["scheduled_for"])
