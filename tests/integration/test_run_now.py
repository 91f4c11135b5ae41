"""`run-now`: what it prints, when it refuses, and that it leaves the schedule alone."""

from __future__ import annotations

import json

import pytest

from core.errors import JobDisabled, JobNotFound, SettingsError
from tests.support_machine import (
    COUNT,
    FAILURE_KEYS,
    GATED,
    SUCCESS_KEYS,
    YEARLY,
    Machine,
    answer_of,
    gated_tick,
    prepare,
    release,
    shell,
    utc,
)
from tests.workspace import FakeClock, Workspace


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


@pytest.mark.process
def test_a_success_prints_the_result_and_exits_0(workspace: Workspace) -> None:
    workspace.add_target()
    workspace.ready({"schedule": YEARLY})
    result = workspace.json("run-now", "job-0")
    assert set(result) >= SUCCESS_KEYS
    assert "error" not in result
    assert result["status"] == "ok"
    assert result["notification_paths"] == {"local_events": "notifications/events.jsonl", "telegram_outbox": ""}
    (row,) = workspace.runs()
    assert (row["run_id"], row["trigger"], row["scheduled_for"], row["slots"]) == (result["run_id"], "manual", None, 0)
    assert [event["run_id"] for event in workspace.events()] == [result["run_id"]]


@pytest.mark.process
def test_a_failure_prints_the_error_and_exits_1(workspace: Workspace) -> None:
    prepare(workspace, shell("exit 4"))
    result = workspace.json("run-now", "job-0", code=1)
    assert set(result) >= FAILURE_KEYS
    assert "result" not in result
    assert set(result["error"]) == {"code", "message", "details"}
    assert [row["status"] for row in workspace.runs()] == ["error"]


@pytest.mark.parametrize("hop", ["many", "-1", "1001"])
def test_a_hop_that_can_not_be_understood_is_refused_and_nothing_runs(
    machine: Machine, workspace: Workspace, hop: str
) -> None:
    machine.ready(shell(COUNT))
    machine.environ["PURUTO_CRON_HOP"] = hop
    with pytest.raises(SettingsError, match="PURUTO_CRON_HOP") as caught:
        machine.run("run-now", "job-0")
    assert caught.value.exit_code == 2
    assert workspace.runs() == []
    machine.tick()
    machine.environ["PURUTO_CRON_HOP"] = "1"
    assert machine.run("run-now", "job-0")[0] == 0


@pytest.mark.process
def test_an_unknown_job_is_refused_and_nothing_is_written(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    refused = workspace.json("run-now", "nobody", code=1)
    assert refused["status"] == "error"
    assert set(refused["error"]) == {"code", "message", "details"}
    assert refused["error"]["code"] == "JOB_NOT_FOUND"
    assert workspace.runs() == []


def test_a_disabled_job_is_refused_unless_forced(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT, enabled=False))
    with pytest.raises(JobDisabled):
        machine.run("run-now", "job-0")
    assert workspace.runs() == []
    code, result = machine.run("run-now", "job-0", "--force")
    assert (code, result["status"], len(workspace.starts())) == (0, "ok", 1)
    assert machine.run("status")[1]["jobs"][0]["next_run_at"] is None


def test_a_job_that_is_new_in_a_broken_file_is_refused_with_the_place_of_the_fault(
    machine: Machine, workspace: Workspace
) -> None:
    machine.ready(shell(COUNT))
    workspace.write_jobs(shell(COUNT), {"job_id": "fresh", "schedule": "5 * * *"})
    for _ in range(2):
        with pytest.raises(JobNotFound) as caught:
            machine.run("run-now", "fresh")
        said = caught.value.message
        assert "There is no job fresh" in said
        assert "that file is broken, so it was not loaded" in said
        assert f"{workspace.root}/.jobs.json: jobs[1].schedule (job fresh)" in said
        assert caught.value.hint.endswith("Then run: python3 main.py sync-jobs")
    (workspace.root / ".jobs.json").write_text("{")
    with pytest.raises(JobNotFound, match="line 1, column 2"):
        machine.run("run-now", "fresh")


def test_a_removed_job_is_unknown(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT), shell(COUNT))
    workspace.write_jobs(shell(COUNT))
    with pytest.raises(JobNotFound):
        machine.run("run-now", "job-1")


@pytest.mark.process
def test_a_running_job_is_refused_with_its_owner(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with gated_tick(workspace) as (tick, row):
        for words in (("run-now", "job-0"), ("run-now", "job-0", "--force")):
            error = workspace.json(*words, code=1)["error"]
            assert error["code"] == "JOB_LOCKED"
            assert error["details"]["run_id"] == row["run_id"]
            assert error["details"]["lease_owner"] == row["lease_owner"]
        release(workspace)
        answer_of(tick)
    assert len(workspace.starts()) == len(workspace.runs()) == 1


def test_the_schedule_is_left_alone(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule="0 * * * *"))
    before = machine.cursor()
    clock.advance(minutes=59, seconds=59)
    machine.run("run-now", "job-0")
    assert machine.cursor() == before == utc(2026, 2, 25, 21)
    clock.advance(seconds=1)
    assert machine.tick()["results"][0]["status"] == "ok"
    assert sorted(row["trigger"] for row in workspace.runs()) == ["manual", "schedule"]


def test_runs_of_one_second_get_a_number(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT))
    names = [machine.run("run-now", "job-0")[1]["run_id"] for _ in range(3)]
    assert names == [f"job-0-20260225T200000{suffix}" for suffix in ("", "-2", "-3")]
    clock.advance(seconds=1)
    assert machine.run("run-now", "job-0")[1]["run_id"] == "job-0-20260225T200001"
    assert [line.split()[0] for line in workspace.starts()] == [*names, "job-0-20260225T200001"]


def test_an_edited_file_is_synced_first_and_a_broken_one_is_reported(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT))
    workspace.write_jobs(shell("echo edited"), shell("echo new", job_id="fresh"))
    result = machine.run("run-now", "fresh")[1]
    assert result["result"]["response"]["result"]["stdout"] == "new\n"
    (workspace.root / ".jobs.json").write_text("[]")
    code, result = machine.run("run-now", "fresh")
    assert (code, result["status"]) == (0, "ok"), "the last good definition goes on"
    assert result["sync"]["error"]["code"] == "JOBS_FILE_INVALID"


def test_a_new_job_in_a_broken_file_is_refused_with_what_is_wrong_with_the_file(
    machine: Machine, workspace: Workspace
) -> None:
    machine.ready(shell(COUNT))
    workspace.write_jobs(shell(COUNT), shell(COUNT, job_id="new", timeout_sec=-1))
    with pytest.raises(JobNotFound) as refused:
        machine.run("run-now", "new")
    assert "JOBS_FILE_INVALID" in json.dumps(refused.value.as_dict())


def test_a_job_without_a_channel_sends_no_telegram(machine: Machine, workspace: Workspace) -> None:
    (workspace.home / "puruto-telegram").mkdir()
    machine.ready(shell(COUNT, notify_channel="none"), shell(COUNT))
    quiet = machine.run("run-now", "job-0")[1]["notification_paths"]
    loud = machine.run("run-now", "job-1")[1]["notification_paths"]
    assert (quiet["telegram_outbox"], loud["telegram_outbox"]) == ("", "../puruto-telegram/inbox/cron-events.jsonl")
    mirror = workspace.home / "puruto-telegram" / "inbox" / "cron-events.jsonl"
    assert [json.loads(line)["job_id"] for line in mirror.read_text().splitlines()] == ["job-1"]
    assert [event["job_id"] for event in workspace.events()] == ["job-0", "job-1"]
    assert machine.run("status")[1]["events"]["waiting"] == []


@pytest.mark.process
def test_a_run_by_hand_needs_no_permit_but_counts(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED), shell(COUNT, job_id="other"))
    one = {"PURUTO_CRON_MAX_RUNNING": "1"}
    with gated_tick(workspace, "run-now", "job-0", env=one) as (by_hand, _):
        workspace.make_due("other")
        assert workspace.json("tick", env=one)["left_due"] == ["other"]
        assert workspace.json("run-now", "other", env=one)["status"] == "ok"
        release(workspace)
        answer_of(by_hand)
    assert [result["job_id"] for result in workspace.json("tick", env=one)["results"]] == ["other"]
