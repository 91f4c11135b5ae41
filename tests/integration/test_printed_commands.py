"""Commands in messages can be pasted: in a folder with a blank and an accent, a shell reads their paths whole."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from core.errors import CronError, DatabaseLocked
from core.permissions import obstacle
from tests.support_machine import COUNT, TARGET, Machine, shell
from tests.workspace import FakeClock, Workspace

PROGRAMS = ("chmod", "chown", "sudo", "fuser", "ls", "rm", "sqlite3", "cd", "mkdir", "systemctl", "loginctl", "crontab")
_COMMAND = re.compile(rf"(?:^|[ (])((?:{'|'.join(PROGRAMS)}) .*)", re.DOTALL)


@pytest.fixture
def machine(tmp_path: Path, clock: FakeClock) -> Machine:
    """A copy in a folder whose name no shell leaves whole."""
    workspace = Workspace(tmp_path / "mis púrutos de d'Ávila")
    found = Machine(workspace, clock)
    found.ready(shell(COUNT))
    return found


_STUB = """#!/bin/sh
for word in NAME "$@"; do printf '%s\\0' "$word"; done >> "$CALLS"
echo >> "$CALLS"
"""


def pasted(command: str, folder: Path) -> list[list[str]]:
    """What programs of these names get as arguments if a shell runs the command."""
    programs, calls = folder / "programs", folder / "calls"
    programs.mkdir(exist_ok=True)
    for name in PROGRAMS:
        (programs / name).write_text(_STUB.replace("NAME", name))
        (programs / name).chmod(0o755)
    calls.write_text("")
    env = {"PATH": f"{programs}:/usr/bin:/bin", "CALLS": str(calls)}
    subprocess.run(["sh", "-e", "-c", command], env=env, cwd=folder, check=True, capture_output=True)
    return [line.removesuffix("\0").split("\0") for line in calls.read_text().splitlines()]


def command_in(hint: str) -> str:
    """The command at the end of a hint."""
    match = _COMMAND.search(hint)
    assert match is not None, hint
    return match[1].removesuffix(")").removesuffix(".")


def _findings(machine: Machine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = machine.run("doctor", "--json")[1]["findings"]
    return found


def test_the_cures_of_doctor(machine: Machine, tmp_path: Path) -> None:
    workspace = machine.workspace
    env = workspace.root / ".env"
    env.write_text("A=1\n")
    for path in (env, workspace.root / ".jobs.json", workspace.database.parent, workspace.home / TARGET):
        path.chmod(path.stat().st_mode | 0o006)
    workspace.sql("PRAGMA journal_mode = delete")
    cures = {finding["code"]: finding["cure"] for finding in _findings(machine)}
    for code in ("WORLD_WRITABLE", "ENV_READABLE", "JOURNAL_NOT_WAL"):
        ((_, *words),) = pasted(command_in(cures[code]), tmp_path)
        assert sum(os.path.exists(word) for word in words) == 1, (code, words)


def test_a_locked_database(machine: Machine, tmp_path: Path) -> None:
    machine.environ["PATH"] = "/usr/bin:/bin"
    with closing(sqlite3.connect(machine.workspace.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        app = machine.app()
        with pytest.raises(DatabaseLocked) as caught, app.session(busy_timeout_sec=0.01) as session:
            session.store.db.run("BEGIN IMMEDIATE")
    assert pasted(command_in(caught.value.hint), tmp_path) == [["fuser", str(machine.workspace.database)]]


def test_a_program_that_is_not_executable(machine: Machine, tmp_path: Path) -> None:
    workspace = machine.workspace
    invoke = workspace.add_target("puruto-other") / "invoke"
    script = workspace.home / TARGET / "a script"
    for path in (invoke, script):
        path.write_text("#!/bin/sh\n")
        path.chmod(0o644)
    workspace.write_jobs({"puruto_target": "puruto-other"}, {"command": ["./a script"]})
    for job_id, path in (("job-0", invoke), ("job-1", script)):
        code, result = machine.run("run-now", job_id)
        assert code == 1
        hint = result["error"]["details"]["hint"]
        assert pasted(command_in(hint), tmp_path) == [["chmod", "+x", str(path)]]


@pytest.mark.parametrize("write", [False, True])
def test_a_file_of_somebody_else(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: bool
) -> None:
    path = str(machine.workspace.database)
    real: Callable[..., bool] = os.access
    monkeypatch.setattr(os, "access", lambda name, mode: name != path and real(name, mode))
    mine = obstacle(path, write=write)
    assert mine is not None
    assert mine.sentence.startswith("it belongs to ")
    assert pasted(command_in(mine.hint), tmp_path) == [["chmod", "u+rw", path]]
    monkeypatch.setattr(os, "geteuid", lambda: 12_345_678)
    theirs = obstacle(path, write=write)
    assert theirs is not None
    assert theirs.sentence.endswith(", and you are 12345678")
    assert pasted(command_in(theirs.hint), tmp_path) == [["sudo", "chown", "12345678", path]]


def test_the_commands_for_systemd(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "mis unidades"
    report = machine.run("install-systemd", "--folder", str(folder))[1]
    commands = [command for value in report.values() if isinstance(value, list) for command in value]
    calls = [call for command in commands for call in pasted(command, tmp_path)]
    (removal,) = [call for call in calls if call[0] == "rm"]
    assert all(Path(word).parent == folder for word in removal[1:])


def test_an_error_keeps_its_hint_on_one_line(machine: Machine) -> None:
    (machine.workspace.root / ".jobs.json").unlink()
    (machine.workspace.root / ".jobs.json").mkdir()
    with pytest.raises(CronError) as caught:
        machine.run("sync-jobs")
    assert "\n" not in json.dumps(caught.value.as_dict())
