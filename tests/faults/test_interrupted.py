"""What an interrupted run leaves in its row, and the one run that makes up for it if its job says so."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest

from tests.support_machine import (
    GATED,
    answer_of,
    gated_pid,
    gated_tick,
    killed,
    prepare,
    release,
    shell,
    target_folder,
)
from tests.workspace import PATIENCE, Workspace, ended, is_running, wait_for

PAST = "2020-01-01T00:00:00+00:00"
SAID = "echo first words; echo oh dear >&2; " + GATED


def die(workspace: Workspace, tick: subprocess.Popen[bytes]) -> None:
    """The tick is killed, and its lease has passed."""
    tick.kill()
    tick.wait(timeout=PATIENCE)
    workspace.sql("UPDATE runs SET lease_expires_at = ? WHERE status = 'running'", (PAST,))


def interrupted(workspace: Workspace, *words: str, minutes_ago: int = 0, **fields: Any) -> dict[str, Any]:
    """A run whose scheduler died; its row."""
    prepare(workspace, shell(SAID, **fields))
    workspace.make_due(minutes_ago=minutes_ago)
    with gated_tick(workspace, *words) as (tick, run):
        die(workspace, tick)
    release(workspace)
    return run


def test_an_interrupted_row_carries_what_was_known(workspace: Workspace) -> None:
    run = interrupted(workspace)
    (settled,) = workspace.json("tick")["settled"]
    details = settled["error"]["details"]
    assert (details["attempt"], details["child_pid"]) == (1, run["child_pid"])
    assert (details["stdout"], details["stderr"]) == ("first words", "oh dear")
    assert details["output_dir"] == str(workspace.root / "runs" / "job-0" / run["run_id"])
    assert details["retry"] is False
    (event,) = workspace.events()
    assert event["error"] == settled["error"]
    assert workspace.json("tick")["results"] == []


def test_secrets_in_the_last_output_are_masked(workspace: Workspace) -> None:
    (workspace.root / ".env").write_text("BANK=s3cr3t-value\n")
    prepare(workspace, shell("echo the key is $BANK; " + GATED, allow_env=["BANK"]))
    workspace.make_due()
    with gated_tick(workspace) as (tick, _):
        die(workspace, tick)
    (settled,) = workspace.json("tick")["settled"]
    assert settled["error"]["details"]["stdout"] == "the key is ***"


@pytest.mark.parametrize("words", [(), ("run-now", "job-0")], ids=["slot", "run-now"])
def test_a_job_that_wants_it_is_run_once_more(workspace: Workspace, words: tuple[str, ...]) -> None:
    run = interrupted(workspace, *words, retry_interrupted=True)
    workspace.sql("UPDATE jobs SET next_run_at = '2099-01-01T00:00:00+00:00'")
    report = workspace.json("tick")
    (settled,) = report["settled"]
    assert settled["error"]["details"]["retry"] is True
    (result,) = report["results"]
    assert (result["status"], result["retry_of"]) == ("ok", run["run_id"])
    assert report["due_jobs"] == []
    first, second = workspace.runs()
    assert (first["status"], first["retry_due"], second["status"]) == ("interrupted", 0, "ok")
    assert (second["trigger"], second["retry_of"], second["scheduled_for"], second["slots"]) == (
        "retry",
        run["run_id"],
        None,
        0,
    )
    slot = first["scheduled_for"] or ""
    assert [line.split(" ")[1] for line in workspace.starts()] == [slot, slot], "it is told for which slot it runs"
    assert [event["run_id"] for event in workspace.events()] == [first["run_id"], second["run_id"]]
    assert workspace.json("tick")["results"] == []


def test_the_run_that_makes_up_is_not_made_up_for_itself(workspace: Workspace) -> None:
    interrupted(workspace, retry_interrupted=True)
    workspace.sql("UPDATE jobs SET next_run_at = '2099-01-01T00:00:00+00:00'")
    (target_folder(workspace) / "release").unlink()
    with ended(workspace.start("tick")) as tick:
        run = wait_for(
            lambda: next((row for row in workspace.runs() if row["retry_of"] and row["child_pid"]), None),
            what="the retry",
        )
        with killed(gated_pid(workspace, run["run_id"])):
            die(workspace, tick)
    release(workspace)
    report = workspace.json("tick")
    assert (len(report["settled"]), report["results"]) == (1, [])
    assert [row["status"] for row in workspace.runs()] == ["interrupted", "interrupted"]


def test_a_newer_slot_takes_the_place_of_the_run_that_would_make_up(workspace: Workspace) -> None:
    run = interrupted(workspace, retry_interrupted=True, minutes_ago=5)
    workspace.make_due()
    report = workspace.json("tick")
    (result,) = report["results"]
    assert "retry_of" not in result
    first, second = workspace.runs()
    assert (first["run_id"], first["retry_due"], second["trigger"]) == (run["run_id"], 0, "schedule")
    assert len(workspace.starts()) == 2


def test_a_run_by_hand_takes_its_place_too(workspace: Workspace) -> None:
    interrupted(workspace, retry_interrupted=True)
    workspace.sql("UPDATE jobs SET next_run_at = '2099-01-01T00:00:00+00:00'")
    assert workspace.json("run-now", "job-0")["status"] == "ok"
    assert workspace.json("tick")["results"] == []
    assert [(row["trigger"], row["retry_due"]) for row in workspace.runs()] == [("schedule", 0), ("manual", 0)]


@pytest.mark.parametrize("change", ["removed", "disabled", "unreadable"])
def test_a_job_that_is_gone_meanwhile_is_not_run_once_more(workspace: Workspace, change: str) -> None:
    interrupted(workspace, retry_interrupted=True)
    workspace.sql("UPDATE jobs SET next_run_at = NULL")
    # Settled while the job was there; the retry finds no permit, and then the job goes.
    workspace.sql("UPDATE runs SET status = 'interrupted', finished_at = started_at, retry_due = 1, lease_token = NULL")
    if change == "removed":
        workspace.sql("UPDATE jobs SET removed_at = ?, enabled = 0", (PAST,))
    elif change == "disabled":
        workspace.sql("UPDATE jobs SET enabled = 0")
    else:
        workspace.sql("UPDATE jobs SET definition_json = '{}'")
    report = workspace.json("tick")
    assert report["results"] == []
    assert len(workspace.starts()) == 1
    if change == "unreadable":
        assert [problem["error"]["code"] for problem in report["problems"]] == ["DEFINITION_UNREADABLE"]
    else:
        assert [row["retry_due"] for row in workspace.runs()] == [0]


def test_a_retry_waits_for_a_place_and_is_taken_by_one_of_several_ticks(workspace: Workspace) -> None:
    interrupted(workspace, retry_interrupted=True)
    workspace.sql("UPDATE jobs SET next_run_at = '2099-01-01T00:00:00+00:00'")
    ticks = [workspace.start("tick") for _ in range(6)]
    results = [result for tick in ticks for result in answer_of(tick)["results"]]
    assert len(results) == 1
    assert len(workspace.starts()) == 2
    assert sorted(row["status"] for row in workspace.runs()) == ["interrupted", "ok"]


def test_a_machine_that_slept_past_the_lease_keeps_its_run(workspace: Workspace) -> None:
    """SIGSTOP stands for the sleep: the process is there, and has not renewed."""
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with gated_tick(workspace, env={"PURUTO_CRON_LEASE_SECONDS": "5"}) as (tick, run):
        tick.send_signal(signal.SIGSTOP)
        try:
            workspace.sql("UPDATE runs SET lease_expires_at = ? WHERE status = 'running'", (PAST,))
            assert workspace.json("tick")["settled"] == []
            assert is_running(gated_pid(workspace, run["run_id"]))
        finally:
            tick.send_signal(signal.SIGCONT)
        wait_for(lambda: workspace.runs()[0]["lease_expires_at"] > PAST, what="the renewal after the sleep")
        release(workspace)
        assert answer_of(tick)["results"][0]["status"] == "ok"
