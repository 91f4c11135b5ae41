"""Agents that are called again within a slot until they sleep."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.support_agents import agent_job, calls, install
from tests.support_machine import killed, shell
from tests.workspace import Workspace, ended, wait_for

pytestmark = pytest.mark.process

#: Says "working" until the third call of a slot, then that it sleeps. `%s` is how it says so.
UNTIL_THREE = """
import json, os
payload = json.load(open(os.environ["PURUTO_CRON_REQUEST_FILE"]))["payload"]
print("working" if payload["heartbeat"]["iteration"] < 3 else %r)
"""


def beat(workspace: Workspace, prompt: str, *, code: int = 0, **fields: Any) -> dict[str, Any]:
    install(workspace, "claude")
    workspace.write_jobs(agent_job(prompt, **fields))
    workspace.json("init-db")
    workspace.json("sync-jobs")
    return workspace.json("run-now", "job-0", code=code)


def python_job(script: str, **fields: object) -> dict[str, object]:
    return {"schedule": "@yearly", "command": ["python3", "-ISc", script], **fields}


def test_an_agent_that_never_sleeps_is_called_until_the_limit(workspace: Workspace) -> None:
    answer = beat(workspace, "do it", heartbeat={"max_iterations": 3})
    told = answer["result"]["heartbeat"]
    assert (told["ended_by"], told["quiet"]) == ("max_iterations", False)
    assert [entry["text"] for entry in told["iterations"]] == ["answer 1", "answer 2", "answer 3"]
    (row,) = workspace.runs()
    assert (row["iterations"], row["cost_usd"], row["turns"]) == (3, 0.75, 3)
    assert len(workspace.events()) == 1
    prompts = [call["prompt"] for call in calls(workspace)]
    assert "call 1 of at most 3" in prompts[0]
    assert "HEARTBEAT_SLEEP" in prompts[0]
    assert "answer 1" in prompts[1], "the summary of the call before"
    assert "answer 1" not in prompts[2]


@pytest.mark.parametrize(
    "sleep", ["done it\nHEARTBEAT_SLEEP", '{"heartbeat": "sleep", "report": "done it"}', "HEARTBEAT_SLEEP"]
)
def test_an_answer_that_says_sleep_ends_the_slot(workspace: Workspace, sleep: str) -> None:
    workspace.add_target(invoke=None)
    workspace.ready(python_job(UNTIL_THREE % sleep, heartbeat={}))
    told = workspace.json("run-now", "job-0")["result"]["heartbeat"]
    assert (told["ended_by"], [entry["sleep"] for entry in told["iterations"]]) == ("sleep", [False, False, True])
    assert told["quiet"] is False, "it had something to say before"
    assert len(workspace.events()) == 1


@pytest.mark.parametrize("quiet", ["HEARTBEAT_SLEEP", "\n HEARTBEAT_SLEEP \n", '{"heartbeat": "sleep"}',
                                   '{"heartbeat": "sleep", "report": ""}'])  # fmt: skip
def test_a_slot_with_nothing_to_report_raises_no_notification(workspace: Workspace, quiet: str) -> None:
    workspace.add_target("puruto-telegram", invoke=None)
    answer = beat(workspace, f"[[say {quiet}]]", heartbeat={"max_iterations": 5})
    assert answer["result"]["heartbeat"]["quiet"] is True
    assert len(calls(workspace)) == 1
    (row,) = workspace.runs()
    assert (row["status"], row["iterations"]) == ("ok", 1)
    assert workspace.events() == []
    assert workspace.sql("SELECT * FROM events") == []


def test_a_failure_is_told_however_quiet_it_was_before(workspace: Workspace) -> None:
    answer = beat(workspace, "[[fail broke]]", code=1, heartbeat={})
    assert answer["error"]["details"]["heartbeat"]["ended_by"] == "error"
    assert [event["error"]["code"] for event in workspace.events()] == ["AGENT_FAILED"]


def test_calls_of_one_slot_may_share_a_session(workspace: Workspace) -> None:
    beat(workspace, "x", heartbeat={"max_iterations": 3, "context_mode": "shared_persistent"})
    resumed = [[word for word in call["argv"] if word.startswith("--resume")] for call in calls(workspace)]
    assert resumed == [[], ["--resume=session-1"], ["--resume=session-1"]]
    workspace.json("run-now", "job-0")
    assert [word for word in calls(workspace)[3]["argv"] if word.startswith("--resume")] == [], "session_mode rules"


def test_calls_may_know_nothing_of_each_other(workspace: Workspace) -> None:
    beat(workspace, "x", heartbeat={"max_iterations": 2, "context_mode": "fully_ephemeral"})
    assert "answer 1" not in calls(workspace)[1]["prompt"]


def test_a_heartbeat_that_is_not_enabled_is_one_call(workspace: Workspace) -> None:
    answer = beat(workspace, "x", heartbeat={"enabled": False})
    assert "heartbeat" not in answer["result"]
    assert calls(workspace)[0]["prompt"] == "x"


def test_the_timeout_is_for_all_calls_together_and_a_call_that_it_cut_says_so(workspace: Workspace) -> None:
    workspace.add_target(invoke=None)
    wait = "while [ ! -e release ]; do sleep 0.05; done"
    script = f'grep -q \'"iteration": 1\' "$PURUTO_CRON_REQUEST_FILE" && echo first || {{ {wait}; }}'
    workspace.ready(shell(script, heartbeat={}, timeout_sec=2))
    error = workspace.json("run-now", "job-0", code=1)["error"]
    assert error["code"] == "TIMEOUT"
    told = error["details"]["heartbeat"]
    assert [entry.get("error") for entry in told["iterations"]] == [None, "TIMEOUT"]
    assert "call 2 of the heartbeat was still running when the 2 s of its slot were over" in error["message"]
    assert (error["details"]["timeout_sec"], told["ended_by"]) == (2, "timeout_sec")


def test_the_days_ceiling_ends_a_heartbeat_between_two_calls(workspace: Workspace) -> None:
    answer = beat(workspace, "x", heartbeat={"max_iterations": 9}, max_cost_usd_per_day=0.5)
    told = answer["result"]["heartbeat"]
    assert (told["ended_by"], len(told["iterations"])) == ("max_cost_usd_per_day", 2)


def test_a_heartbeat_whose_scheduler_dies_tells_the_last_output_of_its_last_call(workspace: Workspace) -> None:
    workspace.add_target(invoke=None)
    script = (
        'if grep -q \'"iteration": 1\' "$PURUTO_CRON_REQUEST_FILE"; then echo one; else echo two; echo $$ > two.tmp;'
        " mv two.tmp two.pid; sleep 60; fi"
    )
    workspace.ready(shell(script, heartbeat={}))
    with ended(workspace.start("run-now", "job-0")) as process:
        path = workspace.home / "puruto-target" / "two.pid"
        wait_for(path.exists, what="the second call")
        with killed(int(path.read_text())):
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            told = workspace.json("unlock", "job-0")["ended_runs"][0]
    assert told["error"]["details"]["stdout"] == "two"
