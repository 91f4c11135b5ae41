"""What is made of agents' output by a whole run: its verdict, its calls, its money, and what people are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support_agents import agent_job, calls, install
from tests.support_machine import python
from tests.workspace import Workspace

pytestmark = pytest.mark.process
ANSWERS = Path(__file__).resolve().parents[1] / "fixtures" / "answers"


def run(workspace: Workspace, case: str, *, code: int = 0, **fields: object) -> dict[str, Any]:
    """A run of an agent that prints an answer of the corpus; what `run-now` prints."""
    name = case.partition("/")[0]
    install(workspace, name)
    exit_code = json.loads((ANSWERS / f"{case}.json").read_text())["exit_code"]
    fields = {"runner": name, "max_retries": 1, "retry_backoff_sec": 0, **fields}
    workspace.write_jobs(agent_job(f"[[file {ANSWERS / case}]] [[exit {exit_code}]]", **fields))
    workspace.json("init-db")
    return workspace.json("run-now", "job-0", code=code)


@pytest.mark.parametrize(
    ("case", "noise"),
    [
        ("claude/list", ""),
        ("claude/banner-before", "Config file is gone.\nRestored from a backup."),
        ("claude/notice-after", "There is a newer release."),
        ("codex/reconnected", ""),
        ("codex/coloured-banner", "Welcome to codex"),
        ("gemini/noise-before", "Loaded cached credentials.\nFile /home/ana/.cache/rg.zip has been cached"),
    ],
)
def test_an_answer_among_other_things_is_one_call_and_well(workspace: Workspace, case: str, noise: str) -> None:
    answer = run(workspace, case)
    result = answer["result"]["response"]["result"]
    assert result.get("output_noise", "") == noise
    assert len(calls(workspace)) == 1
    (spent,) = workspace.json("status")["spending"]
    reading = json.loads((ANSWERS / f"{case}.json").read_text())["reading"]
    for key in ("cost_usd", "turns", "input_tokens", "output_tokens"):
        assert spent[key] == reading[key]
    shown = workspace.json("show", answer["run_id"])
    assert shown["run"]["result"]["response"]["result"].get("output_noise", "") == noise


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("claude/login-expired", "AGENT_REFUSED"),
        ("claude/login-in-plain-text", "AGENT_REFUSED"),
        ("codex/login-refresh", "AGENT_REFUSED"),
        ("gemini/login-method", "AGENT_REFUSED"),
        ("claude/quota-zone", "AGENT_QUOTA"),
        ("claude/quota-epoch", "AGENT_QUOTA"),
        ("claude/quota-credit", "AGENT_QUOTA"),
        ("codex/quota-in-days", "AGENT_QUOTA"),
        ("gemini/quota-after", "AGENT_QUOTA"),
    ],
)
def test_what_would_be_refused_again_is_one_call(workspace: Workspace, case: str, code: str) -> None:
    error = run(workspace, case, code=1)["error"]
    assert (error["code"], len(calls(workspace))) == (code, 1)
    assert error["details"]["not_retried"]
    assert ("resets_at" in error["details"]) == (code == "AGENT_QUOTA" and "credit" not in case)


def test_a_quota_that_is_renewed_before_the_retry_is_asked_again(workspace: Workspace) -> None:
    install(workspace, "codex")
    prompt = "[[fail You've hit your usage limit. Try again in 0 seconds.]]"
    workspace.write_jobs(agent_job(prompt, runner="codex", max_retries=1, retry_backoff_sec=1))
    workspace.json("init-db")
    answer = workspace.json("run-now", "job-0", code=1)
    assert (answer["error"]["code"], answer["attempts"]) == ("AGENT_QUOTA", 2)


@pytest.mark.parametrize(
    ("case", "status"),
    [
        ("claude/list", ""),
        ("claude/list-not-closed", "AGENT_OUTPUT_TRUNCATED"),
        ("claude/broken-inside", "INVALID_RESPONSE"),
        ("claude/key-twice", "INVALID_RESPONSE"),
        ("claude/exit-1-after-an-answer", "AGENT_FAILED"),
    ],
)
def test_what_an_answer_cost_closes_the_days_budget_whatever_the_verdict(
    workspace: Workspace, case: str, status: str
) -> None:
    answer = run(workspace, case, code=1 if status else 0, max_retries=0, max_cost_usd_per_day=0.04)
    assert answer.get("error", {}).get("code", "") == status
    refused = workspace.json("run-now", "job-0", code=1)["error"]
    assert (refused["code"], refused["details"]["reason"]) == ("GATE_CLOSED", "COST_LIMIT")
    (spent,) = workspace.json("status")["spending"]
    assert (spent["runs"], spent["cost_usd"]) == (1, 0.042)


def test_what_an_agent_had_used_at_its_timeout_counts(workspace: Workspace) -> None:
    install(workspace, "claude")
    prompt = f"[[file {ANSWERS / 'claude/list-cut-in-its-result'}]] [[after 600]]"
    workspace.write_jobs(agent_job(prompt, timeout_sec=3))
    workspace.json("init-db")
    assert workspace.json("run-now", "job-0", code=1)["error"]["code"] == "TIMEOUT"
    (row,) = workspace.runs()
    assert (row["cost_usd"], row["turns"], row["input_tokens"]) == (0.042, 3, 1026)


@pytest.mark.parametrize("agent", ["claude", "codex", "gemini"])
def test_an_agent_that_has_answered_and_does_not_end_is_ended_and_its_answer_counts(
    workspace: Workspace, agent: str
) -> None:
    install(workspace, agent)
    terms = {"runner": agent, "timeout_sec": 2, "max_retries": 1, "session_mode": "shared_persistent"}
    workspace.write_jobs(
        agent_job("[[say All fine.]] [[after 600]]", **terms),
        agent_job("[[fail Credit balance is too low]] [[after 600]]", job_id="refused", **terms),
    )
    workspace.json("init-db")
    answer = workspace.json("run-now", "job-0")
    result = answer["result"]["response"]["result"]
    assert (answer["status"], result["text"], result["did_not_exit"]) == ("ok", "All fine.", True)
    assert len(calls(workspace)) == 1
    assert workspace.sql("SELECT session_id FROM sessions")[0]["session_id"] == "session-1"
    refused = workspace.json("run-now", "refused", code=1)
    assert (refused["error"]["code"], refused["error"]["details"]["did_not_exit"]) == ("AGENT_QUOTA", True)
    assert len(calls(workspace)) == 2
    shown = workspace.run("show", answer["run_id"], "--text").stdout.decode()
    assert "its process did not end" in " ".join(shown.split())


def test_people_are_told_of_tasks_that_were_stopped_before_they_had_ended(workspace: Workspace) -> None:
    answer = run(workspace, "claude/background-task-stopped")
    assert answer["result"]["response"]["result"]["stopped_tasks"] == ["Write the summary"]
    shown = " ".join(workspace.run("show", answer["run_id"], "--text").stdout.decode().split())
    assert "stopped before they had ended: Write the summary" in shown


def test_tokens_that_were_not_reported_are_null(workspace: Workspace) -> None:
    result = run(workspace, "claude/no-usage-at-all")["result"]["response"]["result"]
    assert result["usage"] == {"input_tokens": None, "output_tokens": None}
    (row,) = workspace.runs()
    assert (row["cost_usd"], row["input_tokens"], row["output_tokens"]) == (0.042, None, None)
    run(workspace, "claude/usage-of-output-only")
    assert [(row["input_tokens"], row["output_tokens"]) for row in workspace.runs()] == [(None, None), (None, 13)]


def test_escape_codes_reach_files_only(workspace: Workspace) -> None:
    (workspace.home / "puruto-telegram").mkdir()
    script = "print('\\x1b[1;31mred\\x1b[0m \\x9b32mgreen\\x07 \\x1b]0;title\\x07done')"
    workspace.add_target(invoke=None)
    workspace.ready(python(script, session_mode="ephemeral_with_summary", notify_channel="telegram"))
    answer = workspace.json("run-now", "job-0")
    assert answer["result"]["response"]["result"]["stdout"] == "red green done\n"
    outbox = (workspace.home / "puruto-telegram" / "inbox" / "cron-events.jsonl").read_text(encoding="utf-8")
    for text in (outbox, workspace.events_file.read_text(encoding="utf-8")):
        assert "red green done" in text
        assert "u001b" not in text
    (session,) = workspace.json("sessions", "job-0")["sessions"]
    assert session["summary"] == "red green done"
    (row,) = workspace.runs()
    assert b"\x1b[1;31mred" in (Path(row["output_dir"]) / "attempt-1.stdout").read_bytes()


def test_a_secret_that_escape_codes_cut_in_two_is_masked(workspace: Workspace) -> None:
    workspace.add_target(invoke=None)
    workspace.environ["MY_TOKEN"] = "open-sesame-123"
    workspace.ready(python("print('open-\\x1b[1msesame\\x1b[0m-123')"))
    assert workspace.json("run-now", "job-0")["result"]["response"]["result"]["stdout"] == "***\n"


def test_an_invoke_that_says_something_twice_says_nothing(workspace: Workspace) -> None:
    for members in ('"status":"error","status":"ok","result":{"a":1}', '"status":"ok","result":{"a":{"b":1,"b":2}}'):
        workspace.add_target(invoke=f"#!/bin/sh\necho '{{{members}}}'\n")
        workspace.ready({"schedule": "@yearly"})
        error = workspace.json("run-now", "job-0", code=1)["error"]
        assert error["code"] == "INVALID_RESPONSE"
        assert "occurs twice" in error["details"]["wrong"]
