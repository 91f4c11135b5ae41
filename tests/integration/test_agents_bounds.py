"""What an agent may not do to us: absurd numbers, long answers, options in the guise of tools, tries without end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from invocation.runners.agents.claude import _retries_within
from tests.support_agents import agent_job, calls, install
from tests.support_machine import python, shell
from tests.workspace import Workspace

pytestmark = pytest.mark.process


def run(workspace: Workspace, prompt: str, *, code: int = 0, **fields: object) -> dict[str, Any]:
    workspace.write_jobs(agent_job(prompt, **fields))
    workspace.json("init-db")
    return workspace.json("run-now", "job-0", code=code)


@pytest.mark.parametrize("prompt", ["[[cost 1e308]]", "[[cost -3]]", f"[[turns {10**30}]]"])
def test_absurd_numbers_count_as_none_and_break_nothing(workspace: Workspace, prompt: str) -> None:
    install(workspace, "claude")
    assert run(workspace, prompt)["status"] == "ok"
    run(workspace, prompt)
    (spent,) = workspace.json("status")["spending"]
    assert spent["runs"] == 2
    assert spent["cost_usd"] == (0 if "cost" in prompt else 0.5)
    assert spent["turns"] == (2 if "cost" in prompt else 0)


@pytest.mark.parametrize(
    ("seconds", "retries"), [(0, 1), (0.7, 1), (2.0, 2), (30, 5), (150, 8), (1_000, 10), (10**9, 10)]
)
def test_claudes_own_tries_fit_into_a_part_of_the_timeout(seconds: float, retries: int) -> None:
    assert _retries_within(seconds) == retries


def test_claude_is_told_how_often_it_may_try_unless_somebody_said_so(workspace: Workspace) -> None:
    install(workspace, "claude")
    run(workspace, "x", timeout_sec=120)
    run(workspace, "x", timeout_sec=120, env={"CLAUDE_CODE_MAX_RETRIES": "7"})
    workspace.environ["CLAUDE_CODE_MAX_RETRIES"] = "2"
    run(workspace, "x", timeout_sec=120)
    assert [call["env"]["CLAUDE_CODE_MAX_RETRIES"] for call in calls(workspace)] == ["5", "7", "2"]


def test_a_long_answer_sleeps_by_its_end_and_leaves_its_end_as_the_summary(workspace: Workspace) -> None:
    install(workspace, "claude")
    said = "x" * 70_000 + "\\nTHE END\\n**HEARTBEAT_SLEEP**"
    fields: dict[str, Any] = {"heartbeat": {"max_iterations": 3}, "session_mode": "ephemeral_with_summary"}
    told = run(workspace, f"[[say {said}]]", **fields)["result"]
    assert told["heartbeat"]["ended_by"] == "sleep"
    assert told["response"]["result"]["text_truncated"] is True
    (session,) = workspace.json("sessions", "job-0")["sessions"]
    assert session["summary"].endswith("THE END")


def test_the_summary_of_a_large_result_is_its_summary(workspace: Workspace) -> None:
    result = {"summary": "SHORT", "session_id": "s-1", "heartbeat": "sleep", "data": "z" * 100_000}
    workspace.add_target(invoke=f"#!/bin/sh\ncat <<'E'\n{json.dumps({'status': 'ok', 'result': result})}\nE\n")
    workspace.ready({"schedule": "@yearly", "session_mode": "ephemeral_with_summary"})
    told = workspace.json("run-now", "job-0")["result"]["response"]["result"]
    assert (told["truncated"], told["summary"]) == (True, "SHORT")
    (session,) = workspace.json("sessions", "job-0")["sessions"]
    assert (session["summary"], session["session_id"]) == ("SHORT", "s-1")


def test_a_command_may_name_its_session_and_need_not_say_it_again(workspace: Workspace) -> None:
    workspace.add_target(invoke=None)
    script = """if True:
        import json, os
        payload = json.load(open(os.environ["PURUTO_CRON_REQUEST_FILE"]))["payload"]
        known = payload.get("session_id")
        with open("seen.txt", "a") as file:
            file.write(f"{known}\\n")
        print(json.dumps({"summary": "x"} if known else {"summary": "x", "session_id": "c-1"}))"""
    workspace.ready(python(script, session_mode="shared_persistent"))
    for _ in range(3):
        assert workspace.json("run-now", "job-0")["status"] == "ok"
    seen = (workspace.home / "puruto-target" / "seen.txt").read_text().split()
    assert seen == ["None", "c-1", "c-1"]


def test_what_is_no_object_with_a_session_leaves_none(workspace: Workspace) -> None:
    workspace.add_target(invoke=None)
    workspace.ready(shell("""echo '["session_id"]'""", session_mode="shared_persistent"))
    workspace.json("run-now", "job-0")
    assert workspace.json("sessions", "job-0")["sessions"][0]["session_id"] is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("agent_args", ["-r0a1b2c3d"]),
        ("agent_args", ["-pfoo"]),
        ("agent_args", ["--from-pr", "3"]),
        ("agent_args", ["--max-budget-usd", "100"]),
        ("agent_args", ["--dangerously-skip-permissions"]),
        ("allowed_tools", ["Read", "--resume=0a1b2c3d"]),
        ("allowed_tools", ["-r"]),
    ],
)
def test_agent_args_that_bypass_the_fields_of_the_job_are_refused(
    workspace: Workspace, field: str, value: list[str]
) -> None:
    workspace.json("init-db")
    workspace.write_jobs(agent_job("x", **{field: value}))
    problems = workspace.json("sync-jobs", code=2)["error"]["details"]["problems"]
    assert [problem["code"] for problem in problems] == ["RESERVED_ARGUMENT"]


def test_less_than_a_cent_is_shown_as_such(workspace: Workspace) -> None:
    install(workspace, "claude")
    run(workspace, "[[cost 0.004]]", max_cost_usd_per_day=0.003)
    error = workspace.json("run-now", "job-0", code=1)["error"]
    assert "have cost 0.004 of 0.003 dollars" in error["message"]
