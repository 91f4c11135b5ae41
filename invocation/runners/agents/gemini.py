"""`gemini`: Google's Gemini CLI. Source: geminicli.com/docs/cli/headless, and the output of version 0.61.0."""

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
    """Success: a response without an error, and exit code 0."""

    name = "gemini"
    title = "Google's Gemini CLI"
    markers = ("GEMINI.md",)
    # It does not report a cost either.
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
        options = invocation.agent
        # Nobody could answer whether to trust the folder; the owner of the job trusts it.
        yield from ("--output-format", "json", "--skip-trust")
        if options.permission_mode:
            yield f"--approval-mode={_APPROVAL[options.permission_mode]}"
        if options.model:
            yield f"--model={options.model}"
        if invocation.context.session_id:
            yield f"--resume={invocation.context.session_id}"

    def read(self, invocation: Invocation, ending: Ending) -> Answer:
        data, size = read_head(ending.stdout, agent.OUTPUT_LIMIT)
        report = agent.parse_object(self.name, data, size, ending)
        stderr = read_tail(ending.stderr)
        if report is None:
            if invocation.context.session_id and any(words in stderr for words in _LOST_SESSION):
                raise agent.lost(self.name, invocation, stderr)
            if ending.exit_code == 0:
                raise agent.invalid(self.name, "it printed nothing", ending)
            # It reports failures on stderr, as an object after other text.
            failure = _last_object(stderr)
            if failure is None:
                raise nonzero_exit(self.name, ending)
            report = failure
        session, usage = _text(report.get("session_id")), _usage(report.get("stats"))
        error = report.get("error")
        if error is not None or ending.exit_code != 0:
            message = _text(error.get("message")) if isinstance(error, dict) else ""
            status = _status(error.get("code")) if isinstance(error, dict) else None
            return agent.failed(self.name, ending, message or stderr, usage=usage, session_id=session, status=status)
        if not isinstance(report.get("response"), str):
            raise agent.invalid(self.name, "response is missing", ending)
        extra = {"usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}}
        text = _text(report.get("response"))
        return agent.conclude(self.name, invocation, ending, text, usage=usage, session_id=session, extra=extra)


def _last_object(text: str) -> dict[str, object] | None:
    """The JSON object from the start of a line to the end of the text; None if there is none."""
    start = text.rfind("\n{\n")
    try:
        value = strict_json.parse(text[max(start, 0) :].encode("utf-8", "replace"))
    except strict_json.BadJson:
        return None
    return value if isinstance(value, dict) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _status(code: object) -> int | None:
    """The HTTP status of the provider; None for the program's own codes."""
    return code if isinstance(code, int) and 400 <= code <= 599 else None


def _usage(stats: object) -> Usage:
    models = stats.get("models") if isinstance(stats, dict) else None
    entries = [entry for entry in models.values() if isinstance(entry, dict)] if isinstance(models, dict) else []
    tokens = [entry["tokens"] for entry in entries if isinstance(entry.get("tokens"), dict)]
    requests = [entry["api"] for entry in entries if isinstance(entry.get("api"), dict)]
    return Usage(
        turns=sum(agent.whole_number(entry.get("totalRequests")) for entry in requests),
        input_tokens=sum(agent.whole_number(entry.get("prompt")) for entry in tokens),
        output_tokens=sum(agent.whole_number(entry.get("candidates")) for entry in tokens),
    )


KIND = GeminiRunner()
