"""A tick takes over an edited .jobs.json; a broken one is told, and the last good definitions go on."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.support_machine import COUNT, Machine, prepare, shell, target_folder, utc
from tests.workspace import FakeClock, Workspace

HOURLY = "0 * * * *"


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def sync_state(machine: Machine) -> dict[str, Any]:
    found: dict[str, Any] = machine.run("status")[1]["sync"]
    return found


@pytest.mark.process
def test_the_next_tick_takes_over_an_edited_file(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    for _ in range(2):
        assert workspace.json("tick")["sync"] is None
    workspace.write_jobs(shell("echo edited >> edited.log"), shell(COUNT, job_id="fresh"))
    workspace.make_due("job-0")
    report = workspace.json("tick")
    assert (report["sync"]["added"], report["sync"]["changed"]) == (["fresh"], ["job-0"])
    assert [result["job_id"] for result in report["results"]] == ["job-0"]
    assert (target_folder(workspace) / "edited.log").read_text() == "edited\n"
    assert workspace.starts() == []
    assert workspace.json("tick")["sync"] is None


@pytest.mark.process
def test_a_broken_file_is_told_and_the_last_good_definitions_go_on(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    workspace.json("tick")
    (workspace.root / ".jobs.json").write_text('{"jobs": [{"job_id": "job-0", "scheduel": "* * * * *"}]}')
    workspace.make_due(minutes_ago=1)
    for _ in range(2):
        report = workspace.json("tick")
        assert report["status"] == "ok"
        assert report["sync"]["status"] == "error"
        assert report["sync"]["error"]["code"] == "JOBS_FILE_INVALID"
    assert len(workspace.starts()) == 1
    state = workspace.json("status")["sync"]
    assert (state["in_step"], state["error"]["error"]["code"]) == (False, "JOBS_FILE_INVALID")
    workspace.write_jobs(shell(COUNT))
    assert workspace.json("tick")["sync"]["status"] == "ok"
    state = workspace.json("status")["sync"]
    assert (state["in_step"], state["error"]) == (True, None)


def test_a_missing_file_removes_no_job(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY))
    (workspace.root / ".jobs.json").unlink()
    clock.advance(hours=1)
    report = machine.tick()
    assert report["sync"]["error"]["code"] == "JOBS_FILE_MISSING"
    assert [result["status"] for result in report["results"]] == ["ok"]


def test_a_file_that_is_moved_away_and_back_leaves_no_error(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT))
    file, aside = workspace.root / ".jobs.json", workspace.root / "aside.json"
    os.rename(file, aside)
    machine.tick()
    os.rename(aside, file)
    machine.tick()
    state = sync_state(machine)
    assert (state["in_step"], state["error"]) == (True, None)


def test_status_shows_what_is_wrong_with_the_file_now(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT))
    for text, code in (("{", "JOBS_FILE_NOT_JSON"), ("[]", "JOBS_FILE_INVALID")):
        (workspace.root / ".jobs.json").write_text(text)
        assert machine.tick()["sync"]["error"]["code"] == code
        assert sync_state(machine)["error"]["error"]["code"] == code


def test_a_tick_never_removes_more_than_half_of_the_jobs(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(*(shell(COUNT, schedule=HOURLY) for _ in range(5)))
    clock.advance(hours=1)
    machine.tick()
    workspace.write_jobs(shell(COUNT, schedule=HOURLY))
    clock.advance(hours=1)
    report = machine.tick()
    assert report["sync"]["error"]["code"] == "REMOVALS_REFUSED"
    assert len(report["results"]) == 5
    removed = machine.run("sync-jobs", "--allow-removals")[1]["removed"]
    assert removed == ["job-1", "job-2", "job-3", "job-4"]


def test_auto_sync_can_be_turned_off(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.environ["PURUTO_CRON_AUTO_SYNC"] = "0"
    machine.ready(shell(COUNT, schedule=HOURLY))
    workspace.write_jobs(shell("echo edited >> edited.log", schedule=HOURLY))
    clock.advance(hours=1)
    report = machine.tick()
    assert (report["sync"], len(workspace.starts())) == (None, 1)
    state = sync_state(machine)
    assert (state["auto_sync"], state["in_step"], state["error"]) == (False, False, None)
    (workspace.root / ".jobs.json").write_text("{")
    assert machine.tick()["sync"] is None
    workspace.write_jobs(shell("echo edited >> edited.log", schedule=HOURLY))
    assert machine.run("sync-jobs")[1]["changed"] == ["job-0"]
    assert sync_state(machine)["in_step"] is True


def test_a_file_that_was_only_touched_changes_nothing(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT), shell(COUNT))
    before = workspace.sql("SELECT * FROM jobs")
    os.utime(workspace.root / ".jobs.json", ns=(1, 1))
    assert machine.tick()["sync"]["unchanged"] == ["job-0", "job-1"]
    assert workspace.sql("SELECT * FROM jobs") == before


def test_only_a_changed_schedule_moves_the_cursor(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY))
    clock.advance(minutes=90)
    workspace.write_jobs(shell(COUNT, schedule=HOURLY, prompt="Another"))
    machine.run("sync-jobs")
    assert machine.cursor() == utc(2026, 2, 25, 21), "the due slot is kept"
    workspace.write_jobs(shell(COUNT, schedule="15 * * * *", prompt="Another"))
    machine.run("sync-jobs")
    assert machine.cursor() == utc(2026, 2, 25, 22, 15)
    (row,) = workspace.runs()
    assert (row["status"], row["slots"], row["scheduled_for"][11:16]) == ("skipped", 1, "21:00")


def test_a_job_that_is_enabled_again_starts_from_now(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY, enabled=False))
    clock.advance(days=2, minutes=5)
    workspace.write_jobs(shell(COUNT, schedule=HOURLY))
    assert machine.tick()["results"] == []
    assert machine.cursor() == utc(2026, 2, 27, 21)
    assert workspace.runs() == []


def test_a_disabled_job_never_becomes_due_and_its_due_slot_is_accounted_for(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule=HOURLY))
    clock.advance(hours=3)
    workspace.write_jobs(shell(COUNT, schedule=HOURLY, enabled=False))
    report = machine.tick()
    assert (report["due_jobs"], report["sync"]["changed"]) == ([], ["job-0"])
    assert [(row["status"], row["slots"]) for row in workspace.runs()] == [("skipped", 3)]


@pytest.mark.process
def test_the_crontab_and_a_shell_in_another_zone_never_disagree(workspace: Workspace) -> None:
    workspace.environ["TZ"] = "Europe/Madrid"
    prepare(workspace, shell(COUNT, schedule="0 5 1 1 *"))
    workspace.make_due()
    workspace.environ["TZ"] = "Asia/Tokyo"
    report = workspace.json("tick")
    assert [result["status"] for result in report["results"]] == ["ok"]
    workspace.write_jobs(shell(COUNT, schedule="0 5 1 1 *", prompt="Edited"), shell(COUNT))
    report = workspace.json("tick")
    assert (report["sync"]["changed"], report["sync"]["added"]) == (["job-0"], ["job-1"])
    first, _ = workspace.json("list")["jobs"]
    assert first["timezone"] == "Europe/Madrid"
    assert first["next_run"]["local"].endswith("-01-01T05:00:00+01:00")
    assert [row["status"] for row in workspace.runs()] == ["ok"]
