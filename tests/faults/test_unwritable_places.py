"""Full and read-only disks: the run keeps its verdict, what could not be told waits, and nothing is doubled."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.errors import MachineExhausted
from tests.support_machine import (
    COUNT,
    GATED,
    Machine,
    answer_of,
    fill,
    gated_pid,
    gated_tick,
    prepare,
    release,
    remount,
    shell,
    small_disk,
    wait_for_run,
)
from tests.workspace import PATIENCE, FakeClock, Workspace, ended, is_running, wait_for


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Makes a folder read-only, for root by a file system that is."""
    if os.getuid() != 0:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o500)
        try:
            yield
        finally:
            folder.chmod(0o700)
        return
    with small_disk(folder):
        remount(folder, "ro")
        yield


def waiting(workspace: Workspace) -> dict[str, object]:
    (entry,) = workspace.json("status")["events"]["waiting"]
    assert isinstance(entry, dict)
    return entry


def test_a_full_disk_keeps_the_verdict_and_the_next_tick_tells_all_in_order(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT), shell("exit 1", job_id="bad"))
    with small_disk(workspace.root / "notifications") as disk:
        workspace.json("run-now", "job-0")
        filler = fill(disk)
        pad = "x" * 6000
        workspace.write_jobs(shell(COUNT), shell(f"echo {pad}", job_id="long"), shell("exit 1", job_id="bad"))
        for job_id, code in (("job-0", 0), ("long", 0), ("bad", 1), ("job-0", 0)):
            told = workspace.json("run-now", job_id, code=code)
            assert told["status"] == ("ok" if code == 0 else "error")
        (held,) = told["events_waiting"]
        assert (held["channel"], "No space left" in held["error"]) == ("local", True)
        assert sorted(row["status"] for row in workspace.runs()) == ["error", "ok", "ok", "ok", "ok"]
        entry = waiting(workspace)
        assert "No space left" in str(entry["last_error"])
        left = entry["count"]
        assert isinstance(left, int)
        assert left >= 3
        assert workspace.json("tick")["events"]["waiting"][0]["count"] == left
        assert workspace.run("tick", "--quiet").stdout.count(b"\n") == 1

        filler.unlink()
        assert workspace.json("tick")["events"] == {"delivered": left, "waiting": []}
        assert workspace.json("tick")["events"] == {"delivered": 0, "waiting": []}
        assert [event["job_id"] for event in workspace.events()] == ["job-0", "job-0", "long", "bad", "job-0"]


def test_a_database_that_is_removed_under_a_run_makes_no_success_of_it(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    with ended(workspace.start("run-now", "job-0")) as process:
        wait_for_run(workspace)
        for path in workspace.database.parent.glob("cron.db*"):
            path.unlink()
        release(workspace)
        out, _ = process.communicate(timeout=PATIENCE)
    answer = json.loads(out)
    assert (process.returncode, answer["status"], answer["error"]["code"]) == (1, "error", "VERDICT_NOT_STORED")
    assert answer["error"]["details"]["database_error"]["code"] == "DATABASE_REPLACED"
    assert answer["error"]["details"]["status"] == "ok"
    assert workspace.events() == []


def test_init_db_does_not_call_a_damaged_database_fine(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    with workspace.database.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(os.urandom(4096))
    refused = workspace.json("init-db", code=1)["error"]
    assert refused["code"] == "DATABASE_CORRUPT"
    assert "doctor --repair" in refused["details"]["hint"]


def test_a_line_that_the_full_disk_cut_is_completed(machine: Machine, workspace: Workspace) -> None:
    with small_disk(workspace.root / "notifications") as disk:
        machine.ready(shell(COUNT))
        machine.run_now()
        filler = fill(disk)
        runs = 1
        while not machine.run("status")[1]["events"]["waiting"]:
            machine.run_now()
            runs += 1
            assert runs < 100
        cut = workspace.events_file.read_bytes()
        assert not cut.endswith(b"\n"), "the disk took a part of the line"
        machine.run_now()
        filler.unlink()
        machine.tick()
        assert workspace.events_file.read_bytes().startswith(cut)
        assert len({event["run_id"] for event in workspace.events()}) == len(workspace.events()) == runs + 1


def test_a_read_only_folder_keeps_the_verdict_and_says_why(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    workspace.make_due()
    with read_only(workspace.root / "notifications"):
        report = workspace.json("tick")
        assert [result["status"] for result in report["results"]] == ["ok"]
        entry = waiting(workspace)
        assert entry["count"] == 1
        assert "Read-only" in str(entry["last_error"]) or "Permission denied" in str(entry["last_error"])
        assert [row["status"] for row in workspace.runs()] == ["ok"]
    assert workspace.json("tick")["events"]["delivered"] == 1
    assert len(workspace.events()) == 1


def test_a_run_for_whose_output_there_is_no_room_does_not_start_and_no_job_is_blamed(
    machine: Machine, workspace: Workspace
) -> None:
    machine.ready(shell(COUNT))
    with small_disk(workspace.root / "runs") as disk:
        fill(disk)
        with pytest.raises(MachineExhausted, match="No space left"):
            machine.run_now()
    assert (workspace.runs(), workspace.events(), workspace.starts()) == ([], [], [])


def test_a_verdict_waits_for_room_on_the_databases_own_disk(workspace: Workspace) -> None:
    with small_disk(workspace.root / "db", "1m") as disk:
        prepare(workspace, shell(GATED))
        workspace.make_due()
        with gated_tick(workspace) as (tick, run):
            filler = fill(disk)
            release(workspace)
            wait_for(lambda: not is_running(gated_pid(workspace, run["run_id"])), what="the end of the job")
            # Bounded, not timed: a tick that gives up ends at once, and one that keeps the verdict is still there.
            try:
                tick.wait(timeout=1)
            except subprocess.TimeoutExpired:
                filler.unlink()
                log = workspace.database.parent / "puruto-cron.log"
                answer_of(tick, stderr=f"The log {log} can't be written: No space left on device\n")
            else:
                filler.unlink()
        assert [row["status"] for row in workspace.runs()] == ["ok"]


@pytest.mark.parametrize("words", [("tick",), ("run-now", "job-0")], ids=lambda words: words[0])
def test_a_database_that_cannot_be_written_starts_nothing(workspace: Workspace, words: tuple[str, ...]) -> None:
    prepare(workspace, shell(COUNT))
    workspace.make_due()
    before = workspace.database.parent
    kept = {path.name: path.read_bytes() for path in before.iterdir() if path.is_file()}
    with small_disk(before, "1m"):
        for name, data in kept.items():
            (before / name).write_bytes(data)
        remount(before, "ro")
        done = workspace.run(*words)
        assert done.returncode in (1, 2)
        assert done.stderr == b""
        assert json.loads(done.stdout)["error"]["code"].startswith("DATABASE_")
    assert workspace.starts() == []


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)
