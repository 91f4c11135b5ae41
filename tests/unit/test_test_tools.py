"""The tests' own tools: programs start in any folder, and no agent of this machine is ever found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from core.kinds import AGENTS
from invocation.runners.agents import base
from tests.support_path import own_folders, without_agents
from tests.workspace import PROJECT, first_line


@pytest.mark.process
@pytest.mark.parametrize("folder", ["plain", "mis púrutos", 'a "quoted" $HOME `id`', "x" * 120])
def test_a_program_starts_wherever_its_interpreter_lies(tmp_path: Path, folder: str) -> None:
    interpreter = tmp_path / folder / "python"
    interpreter.parent.mkdir()
    interpreter.symlink_to(sys.executable)
    program = tmp_path / "program"
    program.write_text(first_line(str(interpreter), "-IS") + "import sys\nprint(sys.flags.isolated, sys.argv[1:])\n")
    program.chmod(0o755)
    assert subprocess.check_output([program, "a b", "*"], text=True) == "1 ['a b', '*']\n"


def test_no_test_writes_such_a_line_by_itself() -> None:
    own = "#!{sys." + "executable}"
    assert [str(path) for path in (PROJECT / "tests").rglob("*.py") if own in path.read_text(encoding="utf-8")] == []


def test_no_example_of_hypothesis_has_a_deadline() -> None:
    assert settings().deadline is None


def test_a_folder_with_an_agent_is_replaced_by_one_without(tmp_path: Path) -> None:
    for name in ("claude", "ls-like"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    path = without_agents(f"/usr/bin:{tmp_path}:/nowhere")
    assert path.split(":")[::2] == ["/usr/bin", "/nowhere"]
    assert shutil.which("claude", path=path) is None
    assert os.path.realpath(shutil.which("ls-like", path=path) or "") == str(tmp_path / "ls-like")


def test_no_agent_of_this_machine_is_found_here() -> None:
    assert [shutil.which(name) for name in AGENTS] == [None, None, None]
    assert base._USUAL_FOLDERS
    assert own_folders(base._USUAL_FOLDERS) == base._USUAL_FOLDERS
