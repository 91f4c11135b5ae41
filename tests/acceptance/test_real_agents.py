"""The real programs of agents, from npm, run by the whole program; only their providers are ours, on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.invocation import SLEEP_MARKER
from tests.support_agents import agent_job
from tests.support_provider import Answer, Call, Fail, Garble, Hold, Provider, Say, provider
from tests.support_provider_forms import INPUT_TOKENS, OUTPUT_TOKENS
from tests.support_real_agents import CLIS, PROMPT, Cli, connect, conversation_of, reason_without, texts_of
from tests.workspace import Workspace, is_running, wait_for

pytestmark = [pytest.mark.full, pytest.mark.timeout(150)]
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
only_claude = pytest.mark.parametrize("cli", ["claude"], indirect=True)
only_others = pytest.mark.parametrize("cli", ["codex", "gemini"], indirect=True)


@pytest.fixture(params=sorted(CLIS))
def cli(request: pytest.FixtureRequest) -> Cli:
    found = CLIS[request.param]
    if reason := reason_without(found):
        pytest.skip(reason)
    return found


@dataclass
class Scene:
    """One program, its provider, and a puruto-cron that runs it."""

    workspace: Workspace
    cli: Cli
    provider: Provider
    target: Path

    def run(self, prompt: str, *answers: Answer, code: int = 0, **fields: object) -> dict[str, Any]:
        """One run of a job that is written anew; what `run-now` prints."""
        self.provider.answers[:] = answers
        fields = {"timeout_sec": 90, "retry_backoff_sec": 0, **fields}
        self.workspace.write_jobs(agent_job(prompt, **fields))
        self.workspace.json("init-db")
        return self.workspace.json("run-now", "job-0", code=code)

    def fail(self, prompt: str, *answers: Answer, **fields: object) -> dict[str, Any]:
        """The error of one run."""
        error = self.run(prompt, *answers, code=1, **fields)["error"]
        assert isinstance(error, dict)
        return error


@pytest.fixture
def scene(cli: Cli, workspace: Workspace) -> Iterator[Scene]:
    with provider() as server:
        yield Scene(workspace, cli, server, connect(workspace, cli, server))


def result_of(answer: dict[str, Any]) -> dict[str, Any]:
    found = answer["result"]["response"]["result"]
    assert isinstance(found, dict)
    return found


# --- a run that ends well ---


def test_the_prompt_arrives_whole_and_the_answer_is_kept_with_what_it_cost(scene: Scene) -> None:
    answer = scene.run(PROMPT)
    (asked,) = scene.provider.asked
    assert conversation_of(asked) == [PROMPT]
    assert scene.cli.key in str(asked.headers)
    assert "You are the stone of the arch." in json.dumps(asked.body), "the target's own instructions"

    found = result_of(answer)
    assert (found["agent"], found["text"].strip()) == (scene.cli.name, PROMPT)
    assert found["usage"] == {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
    (row,) = scene.workspace.runs()
    assert (row["status"], row["runner"], row["turns"]) == ("ok", scene.cli.name, 1)
    assert (row["input_tokens"], row["output_tokens"]) == (INPUT_TOKENS, OUTPUT_TOKENS)
    assert row["session_id"] == found["session_id"] != ""
    assert (row["cost_usd"] > 0) == (scene.cli.name == "claude"), "the others do not say what they cost"

    (event,) = scene.workspace.events()
    assert (event["result"]["status"], event["result"]["response"]["result"]) == ("ok", found)
    shown = scene.workspace.json("show", answer["run_id"])
    assert shown["run"]["session_id"] == row["session_id"]
    assert shown["run"]["cost_usd"] == row["cost_usd"]
    assert shown["calls"][0]["request"]["prompt"] == PROMPT
    (past,) = scene.workspace.json("history")["runs"]
    assert (past["run_id"], past["cost_usd"]) == (answer["run_id"], row["cost_usd"])
    (spent,) = scene.workspace.json("status")["spending"]
    assert (spent["turns"], spent["input_tokens"], spent["cost_usd"]) == (1, INPUT_TOKENS, row["cost_usd"])
    assert scene.cli.key not in texts_of(scene.workspace, answer)


def test_its_tools_see_its_own_variables_and_nothing_else_of_ours(scene: Scene) -> None:
    ours = {"BANK_DETAILS": "of-nobody's-business", "MY_NOTES": "not-asked-for"}
    scene.workspace.environ |= ours
    wish = scene.cli.shell("env > seen.txt")
    fields: dict[str, Any] = {**scene.cli.tool_fields, "env": {"OF_THE_JOB": "yes"}, "allow_env": ["MY_NOTES"]}
    answer = scene.run("x", wish, Say("done"), **fields)
    assert result_of(answer)["text"] == "done"
    seen = (scene.target / "seen.txt").read_text(encoding="utf-8")
    assert "OF_THE_JOB=yes\n" in seen
    assert "MY_NOTES=not-asked-for\n" in seen
    assert f"PURUTO_CRON_RUN_ID={answer['run_id']}\n" in seen
    assert scene.cli.key in seen
    assert "BANK_DETAILS" not in seen
    assert len(scene.provider.asked) == 2


def test_a_shared_session_goes_on_and_one_whose_files_are_gone_begins_anew_and_says_so(scene: Scene) -> None:
    fields: dict[str, Any] = {"session_mode": "shared_persistent"}
    if scene.cli.name == "codex":
        # What a job adds must stand before `resume`, which does not know it.
        fields["agent_args"] = ["--config", 'model="gpt-5.1"', "--add-dir", "/"]
    first = scene.run("first words", Say("one"), **fields)["result"]["session"]
    second = scene.run("second words", Say("two"), **fields)["result"]["session"]
    assert (first["resumed"], second["resumed"]) == (False, True)
    assert second["session_id"] == first["session_id"]
    assert conversation_of(scene.provider.asked[-1]) == ["first words", "second words"]
    assert [row["input_tokens"] for row in scene.workspace.runs()] == [INPUT_TOKENS, INPUT_TOKENS]

    scene.cli.forget(scene.workspace.home.parent, first["session_id"])
    answer = scene.run("third words", Say("three"), **fields)
    third = answer["result"]["session"]
    assert (third["resumed"], third["lost_session_id"]) == (False, first["session_id"])
    assert third["session_id"] not in ("", first["session_id"])
    assert conversation_of(scene.provider.asked[-1]) == ["third words"]
    assert answer["attempt"] == 1
    assert scene.workspace.events()[-1]["result"]["session"]["lost_session_id"] == first["session_id"]

    if scene.cli.name != "gemini":
        return
    # Another session is there now: then gemini says otherwise that it does not know the one that is asked for.
    scene.workspace.sql("UPDATE sessions SET session_id = ?", (first["session_id"],))
    fourth = scene.run("fourth words", Say("four"), **fields)["result"]["session"]
    assert fourth["lost_session_id"] == first["session_id"]
    assert conversation_of(scene.provider.asked[-1]) == ["fourth words"]


def test_a_heartbeat_calls_it_again_in_one_session_until_it_sleeps(scene: Scene) -> None:
    beat = {"enabled": True, "context_mode": "shared_persistent", "max_iterations": 3}
    answer = scene.run("watch", Say("something to do"), Say(f"all done\n{SLEEP_MARKER}"), heartbeat=beat)
    assert [call["sleep"] for call in answer["result"]["heartbeat"]["iterations"]] == [False, True]
    before, after = (conversation_of(asked) for asked in scene.provider.asked)
    assert (len(before), len(after)) == (1, 2)
    assert after[0] == before[0]
    (row,) = scene.workspace.runs()
    assert (row["iterations"], row["input_tokens"]) == (2, 2 * INPUT_TOKENS)


# --- what a job asks for ---


@only_claude
def test_claude_is_given_all_that_the_job_says(scene: Scene) -> None:
    more = scene.workspace.home.parent / "more"
    more.mkdir()
    answer = scene.run(
        "x", Call("StructuredOutput", {"a": 7}), model="claude-haiku-4-5", append_system_prompt="-Sé breve, ¿eh?",
        json_schema=SCHEMA, allowed_tools=["Read", "Bash(git *)"], permission_mode="plan", max_turns=5,
        max_budget_usd=5, agent_args=["--add-dir", str(more)],
    )  # fmt: skip
    assert result_of(answer)["structured_output"] == {"a": 7}
    (asked,) = scene.provider.asked
    assert asked.model == "claude-haiku-4-5"
    assert "-Sé breve, ¿eh?" in asked.system
    assert str(more) in asked.system
    (tool,) = (tool for tool in asked.body["tools"] if tool["name"] == "StructuredOutput")
    assert tool["input_schema"]["required"] == ["a"]


@only_claude
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"max_turns": 1, "allowed_tools": ["Bash"]}, "AGENT_LIMIT_REACHED"),
        ({"max_budget_usd": 0.0001, "allowed_tools": ["Bash"]}, "AGENT_LIMIT_REACHED"),
        ({"fail_on_permission_denial": True}, "PERMISSION_DENIED"),
    ],
)
def test_claude_ends_where_the_job_says(scene: Scene, fields: dict[str, Any], code: str) -> None:
    wish = scene.cli.shell("touch made.txt")
    error = scene.fail("x", wish, Say("done"), **fields)
    assert error["code"] == code, error
    (row,) = scene.workspace.runs()
    assert row["cost_usd"] > 0, "what it has used counts all the same"
    assert (scene.target / "made.txt").exists() == ("max_turns" in fields)


@only_claude
def test_a_schema_that_the_model_of_claude_ignores_is_a_failure(scene: Scene) -> None:
    error = scene.fail("x", Say("I would rather not"), json_schema=SCHEMA)
    assert error["code"] == "STRUCTURED_OUTPUT_MISSING"


@pytest.mark.parametrize("cli", ["codex"], indirect=True)
def test_codex_is_given_the_model_and_the_schema(scene: Scene) -> None:
    answer = scene.run("x", Say('{"a": 7}'), model="gpt-5.1", json_schema=SCHEMA, permission_mode="plan")
    assert result_of(answer)["structured_output"] == {"a": 7}
    (asked,) = scene.provider.asked
    assert asked.model == "gpt-5.1"
    assert asked.body["text"]["format"]["schema"] == SCHEMA
    assert "read-only" in json.dumps(asked.body["input"])
    assert scene.fail("x", Say("no"), json_schema=SCHEMA)["code"] == "STRUCTURED_OUTPUT_MISSING"
    assert scene.fail("x", Say('{"a": "x"}'), json_schema=SCHEMA)["code"] == "STRUCTURED_OUTPUT_INVALID"


@pytest.mark.parametrize("cli", ["gemini"], indirect=True)
def test_gemini_is_given_the_model_and_what_it_may_do(scene: Scene) -> None:
    wish = scene.cli.shell("touch made.txt")
    scene.run("x", wish, Say("done"), model="gemini-2.5-pro", permission_mode="acceptEdits")
    asked = scene.provider.asked[0]
    assert asked.model == "gemini-2.5-pro"
    assert "write_file" in json.dumps(asked.body["tools"])
    assert not (scene.target / "made.txt").exists(), "edits were allowed, and no shell"


@only_others
def test_what_an_agent_has_no_option_for_is_refused_before_it_is_started(scene: Scene) -> None:
    error = scene.fail("x", max_turns=3)
    assert (error["code"], error["details"]["runner"]) == ("AGENT_OPTION_UNSUPPORTED", scene.cli.name)
    assert scene.provider.asked == []


# --- a run that fails ---


def test_an_error_of_the_provider_has_its_code_and_tells_no_key(scene: Scene) -> None:
    # What was wrong with a request is known where the program tells its status.
    rejected, failed = "AGENT_REQUEST_INVALID", "AGENT_FAILED"
    wrong = {"claude": (rejected, rejected), "codex": (failed, rejected), "gemini": (rejected, failed)}[scene.cli.name]
    codes = {400: wrong[0], 401: "AGENT_REFUSED", 403: "AGENT_REFUSED", 404: wrong[1]}
    for status, code in codes.items():
        told = scene.run("x", Fail(status, f"not with the key {scene.cli.key} of yours"), code=1)
        assert (status, told["error"]["code"], told["attempts"]) == (status, code, 1), told["error"]
        assert scene.workspace.events()[-1]["error"]["code"] == code
        assert scene.cli.key not in json.dumps(told)
    told = scene.run("x", Garble(), code=1)
    assert told["error"]["code"] == "AGENT_FAILED", told["error"]
    assert len(scene.workspace.events()) == len(codes) + 1
    refused = next(run for run in scene.workspace.json("history")["runs"] if run["error_code"] == "AGENT_REFUSED")
    texts = texts_of(scene.workspace, refused)
    assert "not with the key" in texts
    assert scene.cli.key not in texts


@pytest.mark.parametrize("status", [429, 503])
def test_an_overloaded_provider_is_asked_again(scene: Scene, status: int) -> None:
    answer = scene.run("x", Fail(status), Say("now I have time"))
    assert (answer["attempt"], result_of(answer)["text"]) == (2, "now I have time")
    assert len(scene.provider.asked) == 2


def test_at_its_timeout_the_program_and_all_that_it_started_are_ended(scene: Scene) -> None:
    pids = scene.target / "pids.txt"
    wish = scene.cli.shell("sh -c 'echo $$ > pids.tmp; echo $PPID >> pids.tmp; mv pids.tmp pids.txt; sleep 300; true'")
    # On a busy machine a program may need longer to come as far as its tool.
    for seconds in (4, 15, 45):
        error = scene.fail("x", wish, Hold(), timeout_sec=seconds, **scene.cli.tool_fields)
        assert (error["code"], error["details"]["timeout_sec"]) == ("TIMEOUT", seconds)
        if pids.exists():
            break
    found = [int(pid) for pid in wait_for(pids.read_text, what="the tool's pid", seconds=1).split()]
    assert len(found) == 2
    assert [pid for pid in found if is_running(pid)] == []
    assert error["details"]["alive_count"] >= 2, "the shell of the tool, and what that started"


def test_a_program_that_is_nowhere_is_named(workspace: Workspace, tmp_path: Path) -> None:
    workspace.environ |= {"PURUTO_CRON_AGENT_PATH": str(tmp_path), "PATH": "/nowhere"}
    workspace.add_target("puruto-agent", invoke=None)
    workspace.write_jobs(agent_job("x", runner="codex"))
    workspace.json("init-db")
    if (place := Path("/usr/local/bin/codex")).exists():
        pytest.skip(f"{place} is installed here")
    error = workspace.json("run-now", "job-0", code=1)["error"]
    assert error["code"] == "RUNNER_NOT_FOUND"
    assert str(tmp_path) in error["details"]["looked_at"]
    assert "npm install -g @openai/codex" in error["details"]["hint"]
