"""`codex`: OpenAI's Codex CLI, `codex exec --json`. Source: its `--help`, and the output of version 0.169.0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from core import strict_json
from core.invocation import Answer, Invocation, Usage
from core.invocation_errors import StructuredOutputMissing
from invocation.runners.agents.base import AgentRunner, schema_text
from invocation.runners.agents.outcomes import (
    Report,
    conclude,
    count_of,
    failed,
    members_of,
    since,
    text_of,
    truncated,
)
from invocation.runners.base import Ending

#: The beginnings of the types of its events, and the events that end a turn.
_EVENTS = ("thread.", "turn.", "item.", "error")
_ENDS = ("turn.completed", "turn.failed")
#: Permission modes of Claude Code, and codex's sandbox options for them. `exec` asks nobody for permission.
_SANDBOX = {
    "plan": ("--sandbox", "read-only"),
    "default": ("--sandbox", "read-only"),
    "dontAsk": ("--sandbox", "read-only"),
    "acceptEdits": ("--sandbox", "workspace-write"),
    "auto": ("--sandbox", "workspace-write"),
    "bypassPermissions": ("--dangerously-bypass-approvals-and-sandbox",),
}


class CodexRunner(AgentRunner):
    """Success: a completed turn with a message, and exit code 0."""

    name = "codex"
    title = "OpenAI's Codex CLI"
    markers = ("AGENTS.md",)
    # It does not report a cost either.
    unsupported = (
        "allowed_tools",
        "fail_on_permission_denial",
        "max_budget_usd",
        "max_cost_usd_per_day",
        "max_turns",
        "append_system_prompt",
    )
    prefixes = ("OPENAI_", "CODEX_")
    install = "npm install -g @openai/codex."
    lost_words = ("no rollout found for thread id",)
    wanted = ("type", "thread_id", "usage")
    is_stream = True

    def shares(self, before: Usage, usage: Usage, report: Report) -> tuple[Usage, Usage]:  # noqa: ARG002 - its form
        return since(before, usage), usage

    def arguments(self, invocation: Invocation) -> Iterator[str]:
        options = invocation.agent
        yield from ("exec", "--json", "--skip-git-repo-check", "--color", "never")
        if options.permission_mode:
            yield from _SANDBOX[options.permission_mode]
        if options.model:
            yield f"--model={options.model}"
        if options.json_schema is not None:
            yield f"--output-schema={_schema_file(invocation)}"

    def last_arguments(self, invocation: Invocation) -> Iterator[str]:
        if invocation.context.session_id:
            yield from ("resume", invocation.context.session_id)
        # Read the prompt from standard input.
        yield "-"

    def files(self, invocation: Invocation) -> Mapping[str, str]:
        if invocation.agent.json_schema is None:
            return {}
        return {_schema_file(invocation): schema_text(invocation)}

    def take(self, event: Mapping[str, object], report: Report) -> bool:
        kind, item = text_of(event.get("type")), members_of(event.get("item"))
        if not kind.startswith(_EVENTS):
            return False
        if kind == "item.completed" and item.get("type") == "agent_message":
            report.text = text_of(item.get("text"))
        elif kind == "thread.started":
            report.session_id = text_of(event.get("thread_id"))
        elif kind in ("turn.failed", "error"):
            message = text_of(members_of(event.get("error")).get("message")) or text_of(event.get("message"))
            report.error = message or report.error
        # An error after which the turn goes on is not its end.
        if kind in _ENDS or report.last is None or report.last.get("type") not in _ENDS:
            report.last = event
        if "usage" in event:
            # Of the whole session, which is all that codex reports. `input_tokens` includes cached ones.
            usage = members_of(event["usage"])
            tokens = (count_of(usage, name) for name in ("input_tokens", "output_tokens"))
            report.used["session"] = Usage(0.0, 0, *tokens)
        return True

    def usage(self, report: Report) -> Usage:
        return report.used.get("session", Usage())

    def has_ended(self, report: Report) -> bool:
        return text_of((report.last or {}).get("type")) in _ENDS

    def judge(self, invocation: Invocation, ending: Ending, report: Report) -> Answer:
        end = text_of((report.last or {}).get("type"))
        turn = members_of((report.last or {}).get("turn")) or report.last or {}
        if end == "turn.completed" and (turn.get("status") == "failed" or members_of(turn.get("error"))):
            report.error = text_of(members_of(turn.get("error")).get("message")) or report.error
            end = "turn.failed"
        if end != "turn.completed":
            if end == "turn.failed" or report.error or ending.exit_code != 0:
                return failed(self.name, invocation, ending, report.error)
            raise truncated(self.name, "its turn was not completed", ending)
        structured: object = None
        if invocation.agent.json_schema is not None:
            try:
                structured = strict_json.parse(report.text.encode("utf-8", "replace"))
            except strict_json.BadJson as bad:
                raise StructuredOutputMissing(
                    f"codex gave no structured answer, though the job has json_schema: {bad}",
                    details={"said": report.text[:2000]},
                ) from None
        return conclude(self.name, invocation, ending, report, structured=structured)


def _schema_file(invocation: Invocation) -> str:
    return f"{invocation.run_folder}/{invocation.stem}.schema.json"


KIND = CodexRunner()
