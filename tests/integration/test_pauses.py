"""Failures in a row: how they are counted, the pause after them, and the two ways to end it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from core.errors import JobDisabled, LeaseLost
from core.run import ProcessId, RunStatus, Verdict
from store.claims import ClaimTerms, Owner
from system.processes import Stop
from tests.support_machine import COUNT, FAIL, GATED, Machine, gated_tick, prepare, shell, slots, target_folder, utc
from tests.workspace import FakeClock, Workspace

HOURLY = {"schedule": "0 * * * *"}
PAUSING = {**HOURLY, "pause_after_failures": 3}


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def job(workspace: Workspace, job_id: str = "job-0") -> dict[str, Any]:
    (row,) = workspace.sql("SELECT * FROM jobs WHERE job_id = ?", (job_id,))
    return row


def failures(workspace: Workspace) -> int:
    count = job(workspace)["consecutive_failures"]
    assert isinstance(count, int)
    return count


def tick_hours(machine: Machine, hours: int) -> None:
    """Runs a tick at each of the next whole hours."""
    for _ in range(hours):
        machine.clock.advance(hours=1)
        machine.tick()


def paused(machine: Machine, script: str = FAIL, **fields: object) -> str:
    """Makes a job fail three times, so that it is paused; returns since when."""
    machine.ready(shell(script, **{**PAUSING, **fields}))
    tick_hours(machine, 3)
    since = job(machine.workspace)["paused_at"]
    assert since == machine.clock.now().isoformat()
    return str(since)


def fine(workspace: Workspace) -> None:
    """Lets every FAIL job succeed."""
    (target_folder(workspace) / "fine").touch()


# --- counting ---


def test_failures_in_a_row_are_counted_and_a_success_sets_the_count_back(
    machine: Machine, workspace: Workspace
) -> None:
    machine.ready(shell(FAIL, **HOURLY))
    for number in (1, 2, 3):
        tick_hours(machine, 1)
        assert failures(workspace) == number
    assert machine.run("list")[1]["jobs"][0]["consecutive_failures"] == 3
    assert machine.run("status")[1]["jobs"][0]["consecutive_failures"] == 3
    fine(workspace)
    tick_hours(machine, 1)
    assert failures(workspace) == 0
    assert job(workspace)["enabled"] == 1


def test_runs_are_counted_and_not_attempts_also_those_by_hand(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(FAIL, **HOURLY, max_retries=2, retry_backoff_sec=0))
    tick_hours(machine, 1)
    assert (len(workspace.starts()), failures(workspace)) == (3, 1)
    machine.run("run-now", "job-0")
    assert failures(workspace) == 2


@pytest.mark.process
def test_the_count_outlives_every_process(workspace: Workspace) -> None:
    prepare(workspace, shell(FAIL, pause_after_failures=2))
    for code in (1, 1):
        workspace.json("run-now", "job-0", code=code)
    assert workspace.json("run-now", "job-0", code=1)["error"]["code"] == "JOB_DISABLED"
    assert (failures(workspace), job(workspace)["enabled"]) == (2, 0)
    fine(workspace)
    assert workspace.json("run-now", "job-0", "--force")["status"] == "ok"
    assert (failures(workspace), job(workspace)["enabled"]) == (0, 1)


def test_a_cancelled_run_changes_no_count(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(FAIL, **HOURLY, max_retries=1, retry_backoff_sec=3600))
    tick_hours(machine, 1)
    stop = Stop()
    stop.set("SIGINT")
    try:
        machine.run_now(stop=stop)
    finally:
        stop.close()
    assert [row["status"] for row in workspace.runs()] == ["error", "cancelled"]
    assert failures(workspace) == 1


def test_missed_and_skipped_slots_change_no_count(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(FAIL, **PAUSING, catch_up="none"))
    tick_hours(machine, 2)
    machine.clock.advance(hours=5, minutes=30)
    machine.tick()
    workspace.write_jobs(shell(FAIL, **PAUSING, catch_up="none", enabled=False))
    machine.clock.advance(hours=1)
    machine.run("sync-jobs")
    assert [row["status"] for row in workspace.runs()] == ["error", "error", "missed", "skipped"]
    assert failures(workspace) == 2


@pytest.mark.process
def test_an_interrupted_run_counts_and_may_pause_its_job(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED, pause_after_failures=1, retry_interrupted=True))
    workspace.make_due()
    with gated_tick(workspace) as (tick, _row):
        tick.kill()
        tick.wait()
        workspace.sql("UPDATE runs SET lease_expires_at = '2020-01-01T00:00:00+00:00'")
        assert len(workspace.json("tick")["settled"]) == 1
    assert [row["status"] for row in workspace.runs()] == ["interrupted"]
    assert (failures(workspace), job(workspace)["enabled"]) == (1, 0)
    assert [event["error"]["code"] for event in workspace.events()] == ["INTERRUPTED", "JOB_PAUSED"]
    assert workspace.events()[0]["error"]["details"]["retry"] is False, "no promise that the pause breaks"
    (paused,) = [entry for entry in workspace.json("status")["scheduler"]["anomalies"] if entry["code"] == "JOB_PAUSED"]
    assert "run-now job-0 --force" in paused["hint"]
    workspace.json("tick")
    assert len(workspace.starts()) == 1


def test_a_verdict_that_is_not_ours_counts_nothing(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(FAIL, **PAUSING))
    tick_hours(machine, 2)
    run_id = workspace.runs()[0]["run_id"]
    with machine.app().session() as session, pytest.raises(LeaseLost):
        session.store.runs.finish(run_id, "not-ours", Verdict(RunStatus.ERROR, machine.clock.now(), 0), ())
    assert (failures(workspace), job(workspace)["paused_at"]) == (2, None)


def test_a_run_whose_job_was_damaged_or_removed_meanwhile_still_gets_its_verdict(
    machine: Machine, workspace: Workspace
) -> None:
    machine.ready(shell(FAIL, **HOURLY, pause_after_failures=1), shell(FAIL, **HOURLY, pause_after_failures=1))
    with machine.app().session() as session:
        now = machine.clock.now()
        terms = ClaimTerms(now, now + timedelta(seconds=60), 9e9)
        owner = Owner("host:1", ProcessId(1, "then", "boot"))
        claimed = [session.store.claims.claim_manual(f"job-{n}", owner, terms, force=False) for n in (0, 1)]
        workspace.sql("UPDATE jobs SET definition_json = 'x' WHERE job_id = 'job-0'")
        workspace.sql("UPDATE jobs SET removed_at = ?, enabled = 0 WHERE job_id = 'job-1'", (now.isoformat(),))
        for run in claimed:
            session.store.runs.finish(run.run_id, run.token, Verdict(RunStatus.ERROR, now, 0), ())
    rows = workspace.sql("SELECT consecutive_failures, paused_at FROM jobs ORDER BY job_id")
    assert [tuple(row.values()) for row in rows] == [(1, None), (1, None)]


# --- the pause ---


def test_enough_failures_pause_the_job_and_an_event_follows_the_runs(machine: Machine, workspace: Workspace) -> None:
    workspace.home.joinpath("puruto-telegram").mkdir()
    since = paused(machine)
    row = job(workspace)
    assert (row["enabled"], row["next_run_at"], row["consecutive_failures"]) == (0, None, 3)
    runs = workspace.runs()
    assert [run["status"] for run in runs] == ["error"] * 3
    *_, own, told = workspace.events()
    assert list(told) == ["ts", "job_id", "run_id", "attempts", "error", "timezone"]
    assert (own["run_id"], own["error"]["code"]) == (runs[-1]["run_id"], "NONZERO_EXIT")
    assert (told["run_id"], told["attempts"], told["ts"]) == (runs[-1]["run_id"], 0, since)
    assert told["error"]["code"] == "JOB_PAUSED"
    assert "its last 3 runs failed" in told["error"]["message"]
    assert "run-now job-0 --force" in told["error"]["message"]
    details = told["error"]["details"]
    assert (details["consecutive_failures"], details["pause_after_failures"]) == (3, 3)
    assert (details["last_error"], details["paused_at"]) == ("NONZERO_EXIT", since)
    mirror = workspace.home / "puruto-telegram" / "inbox" / "cron-events.jsonl"
    assert mirror.read_bytes() == workspace.events_file.read_bytes()
    assert machine.run("logs", "--run", runs[-1]["run_id"])[1]["events"][-1]["error"]["code"] == "JOB_PAUSED"


def test_the_event_of_a_job_without_a_channel_is_only_in_the_local_file(machine: Machine, workspace: Workspace) -> None:
    workspace.home.joinpath("puruto-telegram").mkdir()
    paused(machine, notify_channel="none")
    assert workspace.events()[-1]["error"]["code"] == "JOB_PAUSED"
    assert not (workspace.home / "puruto-telegram" / "inbox").exists()


def test_a_paused_job_is_left_alone_by_ticks_and_says_why(machine: Machine, workspace: Workspace) -> None:
    since = paused(machine)
    tick_hours(machine, 5)
    assert len(workspace.starts()) == len(workspace.runs()) == 3
    shown = machine.run("list")[1]["jobs"][0]
    assert (shown["enabled"], shown["next_run"], shown["consecutive_failures"]) == (False, None, 3)
    assert shown["paused"] == {"since": since, "until": None, "reason": "its last 3 runs failed"}
    status = machine.run("status")[1]
    assert status["jobs"][0]["paused"] == shown["paused"]
    assert [anomaly["code"] for anomaly in status["scheduler"]["anomalies"]] == ["JOB_PAUSED"]


def test_jobs_that_are_not_paused_say_so(machine: Machine) -> None:
    machine.ready(shell(COUNT), shell(COUNT, enabled=False))
    shown = machine.run("list")[1]["jobs"]
    assert [(entry["enabled"], entry["paused"]) for entry in shown] == [(True, None), (False, None)]


def test_run_now_refuses_a_paused_job_and_says_what_ends_the_pause(machine: Machine) -> None:
    since = paused(machine)
    with pytest.raises(JobDisabled) as caught:
        machine.run("run-now", "job-0")
    assert f"paused since {since}" in caught.value.message
    assert "--force" in caught.value.hint
    assert ".jobs.json" in caught.value.hint
    assert (caught.value.details["paused_at"], caught.value.details["consecutive_failures"]) == (since, 3)


def test_slots_that_were_due_at_the_pause_are_recorded(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(FAIL, **{**PAUSING, "pause_after_failures": 2}, catch_up="all"))
    machine.clock.advance(hours=6, minutes=10)
    machine.tick()
    rows = workspace.runs()
    assert slots(rows, "error") == ["21:00", "22:00"]
    (skipped,) = [row for row in rows if row["status"] == "skipped"]
    assert (skipped["slots"], skipped["scheduled_for"]) == (4, "2026-02-26T02:00:00+00:00")
    assert '"JOB_PAUSED"' in skipped["error_json"]
    assert sum(row["slots"] for row in rows) == 6


def test_a_job_that_is_disabled_by_its_file_is_not_paused(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(FAIL, **HOURLY, pause_after_failures=1, enabled=False))
    machine.run("run-now", "job-0", "--force")
    assert (failures(workspace), job(workspace)["paused_at"]) == (1, None)


def test_a_job_that_gets_the_field_later_is_paused_by_its_next_failure(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(FAIL, **HOURLY))
    tick_hours(machine, 4)
    workspace.write_jobs(shell(FAIL, **PAUSING))
    machine.run("sync-jobs")
    assert (failures(workspace), job(workspace)["paused_at"]) == (4, None)
    tick_hours(machine, 1)
    assert (failures(workspace), job(workspace)["enabled"]) == (5, 0)


# --- its end, by the file ---


def test_a_changed_entry_ends_the_pause_and_the_job_continues_from_now(machine: Machine, workspace: Workspace) -> None:
    paused(machine)
    machine.clock.advance(hours=7, minutes=20)
    workspace.write_jobs(shell(FAIL, **PAUSING, prompt="Do it better"))
    report = machine.run("sync-jobs")[1]
    assert report["changed"] == ["job-0"]
    assert "JOB_PAUSED" not in [warning["code"] for warning in report["warnings"]]
    assert (failures(workspace), job(workspace)["paused_at"], job(workspace)["enabled"]) == (0, None, 1)
    assert machine.cursor() == utc(2026, 2, 26, 7)
    tick_hours(machine, 1)
    assert (len(workspace.runs()), failures(workspace)) == (4, 1)


def test_a_sync_of_an_unchanged_entry_keeps_the_pause_and_warns(machine: Machine, workspace: Workspace) -> None:
    since = paused(machine)
    before = job(workspace)
    workspace.write_jobs(shell(FAIL, **PAUSING), shell(COUNT))
    report = machine.run("sync-jobs")[1]
    assert (report["unchanged"], report["added"]) == (["job-0"], ["job-1"])
    (warning,) = [warning for warning in report["warnings"] if warning["code"] == "JOB_PAUSED"]
    assert warning["job_id"] == "job-0"
    assert since in warning["message"]
    assert "--force" in warning["hint"]
    assert job(workspace) == before


def test_another_default_zone_changes_the_job_and_keeps_its_pause(
    workspace: Workspace, clock: FakeClock, machine: Machine
) -> None:
    since = paused(machine)
    moved = Machine(workspace, clock, PURUTO_CRON_TIMEZONE="Europe/Madrid")
    report = moved.run("sync-jobs")[1]
    assert report["changed"] == ["job-0"]
    assert [warning["code"] for warning in report["warnings"] if warning["code"] != "NO_TICK"] == ["JOB_PAUSED"]
    row = job(workspace)
    assert (row["timezone"], row["paused_at"], row["enabled"], row["next_run_at"]) == ("Europe/Madrid", since, 0, None)
    assert row["consecutive_failures"] == 3
    assert report["next"]["job-0"]["enabled"] is False
    assert len(report["next"]["job-0"]["instants"]) == 3


def test_a_change_of_a_job_that_is_not_paused_keeps_its_count(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(FAIL, **PAUSING))
    tick_hours(machine, 2)
    workspace.write_jobs(shell(FAIL, **PAUSING, prompt="Do it better"))
    machine.run("sync-jobs")
    assert failures(workspace) == 2


def test_a_job_that_leaves_the_file_and_comes_back_is_not_paused(machine: Machine, workspace: Workspace) -> None:
    paused(machine)
    workspace.write_jobs()
    machine.run("sync-jobs", "--allow-removals")
    assert "JOB_PAUSED" not in str(machine.run("status")[1])
    workspace.write_jobs(shell(FAIL, **PAUSING))
    machine.run("sync-jobs")
    row = job(workspace)
    assert (row["enabled"], row["paused_at"], row["consecutive_failures"]) == (1, None, 0)
    assert datetime.fromisoformat(row["next_run_at"]) > machine.clock.now()


def test_an_entry_that_is_disabled_while_paused_stays_disabled_without_a_pause(
    machine: Machine, workspace: Workspace
) -> None:
    paused(machine)
    workspace.write_jobs(shell(FAIL, **PAUSING, enabled=False))
    machine.run("sync-jobs")
    row = job(workspace)
    assert (row["enabled"], row["paused_at"], row["next_run_at"], row["consecutive_failures"]) == (0, None, None, 0)


# --- its end, by hand ---


def test_a_manual_success_ends_the_pause_and_the_job_continues_from_now(machine: Machine, workspace: Workspace) -> None:
    paused(machine)
    fine(workspace)
    machine.clock.advance(hours=7, minutes=20)
    assert machine.run("run-now", "job-0", "--force")[0] == 0
    row = job(workspace)
    assert (row["enabled"], row["paused_at"], row["consecutive_failures"]) == (1, None, 0)
    assert machine.cursor() == utc(2026, 2, 26, 7)
    machine.clock.advance(minutes=40)
    machine.tick()
    assert [run["trigger"] for run in workspace.runs()] == ["schedule"] * 3 + ["manual", "schedule"]
    assert [run["status"] for run in workspace.runs()] == ["error"] * 3 + ["ok", "ok"]


def test_a_manual_failure_keeps_the_pause_and_makes_no_second_event(machine: Machine, workspace: Workspace) -> None:
    since = paused(machine)
    assert machine.run("run-now", "job-0", "--force")[0] == 1
    row = job(workspace)
    assert (row["enabled"], row["paused_at"], row["consecutive_failures"]) == (0, since, 4)
    assert [event["error"]["code"] for event in workspace.events()] == [
        "NONZERO_EXIT", "NONZERO_EXIT", "NONZERO_EXIT", "JOB_PAUSED", "NONZERO_EXIT",
    ]  # fmt: skip


def test_the_grid_of_an_interval_is_kept_over_a_pause(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(FAIL, schedule="@every 90m", pause_after_failures=1))
    machine.clock.advance(minutes=90)
    machine.tick()
    fine(workspace)
    machine.clock.advance(minutes=100)
    machine.run("run-now", "job-0", "--force")
    assert machine.cursor() == utc(2026, 2, 26, 0, 30)


def test_a_success_of_a_job_that_was_only_once_to_run_ends_its_pause_without_a_next_run(
    machine: Machine, workspace: Workspace
) -> None:
    machine.ready(shell(FAIL, schedule="@at 2026-02-25T21:00:00+00:00", pause_after_failures=1))
    tick_hours(machine, 1)
    assert job(workspace)["paused_at"] is not None
    fine(workspace)
    machine.run("run-now", "job-0", "--force")
    row = job(workspace)
    assert (row["enabled"], row["paused_at"], row["next_run_at"]) == (1, None, None)


def test_a_schedule_that_can_no_longer_be_read_ends_no_verdict(machine: Machine, workspace: Workspace) -> None:
    paused(machine)
    fine(workspace)
    workspace.sql("UPDATE jobs SET definition_json = json_set(definition_json, '$.schedule', '0 0 L * *')")
    assert machine.run("run-now", "job-0", "--force")[0] == 0
    row = job(workspace)
    assert (row["enabled"], row["paused_at"], row["next_run_at"]) == (1, None, None)
    assert "SCHEDULE_INVALID" in row["problem_json"]


def test_the_tick_that_pauses_a_job_says_so_and_the_next_does_not(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(FAIL, **HOURLY, pause_after_failures=1), shell(FAIL, **HOURLY))
    machine.clock.advance(hours=1)
    (told,) = machine.tick()["warnings"]
    assert (told["code"], told["job_id"]) == ("JOB_PAUSED", "job-0")
    assert "run-now job-0 --force" in told["hint"]
    machine.clock.advance(minutes=1)
    assert machine.tick()["warnings"] == []
    told = machine.run("next", "job-0")[1]
    assert (told["enabled"], "paused" in told["note"]) == (False, True)
    assert "note" not in machine.run("next", "job-1")[1]
