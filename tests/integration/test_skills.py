"""The skills: valid, allowed what they quote, and every command that one quotes does what the skill says of it."""

from __future__ import annotations

import json
import re
import shlex
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from skills_ref import read_properties, validate

from commands import listing
from tests.support_machine import put_crontab_program
from tests.workspace import PROJECT, Workspace

FOLDER = PROJECT / ".claude" / "skills"
#: Source: the ecosystem's validator.
NAMES = ["help", "init", "list", "logs", "pause-job", "register-job", "resume-job", "run-now", "status"]
PROGRAM = ".venv/bin/python main.py"
#: What has an effect beyond this folder: quoted, and never allowed without asking.
ASKED = {"run-now", "install-crontab", "register-job", "pause-job", "resume-job"}
JOBS = (
    {"job_id": "daily", "command": ["echo", "hello"], "schedule": "0 9 * * *", "timezone": "Europe/Madrid"},
    {"job_id": "off", "command": ["true"], "enabled": False},
)

each_skill = pytest.mark.parametrize("name", NAMES)


def text_of(name: str) -> str:
    return (FOLDER / name / "SKILL.md").read_text(encoding="utf-8")


def quoted(name: str) -> list[str]:
    """The commands in the skill's indented blocks."""
    return [line.strip() for line in re.findall(r"^ {4,}(\S.*)$", text_of(name), re.MULTILINE)]


def allowed(name: str) -> list[str]:
    """The patterns of `allowed-tools`, each a command for the shell."""
    return re.findall(r"Bash\((.*?)\)", str(read_properties(FOLDER / name).allowed_tools))


def test_the_skills_are_those_that_the_family_asks_for() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == NAMES


@each_skill
def test_a_skill_is_valid_but_for_the_one_field_that_claude_code_adds(name: str, tmp_path: Path) -> None:
    wrong = validate(FOLDER / name)
    assert len(wrong) == 1
    assert wrong[0].startswith("Unexpected fields in frontmatter: user-invocable.")
    plain = tmp_path / name
    plain.mkdir()
    (plain / "SKILL.md").write_text(text_of(name).replace("user-invocable: true\n", "", 1), encoding="utf-8")
    assert validate(plain) == []
    assert re.findall(r"^([a-z-]+):", text_of(name).split("---")[1], re.MULTILINE) == [
        *("name", "description", "user-invocable", "allowed-tools")
    ]


@each_skill
def test_a_skill_says_what_to_do_when_no_tick_is_running(name: str) -> None:
    text = text_of(name)
    assert "If no tick is running" in text
    assert "NO_TICK" in text or "`scheduler.stale` is `true`" in text
    assert f"{PROGRAM} install-crontab" in text
    assert "cron is not running" in text


@each_skill
def test_what_a_skill_quotes_is_allowed_unless_it_has_an_effect_that_is_to_be_asked_about(name: str) -> None:
    for line in quoted(name):
        word = line.removeprefix(PROGRAM).split()[0]
        free = any(fnmatch(line, pattern) for pattern in allowed(name))
        asked = word in ASKED and "--dry-run" not in line and not line.endswith("--print")
        assert free is not asked, line


@each_skill
def test_no_pattern_that_is_allowed_lets_something_through_that_writes(name: str) -> None:
    """A `*` stands for any words; so nothing before it may leave room for an option that writes."""
    for word in ("register-job x --enable --prompt --dry-run", "doctor --repair", "doctor --json --repair", "run-now x",
                 "install-crontab", "pause-job x", "cancel x", "unlock x --yes", "remove-job x", "prune"):  # fmt: skip
        assert not any(fnmatch(f"{PROGRAM} {word}", pattern) for pattern in allowed(name)), (name, word)


@each_skill
def test_every_word_in_capitals_and_every_command_that_a_skill_names_exists(name: str) -> None:
    known = (PROJECT / "docs" / "errors.md").read_text() + (PROJECT / "docs" / "doctor.md").read_text()
    for code in re.findall(r"`([A-Z]{2,}_[A-Z_]+)`", text_of(name)):
        assert f"`{code}`" in known, code
    for word in re.findall(rf"{re.escape(PROGRAM)} ([a-z-]+)", text_of(name)):
        assert listing.is_command(word) or word.startswith("--"), word


@pytest.fixture
def ready(workspace: Workspace) -> Workspace:
    """Jobs, one run, and a crontab with no line in it."""
    put_crontab_program(workspace)
    workspace.add_target()
    workspace.ready(*JOBS)
    workspace.json("run-now", "daily")
    return workspace


def typed(workspace: Workspace, line: str) -> dict[str, Any]:
    """What a quoted command prints, with names in the place of JOB_ID and RUN_ID."""
    (run, *_) = workspace.runs("daily")
    words = shlex.split(line.replace("JOB_ID", "daily").replace("RUN_ID", run["run_id"]))
    assert words[:2] == PROGRAM.split()
    done = workspace.run(*words[2:])
    assert done.stderr == b"", done.stderr
    # Only doctor has something to complain about: no crontab starts this copy.
    assert done.returncode == (words[2] == "doctor"), (line, done.stdout)
    if words[2] == "--help":
        return {"help": done.stdout.decode(), "status": "ok"}
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


@pytest.mark.process
@each_skill
def test_every_command_that_a_skill_quotes_runs_and_one_of_them_tells_that_no_tick_is_running(
    ready: Workspace, name: str
) -> None:
    lines = [line for line in quoted(name) if line != "make install"]
    assert lines
    told = []
    for line in lines:
        answer = typed(ready, line)
        assert answer["status"] == ("error" if " doctor" in line else "ok"), answer
        findings = [*answer.get("warnings", []), *answer.get("findings", [])]
        stale = answer.get("scheduler", {}).get("stale") is True
        told.append(stale or bool({"NO_TICK", "NO_CRON_LINE"} & {finding["code"] for finding in findings}))
    assert any(told), lines


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("list", ["jobs.0.job_id", "jobs.0.next_run.local", "jobs.0.last_run.status", "jobs.0.consecutive_failures"]),
        (
            "status",
            ["scheduler.stale", "scheduler.anomalies", "sync.error", "running", "events.waiting", "spending"],
        ),
        ("run-now", ["jobs", "problem", "result.response.result.stdout"]),
        ("register-job", ["meaning", "next.instants.0.local", "warnings"]),
        ("resume-job", ["problem", "gate", "next.instants.0.local", "failures_forgotten"]),
        ("pause-job", ["entry", "synced"]),
        ("logs", ["events.0.result.response.result", "run", "output"]),
    ],
)
def test_the_keys_that_a_skill_reads_are_printed(ready: Workspace, name: str, keys: list[str]) -> None:
    answers = [typed(ready, line) for line in quoted(name) if " doctor" not in line]

    def has(answer: Any, path: str) -> bool:
        for part in path.split("."):
            known = isinstance(answer, list) and len(answer) > int(part) if part.isdecimal() else part in (answer or {})
            if not known:
                return False
            answer = answer[int(part)] if part.isdecimal() else answer[part]
        return True

    for key in keys:
        assert any(has(answer, key) for answer in answers), key


def test_make_install_is_a_target_of_the_makefile() -> None:
    assert "make install" in quoted("init")
    assert re.search(r"^install:", (PROJECT / "Makefile").read_text(), re.MULTILINE)


def test_the_interpreter_of_the_skills_is_the_one_that_make_install_makes() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    assert "VENV := .venv" in makefile
    assert sys.version_info >= (3, 11)
