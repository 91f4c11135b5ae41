"""doctor compares the rows of runs with their folders and events."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.support_machine import COUNT, Machine, shell
from tests.workspace import FakeClock, Workspace

MINUTELY = "* * * * *"


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def ledger(machine: Machine) -> dict[str, Any]:
    """The finding about the ledger."""
    found: dict[str, Any] = next(
        finding for finding in machine.run("doctor", "--json")[1]["findings"] if finding["subject"] == "ledger"
    )
    return found


def run_minutes(machine: Machine, clock: FakeClock, count: int) -> None:
    for _ in range(count):
        clock.advance(minutes=1)
        machine.tick()


def test_runs_whose_rows_are_lost_are_named(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule=MINUTELY))
    run_minutes(machine, clock, 4)
    assert ledger(machine)["severity"] == "ok"
    first, second, third, _ = [row["run_id"] for row in workspace.runs()]
    for table in ("events", "runs"):
        workspace.sql(f"DELETE FROM {table} WHERE run_id IN (?, ?)", (second, third))
    # One has left only its event, the other only its folder.
    shutil.rmtree(workspace.root / "runs" / "job-0" / second)
    lines = workspace.events_file.read_text().splitlines(keepends=True)
    workspace.events_file.write_text("".join(line for line in lines if third not in line) + "no json\n[]\n")
    found = ledger(machine)
    assert (found["code"], found["severity"]) == ("RUNS_WITHOUT_ROW", "warning")
    assert second in found["message"]
    assert third in found["message"]
    assert first not in found["message"]


def test_runs_that_retention_has_deleted_are_not_missed(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.environ["PURUTO_CRON_KEEP_RUNS"] = "2"
    machine.ready(shell(COUNT, schedule=MINUTELY), shell(COUNT, job_id="by-hand"))
    for _ in range(5):
        run_minutes(machine, clock, 1)
        machine.run_now("by-hand")
    machine.run("prune")
    asked = workspace.root / "runs" / "_invoker" / "req-1"
    asked.mkdir(parents=True)
    assert len(workspace.events()) == 10
    assert ledger(machine)["severity"] == "ok"


def test_a_database_that_was_made_anew_lacks_them_all(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule=MINUTELY))
    run_minutes(machine, clock, 7)
    for path in workspace.database.parent.glob("cron.db*"):
        path.unlink()
    machine.run("init-db")
    machine.run("sync-jobs")
    found = ledger(machine)
    assert found["code"] == "RUNS_WITHOUT_ROW"
    assert found["message"].endswith("and 2 more")
