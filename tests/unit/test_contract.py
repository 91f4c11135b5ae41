"""docs/contract.md against the program: what other programs rely on is what is there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import sqlite3
import subprocess
from pathlib import Path

import pytest

import db
from commands import listing
from config import settings
from core import errors, invocation_errors
from core.invocation import InvocationRequest, InvocationResult
from core.job import Job
from invocation.policy import Policy
from jobs import checker

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of the tables, without their heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line, following in zip(lines, [*lines[1:], ""], strict=True)
        if not line.startswith("|---") and not following.startswith("|---")
    ]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_every_file_and_skill_is_there() -> None:
    made_at_run_time = {".env"}
    names = [name.replace("<name>", "init") for name in quoted(section("Files at the top level"))]
    paths = [name for name in names if "." in name or name.endswith("/")]
    missing = [name for name in paths if not (ROOT / name).exists() and name not in made_at_run_time]
    assert missing == ["0.2.0"]
    assert (ROOT / ".puruto-standard-version").read_text(encoding="utf-8").strip() == "0.2.0"
    skills = quoted(section("Files at the top level").split("- The skills", 1)[1])
    assert set(skills) == {path.parent.name for path in ROOT.glob(".claude/skills/*/SKILL.md")}
    assert len(skills) == 9


def test_fields_of_a_job_have_these_defaults() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(Job)}
    for cell, default in rows(section(".jobs.json")):
        for name in quoted(cell):
            if name == "prompt":
                # Which of three fields a job must have is not said by a default.
                continue
            wanted = dataclasses.MISSING if default == "required" else json.loads(default.strip("`"))
            assert fields[name] == wanted, name
    runtime = section(".jobs.json").split("Four keys belong to the database", 1)[1]
    assert set(quoted(runtime)) == set(checker.RUNTIME_KEYS)


def test_the_file_of_jobs_in_git_never_changes() -> None:
    """It is the file that people edit: a pull that changes it would be refused, or would conflict with their jobs.

    New samples belong into examples/jobs.json. A clone's own .jobs.json may be anything; this is about what git has.
    """
    shipped = subprocess.run(["git", "show", ":.jobs.json"], cwd=ROOT, capture_output=True, check=False)
    if shipped.returncode != 0:
        pytest.skip("this is no clone")
    digest = hashlib.sha256(shipped.stdout).hexdigest()
    assert digest == "c6775c7b62d15bd922cfbd1bfde6bc5baa5dbb3ab7745aaca7d84f356daf7077"
    jobs = json.loads(shipped.stdout)
    assert (ROOT / jobs["$schema"]).is_file(), "editors of those files look for it there"
    samples = json.loads((ROOT / "examples" / "jobs.json").read_text(encoding="utf-8"))["jobs"]
    assert [job for job in jobs["jobs"] if job not in samples] == []


def test_settings_have_these_defaults() -> None:
    defaults = {variable.name: variable.default for variable in settings.VARIABLES}
    listed = rows(section("Environment"))
    assert len(listed) == 7
    for name, default, _ in listed:
        assert defaults[name.strip("`")] == default.strip("`"), name


def test_commands_and_codes_are_there() -> None:
    text = section("Commands")
    named = {word.split()[0] for word in quoted(text.split("Each prints", 1)[0])}
    assert len(named) == 6
    assert named <= set(listing.names())
    refusals = re.findall(r"`(JOB_[A-Z_]+)`", text)
    assert {errors.JobNotFound.code, errors.JobDisabled.code, errors.JobLocked.code} == set(refusals)
    reserved = section("Invocation").split("The error codes", 1)[1].split("are reserved", 1)[0]
    classes = (
        invocation_errors.TargetNotFound,
        invocation_errors.Denied,
        invocation_errors.InvocationTimeout,
        invocation_errors.InvalidResponse,
        invocation_errors.IpcError,
    )
    assert {kind.code for kind in classes} == set(quoted(reserved))


def test_requests_results_and_policies_have_these_keys() -> None:
    text = section("Invocation")
    request = text.split("InvocationRequest", 1)[1].split("InvocationResult", 1)[0]
    made = InvocationRequest("req-1", "corr-1", "puruto-cron", "t", "run", "p", 1, 0, "", {})
    assert set(re.findall(r'"(\w+)":', request)) == set(made.as_dict())
    result = text.split("InvocationResult", 1)[1].split("\n\n", 1)[0]
    answered = InvocationResult("req-1", "corr-1", 1, {"a": 1}, None).as_dict()
    assert set(answered) <= set(re.findall(r'"(\w+)"', result))
    keys = quoted(text.split("Its keys are", 1)[1].split("A target", 1)[0])
    assert set(keys) == {field.name for field in dataclasses.fields(Policy)} - {"path", "fault"}


@pytest.mark.parametrize("row", rows(section("SQLite")), ids=lambda row: row[0])
def test_tables_have_these_columns(row: list[str]) -> None:
    connection = sqlite3.connect(":memory:")
    for script in sorted(Path(db.SQL_FOLDER).glob("*.sql")):
        connection.executescript(script.read_text(encoding="utf-8"))
    columns = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({row[0].strip('`')})")}
    connection.close()
    named = [name for name in quoted(row[1]) if name not in ("ok", "error")]
    assert len(named) >= 7
    assert set(named) <= columns
