"""Ctrl-C, TERM and a closed terminal: the run is ended, recorded, told, and the command says so."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support_machine import (
    COUNT,
    GATED,
    answer_of,
    gated_pid,
    gated_tick,
    killed,
    prepare,
    python,
    release,
    shell,
    target_folder,
    wait_for_run,
)
from tests.workspace import PATIENCE, Workspace, ended, is_running, wait_for

COMMANDS = [("tick",), ("run-now", "job-0")]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=str,
)
def test_a_signal_ends_the_run_in_order(
    workspace: Workspace, words: tuple[str, ...], number: signal.Signals, code: int
) -> None:
    prepare(workspace, shell(GATED, max_retries=3))
    workspace.make_due()
    with gated_tick(workspace, *words) as (process, run):
        process.send_signal(number)
        answer = answer_of(process)
        assert process.returncode == code
        assert not is_running(gated_pid(workspace, run["run_id"]))
    result = answer["results"][0] if words == ("tick",) else answer
    assert (result["status"], result["run_id"], result["attempts"]) == ("error", run["run_id"], 1)
    assert result["error"]["code"] == "CANCELLED"
    assert number.name in result["error"]["message"]
    (row,) = workspace.runs()
    assert (row["status"], row["lease_owner"]) == ("cancelled", None)
    (event,) = workspace.events()
    assert (event["run_id"], event["error"]) == (run["run_id"], result["error"])
    assert len(workspace.starts()) == 1, "a cancelled run is not tried again"


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGHUP, signal.SIGTERM), (signal.SIGTERM, signal.SIGHUP), (signal.SIGINT, signal.SIGTERM)],
    ids=str,
)
def test_a_second_signal_changes_neither_the_words_nor_the_exit_code(
    workspace: Workspace, words: tuple[str, ...], first: signal.Signals, second: signal.Signals
) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with gated_tick(workspace, *words) as (process, _):
        process.send_signal(first)
        wait_for(lambda: [row["status"] for row in workspace.runs()] == ["cancelled"], what="the end of the run")
        # It may come at any moment until the process has gone.
        while process.poll() is None:
            process.send_signal(second)
        answer = answer_of(process)
    result = answer["results"][0] if words == ("tick",) else answer
    assert result["error"]["details"]["stopped_by"] == first.name
    assert process.returncode == 128 + first


def test_what_had_not_started_stays_due(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED), shell(COUNT), shell(COUNT))
    workspace.make_due("job-0", minutes_ago=1)
    workspace.make_due("job-1")
    workspace.make_due("job-2")
    with gated_tick(workspace, env={"PURUTO_CRON_MAX_RUNNING": "1"}) as (process, _):
        process.send_signal(signal.SIGINT)
        report = answer_of(process)
        assert (report["left_due"], process.returncode) == (["job-1", "job-2"], 130)
    assert len(workspace.starts()) == 1
    assert [result["status"] for result in workspace.json("tick")["results"]] == ["ok", "ok"]


def test_a_child_that_ignores_term_is_killed_all_the_same(workspace: Workspace) -> None:
    stubborn = (
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open('stubborn.tmp', 'w').write(str(os.getpid()))\nos.rename('stubborn.tmp', 'stubborn.pid')\n"
        "time.sleep(60)"
    )
    prepare(workspace, python(stubborn))
    with ended(workspace.start("run-now", "job-0")) as process:
        path = target_folder(workspace) / "stubborn.pid"
        wait_for(path.exists, what="the child")
        with killed(int(path.read_text())):
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGINT)
            assert answer_of(process)["error"]["details"]["exit_code"] == -signal.SIGKILL
            assert not is_running(int(path.read_text()))
    assert [row["status"] for row in workspace.runs()] == ["cancelled"]


def test_nohup_keeps_its_promise(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    command = ["nohup", sys.executable, str(workspace.root / "main.py"), "run-now", "job-0"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with ended(subprocess.Popen(command, env=workspace.environ, cwd="/", **pipes)) as process:  # type: ignore[call-overload]
        run = wait_for_run(workspace)
        with killed(gated_pid(workspace, run["run_id"])):
            process.send_signal(signal.SIGHUP)
            workspace.json("status")
            release(workspace)
            process.communicate(timeout=PATIENCE)
    assert [row["status"] for row in workspace.runs()] == ["ok"]


def test_an_interrupt_ends_a_run_that_a_script_has_put_into_the_background(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, str(workspace.root / "main.py"), "run-now"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with ended(subprocess.Popen([*command, "job-0"], env=workspace.environ, cwd="/", **pipes)) as process:  # type: ignore[call-overload]
        run = wait_for_run(workspace)
        with killed(gated_pid(workspace, run["run_id"])):
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert [row["status"] for row in workspace.runs()] == ["cancelled"]


@pytest.mark.parametrize("library", ["", "_sqlite3", "_queue", "_posixsubprocess"], ids=lambda name: name or "at once")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_at_any_moment_of_the_start_leaves_no_run_behind(
    workspace: Workspace, number: signal.Signals, library: str
) -> None:
    prepare(workspace, shell(COUNT))
    workspace.make_due()
    with ended(workspace.start("tick", fresh=True)) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        # Where the library is built in, the signal comes after the end, which is a moment like any other.
        wait_for(lambda: process.poll() is not None or library in maps.read_text(), what=library)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
    rows = workspace.runs()
    assert {row["status"] for row in rows} <= {"ok", "cancelled"}
    assert len(workspace.events()) == len(rows)
    (job,) = workspace.sql("SELECT next_run_at <= strftime('%Y-%m-%dT%H:%M:%S+00:00') AS due FROM jobs")
    assert job["due"] == (0 if rows else 1), "what did not start is still due"
