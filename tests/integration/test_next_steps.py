"""The next step that a text names works when it is pasted, and is what the person needs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support_agents import agent_job, install
from tests.support_machine import COUNT, TARGET, Machine, shell
from tests.workspace import FakeClock, Workspace

_STEP = re.compile(r"^(?:Next|More|See|All its output|There are more): python3 main\.py (.*)$", re.MULTILINE)
NEW = ("register-job", "new", "--schedule", "@daily")


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def steps(machine: Machine, *words: str) -> list[str]:
    """The next steps in the text of a command."""
    return _STEP.findall(machine.printed(*words, "--text")[1])


def pasted(machine: Machine, command: str) -> str:
    """Runs what a text names; the test fails if that fails."""
    machine.clock.advance(seconds=5)
    code, text = machine.printed(*shlex.split(command), "--text")
    assert code == 0, f"{command}: {text}"
    return text


def test_dry_run_names_the_run_that_is_not_refused(machine: Machine) -> None:
    machine.ready(
        shell(COUNT, job_id="on"),
        shell(COUNT, job_id="off", enabled=False),
        shell(COUNT, job_id="later", paused_until="2027-01-01T00:00:00Z"),
        shell(COUNT, job_id="lost", puruto_target="nowhere"),
    )
    assert steps(machine, "dry-run", "on") == ["run-now on"]
    assert steps(machine, "dry-run", "off") == ["run-now off --force"]
    assert steps(machine, "dry-run", "later") == ["run-now later --force"]
    assert steps(machine, "dry-run", "lost") == []
    for job_id in ("on", "off", "later"):
        (run,) = steps(machine, "dry-run", job_id)
        assert pasted(machine, run).startswith("ok  ")


def test_dry_run_of_a_running_job_names_no_run(machine: Machine) -> None:
    machine.ready(shell(COUNT))
    machine.run("run-now", "job-0")
    machine.workspace.sql("UPDATE runs SET status = 'running', finished_at = NULL")
    machine.workspace.sql("UPDATE jobs SET lease_owner = 'x', lease_expires_at = '2027-01-01T00:00:00+00:00'")
    (step,) = steps(machine, "dry-run", "job-0")
    assert step == "status"


UNUSABLE: dict[str, tuple[Sequence[str], str]] = {
    "no target": (("--puruto-target", "nowhere", "--command", "true"), "TARGET_NOT_FOUND"),
    "no program": (("--puruto-target", TARGET, "--command", "no-such-program"), "COMMAND_UNUSABLE"),
    "one text": (("--puruto-target", TARGET, "--command", "echo hi"), "COMMAND_UNUSABLE"),
    "no prompt file": (
        ("--puruto-target", TARGET, "--command", "true", "--prompt-file", "a.md"), "PROMPT_FILE_MISSING",
    ),
    "nothing says how": (("--puruto-target", TARGET, "--prompt", "x"), "RUNNER_NOT_FOUND"),
    "no invoke": (("--puruto-target", TARGET, "--prompt", "x", "--runner", "invoke"), "RUNNER_NOT_FOUND"),
    "no agent": (("--puruto-target", TARGET, "--prompt", "x", "--runner", "claude"), "RUNNER_NOT_FOUND"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "code"), UNUSABLE.values(), ids=list(UNUSABLE))
def test_a_job_that_could_not_work_is_not_to_be_resumed_next(machine: Machine, words: Sequence[str], code: str) -> None:
    machine.environ |= {"PURUTO_CRON_AGENT_PATH": "/nowhere", "PATH": "/usr/bin:/bin"}
    machine.ready()
    registered = [*NEW, *words]
    warnings = machine.run(*registered, "--dry-run")[1]["warnings"]
    assert code in [entry["code"] for entry in warnings]
    assert steps(machine, *registered) == ["dry-run new"]
    assert steps(machine, "edit-job", "new", "--note", "x") == ["dry-run new"]
    assert "new could not start:" in pasted(machine, "dry-run new")


def test_a_job_that_works_is_to_be_resumed_next(machine: Machine) -> None:
    machine.ready()
    (step,) = steps(machine, *NEW, "--puruto-target", TARGET, "--command", "true")
    assert step == "resume-job new"
    pasted(machine, step)


def test_an_agent_job_that_works_is_not_warned_of(machine: Machine) -> None:
    install(machine.workspace, "claude")
    machine.environ["PURUTO_CRON_AGENT_PATH"] = machine.workspace.environ["PURUTO_CRON_AGENT_PATH"]
    machine.ready()
    job = agent_job("x", job_id="new")
    words = ("--puruto-target", str(job["puruto_target"]), "--prompt", "x")
    warnings = machine.run(*NEW, *words, "--dry-run")[1]["warnings"]
    assert {entry["code"] for entry in warnings} <= {"NO_TICK"}


def test_the_step_after_unlock_is_no_run_that_is_refused(machine: Machine) -> None:
    machine.ready(shell(COUNT, job_id="on"), shell(COUNT, job_id="off", enabled=False))
    assert steps(machine, "unlock", "on") == ["run-now on"]
    (step,) = steps(machine, "unlock", "off")
    assert step == "status"
    pasted(machine, step)


# --- without jobs ---


def test_init_db_names_what_is_to_be_done_with_the_jobs_that_there_are(machine: Machine) -> None:
    (machine.workspace.root / ".jobs.json").write_text('{"jobs": []}')
    assert steps(machine, "init-db") == ["register-job --help"]
    machine.workspace.write_jobs(shell(COUNT))
    assert steps(machine, "init-db") == ["sync-jobs"]
    assert steps(machine, "list") == ["sync-jobs"]
    assert steps(machine, "status") == ["sync-jobs"]
    assert "Loaded 1 job" in pasted(machine, "sync-jobs")
    assert steps(machine, "init-db") == ["status"]
    for file in machine.workspace.database.parent.glob("cron.db*"):
        file.unlink()
    assert steps(machine, "init-db") == ["sync-jobs"], "a database that was lost"


def test_without_enabled_jobs_next_says_so(machine: Machine) -> None:
    machine.ready()
    text = machine.printed("next", "--text")[1]
    assert "It will not run" not in text
    assert "No enabled job has a next instant." in text
    assert steps(machine, "next") == ["list"]
    assert steps(machine, "list") == ["register-job --help"]
    assert "It will not run." in machine.printed("next", "--schedule", "@at 2020-01-01T00:00", "--text")[1]


def test_list_says_why_a_page_is_empty(machine: Machine) -> None:
    machine.ready()
    assert "There are no jobs." in machine.printed("list", "--limit", "5", "--text")[1]
    machine.workspace.write_jobs(shell(COUNT))
    machine.run("sync-jobs")
    text = machine.printed("list", "--after", "zzz", "--text")[1]
    assert "There are no jobs" not in text
    assert "No job comes after zzz." in text
    assert steps(machine, "list", "--after", "zzz") == ["list"]


def test_without_a_file_of_jobs_the_first_step_makes_one(machine: Machine) -> None:
    (machine.workspace.root / ".jobs.json").unlink(missing_ok=True)
    assert steps(machine, "init-db") == ["register-job --help"]


# --- the next page ---


def run_often(machine: Machine, *job_ids: str) -> None:
    machine.ready(*(shell("exit 1" if job_id == "bad" else COUNT, job_id=job_id) for job_id in ("bad", "a", "b")))
    for job_id in job_ids:
        machine.clock.advance(minutes=1)
        machine.printed("run-now", job_id)


PAGES: dict[str, Sequence[str]] = {
    "a job": ("history", "a", "--limit", "1"),
    "a status": ("history", "--status", "ok", "--limit", "1"),
    "since": ("history", "a", "--since", "2026-02-25T00:00+00:00", "--limit", "1"),
    "a format": ("history", "a", "--limit", "1", "--format", "text"),
    "equals": ("history", "--limit=1", "a"),
}


@pytest.mark.parametrize("words", PAGES.values(), ids=list(PAGES))
def test_the_next_page_of_history_keeps_what_was_asked(machine: Machine, words: Sequence[str]) -> None:
    run_often(machine, "a", "bad", "b", "a", "bad", "a")
    seen: list[str] = []
    page = list(words)
    while True:
        report: dict[str, Any] = machine.run(*[w for w in page if w not in ("--format", "text")])[1]
        assert len(report["runs"]) == 1
        seen.append(report["runs"][0]["run_id"])
        following = steps(machine, *page)
        if not following:
            break
        (command,) = following
        page = shlex.split(command)
    assert len(seen) == len(set(seen)) == (4 if "--status" in words else 3)
    assert not any(run_id.startswith("bad") for run_id in seen)


def test_the_next_page_of_list_keeps_its_limit(machine: Machine) -> None:
    machine.ready(*(shell(COUNT, job_id=name) for name in "abcde"))
    (second,) = steps(machine, "list", "--limit", "2")
    assert second == "list --limit 2 --after b"
    (third,) = steps(machine, *shlex.split(second))
    assert third == "list --limit 2 --after d"
    assert steps(machine, *shlex.split(third)) == []
