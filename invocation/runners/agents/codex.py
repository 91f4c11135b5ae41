"""`codex`: OpenAI's Codex CLI, `codex exec --json`. Source: its `--help`, and what 0.169.0 was seen to print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from core import strict_json
from core.invocation import Answer, Invocation, Usage
from core.invocation_errors import AgentOutputTruncated, StructuredOutputMissing
from invocation.runners.agents import base as agent
from invocation.runners.agents.base import AgentRunner
from invocation.runners.base import Ending, nonzero_exit, read_head, read_tail

_LOST_SESSION = "no rollout found for thread id"
#: Its sandbox stands for what Claude Code calls a permission mode. Nobody is asked in `exec`.
_SANDBOX = {
    "plan": ("--sandbox", "read-only"),
    "default": ("--sandbox", "read-only"),
    "dontAsk": ("--sandbox", "read-only"),
    "acceptEdits": ("--sandbox", "workspace-write"),
    "auto": ("--sandbox", "workspace-write"),
    "bypassPermissions": ("--dangerously-bypass-approvals-and-sandbox",),
}


class CodexRunner(AgentRunner):
    """Success is a turn that was completed with a message, and exit code 0."""

    name = "codex"
    title = "OpenAI's Codex CLI"
    markers = ("AGENTS.md",)
    # It tells no dollars either.
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

    def arguments(self, invocation: Invocation) -> Iterator[str]:
        asked = invocation.agent
        yield from ("exec", "--json", "--skip-git-repo-check", "--color", "never")
        if asked.permission_mode:
            yield from _SANDBOX[asked.permission_mode]
        if asked.model:
            yield f"--model={asked.model}"
        if asked.json_schema is not None:
            yield f"--output-schema={_schema_file(invocation)}"

    def last(self, invocation: Invocation) -> Iterator[str]:
        if invocation.context.session_id:
            yield from ("resume", invocation.context.session_id)
        # The prompt comes on its standard input.
        yield "-"

    def files(self, invocation: Invocation) -> Mapping[str, str]:
        if invocation.agent.json_schema is None:
            return {}
        return {_schema_file(invocation): agent.schema_text(invocation)}

    def read(self, invocation: Invocation, ending: Ending) -> Answer:
        events = list(self._events(ending))
        session = next((_text(event.get("thread_id")) for event in events if event.get("type") == "thread.started"), "")
        total, completed, message, error = Usage(), False, "", ""
        for event in events:
            kind, item = event.get("type"), event.get("item")
            if kind == "item.completed" and isinstance(item, dict) and item.get("type") == "agent_message":
                message = _text(item.get("text"))
            elif kind == "turn.completed":
                completed, total = True, _usage(event.get("usage"))
            elif kind in ("turn.failed", "error"):
                error = _error(event) or error
        usage = _since(invocation.context.session_usage, total) if completed else Usage()
        said = read_tail(ending.stderr)
        if invocation.context.session_id and not completed and _LOST_SESSION in said:
            raise agent.lost(self.name, invocation, said)
        if error or ending.exit_code != 0:
            if not events:
                raise nonzero_exit(self.name, ending)
            return agent.failed(self.name, ending, error or said, usage=usage, session_id=session)
        if not completed:
            raise AgentOutputTruncated(
                "the answer of codex breaks off: its turn was not completed", details={"file": str(ending.stdout)}
            )
        structured: object = None
        if invocation.agent.json_schema is not None:
            try:
                structured = strict_json.parse(message.encode("utf-8", "replace"))
            except strict_json.BadJson as bad:
                missing = StructuredOutputMissing(
                    f"codex gave no structured answer, which json_schema asks for: {bad}",
                    details={"said": message[:2000]},
                )
                failure = agent.failure_of(missing)
                return Answer(failure=failure, usage=usage, session_id=session, text=message, session_usage=total)
        more = {"usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}}
        return agent.conclude(
            self.name,
            invocation,
            ending,
            message,
            usage=usage,
            session_id=session,
            session_usage=total,
            structured=structured,
            more=more,
        )

    def _events(self, ending: Ending) -> Iterator[dict[str, object]]:
        data, size = read_head(ending.stdout, agent.OUTPUT_LIMIT)
        if size > len(data):
            message = f"codex printed {size} bytes; at most {len(data)} are read"
            raise AgentOutputTruncated(message, details={"file": str(ending.stdout)})
        for number, line in enumerate(data.splitlines(), 1):
            if not line.strip():
                continue
            try:
                event = strict_json.parse(line)
            except strict_json.BadJson as bad:
                if data.endswith(line) and line.lstrip().startswith(b"{"):
                    message = f"the answer of codex breaks off in line {number}: {bad}"
                    raise AgentOutputTruncated(message, details={"file": str(ending.stdout)}) from None
                raise agent.invalid(self.name, f"line {number} is not JSON: {bad}", ending) from None
            if not isinstance(event, dict):
                raise agent.invalid(self.name, f"line {number} is {strict_json.kind(event)}, no object", ending)
            yield event


def _schema_file(invocation: Invocation) -> str:
    return f"{invocation.run_folder}/{invocation.stem}.schema.json"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _error(event: Mapping[str, object]) -> str:
    error = event.get("error")
    return _text(error.get("message")) if isinstance(error, dict) else _text(event.get("message"))


def _usage(told: object) -> Usage:
    """What the whole session has used: a turn tells no more. `input_tokens` holds the cached ones already."""
    if not isinstance(told, dict):
        return Usage()
    read, written = agent.whole_number(told.get("input_tokens")), agent.whole_number(told.get("output_tokens"))
    return Usage(input_tokens=read, output_tokens=written)


def _since(before: Usage, total: Usage) -> Usage:
    """What a turn has used; all of it when the session has begun to count anew."""
    read, written = total.input_tokens - before.input_tokens, total.output_tokens - before.output_tokens
    if read < 0 or written < 0:
        read, written = total.input_tokens, total.output_tokens
    return Usage(turns=1, input_tokens=read, output_tokens=written)


KIND = CodexRunner()
