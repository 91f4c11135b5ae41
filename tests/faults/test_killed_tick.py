"""A scheduler that dies, hangs or is confused with another: its run is ended and told, and never started again."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

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

SHORT = {"PURUTO_CRON_LEASE_SECONDS": "5"}
PAST, FUTURE = "2020-01-01T00:00:00+00:00", "2099-01-01T00:00:00+00:00"


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(timeout=PATIENCE)


def change(workspace: Workspace, **columns: object) -> None:
    """Changes the running row by hand."""
    names = ", ".join(f"{name} = ?" for name in columns)
    workspace.sql(f"UPDATE runs SET {names} WHERE status = 'running'", tuple(columns.values()))


def status_of(workspace: Workspace, run: dict[str, Any]) -> str:
    return next(str(row["status"]) for row in workspace.runs() if row["run_id"] == run["run_id"])


def test_a_killed_ticks_run_is_ended_told_and_not_started_again(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with gated_tick(workspace, env=SHORT) as (tick, run):
        kill(tick)
        pid = gated_pid(workspace, run["run_id"])
        assert is_running(pid), "nobody has looked after it yet"
        report = wait_for(
            lambda: next(filter(lambda report: report["settled"], [workspace.json("tick", env=SHORT)]), None),
            what="the tick that settles it",
        )
        assert report["now"] >= run["lease_expires_at"]
        assert not is_running(pid)
    (settled,) = report["settled"]
    assert (settled["run_id"], settled["error"]["code"]) == (run["run_id"], "INTERRUPTED")
    assert run["lease_owner"] in settled["error"]["message"]
    (row,) = workspace.runs()
    assert (row["status"], row["lease_owner"], row["finished_at"] >= report["now"]) == ("interrupted", None, True)
    (event,) = workspace.events()
    assert (event["run_id"], event["attempts"], event["error"]["code"]) == (run["run_id"], 1, "INTERRUPTED")
    assert workspace.sql("SELECT lease_owner, lease_expires_at FROM jobs") == [
        {"lease_owner": None, "lease_expires_at": None}
    ]
    assert workspace.json("tick")["results"] == []
    assert len(workspace.starts()) == 1, "the slot is not started again"
    release(workspace)
    assert workspace.json("run-now", "job-0")["status"] == "ok", "the job is free again"


def test_while_the_dead_ones_lease_lives_its_job_is_neither_skipped_nor_doubled(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due(minutes_ago=1)
    with gated_tick(workspace) as (tick, run):
        kill(tick)
        workspace.make_due()
        for _ in range(2):
            report = workspace.json("tick")
            assert (report["results"], report["written_off"], report["settled"]) == ([], [], [])
            assert report["left_due"] == ["job-0"]
        refused = workspace.json("run-now", "job-0", code=1)["error"]
        assert refused["code"] == "JOB_LOCKED"
        assert "that process is gone" in refused["message"]
        assert "unlock job-0" in refused["details"]["hint"]
        assert status_of(workspace, run) == "running"
        release(workspace)
        wait_for(lambda: not is_running(gated_pid(workspace, run["run_id"])), what="the job's own end")
        change(workspace, lease_expires_at=PAST)
        report = workspace.json("tick")
    assert [entry["run_id"] for entry in report["settled"]] == [run["run_id"]]
    assert [result["status"] for result in report["results"]] == ["ok"], "the slot that waited is served at once"
    assert [row["status"] for row in workspace.runs()] == ["interrupted", "ok"]
    assert len(workspace.starts()) == 2


def test_a_run_by_hand_settles_the_dead_run_of_its_job_first(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with gated_tick(workspace) as (tick, run):
        kill(tick)
        change(workspace, lease_expires_at=PAST)
        release(workspace)
        assert workspace.json("run-now", "job-0")["status"] == "ok"
    assert status_of(workspace, run) == "interrupted"
    assert workspace.events()[0]["run_id"] == run["run_id"]


def test_a_lease_dated_further_ahead_than_a_lease_can_be_is_stale(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with gated_tick(workspace) as (tick, run):
        kill(tick)
        change(workspace, lease_expires_at=FUTURE)
        assert [entry["run_id"] for entry in workspace.json("tick")["settled"]] == [run["run_id"]]
        assert not is_running(gated_pid(workspace, run["run_id"]))


def test_a_stranger_with_the_owners_pid_does_not_keep_a_dead_run_alive(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with gated_tick(workspace) as (tick, run):
        kill(tick)
        change(workspace, lease_expires_at=PAST, owner_pid=os.getpid())
        assert [entry["run_id"] for entry in workspace.json("tick")["settled"]] == [run["run_id"]]


def test_an_owner_of_an_earlier_boot_is_gone_whoever_has_its_pid(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with gated_tick(workspace) as (tick, run):
        tick.send_signal(signal.SIGSTOP)
        try:
            change(workspace, lease_expires_at=PAST, boot_id="another")
            assert [entry["run_id"] for entry in workspace.json("tick")["settled"]] == [run["run_id"]]
        finally:
            tick.send_signal(signal.SIGCONT)
        (result,) = answer_of(tick)["results"]
        assert result["error"]["code"] == "LEASE_LOST"
    assert [row["status"] for row in workspace.runs()] == ["interrupted"]


def test_a_living_owner_keeps_its_run_even_when_its_lease_is_over(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with gated_tick(workspace) as (tick, run):
        change(workspace, lease_expires_at=PAST)
        assert workspace.json("tick")["settled"] == []
        assert status_of(workspace, run) == "running"
        release(workspace)
        assert answer_of(tick)["results"][0]["status"] == "ok"


def test_an_owner_that_hangs_past_every_ceiling_loses_its_run_and_writes_nothing_later(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED, max_retries=3, retry_backoff_sec=0))
    workspace.make_due()
    with gated_tick(workspace) as (tick, run):
        pid = gated_pid(workspace, run["run_id"])
        tick.send_signal(signal.SIGSTOP)
        try:
            change(workspace, ceiling_monotonic=1.0)
            (settled,) = workspace.json("tick")["settled"]
        finally:
            tick.send_signal(signal.SIGCONT)
        assert "hangs" in settled["error"]["message"]
        assert not is_running(pid)
        (result,) = answer_of(tick)["results"]
        assert (result["run_id"], result["error"]["code"]) == (run["run_id"], "LEASE_LOST")
    assert [row["status"] for row in workspace.runs()] == ["interrupted"]
    assert [event["error"]["code"] for event in workspace.events()] == ["INTERRUPTED"]
    assert len(workspace.starts()) == 1


BARE = "echo $$ > bare.tmp; mv bare.tmp bare.pid; n=0; while [ $n -lt 1200 ]; do n=$((n+1)); sleep 0.05; done"


def test_a_child_that_emptied_its_environment_is_found_by_the_row_that_names_it(workspace: Workspace) -> None:
    prepare(workspace, {"schedule": "@yearly", "command": ["/usr/bin/env", "-i", "/bin/sh", "-c", BARE]})
    workspace.make_due()
    with ended(workspace.start("tick")) as tick:
        wait_for((target_folder(workspace) / "bare.pid").exists, what="the child")
        pid = int((target_folder(workspace) / "bare.pid").read_text())
        with killed(pid):
            wait_for(lambda: workspace.runs()[0]["child_pid"] == pid, what="the row that names it")
            kill(tick)
            change(workspace, lease_expires_at=PAST)
            assert len(workspace.json("tick")["settled"]) == 1
            assert not is_running(pid)


def test_a_running_row_that_was_spoilt_by_hand_stops_no_other_job(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED), shell("echo fine", job_id="other"))
    workspace.make_due("job-0")
    with gated_tick(workspace) as (tick, _):
        kill(tick)
        change(workspace, lease_expires_at=PAST, started_at="yesterday")
        workspace.make_due("other")
        assert [result["job_id"] for result in workspace.json("tick")["results"]] == ["other"]
