"""`gemini`: Google's Gemini CLI. Source: geminicli.com/docs/cli/headless, and what 0.61.0 was seen to print."""

from __future__ import annotations

from collections.abc import Iterator

from core import strict_json
from core.invocation import Answer, Invocation, Usage
from invocation.runners.agents import base as agent
from invocation.runners.agents.base import AgentRunner
from invocation.runners.base import Ending, nonzero_exit, read_head, read_tail

_LOST_SESSION = ("Invalid session identifier", "No previous sessions found")
_APPROVAL = {
    "plan": "plan",
    "default": "default",
    "dontAsk": "default",
    "acceptEdits": "auto_edit",
    "auto": "auto_edit",
    "bypassPermissions": "yolo",
}


class GeminiRunner(AgentRunner):
    """Success is a response without an error, and exit code 0."""

    name = "gemini"
    title = "Google's Gemini CLI"
    markers = ("GEMINI.md",)
    # It tells no dollars either.
    unsupported = (
        "allowed_tools",
        "fail_on_permission_denial",
        "max_budget_usd",
        "max_cost_usd_per_day",
        "max_turns",
        "append_system_prompt",
        "json_schema",
    )
    prefixes = ("GEMINI_", "GOOGLE_")
    install = "npm install -g @google/gemini-cli."

    def arguments(self, invocation: Invocation) -> Iterator[str]:
        asked = invocation.agent
        # Nobody is there to say whether the folder is trusted: whoever declared the job has said so.
        yield from ("--output-format", "json", "--skip-trust")
        if asked.permission_mode:
            yield f"--approval-mode={_APPROVAL[asked.permission_mode]}"
        if asked.model:
            yield f"--model={asked.model}"
        if invocation.context.session_id:
            yield f"--resume={invocation.context.session_id}"

    def read(self, invocation: Invocation, ending: Ending) -> Answer:
        data, size = read_head(ending.stdout, agent.OUTPUT_LIMIT)
        told = agent.parse_object(self.name, data, size, ending)
        said = read_tail(ending.stderr)
        if told is None:
            if invocation.context.session_id and any(words in said for words in _LOST_SESSION):
                raise agent.lost(self.name, invocation, said)
            if ending.exit_code == 0:
                raise agent.invalid(self.name, "it printed nothing", ending)
            # Failures are told on stderr, as an object behind whatever else stands there.
            found = _last_object(said)
            if found is None:
                raise nonzero_exit(self.name, ending)
            told = found
        session, usage = _text(told.get("session_id")), _usage(told.get("stats"))
        error = told.get("error")
        if error is not None or ending.exit_code != 0:
            message = _text(error.get("message")) if isinstance(error, dict) else ""
            status = _status(error.get("code")) if isinstance(error, dict) else None
            return agent.failed(self.name, ending, message or said, usage=usage, session_id=session, status=status)
        if not isinstance(told.get("response"), str):
            raise agent.invalid(self.name, "response is missing", ending)
        more = {"usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}}
        text = _text(told.get("response"))
        return agent.conclude(self.name, invocation, ending, text, usage=usage, session_id=session, more=more)


def _last_object(text: str) -> dict[str, object] | None:
    """The JSON object that begins at the start of a line and goes on to the end of the text."""
    start = text.rfind("\n{\n")
    try:
        found = strict_json.parse(text[max(start, 0) :].encode("utf-8", "replace"))
    except strict_json.BadJson:
        return None
    return found if isinstance(found, dict) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _status(code: object) -> int | None:
    """The provider's HTTP status; other codes are the program's own."""
    return code if isinstance(code, int) and 400 <= code <= 599 else None


def _usage(stats: object) -> Usage:
    models = stats.get("models") if isinstance(stats, dict) else None
    entries = [entry for entry in models.values() if isinstance(entry, dict)] if isinstance(models, dict) else []
    tokens = [entry["tokens"] for entry in entries if isinstance(entry.get("tokens"), dict)]
    asked = [entry["api"] for entry in entries if isinstance(entry.get("api"), dict)]
    return Usage(
        turns=sum(agent.whole_number(entry.get("totalRequests")) for entry in asked),
        input_tokens=sum(agent.whole_number(entry.get("prompt")) for entry in tokens),
        output_tokens=sum(agent.whole_number(entry.get("candidates")) for entry in tokens),
    )


KIND = GeminiRunner()
