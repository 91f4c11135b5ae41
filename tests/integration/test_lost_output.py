"""Commands that are started with closed or full descriptors: their work is done, and nothing lands in a wrong file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support_machine import COUNT, prepare, shell
from tests.workspace import PATIENCE, Workspace

pytestmark = pytest.mark.process

_CLOSE = "import os, sys\n"
#: How the descriptors are lost: for a shell, and in a process that is forked.
LOST = {
    ">&-": _CLOSE + "os.close(1); sys.stdout = None",
    "2>&-": _CLOSE + "os.close(2); sys.stderr = None",
    "<&-": _CLOSE + "os.close(0); sys.stdin = None",
    "<&- >&- 2>&-": _CLOSE + "os.closerange(0, 3); sys.stdin = sys.stdout = sys.stderr = None",
    ">/dev/full 2>/dev/full": _CLOSE + "os.dup2(os.open('/dev/full', os.O_WRONLY), 1); os.dup2(1, 2)",
}
#: One command of each kind, what it changes first. `run-now` comes last, for its files.
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("--help",), ("--version",), ("init-db",), ("sync-jobs",), ("tick",), ("tick",), ("status",), ("watch", "--once"),
    ("list",),
    ("history",), ("logs",), ("next",), ("timeline",), ("timeline", "--svg", "-"),
    ("dry-run", "job-0"), ("sessions",), ("pause-job", "job-1"), ("resume-job", "job-1"),
    ("edit-job", "job-0", "--prompt", "Edited"), ("doctor",), ("prune",), ("completion", "bash"), ("run-now", "job-0"),
)  # fmt: skip


def _is_sound(workspace: Workspace) -> None:
    assert workspace.sql("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    jobs = json.loads((workspace.root / ".jobs.json").read_text(encoding="utf-8"))["jobs"]
    assert jobs[0]["prompt"] == "Edited", "the edit was done"
    (run,) = workspace.runs("job-0")
    assert run["status"] == "ok", "the run was done"
    for line in workspace.events_file.read_text(encoding="utf-8").splitlines():
        json.loads(line)


@pytest.mark.parametrize("lost", LOST)
def test_every_command_does_its_work_without_the_descriptors(workspace: Workspace, lost: str) -> None:
    prepare(workspace, shell(COUNT), shell(COUNT))
    wants_stdout = ">&-" in lost.split() or "/dev/full" in lost
    for words in COMMANDS:
        with workspace.start(*words, before=LOST[lost]) as process:
            out, err = process.communicate(timeout=PATIENCE)
        # What doctor finds on this machine decides about its exit code.
        assert process.returncode == (1 if wants_stdout else 0) or words == ("doctor",), (words, out, err)
        assert b"Traceback" not in out + err
        assert b"Exception ignored" not in err
        if lost == ">&-":
            assert err.startswith(b"OUTPUT_UNWRITABLE: "), (words, err)
        elif not wants_stdout:
            assert (bool(out), err) == (True, b""), words
    _is_sound(workspace)


@pytest.mark.parametrize("lost", LOST)
def test_an_interpreter_that_a_shell_starts_so_behaves_alike(workspace: Workspace, lost: str, tmp_path: Path) -> None:
    prepare(workspace, shell(COUNT), shell(COUNT))
    main = workspace.root / "main.py"
    for words in ("tick", "tick", "edit-job job-0 --prompt Edited", "run-now job-0"):
        script = f'exec "$0" "$1" {words} {lost}'
        done = subprocess.run(
            ["sh", "-c", script, sys.executable, main],
            env=workspace.environ,
            capture_output=True,
            check=False,
            cwd=tmp_path,
        )
        wants_stdout = ">&-" in lost.split() or "/dev/full" in lost
        assert done.returncode == (1 if wants_stdout else 0), (words, done)
        assert b"Traceback" not in done.stderr
    _is_sound(workspace)


@pytest.mark.parametrize("words", [("import-crontab", "-"), ("register-job", "--from-json", "-")], ids=" ".join)
def test_a_command_that_reads_a_closed_stdin_says_so(workspace: Workspace, words: tuple[str, ...]) -> None:
    prepare(workspace)
    with workspace.start(*words, before=LOST["<&-"]) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (2, b"")
    assert "can't be read: Bad file descriptor" in json.loads(out)["error"]["message"]


def test_the_invoker_does_its_work_without_an_output(workspace: Workspace) -> None:
    workspace.add_target()
    words = "--target puruto-target --prompt Do"
    script = f'exec "$0" "$1" {words} >&-'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable, workspace.root / "invoker.py"],
        env={**workspace.environ, "PURUTO_CRON_SLOT": ""}, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"OUTPUT_UNWRITABLE: "), done.stderr
    assert os.listdir(workspace.root / "runs" / "_invoker")
