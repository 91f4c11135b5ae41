"""tests/install_agents.sh, with a stand-in for npm: which agents it asks for, and what it says when it gets none."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support_real_agents import CLIS
from tests.workspace import PATIENCE, PROJECT, needs

pytestmark = needs("bash", "timeout")

SCRIPT = PROJECT / "tests" / "install_agents.sh"
#: Puts a package and its program where npm does, unless it is to fail for it.
NPM = """#!/bin/bash
echo "$@" >> "$HOME/npm.log"
folder=$3 wanted=${@: -1}
name=${wanted%@*}
[[ $wanted != *"$FAILS"* || -z $FAILS ]] || exit 1
case $name in *claude*) program=claude ;; *codex*) program=codex ;; *) program=gemini ;; esac
mkdir -p "$folder/node_modules/$name" "$folder/node_modules/.bin"
printf '{\\n  "version": "%s"\\n}\\n' "${wanted##*@}" > "$folder/node_modules/$name/package.json"
touch "$folder/node_modules/.bin/$program"
chmod +x "$folder/node_modules/.bin/$program"
"""


@pytest.fixture
def npm(tmp_path: Path) -> Path:
    """The folder of npm's stand-in, which writes npm.log beside it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "npm").write_text(NPM)
    (tmp_path / "bin" / "npm").chmod(0o755)
    # Nothing else is there: the machine's own npm must not be asked.
    for name in ("bash", "env", "grep", "mkdir", "timeout", "touch", "chmod"):
        (tmp_path / "bin" / name).symlink_to(
            f"/usr/bin/{name}" if os.path.exists(f"/usr/bin/{name}") else f"/bin/{name}"
        )
    return tmp_path / "bin"


def install(npm: Path, fails: str = "") -> tuple[int, str, list[str]]:
    """Exit code, what it said, and the packages that npm was asked for."""
    log = npm.parent / "npm.log"
    log.unlink(missing_ok=True)
    done = subprocess.run(
        [SCRIPT, npm.parent / "agents"],
        env={"PATH": str(npm), "HOME": str(npm.parent), "FAILS": fails},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    asked = log.read_text().splitlines() if log.exists() else []
    return done.returncode, done.stderr, [line.split()[-1] for line in asked]


def test_each_agent_is_asked_for_in_the_version_that_its_runner_names(npm: Path) -> None:
    code, said, asked = install(npm)
    assert (code, said) == (0, "")
    assert [package.rpartition("@")[0] for package in asked] == [cli.package for cli in CLIS.values()]
    for package, name in zip(asked, CLIS, strict=True):
        described = (
            (PROJECT / "invocation" / "runners" / "agents" / f"{name}.py")
            .read_text(encoding="utf-8")
            .partition("\n")[0]
        )
        assert re.search(rf"\b{re.escape(package.rpartition('@')[2])}\b", described), described


def test_what_is_there_in_its_version_is_not_installed_again(npm: Path) -> None:
    install(npm)
    assert install(npm) == (0, "", [])
    old = npm.parent / "agents/node_modules/@openai/codex/package.json"
    old.write_text('{"version": "0.1.0"}')
    code, _, asked = install(npm)
    assert (code, [package.rpartition("@")[0] for package in asked]) == (0, ["@openai/codex"])


def test_one_that_fails_is_named_and_keeps_out_no_other(npm: Path) -> None:
    code, said, asked = install(npm, fails="@anthropic-ai")
    assert (code, len(asked)) == (1, 3)
    assert "could not install @anthropic-ai/claude-code@" in said
    assert "codex" not in said


def test_without_npm_it_says_so(npm: Path) -> None:
    (npm / "npm").unlink()
    code, said, _ = install(npm)
    assert code == 1
    assert "npm is missing" in said
    assert "@google/gemini-cli@" in said
