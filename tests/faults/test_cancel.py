"""`cancel` and `unlock` from another process: of healthy, deaf, waiting, orphaned and hanging runs."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.support_machine import (
    FAIL,
    GATED,
    answer_of,
    gated_pid,
    gated_tick,
    killed,
    prepare,
    release,
    shell,
    wait_for_run,
)
from tests.workspace import PATIENCE, Workspace, ended, is_running, wait_for

DEAF = "trap '' TERM; " + GATED
COMMANDS = [("tick",), ("run-now", "job-0")]


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(timeout=PATIENCE)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize("script", [GATED, DEAF], ids=["obeys", "ignores TERM"])
def test_a_run_is_cancelled_from_another_process(workspace: Workspace, words: tuple[str, ...], script: str) -> None:
    prepare(workspace, shell(script, max_retries=3))
    workspace.make_due()
    with gated_tick(workspace, *words) as (process, run):
        pid = gated_pid(workspace, run["run_id"])
        report = workspace.json("cancel", run["run_id"])
        assert not is_running(pid)
        answer = answer_of(process)
    assert (report["status"], report["run_id"], report["run_status"]) == ("ok", run["run_id"], "cancelled")
    assert report["ended_by"] == "its scheduler"
    assert report["error"]["details"]["stopped_by"].startswith("cancel (")
    assert process.returncode == (0 if words == ("tick",) else 1)
    (row,) = workspace.runs()
    assert (row["status"], row["lease_owner"], row["attempt"]) == ("cancelled", None, 1)
    assert row["cancel_requested_by"]
    (event,) = workspace.events()
    assert (event["run_id"], event["error"]) == (run["run_id"], report["error"])
    result = answer["results"][0] if words == ("tick",) else answer
    assert result["error"] == report["error"]
    release(workspace)
    assert workspace.json("run-now", "job-0")["status"] == "ok", "the job is free"


def test_the_other_runs_of_the_same_tick_go_on(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED), shell(GATED))
    workspace.make_due()
    with ended(workspace.start("tick")) as tick:
        first, second = wait_for_run(workspace, "job-0"), wait_for_run(workspace, "job-1")
        with killed(gated_pid(workspace, first["run_id"]), gated_pid(workspace, second["run_id"])):
            assert workspace.json("cancel", first["run_id"])["run_status"] == "cancelled"
            assert is_running(gated_pid(workspace, second["run_id"]))
            release(workspace)
            results = {result["job_id"]: result["status"] for result in answer_of(tick)["results"]}
    assert results == {"job-0": "error", "job-1": "ok"}
    assert sorted(row["status"] for row in workspace.runs()) == ["cancelled", "ok"]


def test_a_run_that_waits_for_its_retry_is_cancelled(workspace: Workspace) -> None:
    prepare(workspace, shell(FAIL, max_retries=5, retry_backoff_sec=600))
    workspace.make_due()
    with ended(workspace.start("tick")) as tick:
        run = wait_for(
            lambda: next((row for row in workspace.runs() if row["waiting"]), None), what="a run in its backoff"
        )
        assert workspace.json("cancel", run["run_id"])["run_status"] == "cancelled"
        (result,) = answer_of(tick)["results"]
    assert result["error"]["code"] == "CANCELLED"
    assert result["error"]["details"]["last_error"]["code"] == "NONZERO_EXIT"
    assert len(workspace.starts()) == 1


def test_a_run_whose_scheduler_is_gone_is_ended_by_cancel_itself(workspace: Workspace) -> None:
    prepare(workspace, shell(DEAF))
    workspace.make_due()
    with gated_tick(workspace) as (tick, run):
        pid = gated_pid(workspace, run["run_id"])
        kill(tick)
        assert is_running(pid)
        report = workspace.json("cancel", run["run_id"])
        assert not is_running(pid)
    assert (report["run_status"], report["ended_by"]) == ("cancelled", "cancel")
    assert [event["error"]["code"] for event in workspace.events()] == ["CANCELLED"]
    assert workspace.json("tick")["settled"] == []


def test_a_run_whose_scheduler_hangs_is_ended_by_cancel_itself(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with gated_tick(workspace) as (tick, run):
        pid = gated_pid(workspace, run["run_id"])
        tick.send_signal(signal.SIGSTOP)
        try:
            report = workspace.json("cancel", run["run_id"], env={"PURUTO_CRON_KILL_GRACE_SECONDS": "0"})
            assert not is_running(pid)
        finally:
            tick.send_signal(signal.SIGCONT)
        assert (report["run_status"], report["ended_by"]) == ("cancelled", "cancel")
        (result,) = answer_of(tick)["results"]
        assert result["error"]["code"] == "LEASE_LOST", "its scheduler writes nothing later"
        assert "it ended as cancelled at" in result["error"]["message"]
        assert (result["attempts"], result["error"]["details"]["run_status"]) == (1, "cancelled")
    assert [row["status"] for row in workspace.runs()] == ["cancelled"]
    assert len(workspace.events()) == 1


def test_what_does_not_run_is_not_cancelled(workspace: Workspace) -> None:
    prepare(workspace, shell("echo done"))
    done = workspace.json("run-now", "job-0")
    refused = workspace.json("cancel", done["run_id"], code=1)
    assert (refused["error"]["code"], refused["error"]["details"]["run_status"]) == ("RUN_NOT_RUNNING", "ok")
    assert workspace.json("cancel", "nothing", code=1)["error"]["code"] == "RUN_NOT_FOUND"
    assert [row["status"] for row in workspace.runs()] == ["ok"]


# --- unlock ---


def test_a_job_whose_scheduler_is_gone_is_freed_at_once(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with gated_tick(workspace) as (tick, run):
        pid = gated_pid(workspace, run["run_id"])
        kill(tick)
        report = workspace.json("unlock", "job-0")
        assert not is_running(pid)
    (did,) = report["ended_runs"]
    assert (report["was_locked"], did["run_id"], did["owner"], did["owner_was"]) == (
        True,
        run["run_id"],
        run["lease_owner"],
        "gone",
    )
    assert did["error"]["code"] == "INTERRUPTED"
    assert "unlocked by" in did["error"]["message"]
    assert did["error"]["details"]["processes_ended"] >= 1
    assert [event["error"] for event in workspace.events()] == [did["error"]]
    release(workspace)
    assert workspace.json("run-now", "job-0")["status"] == "ok"


def test_a_live_run_is_ended_by_unlock_only_with_yes(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED, retry_interrupted=True))
    workspace.make_due()
    with gated_tick(workspace) as (tick, run):
        pid = gated_pid(workspace, run["run_id"])
        refused = workspace.json("unlock", "job-0", code=1)["error"]
        assert (refused["code"], refused["details"]["run_id"]) == ("UNLOCK_NEEDS_YES", run["run_id"])
        assert is_running(pid)
        (did,) = workspace.json("unlock", "job-0", "--yes")["ended_runs"]
        assert (did["run_id"], did["owner_was"]) == (run["run_id"], "alive")
        assert not is_running(pid)
        (result,) = answer_of(tick)["results"]
        assert result["error"]["code"] == "LEASE_LOST"
    (row,) = workspace.runs()
    assert (row["status"], row["retry_due"]) == ("interrupted", 0), "who frees a job by hand wants no further run"
    assert len(workspace.events()) == 1


def test_a_free_job_is_not_locked_and_a_lease_without_a_run_is_cleared(workspace: Workspace) -> None:
    prepare(workspace, shell("echo done"))
    assert workspace.json("unlock", "job-0") == {
        "status": "ok",
        "job_id": "job-0",
        "was_locked": False,
        "ended_runs": [],
    }
    workspace.sql("UPDATE jobs SET lease_owner = 'host:1', lease_expires_at = '2099-01-01T00:00:00+00:00'")
    assert workspace.json("unlock", "job-0")["was_locked"] is True
    assert workspace.sql("SELECT lease_owner, lease_expires_at FROM jobs") == [
        {"lease_owner": None, "lease_expires_at": None}
    ]
    assert workspace.json("unlock", "nothing", code=1)["error"]["code"] == "JOB_NOT_FOUND"
