"""A job whose prompt is a file in its target: what is sent, what is stored of it, and what people see."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.support_agents import AGENT, agent_job, calls, install
from tests.support_machine import TARGET, Machine, shell
from tests.workspace import FakeClock, Workspace

#: Answers with the prompt that it got, and puts another one into the file.
ECHO = """#!/usr/bin/python3 -IS
import json, sys
request = json.load(sys.stdin)
open("p.md", "w").write("Another prompt")
answer = {"status": "ok", "result": {"summary": request["prompt"]}}
if request["prompt"] == "Fail":
    answer = {"status": "error", "error": {"code": "NO", "message": "no"}}
print(json.dumps(answer))
"""


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write(workspace: Workspace, job: dict[str, object]) -> None:
    """A file with one job, and with no field more."""
    (workspace.root / ".jobs.json").write_text(json.dumps({"jobs": [{"job_id": "job-0", **job}]}))


def ready(machine: Machine, text: str | None, **fields: object) -> Path:
    """A job of an `invoke` with the prompt in `p.md`; its target."""
    workspace = machine.workspace
    target = workspace.add_target(invoke=ECHO)
    if text is not None:
        (target / "p.md").write_text(text)
    write(workspace, {"puruto_target": TARGET, "schedule": "@yearly", "prompt_file": "p.md", **fields})
    machine.run("init-db")
    machine.run("sync-jobs")
    return target


def test_the_file_is_read_at_each_run_and_its_digest_is_kept(machine: Machine, workspace: Workspace) -> None:
    ready(machine, "Cuenta los números")
    for text in ("Cuenta los números", "Another prompt"):
        run = machine.run("run-now", "job-0")[1]
        assert run["result"]["response"]["result"]["summary"] == text
        row = machine.run("show", run["run_id"])[1]["run"]
        assert row["prompt_sha256"] == sha(text)
        machine.clock.advance(seconds=2)
    assert [run["prompt_sha256"] for run in machine.run("history")[1]["runs"]] == [
        sha("Another prompt"),
        sha("Cuenta los números"),
    ]
    (stored,) = workspace.sql("SELECT prompt FROM jobs")
    assert stored["prompt"] == ""
    (listed,) = machine.run("list")[1]["jobs"]
    assert (listed["prompt"], listed["prompt_file"]) == ("", "p.md")


def test_all_attempts_of_a_run_get_the_same_prompt(machine: Machine, workspace: Workspace) -> None:
    ready(machine, "Fail", max_retries=1, retry_backoff_sec=0)
    run = machine.run("run-now", "job-0")[1]
    assert (run["attempts"], run["error"]["code"]) == (2, "INVOKER_ERROR_STATUS")
    (row,) = workspace.runs()
    assert row["prompt_sha256"] == sha("Fail")


def test_a_file_that_is_no_prompt_fails_its_run_and_no_other(machine: Machine, workspace: Workspace) -> None:
    target = ready(machine, None, max_retries=1, retry_backoff_sec=0)
    code, run = machine.run("run-now", "job-0")
    assert (code, run["error"]["code"], run["attempts"]) == (1, "PROMPT_FILE_MISSING", 2)
    (target / "p.md").write_bytes(b"caf\xe9")
    machine.clock.advance(seconds=2)
    code, run = machine.run("run-now", "job-0")
    assert (code, run["error"]["code"], run["attempts"]) == (1, "PROMPT_FILE_INVALID", 1)
    assert run["error"]["details"]["not_retried"] == "PROMPT_FILE_INVALID is not retried"
    assert [row["prompt_sha256"] for row in workspace.runs()] == [None, None]


def test_dry_run_shows_the_text_that_would_be_sent_now(machine: Machine) -> None:
    target = ready(machine, "Cuenta", note="Ask Ana")
    report = machine.run("dry-run", "job-0")[1]
    assert (report["prompt"], report["prompt_sha256"], report["prompt_file"]) == ("Cuenta", sha("Cuenta"), "p.md")
    assert (report["note"], report["problem"]) == ("Ask Ana", None)
    (target / "p.md").unlink()
    assert machine.run("dry-run", "job-0")[1]["problem"]["code"] == "PROMPT_FILE_MISSING"


def test_an_agent_gets_the_text_of_the_file_and_no_note(machine: Machine, workspace: Workspace) -> None:
    target = install(workspace, "claude")
    machine.environ.update(workspace.environ)
    (target / "p.md").write_text("Count the bills")
    job = {key: value for key, value in agent_job("x").items() if key != "prompt"}
    write(workspace, {**job, "prompt_file": "p.md", "note": "Nobody sends this"})
    machine.run("init-db")
    machine.run("sync-jobs")
    run = machine.run("run-now", "job-0")[1]
    (call,) = calls(workspace)
    assert call["prompt"] == "Count the bills"
    assert "Nobody sends this" not in json.dumps(call)
    folder = workspace.root / "runs" / "job-0" / run["run_id"]
    assert all("Nobody" not in path.read_text() for path in folder.iterdir())
    assert machine.run("show", run["run_id"])[1]["note"] == "Nobody sends this"
    assert machine.run("list")[1]["jobs"][0]["note"] == "Nobody sends this"
    assert AGENT in str(target)


def test_a_command_needs_no_prompt(machine: Machine, workspace: Workspace) -> None:
    workspace.add_target(invoke=None)
    write(workspace, {"puruto_target": TARGET, **shell("cat $PURUTO_CRON_REQUEST_FILE")})
    machine.run("init-db")
    machine.run("sync-jobs")
    run = machine.run("run-now", "job-0")[1]
    assert json.loads(run["result"]["response"]["result"]["stdout"])["prompt"] == ""
    (stored,) = workspace.sql("SELECT prompt FROM jobs")
    assert stored["prompt"] == ""


def test_the_options_take_the_place_of_each_other(machine: Machine, workspace: Workspace) -> None:
    target = ready(machine, "x")
    words = ("register-job", "new", "--puruto-target", TARGET, "--schedule", "@daily")
    report = machine.run(*words, "--prompt-file", "gone.md", "--note", "For Ana")[1]
    assert (report["entry"]["prompt_file"], report["entry"]["note"]) == ("gone.md", "For Ana")
    assert "PROMPT_FILE_MISSING" in [warning["code"] for warning in report["warnings"]]
    entry = machine.run("edit-job", "new", "--prompt", "Do it")[1]["entry"]
    assert (entry["prompt"], "prompt_file" in entry) == ("Do it", False)
    entry = machine.run("edit-job", "new", "--prompt-file", "p.md")[1]["entry"]
    assert (entry["prompt_file"], "prompt" in entry) == ("p.md", False)
    assert target.is_dir()
