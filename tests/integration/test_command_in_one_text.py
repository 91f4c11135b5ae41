"""A command line in one text is no `command`: whoever writes one is told at once, and by the run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from core.invocation_errors import IpcError
from system.start_errors import find_obstacle
from tests.support_machine import COUNT, TARGET, Machine, shell
from tests.workspace import FakeClock, Workspace

NEW = ("register-job", "new", "--puruto-target", TARGET, "--schedule", "@daily")
RIGHT = '--command echo --command hi, in .jobs.json "command": ["echo", "hi"]'


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    found = Machine(workspace, clock)
    found.ready(shell(COUNT))
    return found


def doubts(report: dict[str, Any]) -> list[str]:
    return [entry["message"] for entry in report["warnings"] if entry["code"] == "COMMAND_UNUSABLE"]


def test_each_command_that_takes_one_warns_of_it_and_says_how_to_write_it(machine: Machine) -> None:
    reports = [
        machine.run(*NEW, "--command", "echo hi", "--dry-run")[1],
        machine.run(*NEW, "--command", "echo hi")[1],
        machine.run("edit-job", "new", "--command", "echo hi")[1],
        machine.run("resume-job", "new")[1],
        machine.run("sync-jobs")[1],
    ]
    for report in reports:
        (message,) = doubts(report)
        assert "The job new could not start now: there is no program 'echo hi'" in message
        assert RIGHT in message
    problem = machine.run("dry-run", "new")[1]["problem"]
    assert (problem["code"], RIGHT in problem["details"]["hint"]) == ("IPC_ERROR", True)
    text = machine.printed("dry-run", "new", "--text")[1]
    assert RIGHT in " ".join(text.split())
    assert "run-now" not in text


def test_the_run_names_the_blank_as_the_cause(machine: Machine) -> None:
    machine.run(*NEW, "--command", "echo hi", "--enable")
    code, report = machine.run("run-now", "new")
    assert (code, report["error"]["code"]) == (1, "IPC_ERROR")
    assert "a blank in it" in report["error"]["message"]
    assert RIGHT in report["error"]["details"]["hint"]
    assert "Install" not in report["error"]["details"]["hint"]


def test_a_program_that_is_not_there_is_warned_of_and_one_with_a_blank_that_is_there_is_not(machine: Machine) -> None:
    (message,) = doubts(machine.run(*NEW, "--command", "no-such-program", "--dry-run")[1])
    assert "no-such-program was not found in PATH" in message
    program = machine.workspace.home / TARGET / "mi informe.sh"
    program.write_text("#!/bin/sh\necho done\n")
    program.chmod(0o755)
    for path in ("./mi informe.sh", str(program)):
        assert doubts(machine.run("edit-job", "job-0", "--command", path)[1]) == []
        assert doubts(machine.run("sync-jobs")[1]) == []
        assert machine.run("run-now", "job-0")[0] == 0
        machine.clock.advance(seconds=2)


def test_a_secret_in_the_line_is_masked(machine: Machine) -> None:
    env = ("--env", "API_TOKEN=Zx9-Qw/p-K81")
    (message,) = doubts(machine.run(*NEW, *env, "--command", "curl -H Zx9-Qw/p-K81 example.org", "--dry-run")[1])
    assert "Zx9-Qw" not in message


LINES = {
    "echo hi": ["echo", "hi"],
    "echo 'two words' -n": ["echo", "two words", "-n"],
    "/usr/bin/env true": ["/usr/bin/env", "true"],
    "sort in.csv > out.csv": ["sh", "-c", "sort in.csv > out.csv"],
    "ls | wc -l": ["sh", "-c", "ls | wc -l"],
    "cd /srv && ./run.sh": ["sh", "-c", "cd /srv && ./run.sh"],
    "LANG=C ./run.sh": ["sh", "-c", "LANG=C ./run.sh"],
    "echo $HOME/x": ["sh", "-c", "echo $HOME/x"],
    "echo don't": ["sh", "-c", "echo don't"],
    "echo\thi": ["echo", "hi"],
    "true ": ["true"],
}


@pytest.mark.parametrize(("line", "words"), LINES.items(), ids=list(LINES))
def test_the_right_form_can_be_pasted(tmp_path: Path, line: str, words: list[str]) -> None:
    error = find_obstacle([line], tmp_path, {"PATH": "/usr/bin:/bin"})
    assert isinstance(error, IpcError)
    options, _, listed = error.hint.partition(', in .jobs.json "command": ')
    assert json.loads(listed) == words
    pasted = shlex.split(options.removeprefix("Write each argument by itself: ").replace("--command=", "--command "))
    assert pasted[1::2] == words
    assert set(pasted[::2]) == {"--command"}


def test_a_path_with_a_blank_that_is_not_there_is_called_missing(tmp_path: Path) -> None:
    for path in ("/srv/mis púrutos/run.sh", "mis púrutos/run.sh", "/srv/a & b/run.sh"):
        error = find_obstacle([path], tmp_path, {"PATH": "/usr/bin:/bin"})
        assert isinstance(error, IpcError)
        assert error.message == f"{path} does not exist (in {tmp_path})"


@pytest.mark.parametrize("program", ["~/bin/report", "$HOME/bin/report"])
def test_what_only_a_shell_replaces_is_named(tmp_path: Path, program: str) -> None:
    error = find_obstacle([program], tmp_path, {"PATH": "/usr/bin:/bin"})
    assert isinstance(error, IpcError)
    assert "No shell" in error.hint


def test_a_long_line_is_not_repeated_whole(tmp_path: Path) -> None:
    error = find_obstacle(["echo " + "word " * 30_000], tmp_path, {"PATH": "/usr/bin:/bin"})
    assert isinstance(error, IpcError)
    assert len(error.message) + len(error.hint) < 2_000
