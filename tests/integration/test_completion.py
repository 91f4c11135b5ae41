"""What a shell is told when a key is pressed, asked of the shells themselves where they are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from store.names import MOST, Names
from tests.workspace import PATIENCE, PYTHON_WORD, Workspace, needs

pytestmark = [pytest.mark.process, needs("bash")]

JOBS = ({"job_id": "backup", "command": ["true"]}, {"job_id": "backup-2", "command": ["true"]}, {"job_id": "mail"})


@pytest.fixture
def installed(workspace: Workspace) -> Workspace:
    """With the command puruto-cron on the PATH, three jobs and one run."""
    workspace.add_target()
    workspace.ready(*JOBS)
    workspace.json("run-now", "backup")
    folder = workspace.home / "bin"
    folder.mkdir()
    (folder / "puruto-cron").write_text(f'#!/bin/sh\nexec {PYTHON_WORD} {workspace.root}/main.py "$@"\n')
    (folder / "puruto-cron").chmod(0o755)
    workspace.environ["PATH"] = f"{folder}:{workspace.environ['PATH']}"
    return workspace


def completed(workspace: Workspace, *words: str) -> list[str]:
    """What bash offers behind these words, the last of which is being written."""
    script = f"""
set -eu
source <(puruto-cron completion bash)
COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
COMP_CWORD={len(words) - 1}
COMPREPLY=()
_puruto_cron_completion puruto-cron
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "-c", script], env=workspace.environ, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_jobs_and_runs(installed: Workspace) -> None:
    (run,) = installed.runs("backup")
    assert completed(installed, "puruto-cron", "re") == ["register-job", "resume-job", "rename-job", "remove-job"]
    assert completed(installed, "puruto-cron", "run-now", "ba") == ["backup", "backup-2"]
    assert "--until" in completed(installed, "puruto-cron", "pause-job", "--")
    assert completed(installed, "puruto-cron", "show", "backup-2") == [run["run_id"]]
    assert completed(installed, "puruto-cron", "logs", "--job", "ma") == ["mail"]
    assert completed(installed, "puruto-cron", "cancel", "b") == []
    assert completed(installed, "puruto-cron", "history", "--before", "backup") == [run["run_id"]]
    assert completed(installed, "puruto-cron", "sessions", "") == ["reset", "backup", "backup-2", "mail"]
    assert completed(installed, "puruto-cron", "sessions", "re") == ["reset"]
    assert completed(installed, "puruto-cron", "sessions", "reset", "ma") == ["mail"]
    assert completed(installed, "puruto-cron", "sessions", "mail", "") == []
    assert completed(installed, "puruto-cron", "completion", "") == ["bash", "zsh", "fish"]


def test_if_nothing_can_be_read_nothing_is_completed(installed: Workspace) -> None:
    installed.database.write_bytes(b"no database")
    assert completed(installed, "puruto-cron", "run-now", "ba") == []
    (installed.root / ".env").write_text("PURUTO_CRON_MAX_RUNNING=many\n")
    assert completed(installed, "puruto-cron", "run-now", "ba") == []


@pytest.mark.parametrize(
    ("shell", "check"),
    [
        ("zsh", "autoload -U compinit; compinit -u; source $1; (( $+functions[_puruto_cron_completion] ))"),
        ("fish", "source $argv[1]; complete --do-complete 'puruto-cron run-now ba' | string match -q 'backup*'"),
    ],
)
def test_other_shells_take_their_scripts(installed: Workspace, tmp_path: Path, shell: str, check: str) -> None:
    done = installed.run("completion", shell)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"_PURUTO_CRON_COMPLETE" in done.stdout
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_bytes(done.stdout)
    words = [program, "-c", check, str(script)] if shell == "fish" else [program, "-fc", check, "zsh", str(script)]
    tried = subprocess.run(words, env=installed.environ, capture_output=True, timeout=PATIENCE, check=False)
    assert tried.returncode == 0, tried.stderr


@pytest.mark.parametrize(("word", "kind"), [("zsh", "zsh"), ("fish", "fish")])
def test_their_completion_requests_are_answered(installed: Workspace, word: str, kind: str) -> None:
    asked = {"_PURUTO_CRON_COMPLETE": f"{kind}_complete", "COMP_WORDS": "puruto-cron run-now ma"}
    done = installed.run(env={**asked, "COMP_CWORD": "2" if word == "zsh" else "ma"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"mail" in done.stdout
    assert b"backup" not in done.stdout


def test_an_unknown_shell_is_refused(installed: Workspace) -> None:
    assert installed.json("completion", "ksh", code=2)["error"]["code"] == "USAGE"


def test_names_are_found_through_an_index(installed: Workspace) -> None:
    from db import Database

    database = Database(str(installed.database), read_only=True)
    try:
        names = Names(database)
        assert names.jobs("") == ["backup", "backup-2", "mail"]
        assert names.jobs("zz") == []
        plans = [
            str(row[3])
            for row in database.rows(
                "EXPLAIN QUERY PLAN SELECT job_id FROM jobs WHERE job_id >= 'a' AND job_id < 'b' AND removed_at IS NULL"
                f" ORDER BY job_id LIMIT {MOST}"
            )
        ]
        assert plans
        assert all("SCAN" not in plan for plan in plans)
    finally:
        database.close()
