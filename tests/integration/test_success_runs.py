"""`success` from `.jobs.json` to the event: whole runs of the program, with both runners, and their retries."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support_machine import YEARLY, Machine, prepare, shell, target_folder
from tests.workspace import FakeClock, Workspace

SCHEMA = {"type": "object", "required": ["rows"], "properties": {"rows": {"type": "integer", "minimum": 1}}}
ANSWER = """#!/bin/sh
cat > /dev/null
echo '{"status": "ok", "result": %s}'
exit %d
"""


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def missed(result: dict[str, Any]) -> list[str]:
    """The checks that a printed result says were missed."""
    assert result["error"]["code"] == "SUCCESS_CHECK_FAILED", result
    return [entry["check"] for entry in result["error"]["details"]["failed"]]


#: (success, a script that does it, one that does not)
COMMANDS: list[tuple[dict[str, Any], str, str]] = [
    ({"exit_codes": [0, 3]}, "exit 3", "exit 4"),
    ({"stdout_matches": "^Done: [0-9]+$"}, "echo hm; echo Done: 7", "echo not Done: 7"),
    ({"stdout_not_matches": "(?i)error"}, "echo well", "echo an ERROR"),
    ({"file_changed": "out.txt"}, "echo new >> out.txt", "cat out.txt"),
    ({"json_schema": SCHEMA}, "echo '{\"rows\": 2}'", "echo '{\"rows\": 0}'"),
]


@pytest.mark.process
@pytest.mark.parametrize(("spec", "good", "bad"), COMMANDS, ids=[next(iter(row[0])) for row in COMMANDS])
def test_a_command_is_a_success_if_it_meets_the_conditions(
    machine: Machine, workspace: Workspace, spec: dict[str, Any], good: str, bad: str
) -> None:
    target = workspace.add_target(invoke=None)
    (target / "out.txt").write_text("old\n")
    machine.ready(shell(good, success=spec), shell(bad, success=spec))
    code, result = machine.run("run-now", "job-1")
    assert (code, result["status"], missed(result)) == (1, "error", list(spec))
    code, result = machine.run("run-now", "job-0")
    assert (code, result["status"]) == (0, "ok")
    assert [row["status"] for row in workspace.runs()] == ["error", "ok"]


@pytest.mark.process
@pytest.mark.parametrize(
    ("spec", "good", "bad"),
    [
        ({"exit_codes": [0, 3]}, ANSWER % ('{"rows": 1}', 3), ANSWER % ('{"rows": 1}', 4)),
        ({"stdout_matches": '"rows": [1-9]'}, ANSWER % ('{"rows": 1}', 0), ANSWER % ('{"rows": 0}', 0)),
        ({"stdout_not_matches": '"rows": 0'}, ANSWER % ('{"rows": 1}', 0), ANSWER % ('{"rows": 0}', 0)),
        ({"file_changed": "out"}, ANSWER.replace("cat", "> out; cat") % ('{"x": 1}', 0), ANSWER % ('{"x": 1}', 0)),
        ({"json_schema": SCHEMA}, ANSWER % ('{"rows": 1}', 0), ANSWER % ('{"rows": 0}', 0)),
    ],
    ids=["exit_codes", "stdout_matches", "stdout_not_matches", "file_changed", "json_schema"],
)
def test_an_invoke_is_a_success_if_it_meets_the_conditions(
    machine: Machine, workspace: Workspace, spec: dict[str, Any], good: str, bad: str
) -> None:
    machine.ready({"schedule": YEARLY, "success": spec})
    workspace.add_target(invoke=bad)
    assert missed(machine.run("run-now", "job-0")[1]) == list(spec)
    workspace.add_target(invoke=good)
    assert machine.run("run-now", "job-0")[0] == 0


@pytest.mark.process
def test_a_missed_success_is_told_in_its_row_and_its_event_and_by_a_tick_alike(workspace: Workspace) -> None:
    prepare(workspace, shell("echo half; echo why >&2; exit 2", success={"stdout_matches": "whole"}))
    workspace.make_due()
    (result,) = workspace.json("tick")["results"]
    (row,), (event,) = workspace.runs(), workspace.events()
    assert json.loads(row["error_json"]) == event["error"] == result["error"]
    assert (row["status"], row["exit_code"], event["attempts"]) == ("error", 2, 1)
    details = event["error"]["details"]
    assert details["failed"] == [
        {"check": "exit_codes", "expected": [0], "found": 2},
        {"check": "stdout_matches", "expected": "whole", "stdout_bytes": 5, "found": "half\n"},
    ]
    assert (details["stderr"], details["exit_code"], details["attempt"]) == ("why", 2, 1)
    assert "exit_codes, stdout_matches" in event["error"]["message"]
    names = {path.name for path in (workspace.root / "runs" / "job-0" / row["run_id"]).iterdir()}
    assert names == {"attempt-1.request.json", "attempt-1.stdout", "attempt-1.stderr"}


@pytest.mark.process
def test_a_missed_success_is_retried_like_any_other_failure(machine: Machine, workspace: Workspace) -> None:
    script = 'echo "try $PURUTO_CRON_ATTEMPT"; [ "$PURUTO_CRON_ATTEMPT" = 1 ] || touch out'
    spec = {"stdout_matches": "^try [3-9]", "file_changed": "out"}
    machine.ready(shell(script, success=spec, max_retries=3, retry_backoff_sec=0))
    code, result = machine.run("run-now", "job-0")
    assert (code, result["attempt"]) == (0, 3)
    machine.ready(shell(script, success=spec, max_retries=1, retry_backoff_sec=0))
    code, result = machine.run("run-now", "job-0")
    assert (code, result["attempts"], missed(result)) == (1, 2, ["stdout_matches"])


@pytest.mark.process
def test_secrets_in_what_was_found_are_masked(workspace: Workspace) -> None:
    spec = {"stdout_matches": "never", "stdout_not_matches": "is .*"}
    prepare(workspace, shell("echo it is $MY_TOKEN", success=spec, allow_env=["MY_TOKEN"]))
    result = workspace.json("run-now", "job-0", code=1, env={"MY_TOKEN": "hunter22-hunter22"})
    assert [entry["found"] for entry in result["error"]["details"]["failed"]] == ["it is ***\n", "is ***"]
    assert b"hunter22" not in workspace.events_file.read_bytes()


def test_a_success_is_shown_as_declared_with_its_defaults(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell("true", success={"file_changed": "out"}), shell("true"))
    shown = [job["success"] for job in machine.run("list")[1]["jobs"]]
    nothing = dict.fromkeys(("stdout_matches", "stdout_not_matches", "json_schema"))
    assert shown == [{**nothing, "exit_codes": [0], "file_changed": "out"}, None]
    assert [job["definition"]["success"] for job in machine.run("status")[1]["jobs"]] == shown


def test_a_changed_success_is_a_changed_job_and_the_same_one_is_not(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell("true", success={"exit_codes": [0]}))
    workspace.write_jobs(shell("true", success={"exit_codes": [0], "stdout_matches": None}))
    assert machine.run("sync-jobs")[1]["unchanged"] == ["job-0"]
    workspace.write_jobs(shell("true", success={"exit_codes": [0, 1]}))
    assert machine.run("sync-jobs")[1]["changed"] == ["job-0"]


@pytest.mark.process
def test_a_stored_success_that_was_damaged_by_hand_affects_only_its_job(workspace: Workspace) -> None:
    prepare(workspace, shell("true", success={"exit_codes": [0]}), shell("true"))
    workspace.sql(
        "UPDATE jobs SET definition_json = json_set(definition_json, '$.success.exit_codes', 'x')"
        " WHERE job_id = 'job-0'"
    )
    workspace.make_due()
    report = workspace.json("tick")
    assert [result["job_id"] for result in report["results"]] == ["job-1"]
    assert report["problems"][0]["error"]["code"] == "DEFINITION_UNREADABLE"
    assert "success.exit_codes" in report["problems"][0]["error"]["message"]


def test_a_file_that_lies_in_the_target_is_looked_for_there(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(f"cd {workspace.home} && touch out", success={"file_changed": "out"}))
    assert missed(machine.run("run-now", "job-0")[1]) == ["file_changed"]
    assert not (target_folder(workspace) / "out").exists()
