"""The scheduler's own events: a broken .jobs.json is reported once, and once when it is mended."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from core.job import SCHEDULER_ID
from core.json_objects import ErrorObject
from store.bundle import Store
from store.creation import create
from tests.support_daemon import OFTEN, daemon
from tests.support_machine import COUNT, Machine, prepare, shell
from tests.workspace import FakeClock, Workspace, wait_for

NOON = datetime(2026, 2, 25, 12, tzinfo=UTC)
NOT_JSON = "{ no json"
UNKNOWN = '{"jobs": [{"job_id": "a", "puruto_target": "t", "schedule": "@daily", "prompt": "p", "promt": "p"}]}'
MISSING = '{"jobs": [{"job_id": "a", "puruto_target": "t", "schedule": "@daily"}]}'


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def put(workspace: Workspace, text: str) -> None:
    (workspace.root / ".jobs.json").write_text(text, encoding="utf-8")


def told(workspace: Workspace) -> list[str]:
    """What the events of the scheduler itself say: a code, or ok."""
    own = [event for event in workspace.events() if event["job_id"] == SCHEDULER_ID]
    return [event["error"]["code"] if "error" in event else event["result"]["status"] for event in own]


def test_a_broken_file_is_reported_once_and_once_when_it_is_mended(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    (workspace.home / "puruto-telegram").mkdir()
    machine.ready(shell(COUNT))
    machine.tick()
    put(workspace, NOT_JSON)
    for _ in range(3):
        machine.tick()
        clock.advance(minutes=1)
    put(workspace, "\n\n" + NOT_JSON)
    machine.tick()
    assert told(workspace) == ["JOBS_FILE_NOT_JSON"], "another line is the same fault"
    workspace.write_jobs(shell(COUNT))
    for _ in range(2):
        machine.tick()
    assert told(workspace) == ["JOBS_FILE_NOT_JSON", "ok"]
    mirror = (workspace.home / "puruto-telegram" / "inbox" / "cron-events.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line) for line in mirror.splitlines()] == workspace.events()
    fault, mended = workspace.events()
    assert {"ts", "job_id", "run_id", "attempts", "error"} == set(fault)
    assert {"ts", "job_id", "run_id", "attempt", "result"} == set(mended)
    assert fault["run_id"] == "puruto-cron-20260225T200000"
    assert fault["error"]["message"].startswith(".jobs.json can't be loaded, so the jobs stay as they were: ")
    assert fault["error"]["details"]["about"] == "jobs_file"
    assert mended["result"]["response"] == {
        "status": "ok",
        "result": {"summary": ".jobs.json can be loaded again", "about": "jobs_file"},
    }
    assert mended["result"]["request"]["correlation_id"] == f"corr-{fault['run_id']}"


def test_another_fault_of_the_file_is_reported_but_each_only_once(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT))
    for text in (NOT_JSON, UNKNOWN, NOT_JSON, MISSING, UNKNOWN):
        put(workspace, text)
        machine.tick()
    (workspace.root / ".jobs.json").unlink()
    machine.tick()
    assert told(workspace) == ["JOBS_FILE_NOT_JSON", "JOBS_FILE_INVALID", "JOBS_FILE_INVALID", "JOBS_FILE_MISSING"]
    workspace.write_jobs(shell(COUNT))
    machine.tick()
    put(workspace, NOT_JSON)
    machine.tick()
    assert told(workspace)[4:] == ["ok", "JOBS_FILE_NOT_JSON"], "it was in order in between"


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_sync_by_hand_and_a_broken_edit_that_is_undone_mend_it_too(
    machine: Machine, workspace: Workspace, by_hand: bool
) -> None:
    machine.ready(shell(COUNT))
    file = workspace.root / ".jobs.json"
    file.rename(workspace.root / "aside")
    machine.tick()
    (workspace.root / "aside").rename(file)
    if by_hand:
        machine.run("sync-jobs")
    machine.tick()
    assert told(workspace) == ["JOBS_FILE_MISSING", "ok"]
    machine.tick()
    assert len(told(workspace)) == 2


def test_a_file_that_is_just_being_written_is_not_reported(
    machine: Machine, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.ready(shell(COUNT))
    put(workspace, NOT_JSON)
    monkeypatch.setattr("app.app.App.pause", lambda *_: workspace.write_jobs(shell(COUNT)))
    assert machine.tick()["sync"]["status"] == "error"
    machine.tick()
    assert told(workspace) == []


def test_what_logs_shows_of_the_scheduler(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT))
    put(workspace, NOT_JSON)
    machine.tick()
    (event,) = machine.run("logs", "--job", SCHEDULER_ID)[1]["events"]
    assert event["error"]["code"] == "JOBS_FILE_NOT_JSON"


def test_old_ones_are_deleted_like_other_events(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT))
    put(workspace, NOT_JSON)
    machine.tick()
    workspace.write_jobs(shell(COUNT))
    machine.tick()
    machine.environ["PURUTO_CRON_KEEP_DAYS"] = "2"
    clock.advance(days=3)
    said, done = machine.run("prune", "--dry-run")[1], machine.run("prune")[1]
    assert (said["events"], done["events"]) == (2, 2)
    assert workspace.sql("SELECT 1 FROM events") == workspace.sql("SELECT 1 FROM deliveries") == []


def test_no_job_may_have_the_name_of_the_scheduler(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT))
    workspace.write_jobs(shell(COUNT, job_id=SCHEDULER_ID))
    problem = machine.tick()["sync"]["error"]["details"]["problems"][0]
    assert (problem["code"], problem["path"]) == ("RESERVED_NAME", "jobs[0].job_id")


def test_of_several_ticks_at_once_one_reports(tmp_path: Any) -> None:
    path = str(tmp_path / "cron.db")
    create(path)[0].close()
    error: ErrorObject = {"code": "JOBS_FILE_NOT_JSON", "message": "m", "details": {}}
    stored: list[bool] = []
    gate = threading.Barrier(4)

    def report() -> None:
        from db import Database

        store = Store(Database(path))
        gate.wait()
        stored.append(store.notices.report("jobs_file", "It", error, NOON, ("local",)))
        store.close()

    threads = [threading.Thread(target=report) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stored) == [False, False, False, True]


@pytest.mark.process
def test_a_daemon_reports_a_broken_file_and_broken_settings_once_also_after_a_restart(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    for _ in range(2):
        with daemon(workspace, OFTEN) as served:
            put(workspace, NOT_JSON)
            wait_for(lambda: told(workspace), what="the event")
            served.wait_for_poll()
    assert told(workspace) == ["JOBS_FILE_NOT_JSON"]
    with daemon(workspace, OFTEN) as served:
        workspace.replace_jobs(shell(COUNT))
        wait_for(lambda: len(told(workspace)) == 2, what="that it is mended")
        (workspace.root / ".env").write_text("PURUTO_CRON_MAX_RUNNING=none\n")
        wait_for(lambda: len(told(workspace)) == 3, what="the settings")
        served.wait_for_poll()
    (workspace.root / ".env").unlink()
    with daemon(workspace, OFTEN):
        wait_for(lambda: len(told(workspace)) == 4, what="that they are mended")
    assert told(workspace) == ["JOBS_FILE_NOT_JSON", "ok", "SETTINGS_INVALID", "ok"]
