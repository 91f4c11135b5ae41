"""Events: stored with the verdict, told in order and once, and waiting as long as they can't be told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support_machine import COUNT, Machine, prepare, shell
from tests.workspace import FakeClock, Workspace


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def mirror_of(workspace: Workspace) -> Path:
    return workspace.home / "puruto-telegram" / "inbox" / "cron-events.jsonl"


def block(folder: Path) -> None:
    """Puts a file where a folder has to be."""
    if folder.is_dir():
        folder.rmdir()
    folder.write_text("in the way")


@pytest.mark.process
def test_a_folder_that_cannot_be_written_keeps_the_verdict_and_the_event(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT), shell("exit 1", job_id="bad"))
    block(workspace.root / "notifications")
    assert workspace.json("run-now", "job-0")["status"] == "ok"
    workspace.json("run-now", "bad", code=1)
    assert [row["status"] for row in workspace.runs()] == ["ok", "error"]
    (waiting,) = workspace.json("status")["events"]["waiting"]
    assert (waiting["channel"], waiting["count"]) == ("local", 2)
    assert waiting["failures"] >= 1
    assert str(workspace.events_file) in waiting["last_error"]
    assert "Not a directory" in waiting["last_error"] or "File exists" in waiting["last_error"]
    report = workspace.json("tick")
    assert (report["status"], report["events"]["waiting"][0]["count"]) == ("ok", 2)
    assert workspace.run("tick", "--quiet").stdout.count(b"\n") == 1, "a crontab's log tells it too"

    (workspace.root / "notifications").unlink()
    report = workspace.json("tick")
    assert report["events"] == {"delivered": 2, "waiting": []}
    assert [event["job_id"] for event in workspace.events()] == ["job-0", "bad"]
    workspace.json("tick")
    assert len(workspace.events()) == 2
    assert workspace.json("status")["events"]["waiting"] == []


def test_each_event_names_the_zone_of_its_job(machine: Machine, workspace: Workspace) -> None:
    (workspace.home / "puruto-telegram").mkdir()
    machine.ready(shell(COUNT, timezone="Asia/Tokyo"), shell("exit 1", job_id="bad", timezone="Europe/Madrid"))
    machine.run("run-now", "job-0")
    machine.run("run-now", "bad")
    assert [event["timezone"] for event in workspace.events()] == ["Asia/Tokyo", "Europe/Madrid"]
    assert [json.loads(line)["timezone"] for line in mirror_of(workspace).read_text().splitlines()] == [
        "Asia/Tokyo",
        "Europe/Madrid",
    ]


def test_a_channel_that_fails_hurts_no_other(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT))
    mirror = mirror_of(workspace)
    mirror.parent.parent.mkdir()
    block(mirror.parent)
    result = machine.run_now()
    assert (result["status"], len(workspace.events())) == ("ok", 1)
    (waiting,) = machine.run("status")[1]["events"]["waiting"]
    assert (waiting["channel"], waiting["count"]) == ("telegram", 1)
    machine.run_now()
    mirror.parent.unlink()
    machine.tick()
    assert mirror.read_bytes() == workspace.events_file.read_bytes()
    assert len(workspace.events()) == 2


def test_without_the_sibling_nothing_waits_and_nothing_is_made(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT))
    assert machine.run_now()["notification_paths"]["telegram_outbox"] == ""
    assert machine.run("status")[1]["events"]["waiting"] == []
    assert not (workspace.home / "puruto-telegram").exists()
    (workspace.home / "puruto-telegram").mkdir()
    machine.tick()
    assert not mirror_of(workspace).exists(), "what happened before the sibling came is not poured over it"
    assert machine.run("status")[1]["notification_targets"]["telegram_repo_exists"] is True


def test_the_outbox_can_stand_elsewhere(machine: Machine, workspace: Workspace) -> None:
    other = workspace.home / "elsewhere"
    other.mkdir()
    machine.environ |= {"PURUTO_TELEGRAM_PATH": str(other), "PURUTO_TELEGRAM_OUTBOX_FILE": "in/here.jsonl"}
    machine.ready(shell(COUNT))
    assert machine.run_now()["notification_paths"]["telegram_outbox"] == f"{other}/in/here.jsonl"
    assert (other / "in" / "here.jsonl").read_bytes() == workspace.events_file.read_bytes()


@pytest.mark.parametrize("kept", [0.4, 1.0], ids=["half a line", "a whole line"])
def test_a_line_that_a_crash_left_is_completed_never_doubled(
    machine: Machine, workspace: Workspace, kept: float
) -> None:
    machine.ready(shell(COUNT))
    machine.run_now()
    whole = workspace.events_file.read_bytes()
    workspace.sql("UPDATE deliveries SET state = 'waiting', settled_at = NULL WHERE channel = 'local'")
    workspace.events_file.write_bytes(whole[: int(len(whole) * kept)])
    machine.tick()
    assert workspace.events_file.read_bytes() == whole


def test_a_torn_line_of_a_stranger_costs_no_event(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT))
    workspace.events_file.parent.mkdir(exist_ok=True)
    workspace.events_file.write_bytes(b'{"stranger": "20')
    machine.run_now()
    first, second = workspace.events_file.read_bytes().splitlines()
    assert first == b'{"stranger": "20'
    assert json.loads(second)["job_id"] == "job-0"


def test_the_time_of_an_event_is_when_it_happened_not_when_it_arrived(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT))
    block(workspace.root / "notifications")
    machine.run_now()
    clock.advance(hours=4)
    (workspace.root / "notifications").unlink()
    machine.tick()
    (event,) = workspace.events()
    assert event["ts"] == "2026-02-25T20:00:00+00:00"


def test_a_stored_event_that_cannot_be_read_stops_no_tick(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule="0 * * * *"))
    machine.run_now()
    workspace.sql("UPDATE events SET payload_json = '{'")
    workspace.sql("UPDATE deliveries SET state = 'waiting' WHERE channel = 'local'")
    clock.advance(hours=1)
    assert [result["status"] for result in machine.tick()["results"]] == ["ok"]


SAID = 'año ☃ 🦊 \u200d \\ "'


def test_text_of_any_language_arrives_as_it_was(machine: Machine, workspace: Workspace) -> None:
    machine.ready({"schedule": "@yearly"})
    answer(workspace, SAID)
    machine.run_now()
    (event,) = workspace.events()
    assert event["result"]["response"]["result"]["summary"] == SAID
    assert "☃" in workspace.events_file.read_text(encoding="utf-8")


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85"], ids=ascii)
def test_an_event_is_one_line_for_every_reader(machine: Machine, workspace: Workspace, character: str) -> None:
    machine.ready({"schedule": "@yearly"})
    answer(workspace, f"one{character}two")
    machine.run_now()
    (line,) = workspace.events_file.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["result"]["response"]["result"]["summary"] == f"one{character}two"


def answer(workspace: Workspace, summary: str) -> None:
    """Makes the target answer with this summary."""
    folder = workspace.add_target(invoke="#!/bin/sh\ncat > /dev/null\ncat answer.json\n")
    (folder / "answer.json").write_text(json.dumps({"status": "ok", "result": {"summary": summary}}))
