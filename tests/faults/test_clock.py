"""Clocks that jump: back starts no slot twice, forward and back silences no job."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from app import fast_tick
from store import last_tick
from tests.support_machine import COUNT, Machine, shell, utc
from tests.workspace import FakeClock, Workspace

HOURLY = "0 * * * *"


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def test_a_clock_set_back_two_hours_starts_no_slot_twice(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule="*/30 * * * *"))
    for _ in range(6):
        clock.advance(minutes=30)
        machine.tick()
    before = workspace.starts()
    assert len(before) == 6
    clock.advance(hours=-2)
    report = machine.tick()
    assert report["clock_anomaly"]["code"] == "CLOCK_SET_BACK"
    assert report["clock_anomaly"]["corrected_jobs"] == ["job-0"]
    for _ in range(4):
        clock.advance(minutes=30)
        report = machine.tick()
        assert (report["results"], report["clock_anomaly"], report["problems"]) == ([], None, [])
    assert workspace.starts() == before
    clock.advance(minutes=30)
    machine.tick()
    slots = [line.split()[1] for line in workspace.starts()]
    assert len(slots) == len(set(slots)) == 7
    assert slots == sorted(slots)
    assert sum(row["slots"] for row in workspace.runs()) == 7


def test_a_clock_that_was_a_year_ahead_silences_no_job(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY), shell(COUNT, schedule="@every 90m"))
    clock.advance(days=365)
    assert len(machine.tick()["results"]) == 2
    assert machine.cursor() > utc(2027, 2, 25)
    clock.advance(days=-365)
    clock.advance(minutes=5)
    report = machine.tick()
    assert report["clock_anomaly"]["corrected_jobs"] == ["job-0", "job-1"]
    assert (machine.cursor("job-0"), machine.cursor("job-1")) == (utc(2026, 2, 25, 21), utc(2026, 2, 25, 21, 30))
    assert machine.tick()["clock_anomaly"] is None
    clock.advance(minutes=90)
    assert sorted(result["job_id"] for result in machine.tick()["results"]) == ["job-0", "job-1"]


def test_a_job_that_was_synced_while_the_clock_was_a_year_ahead_is_not_silent(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY))
    machine.tick()
    clock.advance(days=365)
    workspace.write_jobs(shell(COUNT, schedule=HOURLY), shell(COUNT, schedule=HOURLY, job_id="new"))
    machine.run("sync-jobs")
    assert machine.cursor("new") > utc(2027, 2, 25)
    clock.advance(days=-365)
    clock.advance(minutes=5)
    machine.tick()
    assert machine.cursor("new") == utc(2026, 2, 25, 21)


def hourly_ticks(machine: Machine, clock: FakeClock, hours: int) -> None:
    for _ in range(hours):
        clock.advance(hours=1)
        machine.tick()


def test_a_false_future_in_which_rows_were_deleted_silences_no_job(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.environ["PURUTO_CRON_KEEP_RUNS"] = "2"
    machine.ready(shell(COUNT, schedule=HOURLY))
    hourly_ticks(machine, clock, 2)
    clock.advance(days=365)
    machine.tick()
    assert (workspace.sql("SELECT pruned_through FROM jobs")[0]["pruned_through"] or "") < "2027", "a day is left"
    hourly_ticks(machine, clock, 30)
    assert workspace.sql("SELECT pruned_through FROM jobs")[0]["pruned_through"] > "2027"
    clock.advance(days=-365)
    clock.advance(hours=-30)
    machine.tick()
    before = len(workspace.starts())
    hourly_ticks(machine, clock, 5)
    assert len(workspace.starts()) == before + 5
    kept = [row["started_at"] for row in workspace.runs() if row["started_at"] < "2027"]
    assert len(kept) == 2, "rows of the false future push out no real ones, and count for none"


def test_a_job_of_one_instant_that_was_synced_in_a_false_future_runs_when_it_comes(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY))
    clock.advance(days=365)
    workspace.write_jobs(
        shell(COUNT, schedule=HOURLY), shell(COUNT, schedule="@at 2026-02-25T23:00:00Z", job_id="once")
    )
    machine.tick()
    clock.advance(days=-365)
    assert machine.tick()["clock_anomaly"]["corrected_jobs"] == ["job-0", "once"]
    hourly_ticks(machine, clock, 4)
    (row,) = workspace.runs("once")
    assert (row["scheduled_for"], row["status"]) == ("2026-02-25T23:00:00+00:00", "ok")


def test_a_gap_of_the_false_future_accounts_for_no_slot_to_come(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY))
    clock.advance(minutes=1)
    machine.tick()
    clock.advance(hours=8)
    machine.tick()
    clock.advance(hours=-8)
    machine.tick()
    hourly_ticks(machine, clock, 9)
    rows = workspace.runs()
    slots = [row["scheduled_for"][11:13] for row in rows if row["scheduled_for"] and row["status"] == "ok"]
    assert sorted(slots) == ["00", "01", "02", "03", "04", "05", "21", "22", "23"]
    assert sum(row["slots"] for row in rows) == 9, "each slot once"
    (gap,) = [row for row in rows if row["status"] == "missed"]
    assert (gap["slots"], gap["scheduled_for"]) == (0, None)


def test_a_short_look_does_not_pass_by_a_clock_that_was_set_back(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY))
    machine.tick()
    root, environ = str(workspace.root), machine.environ
    assert fast_tick.nothing_due(root, environ, [], clock.wall, clock.monotonic()) is not None
    assert fast_tick.nothing_due(root, environ, [], clock.wall - timedelta(minutes=1), clock.monotonic()) is None


def test_two_ticks_at_once_are_no_clock_that_was_set_back(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT))
    machine.tick()

    class Overtaken(FakeClock):
        """Another tick leaves its time just after this one has looked at the clock."""

        def now(self) -> datetime:
            last_tick.touch(str(workspace.database), "2026-02-25T20:00:01+00:00")
            return clock.wall + timedelta(seconds=0.9)

    machine.clock = Overtaken()
    report = machine.tick()
    assert report["clock_anomaly"] is None


def test_a_bad_job_does_not_keep_the_others_silent(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY), shell(COUNT, schedule=HOURLY, job_id="bad"))
    clock.advance(days=365)
    machine.tick()
    workspace.sql(
        "UPDATE jobs SET definition_json = json_set(definition_json, '$.schedule', '99 * * * *') WHERE job_id = 'bad'"
    )
    clock.advance(days=-365)
    report = machine.tick()
    assert report["clock_anomaly"]["corrected_jobs"] == ["job-0"]
    clock.advance(hours=1)
    assert [result["job_id"] for result in machine.tick()["results"]] == ["job-0"]


def test_a_damaged_note_of_the_last_tick_is_as_good_as_none(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY))
    note = workspace.root / "db" / "cron.db.last_tick"
    note.write_bytes(b"yesterday \xff\n")
    assert machine.run("status")[1]["scheduler"]["stale"] is True
    clock.advance(hours=1)
    report = machine.tick()
    assert (len(report["results"]), report["clock_anomaly"]) == (1, None)
    assert machine.run("status")[1]["scheduler"]["stale"] is False
