"""Agents as targets, with stand-ins for their programs: what they are given, and what is made of their answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support_agents import AGENT, agent_job, calls, install
from tests.support_machine import python
from tests.workspace import PYTHON, Workspace

pytestmark = pytest.mark.process

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def run(workspace: Workspace, prompt: str, *, code: int = 0, **fields: object) -> dict[str, Any]:
    """One run of one job, and what `run-now` prints of it."""
    workspace.write_jobs(agent_job(prompt, **fields))
    workspace.json("init-db")
    workspace.json("sync-jobs")
    return workspace.json("run-now", "job-0", code=code)


def result_of(answer: dict[str, Any]) -> dict[str, Any]:
    found = answer["result"]["response"]["result"]
    assert isinstance(found, dict)
    return found


# --- what an agent is given ---


@pytest.mark.parametrize(
    "prompt", ["-p --resume x", "dos\nlíneas \"y\" 'más' $HOME `id` \\n", "  spaces  ", "🐦" * 1000]
)
@pytest.mark.parametrize("name", ["claude", "codex", "gemini"])
def test_the_prompt_arrives_byte_for_byte_on_standard_input(workspace: Workspace, name: str, prompt: str) -> None:
    install(workspace, name)
    run(workspace, prompt, runner=name)
    (call,) = calls(workspace)
    assert call["prompt"] == prompt
    assert prompt not in call["argv"]


def test_every_field_becomes_an_argument_of_claude(workspace: Workspace) -> None:
    install(workspace, "claude")
    run(
        workspace, "[[structured {\"a\": 1}]]", model="opus", allowed_tools=["Read", "Bash(git *)"], max_turns=7,
        permission_mode="acceptEdits", max_budget_usd=0.5, append_system_prompt="-Sé breve", json_schema=SCHEMA,
        agent_args=["--add-dir", "/x y"],
    )  # fmt: skip
    (call,) = calls(workspace)
    assert call["argv"] == [
        "-p", "--output-format", "json", "--permission-mode", "acceptEdits", "--model=opus", "--max-budget-usd=0.5",
        "--max-turns=7", "--append-system-prompt=-Sé breve", f"--json-schema={json.dumps(SCHEMA, sort_keys=True)}",
        "--allowed-tools=Read", "--allowed-tools=Bash(git *)", "--add-dir", "/x y",
    ]  # fmt: skip


def test_without_a_permission_mode_claude_is_told_its_default(workspace: Workspace) -> None:
    install(workspace, "claude")
    run(workspace, "x")
    argv = calls(workspace)[0]["argv"]
    assert argv[argv.index("--permission-mode") + 1] == "default"


@pytest.mark.parametrize(
    ("mode", "codex", "gemini"),
    [
        ("plan", ["--sandbox", "read-only"], "--approval-mode=plan"),
        ("acceptEdits", ["--sandbox", "workspace-write"], "--approval-mode=auto_edit"),
        ("bypassPermissions", ["--dangerously-bypass-approvals-and-sandbox"], "--approval-mode=yolo"),
    ],
)
def test_what_a_permission_mode_means_to_the_others(
    workspace: Workspace, mode: str, codex: list[str], gemini: str
) -> None:
    install(workspace, "codex", "gemini")
    run(workspace, "x", runner="codex", permission_mode=mode, model="m")
    run(workspace, "x", runner="gemini", permission_mode=mode, model="m")
    first, second = (call["argv"] for call in calls(workspace))
    assert " ".join(codex) in " ".join(first)
    assert gemini in second
    assert "--model=m" in first
    assert "--model=m" in second
    assert first[-1] == "-"


def test_codex_finds_the_schema_in_a_file(workspace: Workspace) -> None:
    install(workspace, "codex")
    answer = run(workspace, '[[structured {"a": 3}]]', runner="codex", json_schema=SCHEMA)
    assert result_of(answer)["structured_output"] == {"a": 3}
    (path,) = (word.partition("=")[2] for word in calls(workspace)[0]["argv"] if word.startswith("--output-schema="))
    with open(path, encoding="utf-8") as file:
        assert json.load(file) == SCHEMA


OURS = {
    "ANTHROPIC_API_KEY": "key-ant-123", "ANTHROPIC_BASE_URL": "http://x", "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "9",
    "CLAUDE_CODE_ENTRYPOINT": "cli", "CLAUDECODE": "1", "AWS_REGION": "eu-1", "GOOGLE_CLOUD_PROJECT": "p",
    "CLOUD_ML_REGION": "e", "OPENAI_API_KEY": "key-oai-123", "CODEX_HOME": "/c", "GEMINI_API_KEY": "key-gem-123",
    "HTTPS_PROXY": "http://proxy", "no_proxy": "localhost", "BANK_TOKEN": "tok-123456",
}  # fmt: skip
ALWAYS = {"HTTPS_PROXY", "no_proxy"}
OF_CLAUDE = {"ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_MAX_OUTPUT_TOKENS"}


@pytest.mark.parametrize(
    ("name", "switch", "expected"),
    [
        ("claude", {}, OF_CLAUDE),
        ("claude", {"CLAUDE_CODE_USE_BEDROCK": "1"}, OF_CLAUDE | {"AWS_REGION", "CLAUDE_CODE_USE_BEDROCK"}),
        (
            "claude",
            {"CLAUDE_CODE_USE_VERTEX": "1"},
            OF_CLAUDE | {"GOOGLE_CLOUD_PROJECT", "CLOUD_ML_REGION", "CLAUDE_CODE_USE_VERTEX"},
        ),
        ("claude", {"CLAUDE_CODE_USE_BEDROCK": "0"}, OF_CLAUDE | {"CLAUDE_CODE_USE_BEDROCK"}),
        ("codex", {}, {"OPENAI_API_KEY", "CODEX_HOME"}),
        ("gemini", {}, {"GEMINI_API_KEY", "GOOGLE_CLOUD_PROJECT"}),
    ],
)
def test_an_agent_gets_its_own_variables_and_the_proxies_and_nothing_more(
    workspace: Workspace, name: str, switch: dict[str, str], expected: set[str]
) -> None:
    install(workspace, name)
    half = dict(list(OURS.items())[::2])
    (workspace.root / ".env").write_text("".join(f"{key}={value}\n" for key, value in half.items()))
    workspace.environ.update({**{key: value for key, value in OURS.items() if key not in half}, **switch})
    run(workspace, "x", runner=name)
    seen = calls(workspace)[0]["env"]
    assert {key for key in seen if key in OURS or key in switch} == expected | ALWAYS
    listed = {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TZ", "TMPDIR", "LC_CTYPE"}
    assert {key for key in seen if not key.startswith("PURUTO_CRON_")} - expected - ALWAYS <= listed | {
        "CLAUDE_CODE_MAX_RETRIES",
        "CLAUDE_CODE_PRINT_BG_WAIT_CEILING_MS",
    }
    assert seen["PATH"].endswith(str(workspace.home.parent / "agents")), "its own folder, where its node may be"


def test_a_node_next_to_an_agent_comes_before_any_other(workspace: Workspace) -> None:
    install(workspace, "gemini")
    folder = workspace.home.parent / "agents"
    (folder / "node").write_text("#!/bin/sh\n")
    (folder / "node").chmod(0o755)
    run(workspace, "x", runner="gemini")
    run(workspace, "x", runner="gemini", env={"PATH": "/usr/bin:/bin"})
    first, second = (call["env"]["PATH"].split(":") for call in calls(workspace))
    assert first[0] == str(folder)
    assert second == ["/usr/bin", "/bin", str(folder)]


def test_the_jobs_own_variables_win_and_its_secrets_are_masked(workspace: Workspace) -> None:
    install(workspace, "claude")
    workspace.environ["ANTHROPIC_API_KEY"] = "key-ant-123456"
    answer = run(workspace, "[[say the key is key-ant-123456]]", env={"ANTHROPIC_BASE_URL": "http://mine"})
    assert calls(workspace)[0]["env"]["ANTHROPIC_BASE_URL"] == "http://mine"
    assert result_of(answer)["text"] == "the key is ***"


# --- which agent ---


def test_the_first_agent_of_the_settings_that_fits_the_target_and_is_there(workspace: Workspace) -> None:
    install(workspace, "claude", "codex", "gemini", markers=("CLAUDE.md", "AGENTS.md"))
    assert result_of(run(workspace, "x"))["agent"] == "claude"
    workspace.environ["PURUTO_CRON_AGENTS"] = "gemini,codex,claude"
    assert result_of(run(workspace, "x"))["agent"] == "codex"
    (workspace.home.parent / "agents" / "codex").unlink()
    assert result_of(run(workspace, "x"))["agent"] == "claude"


def test_an_invoke_comes_before_an_agent(workspace: Workspace) -> None:
    install(workspace, "claude")
    workspace.add_target(AGENT)
    run(workspace, "x")
    assert calls(workspace) == []


def test_an_agent_that_is_not_installed_is_named_with_where_it_was_looked_for(workspace: Workspace) -> None:
    install(workspace, markers=("CLAUDE.md",))
    workspace.environ["PATH"] = "/usr/bin:/bin"
    error = run(workspace, "x", code=1)["error"]
    assert error["code"] == "RUNNER_NOT_FOUND"
    assert "CLAUDE.md" in error["message"]
    assert "PURUTO_CRON_AGENT_PATH" in error["details"]["hint"]
    error = run(workspace, "x", code=1, runner="codex")["error"]
    assert error["code"] == "RUNNER_NOT_FOUND"
    assert str(workspace.home.parent / "agents") in error["details"]["looked_at"]


def test_what_the_agent_that_was_found_can_not_obey_starts_nothing(workspace: Workspace) -> None:
    install(workspace, "codex", markers=("AGENTS.md",))
    error = run(workspace, "x", code=1, max_turns=3, max_retries=2)["error"]
    assert (error["code"], error["details"]["field"]) == ("AGENT_OPTION_UNSUPPORTED", "max_turns")
    assert calls(workspace) == []


# --- what an agent answers ---


def test_an_answer_is_kept_with_what_it_cost(workspace: Workspace) -> None:
    install(workspace, "claude")
    answer = run(workspace, "[[say Hecho.]] [[turns 3]]")
    assert result_of(answer) == {
        "agent": "claude", "text": "Hecho.", "session_id": "session-1", "num_turns": 3, "total_cost_usd": 0.25,
        "usage": {"input_tokens": 15, "output_tokens": 2},
    }  # fmt: skip
    (row,) = workspace.runs()
    assert (row["runner"], row["session_id"], row["cost_usd"], row["turns"]) == ("claude", "session-1", 0.25, 3)
    assert (row["input_tokens"], row["output_tokens"]) == (15, 2)
    (spent,) = workspace.json("status")["spending"]
    assert (spent["job_id"], spent["runs"], spent["cost_usd"], spent["turns"]) == ("job-0", 1, 0.25, 3)


@pytest.mark.parametrize(
    ("prompt", "fields", "code"),
    [
        ("[[fail it broke]]", {}, "AGENT_FAILED"),
        ("[[fail it broke]] [[exit 0]]", {}, "AGENT_FAILED"),
        ("[[fail Your log has HTTP 429 Too Many Requests and status 401]]", {}, "AGENT_FAILED"),
        ("[[subtype error_during_execution]]", {}, "AGENT_FAILED"),
        ("[[exit 3]]", {}, "AGENT_FAILED"),
        ("[[subtype error_max_budget_usd]]", {}, "AGENT_LIMIT_REACHED"),
        ("[[subtype error_max_turns]]", {}, "AGENT_LIMIT_REACHED"),
        ("[[status 401]]", {}, "AGENT_REFUSED"),
        ("[[fail Invalid API key · Please run /login]]", {}, "AGENT_REFUSED"),
        ("[[denied Bash]]", {"fail_on_permission_denial": True}, "PERMISSION_DENIED"),
        ("no structure", {"json_schema": SCHEMA}, "STRUCTURED_OUTPUT_MISSING"),
        ('[[structured {"a": "x"}]]', {"json_schema": SCHEMA}, "STRUCTURED_OUTPUT_INVALID"),
        ('[[print {"type": "result", "sub]]', {}, "AGENT_OUTPUT_TRUNCATED"),
        ("[[stop max_tokens]]", {}, "AGENT_OUTPUT_TRUNCATED"),
        ("[[say ]]", {}, "INVALID_RESPONSE"),
        ("[[print ]]", {}, "INVALID_RESPONSE"),
        ("[[print Hello there]]", {}, "INVALID_RESPONSE"),
        ("[[print []]]", {}, "INVALID_RESPONSE"),
        ('[[print {"type": "system"}]]', {}, "INVALID_RESPONSE"),
        ("[[print ]] [[exit 7]]", {}, "NONZERO_EXIT"),
    ],
)
def test_what_claude_answers_when_something_is_wrong(
    workspace: Workspace, prompt: str, fields: dict[str, Any], code: str
) -> None:
    install(workspace, "claude")
    answer = run(workspace, prompt, code=1, **fields)
    assert answer["error"]["code"] == code
    (row,) = workspace.runs()
    assert row["status"] == "error"
    told = "[[print" not in prompt
    assert row["cost_usd"] == (0.25 if told else None), "what a failed run has cost counts all the same"


@pytest.mark.parametrize(
    ("name", "prompt", "code"),
    [
        ("codex", "[[fail it broke]]", "AGENT_FAILED"),
        ("codex", "[[fail unexpected status 401 Unauthorized]]", "AGENT_REFUSED"),
        ("codex", "[[fail unexpected status 503 Service Unavailable: no, url: http://x]]", "AGENT_OVERLOADED"),
        ("codex", "[[fail We’re currently experiencing high demand]]", "AGENT_OVERLOADED"),
        ("codex", "[[fail unexpected status 404 Not Found: no, url: http://h:42900/401/529]]", "AGENT_REQUEST_INVALID"),
        ("codex", "[[fail line 429 of 529 is wrong]]", "AGENT_FAILED"),
        ("codex", "[[cut 1]]", "AGENT_OUTPUT_TRUNCATED"),
        ("codex", '[[print {"type": "thread.star]]', "AGENT_OUTPUT_TRUNCATED"),
        ("codex", "[[print no json]]", "INVALID_RESPONSE"),
        ("codex", "[[print ]] [[exit 2]]", "NONZERO_EXIT"),
        ("codex", "[[say ]]", "INVALID_RESPONSE"),
        ("gemini", "[[fail it broke]]", "AGENT_FAILED"),
        ("gemini", "[[fail quota: RESOURCE_EXHAUSTED]]", "AGENT_OVERLOADED"),
        ("gemini", "[[fail not now]] [[status 429]]", "AGENT_OVERLOADED"),
        ("gemini", "[[fail not now]] [[status 503]]", "AGENT_OVERLOADED"),
        ("gemini", "[[fail not you]] [[status 401]]", "AGENT_REFUSED"),
        ("gemini", "[[fail API key not valid. Please pass a valid API key.]] [[status 400]]", "AGENT_REFUSED"),
        ("gemini", "[[fail a model of 429 words]] [[status 400]]", "AGENT_REQUEST_INVALID"),
        ("gemini", '[[print {"session_id": "x"}]]', "INVALID_RESPONSE"),
        ("gemini", '[[print {"response": "x]]', "AGENT_OUTPUT_TRUNCATED"),
        ("gemini", "[[print ]] [[exit 2]]", "NONZERO_EXIT"),
    ],
)
def test_what_the_others_answer_when_something_is_wrong(
    workspace: Workspace, name: str, prompt: str, code: str
) -> None:
    install(workspace, name)
    answer = run(workspace, prompt, code=1, runner=name, retry_backoff_sec=0)
    assert answer["error"]["code"] == code


def test_a_denied_tool_is_told_and_no_failure_unless_the_job_says_so(workspace: Workspace) -> None:
    install(workspace, "claude")
    assert result_of(run(workspace, "[[denied Bash]]"))["permission_denials"] == ["Bash"]


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("claude", "[[status 529]]"),
        ("claude", "[[status 429]]"),
        ("claude", "[[fail API Error: Repeated 529 Overloaded errors.]]"),
        ("codex", "[[fail exceeded retry limit, last status: 429 Too Many Requests]]"),
    ],
)
def test_an_overloaded_provider_is_worth_two_retries_even_in_a_job_without_any(
    workspace: Workspace, name: str, prompt: str
) -> None:
    install(workspace, name)
    answer = run(workspace, prompt, code=1, runner=name, retry_backoff_sec=0)
    assert (answer["error"]["code"], answer["attempts"]) == ("AGENT_OVERLOADED", 3)
    assert len(calls(workspace)) == 3


def test_what_would_fail_again_is_not_retried(workspace: Workspace) -> None:
    install(workspace, "claude")
    for prompt in ("[[status 401]]", "[[subtype error_max_turns]]"):
        assert run(workspace, prompt, code=1, max_retries=3, retry_backoff_sec=0)["attempts"] == 1


def test_a_long_answer_is_cut_in_the_result_and_whole_in_its_file(workspace: Workspace) -> None:
    install(workspace, "claude")
    found = result_of(run(workspace, f"[[say {'ñ' * 50_000}]]"))
    assert (len(found["text"].encode()), found["text_truncated"]) == (65_536, True)
    (row,) = workspace.runs()
    with open(f"{row['output_dir']}/attempt-1.answer", encoding="utf-8") as file:
        assert file.read() == "ñ" * 50_000


def test_success_asks_for_what_the_agent_said_and_not_for_what_is_around_it(workspace: Workspace) -> None:
    install(workspace, "claude")
    good = {"stdout_matches": "^Hecho$", "stdout_not_matches": "session_id"}
    assert run(workspace, "[[say Hecho]]", success=good)["status"] == "ok"
    error = run(workspace, "[[say No]]", code=1, success=good)["error"]
    assert error["code"] == "SUCCESS_CHECK_FAILED"
    assert workspace.runs()[-1]["cost_usd"] == 0.25


# --- sessions ---


def again(workspace: Workspace, code: int = 0) -> dict[str, Any]:
    return workspace.json("run-now", "job-0", code=code)


def test_by_default_each_run_is_a_new_session_and_nothing_is_kept(workspace: Workspace) -> None:
    install(workspace, "claude")
    assert "session" not in run(workspace, "x")["result"]
    again(workspace)
    assert [call for call in calls(workspace) if "--resume" in str(call["argv"])] == []
    assert workspace.json("sessions")["sessions"] == []


@pytest.mark.parametrize("name", ["claude", "codex", "gemini"])
def test_a_shared_session_is_continued_and_a_lost_one_starts_again_with_a_note(workspace: Workspace, name: str) -> None:
    target = install(workspace, name)
    first = run(workspace, "x", runner=name, session_mode="shared_persistent")["result"]["session"]
    assert first == {"mode": "shared_persistent", "session_id": "session-1", "resumed": False}
    second = again(workspace)["result"]["session"]
    assert second == {"mode": "shared_persistent", "session_id": "session-1", "resumed": True}
    assert "session-1" in str(calls(workspace)[1]["argv"])
    (target / "sessions.txt").write_text("session-8 session-9")
    third = again(workspace)
    assert third["result"]["session"] == {
        "mode": "shared_persistent", "session_id": "session-3", "resumed": False, "lost_session_id": "session-1",
    }  # fmt: skip
    assert third["attempt"] == 1
    assert again(workspace)["result"]["session"]["session_id"] == "session-3"
    (kept,) = workspace.json("sessions")["sessions"]
    assert (kept["job_id"], kept["runner"], kept["session_id"]) == ("job-0", name, "session-3")
    assert workspace.json("sessions", "reset", "job-0") == {"status": "ok", "job_id": "job-0", "was_kept": True}
    assert again(workspace)["result"]["session"]["resumed"] is False


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("claude", "Prompt is too long"),
        ("claude", "API Error: 400 messages.3: `tool_use` ids were found without `tool_result` blocks"),
        (
            "claude",
            "API Error: 400 messages.1.content.5: `thinking` blocks in the latest message cannot be modified.",
        ),
        ("claude", "Session ID session-1 is already in use."),
        ("codex", "Codex ran out of room in the model's context window. Start a new conversation."),
        (
            "codex",
            'unexpected status 400 Bad Request: {"error": {"message": "No tool output found for function call c."}}',
        ),
        ("gemini", "The input token count (1048577) exceeds the maximum number of tokens allowed"),
    ],
)
def test_a_session_that_is_too_long_or_broken_is_left_and_a_new_one_begun(
    workspace: Workspace, name: str, says: str
) -> None:
    install(workspace, name)
    run(workspace, f"[[full {says}]]", runner=name, session_mode="shared_persistent")
    second = again(workspace)
    assert second["result"]["session"]["lost_session_id"] == "session-1"
    assert (second["attempt"], len(calls(workspace))) == (1, 3)
    shown = " ".join(workspace.run("show", second["run_id"], "--text").stdout.decode().split())
    assert "Session session-1 could not be continued" in shown
    assert again(workspace)["result"]["session"]["lost_session_id"] == second["result"]["session"]["session_id"]


def test_a_session_that_counts_on_is_counted_once(workspace: Workspace) -> None:
    """`codex` tells what all turns of its session have used, not only the last one."""
    install(workspace, "codex")
    fields: dict[str, Any] = {"runner": "codex", "session_mode": "shared_persistent", "retry_backoff_sec": 0}
    beat = {"enabled": True, "context_mode": "shared_persistent", "max_iterations": 2}
    run(workspace, "x", **fields)
    again(workspace)
    run(workspace, "[[say no]]", code=1, success={"stdout_matches": "yes"}, max_retries=1, **fields)
    run(workspace, "x", **fields, heartbeat=beat)
    used = [(row["turns"], row["input_tokens"], row["output_tokens"]) for row in workspace.runs()]
    assert used == [(1, 12, 5), (1, 12, 5), (2, 24, 10), (2, 24, 10)]
    assert workspace.json("sessions")["sessions"][0]["session_id"] == "session-1"
    (spent,) = workspace.json("status")["spending"]
    assert (spent["turns"], spent["input_tokens"]) == (6, 72)


def test_a_session_of_another_runner_is_no_session_of_this_one(workspace: Workspace) -> None:
    install(workspace, "claude", "codex", markers=("CLAUDE.md", "AGENTS.md"))
    run(workspace, "x", runner="claude", session_mode="shared_persistent")
    told = run(workspace, "x", runner="codex", session_mode="shared_persistent")["result"]["session"]
    assert (told["resumed"], told["lost_session_id"], told["session_id"]) == (False, "session-1", "session-2")
    assert "resume" not in calls(workspace)[-1]["argv"]
    assert again(workspace)["result"]["session"]["resumed"] is True


def test_a_summary_of_the_last_run_stands_before_the_prompt_bounded_and_masked(workspace: Workspace) -> None:
    install(workspace, "claude")
    workspace.environ["MY_TOKEN"] = "open-sesame-123"
    said = "x" * 5000 + " open-sesame-123 the end"
    run(workspace, f"[[say {said}]]", session_mode="ephemeral_with_summary")
    second = again(workspace)
    first_run = workspace.runs()[0]["run_id"]
    assert second["result"]["session"]["previous_run"] == first_run
    prompt = calls(workspace)[1]["prompt"]
    assert prompt.startswith("What the previous run of this job reported:\n\n…xxx")
    assert "*** the end\n\n---\n\n[[say" in prompt
    assert len(prompt) < 5000 + 4200 + 200
    assert "open-sesame" not in workspace.run("sessions", "job-0").stdout.decode()


def test_a_run_that_fails_leaves_the_memory_as_it_is(workspace: Workspace) -> None:
    target = install(workspace, "claude")
    run(workspace, "[[say one]]", session_mode="ephemeral_with_summary")
    (target / "CLAUDE.md").unlink()
    again(workspace, code=1)
    (kept,) = workspace.json("sessions")["sessions"]
    assert kept["summary"] == "one"


def test_an_invoke_is_told_in_its_request_and_may_name_a_session(workspace: Workspace) -> None:
    invoke = (
        PYTHON
        + """import json, sys
request = json.load(sys.stdin)
open("payloads.jsonl", "a").write(json.dumps(request["payload"]) + "\\n")
print(json.dumps({"request_id": request["request_id"], "correlation_id": request["correlation_id"], "status": "ok",
                  "duration_ms": 1, "result": {"summary": "did it", "session_id": "mine-1"}}))
"""
    )
    target = workspace.add_target(AGENT, invoke=invoke)

    def payloads() -> list[dict[str, Any]]:
        return [json.loads(line) for line in (target / "payloads.jsonl").read_text().splitlines()]

    run(workspace, "x", session_mode="shared_persistent")
    again(workspace)
    assert ["session_id" in payload for payload in payloads()] == [False, True]
    assert payloads()[1]["session_id"] == "mine-1"
    run(workspace, "x", session_mode="ephemeral_with_summary")
    assert payloads()[2]["previous_summary"] == "did it"
    assert "session_id" not in payloads()[2]


def test_a_command_is_told_in_its_request_file(workspace: Workspace) -> None:
    script = (
        "import json, os\nrequest = json.load(open(os.environ['PURUTO_CRON_REQUEST_FILE']))\n"
        "print('before:', request['payload'].get('previous_summary'))"
    )
    workspace.add_target(invoke=None)
    workspace.ready(python(script, session_mode="ephemeral_with_summary"))
    again(workspace)
    assert again(workspace)["result"]["response"]["result"]["stdout"] == "before: before: None\n"


@pytest.mark.parametrize("words", [("nobody",), ("reset", "nobody")])
def test_sessions_of_a_job_that_does_not_exist(workspace: Workspace, words: tuple[str, ...]) -> None:
    workspace.ready()
    assert workspace.json("sessions", *words, code=1)["error"]["code"] == "JOB_NOT_FOUND"
    assert workspace.json("sessions", "a", "b", "c", code=2)["error"]["code"] == "USAGE"


def test_a_session_that_is_a_secret_is_given_back_and_shown_to_nobody(workspace: Workspace) -> None:
    invoke = (
        PYTHON
        + """import json, os, sys
request = json.load(sys.stdin)
open("sessions.jsonl", "a").write(json.dumps(request["payload"].get("session_id")) + "\\n")
print(json.dumps({"request_id": request["request_id"], "correlation_id": request["correlation_id"], "status": "ok",
                  "duration_ms": 1, "result": {"summary": "did it", "session_id": os.environ["THREAD"]}}))
"""
    )
    target = workspace.add_target(AGENT, invoke=invoke)
    workspace.environ["THREAD"] = "open-sesame-123"
    run(workspace, "x", session_mode="shared_persistent", allow_env=["THREAD"])
    again(workspace)
    assert (target / "sessions.jsonl").read_text() == 'null\n"open-sesame-123"\n'
    for words in (("sessions",), ("sessions", "job-0")):
        (kept,) = workspace.json(*words)["sessions"]
        assert kept["session_id"] == "***"


def test_reset_without_a_job_is_a_usage_error_unless_a_job_has_that_name(workspace: Workspace) -> None:
    workspace.add_target()
    workspace.ready({"job_id": "other"})
    error = workspace.json("sessions", "reset", code=2)["error"]
    assert (error["code"], "reset JOB_ID" in error["details"]["hint"]) == ("USAGE", True)
    workspace.write_jobs({"job_id": "other"}, {"job_id": "reset"})
    workspace.json("sync-jobs")
    assert workspace.json("sessions", "reset")["sessions"] == []
