"""Answers that look well and are none, failures that look like another's, and the words that only resemble them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from invocation.refusals import kind_of
from tests.unit.test_answers import read

RESETS = "You've hit your session limit · resets 9:50pm (Europe/Madrid)"
TOO_MUCH = "API Error: Claude's response exceeded the 32000 output token maximum. To configure this behavior, set …"


def claude(text: str = "Half a text", **fields: object) -> bytes:
    result: dict[str, object] = {
        "type": "result", "subtype": "success", "is_error": False, "num_turns": 1, "result": text, "session_id": "s",
        "total_cost_usd": 0.079, "stop_reason": "end_turn", "usage": {"input_tokens": 100, "output_tokens": 13},
    }  # fmt: skip
    return json.dumps({**result, **fields}).encode()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"api_error_status": 500, "result": "API Error: 500 Internal server error"}, "AGENT_FAILED"),
        ({"api_error_status": 529}, "AGENT_OVERLOADED"),
        ({"api_error_status": 401}, "AGENT_REFUSED"),
        ({"api_error_status": 400}, "AGENT_REQUEST_INVALID"),
        ({"api_error_status": 404, "result": "There's an issue with the selected model."}, "AGENT_REQUEST_INVALID"),
        ({"terminal_reason": "api_error"}, "AGENT_FAILED"),
        ({"terminal_reason": "aborted_streaming"}, "AGENT_FAILED"),
        ({"terminal_reason": "prompt_too_long"}, "AGENT_REQUEST_INVALID"),
        ({"terminal_reason": "max_turns"}, "AGENT_LIMIT_REACHED"),
        ({"terminal_reason": "budget_exhausted"}, "AGENT_LIMIT_REACHED"),
        ({"subtype": "error_max_structured_output_retries"}, "AGENT_LIMIT_REACHED"),
        ({"stop_reason": "refusal", "result": ""}, "AGENT_FAILED"),
        ({"stop_reason": "refusal"}, "AGENT_FAILED"),
        ({"result": 'API Error: 403 {"error":{"type":"forbidden"}} · Please run /login'}, "AGENT_REFUSED"),
        ({"result": "API Error: 529 {\"error\":{\"type\":\"overloaded_error\"}}"}, "AGENT_OVERLOADED"),
        ({"result": "API Error: Repeated 529 Overloaded errors"}, "AGENT_OVERLOADED"),
        ({"result": "API Error: Connection error."}, "AGENT_FAILED"),
        ({"result": "Invalid API key · Please run /login"}, "AGENT_REFUSED"),
        ({"result": "Not logged in · Please run /login", "total_cost_usd": 0}, "AGENT_REFUSED"),
        ({"result": "Credit balance is too low"}, "AGENT_QUOTA"),
        ({"result": "You've hit your limit · resets 3pm (Europe/Madrid)"}, "AGENT_QUOTA"),
        ({"result": RESETS}, "AGENT_QUOTA"),
        ({"result": "Prompt is too long"}, "AGENT_REQUEST_INVALID"),
        ({"result": TOO_MUCH}, "AGENT_OUTPUT_TRUNCATED"),
        ({"result": "Prompt is too long", "is_error": True}, "AGENT_REQUEST_INVALID"),
        ({"result": TOO_MUCH, "is_error": True}, "AGENT_OUTPUT_TRUNCATED"),
        ({"result": "Disk quota exceeded while writing report.md", "is_error": True}, "AGENT_FAILED"),
        ({"result": "(no content)"}, "INVALID_RESPONSE"),
    ],
    ids=str,
)  # fmt: skip
def test_a_result_of_claude_that_says_anywhere_that_it_failed_has_failed(
    tmp_path: Path, fields: dict[str, Any], code: str
) -> None:
    _, told = read(tmp_path, "claude", claude(**{"text": "Half a text", **_as_text(fields)}))
    assert (told["status"], told["cost_usd"]) == (code, fields.get("total_cost_usd", 0.079))


def _as_text(fields: dict[str, Any]) -> dict[str, Any]:
    return {("text" if key == "result" else key): value for key, value in fields.items()}


@pytest.mark.parametrize(
    "text",
    [
        "The log of last night has one line that matters:\n\nAPI Error: 403 forbidden\n\nNobody was logged in then.",
        "API Errors in the last day: 3. All were answered.",
        "API Error: 3 of them.\n\nThe first one was at 9:12.",
        "Credit balance is too low to pay the invoice of Friday, so I have not paid it.",
        "Not logged in users: 4",
        "Please run /login is what the page says; I have noted it.",
        "You've hit your limit of three reports; the fourth one is attached.",
        "Prompt is too long in two of the tests.",
    ],
)
def test_a_report_that_mentions_such_words_is_an_answer(tmp_path: Path, text: str) -> None:
    for fields in ({}, {"terminal_reason": "completed"}, {"stop_reason": None}, {"api_error_status": None}):
        assert read(tmp_path, "claude", claude(text, **fields))[1]["status"] == "ok"
    gemini = json.dumps({"session_id": "g", "response": text}).encode()
    assert read(tmp_path, "gemini", gemini)[1]["status"] == "ok"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"num_turns": 0, "total_cost_usd": 0}, "took no turn"),
        ({"stop_reason": "tool_use"}, "a call of a tool"),
        ({}, "its answer is empty"),
    ],
)
def test_of_an_empty_answer_it_is_said_how_it_may_have_come_about(
    tmp_path: Path, fields: dict[str, Any], why: str
) -> None:
    _, told = read(tmp_path, "claude", claude("", **fields))
    assert (told["status"], why in told["message"]) == ("INVALID_RESPONSE", True)
    result = json.loads(claude("", **fields))
    for key in ("num_turns", "total_cost_usd", "stop_reason"):
        assert told[key] == result[key]


@pytest.mark.parametrize(
    ("printed", "code"),
    [
        ({"response": "[API Error: You exceeded your current quota, please check your plan]"}, "AGENT_QUOTA"),
        ({"response": "[API Error: API key not valid. Please pass a valid API key.]"}, "AGENT_REFUSED"),
        ({"response": "[API Error: The input token count (9999999) exceeds the maximum]"}, "AGENT_REQUEST_INVALID"),
        ({"response": "def a():\n  x =\n\n⚠️  Response truncated due to token limits."}, "AGENT_OUTPUT_TRUNCATED"),
        ({"error": {"type": "FatalTurnLimitedError", "message": "Reached max session turns", "code": 53}},
         "AGENT_LIMIT_REACHED"),
    ],
    ids=str,
)  # fmt: skip
def test_an_answer_of_gemini_that_is_none(tmp_path: Path, printed: dict[str, Any], code: str) -> None:
    exit_code = 53 if "error" in printed else 0
    for out, err in ((printed, None), (None, printed)):
        if err is not None and "error" not in err:
            continue
        data = [json.dumps({"session_id": "g", **part}).encode() if part else b"" for part in (out, err)]
        assert read(tmp_path, "gemini", data[0], data[1], exit_code)[1]["status"] == code


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"type": "turn.completed", "status": "failed", "error": {"message": "expired auth"}}, "AGENT_FAILED"),
        ({"type": "turn.completed", "turn": {"status": "failed", "error": {"message": "Your token has expired; please "
          "log in again"}}}, "AGENT_REFUSED"),
        ({"type": "turn.failed", "error": {"message": "Codex ran out of room in the model's context window. Start a "
          "new conversation."}}, "AGENT_REQUEST_INVALID"),
    ],
    ids=str,
)  # fmt: skip
def test_a_turn_of_codex_that_failed(tmp_path: Path, end: dict[str, Any], code: str) -> None:
    lines = [{"type": "thread.started", "thread_id": "t"}, end]
    _, told = read(tmp_path, "codex", "".join(json.dumps(line) + "\n" for line in lines).encode())
    assert told["status"] == code


@pytest.mark.parametrize(
    ("agent", "stderr"),
    [
        ("claude", "Error: EDQUOT: disk quota exceeded, write '/home/x/.claude.json'\n"),
        ("claude", 'MCP server "github": HTTP 401 Unauthorized\nTypeError: Cannot read properties of undefined\n'),
        ("codex", "WARN mcp: 429 Too Many Requests from registry\nthread 'main' panicked at src/main.rs:1:1\n"),
        ("gemini", "npm warn: authentication required for the registry\nfatal: something\n"),
        ("claude", "OSError: [Errno 122] Disk quota exceeded: 'report.md'\n"),
        ("claude", "The storage quota has been exceeded\n"),
        ("claude", "GitHub API rate limit exceeded for user ID 7\n"),
        ("claude", "git@github.com: Permission denied (publickey).\n"),
        ("codex", "curl: (22) The requested URL returned error: 429\n"),
        ("codex", "Could not load https://db.example/v1: 401 Unauthorized\n"),
        ("gemini", 'psql: error: FATAL:  password authentication failed for user "ana"\n'),
        ("gemini", "Request failed with status code 429\nRangeError: Maximum call stack size exceeded\n"),
    ],
)
def test_words_of_other_programs_do_not_decide(tmp_path: Path, agent: str, stderr: str) -> None:
    _, told = read(tmp_path, agent, b"", stderr.encode(), 1)
    assert (told["status"], told["stderr"]) == ("NONZERO_EXIT", stderr.strip())


@pytest.mark.parametrize(
    ("stderr", "code"),
    [
        ("Invalid API key · Please run /login\n", "AGENT_REFUSED"),
        ("Error: 401 Unauthorized\n    at main (cli.js:1)\n", "AGENT_REFUSED"),
        ("Warning: slow network\nCredit balance is too low\n", "AGENT_QUOTA"),
        ("Your API key is invalid. Please update it.\n", "AGENT_REFUSED"),
        ("API Error: 529 overloaded_error\nTypeError: x is undefined\n", "AGENT_OVERLOADED"),
        (
            "git: not a repository\nERROR: unexpected status 401 Unauthorized, url: http://gateway:4000/v1\n",
            "AGENT_REFUSED",
        ),
        ("Failed to login. See https://github.com/google-gemini/gemini-cli/blob/main/docs/x.md\n", "AGENT_REFUSED"),
        (
            'ApiError: {"error":{"code":429}}\n    at x (cli.js:1:2)\n  status: 429\n}\n\nNode.js v22.1.0\n',
            "AGENT_OVERLOADED",
        ),
    ],
)
def test_its_own_words_on_stderr_do(tmp_path: Path, stderr: str, code: str) -> None:
    assert read(tmp_path, "claude", b"", stderr.encode(), 1)[1]["status"] == code


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Quota exceeded for quota metric 'Requests'", "AGENT_QUOTA"),
        ("disk quota exceeded", "AGENT_FAILED"),
        ("This model's maximum context length is 200000 tokens", "AGENT_REQUEST_INVALID"),
        ("messages.3: `tool_use` ids were found without `tool_result` blocks", "AGENT_REQUEST_INVALID"),
        ("model_not_found", "AGENT_REQUEST_INVALID"),
        ("The model gpt-9 does not exist", "AGENT_REQUEST_INVALID"),
        ("Something else", "AGENT_FAILED"),
    ],
)
def test_what_a_message_of_its_own_tells_of(message: str, code: str) -> None:
    assert kind_of(message, None, is_own=True).code == code


def task(subtype: str, **fields: object) -> dict[str, object]:
    return {"type": "system", "subtype": subtype, "session_id": "s", "task_id": "t1", **fields}


def uses(name: str, **given: str) -> dict[str, object]:
    content = [{"type": "text", "text": "Now"}, {"type": "tool_use", "id": "u", "name": name, "input": given}]
    return {"type": "assistant", "session_id": "s", "message": {"id": "m", "content": content}}


STARTED = task("task_started", is_backgrounded=True, description="Run the tests")
BY_ITSELF = task("task_started", is_backgrounded=False, description="Look around")
WAITING = "The summary is still being written; I'll be notified when it is done."


@pytest.mark.parametrize(
    ("before", "after", "stopped"),
    [
        ([STARTED, task("task_notification", status="stopped", summary="Stopped")], [], ["Run the tests"]),
        ([STARTED], [task("task_notification", status="stopped", summary="Stopped")], ["Run the tests"]),
        ([STARTED, task("task_updated", patch={"status": "killed"})], [], ["Run the tests"]),
        ([STARTED], [], ["Run the tests"]),
        ([BY_ITSELF, task("task_updated", patch={"is_backgrounded": True})], [], ["t1"]),
        ([], [task("task_notification", status="stopped", summary="A build")], ["A build"]),
        ([STARTED, task("task_started", task_id="t2", is_backgrounded=True, description="Build")],
         [], ["Run the tests", "Build"]),
        ([STARTED, task("task_notification", status="completed")], [], None),
        ([STARTED, task("task_updated", patch={"status": "failed"})], [], None),
        ([BY_ITSELF], [], None),
        ([STARTED, uses("TaskStop", task_id="t1"), task("task_notification", status="stopped")], [], None),
        ([STARTED, uses("KillShell", shell_id="t1")], [task("task_notification", status="stopped")], None),
        ([STARTED, uses("Bash", command="ls")], [], ["Run the tests"]),
        ([task("task_started", task_id=7, is_backgrounded=True), task("task_updated", patch=[1])], [], None),
    ],
)  # fmt: skip
def test_tasks_that_were_stopped_before_they_had_ended_are_in_the_result(
    tmp_path: Path, before: list[dict[str, object]], after: list[dict[str, object]], stopped: list[str] | None
) -> None:
    out = json.dumps([*before, json.loads(claude(WAITING)), *after]).encode()
    _, told = read(tmp_path, "claude", out)
    assert (told["status"], told["text"], told.get("stopped_tasks")) == ("ok", WAITING, stopped)


def test_tasks_that_claude_tells_of_on_stderr_only_are_in_the_result_too(tmp_path: Path) -> None:
    said = "Background tasks still running after 600s; terminating."
    err = f"Debug: x\n{said}\nSet CLAUDE_CODE_PRINT_BG_WAIT_CEILING_MS=0 to wait indefinitely.\n"
    _, told = read(tmp_path, "claude", claude(WAITING), err.encode())
    assert (told["status"], told["stopped_tasks"]) == ("ok", [said])
    assert "stopped_tasks" not in read(tmp_path, "claude", claude(said))[1]
