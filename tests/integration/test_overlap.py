"""A job runs once at a time: a slot that comes while its job runs is recorded, with the run that was in its way."""

from __future__ import annotations

import json

import pytest

from tests.support_machine import (
    COUNT,
    GATED,
    answer_of,
    gated_tick,
    prepare,
    release,
    shell,
)
from tests.workspace import Workspace

pytestmark = pytest.mark.process


def test_a_slot_during_a_run_is_skipped_with_the_running_runs_id(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due(minutes_ago=1)
    with gated_tick(workspace) as (first, running):
        workspace.make_due()
        report = workspace.json("tick")
        assert report["results"] == []
        assert [entry["code"] for entry in report["written_off"]] == ["OVERLAP"]
        release(workspace)
        assert [result["run_id"] for result in answer_of(first)["results"]] == [running["run_id"]]
    (skipped,) = [row for row in workspace.runs() if row["status"] == "skipped"]
    assert running["run_id"] in json.loads(skipped["error_json"])["message"]
    assert skipped["slots"] == 1
    assert len(workspace.starts()) == 1
    assert [event["run_id"] for event in workspace.events()] == [running["run_id"]]


def test_a_job_that_catches_up_on_all_keeps_a_slot_for_later_instead(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED, catch_up="all"))
    workspace.make_due(minutes_ago=1)
    with gated_tick(workspace) as (first, _):
        workspace.make_due()
        report = workspace.json("tick")
        assert (report["results"], report["written_off"], report["left_due"]) == ([], [], ["job-0"])
        release(workspace)
        answer_of(first)
    workspace.json("tick")
    assert [row["status"] for row in workspace.runs()] == ["ok", "ok"]
    assert len(workspace.starts()) == 2


def test_a_run_by_hand_is_in_the_way_of_a_slot_too(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    with gated_tick(workspace, "run-now", "job-0") as (by_hand, running):
        workspace.make_due()
        report = workspace.json("tick")
        assert running["run_id"] in report["written_off"][0]["message"]
        release(workspace)
        assert answer_of(by_hand)["run_id"] == running["run_id"]
    assert sorted((row["status"], row["trigger"], row["slots"]) for row in workspace.runs()) == [
        ("ok", "manual", 0),
        ("skipped", "schedule", 1),
    ]


def test_a_removed_job_ends_its_run_and_is_never_started_again(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED), shell(COUNT, job_id="other"))
    workspace.make_due("job-0")
    with gated_tick(workspace) as (tick, running):
        workspace.write_jobs(shell(COUNT, job_id="other"))
        assert workspace.json("sync-jobs")["removed"] == ["job-0"]
        release(workspace)
        assert [result["status"] for result in answer_of(tick)["results"]] == ["ok"]
    assert [(row["run_id"], row["status"]) for row in workspace.runs()] == [(running["run_id"], "ok")]
    assert len(workspace.events()) == 1
    assert workspace.json("run-now", "job-0", code=1)["error"]["code"] == "JOB_NOT_FOUND"
