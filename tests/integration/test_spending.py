"""What agents may cost on a day."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import GateClosed
from tests.support_agents import agent_job, calls, install
from tests.support_machine import Machine
from tests.workspace import FakeClock, Workspace

HOURLY = {"schedule": "0 * * * *", "timezone": "America/New_York"}


def machine_with(workspace: Workspace, clock: FakeClock, **fields: Any) -> Machine:
    """A job of each hour whose every run costs a quarter of a dollar, and may cost half a dollar a day."""
    install(workspace, "claude")
    machine = Machine(workspace, clock)
    machine.ready(agent_job(**{"prompt": "x", **HOURLY, "max_cost_usd_per_day": 0.5, **fields}))
    return machine


def hours(machine: Machine, number: int) -> None:
    for _ in range(number):
        machine.clock.advance(hours=1)
        machine.tick()


@pytest.mark.process
def test_a_days_ceiling_skips_slots_until_the_next_day_in_the_jobs_zone(workspace: Workspace, clock: FakeClock) -> None:
    # 15:00 in New York; its day ends at 05:00 UTC.
    machine = machine_with(workspace, clock)
    hours(machine, 10)
    rows = workspace.runs()
    assert [row["status"] for row in rows] == ["ok"] * 2 + ["skipped"] * 6 + ["ok"] * 2
    assert len(calls(workspace)) == 4
    skipped = [event for event in workspace.events() if "error" in event]
    assert [event["error"]["code"] for event in skipped] == ["COST_LIMIT"], "told once a day"
    assert skipped[0]["run_id"] == rows[2]["run_id"]
    assert skipped[0]["error"]["details"]["cost_usd"] == 0.5
    assert "0.50 of 0.50 dollars" in skipped[0]["error"]["message"]
    spent = machine.run("status")[1]["spending"]
    assert [(entry["day"], entry["runs"], entry["cost_usd"]) for entry in spent] == [
        ("2026-02-26", 2, 0.5), ("2026-02-25", 2, 0.5),
    ]  # fmt: skip


@pytest.mark.process
def test_a_run_by_hand_is_refused_unless_forced(workspace: Workspace, clock: FakeClock) -> None:
    machine = machine_with(workspace, clock)
    machine.run_now()
    machine.run_now()
    with pytest.raises(GateClosed) as refused:
        machine.run_now()
    assert refused.value.details["reason"] == "COST_LIMIT"
    assert "--force" in refused.value.hint
    assert len(calls(workspace)) == 2
    assert machine.run("run-now", "job-0", "--force")[1]["status"] == "ok"


def test_failed_runs_count_and_are_not_retried_above_the_ceiling(workspace: Workspace, clock: FakeClock) -> None:
    machine = machine_with(workspace, clock, prompt="[[fail x]]", max_retries=5, retry_backoff_sec=0)
    answer = machine.run_now()
    assert answer["attempts"] == 2
    assert "max_cost_usd_per_day" in answer["error"]["details"]["not_retried"]


def test_what_was_spent_outlives_the_rows_of_the_runs(workspace: Workspace, clock: FakeClock) -> None:
    machine = machine_with(workspace, clock)
    machine.run_now()
    machine.run_now()
    workspace.sql("DELETE FROM runs")
    with pytest.raises(GateClosed):
        machine.run_now()


@pytest.mark.process
def test_a_job_without_a_ceiling_asks_no_gate(workspace: Workspace, clock: FakeClock) -> None:
    machine = machine_with(workspace, clock, max_cost_usd_per_day=None)
    hours(machine, 4)
    assert [row["status"] for row in workspace.runs()] == ["ok"] * 4
