"""`codex`: OpenAI's Codex CLI, `codex exec --json`. Source: its `--help`, and the output of version 0.169.0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from core import strict_json
from core.invocation import Answer, Invocation, Usage
from core.invocation_errors import AgentOutputTruncated, StructuredOutputMissing
from invocation.runners.agents import base as agent
from invocation.runners.agents.base import AgentRunner
from invocation.runners.base import Ending, nonzero_exit, read_head, read_tail

_LOST_SESSION = "no rollout found for thread id"
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
        stderr = read_tail(ending.stderr)
        if invocation.context.session_id and not completed and _LOST_SESSION in stderr:
            raise agent.lost(self.name, invocation, stderr)
        if error or ending.exit_code != 0:
            if not events:
                raise nonzero_exit(self.name, ending)
            return agent.failed(self.name, ending, error or stderr, usage=usage, session_id=session)
        if not completed:
            raise AgentOutputTruncated(
                "the answer of codex is incomplete: its turn was not completed", details={"file": str(ending.stdout)}
            )
        structured: object = None
        if invocation.agent.json_schema is not None:
            try:
                structured = strict_json.parse(message.encode("utf-8", "replace"))
            except strict_json.BadJson as bad:
                missing = StructuredOutputMissing(
                    f"codex gave no structured answer, though the job has json_schema: {bad}",
                    details={"said": message[:2000]},
                )
                failure = agent.failure_of(missing)
                return Answer(failure=failure, usage=usage, session_id=session, text=message, session_usage=total)
        extra = {"usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}}
        return agent.conclude(
            self.name,
            invocation,
            ending,
            message,
            usage=usage,
            session_id=session,
            session_usage=total,
            structured=structured,
            extra=extra,
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
                    message = f"the answer of codex is incomplete: it ends in line {number}: {bad}"
                    raise AgentOutputTruncated(message, details={"file": str(ending.stdout)}) from None
                raise agent.invalid(self.name, f"line {number} is not JSON: {bad}", ending) from None
            if not isinstance(event, dict):
                raise agent.invalid(self.name, f"line {number} is {strict_json.kind(event)}, not an object", ending)
            yield event


def _schema_file(invocation: Invocation) -> str:
    return f"{invocation.run_folder}/{invocation.stem}.schema.json"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _error(event: Mapping[str, object]) -> str:
    error = event.get("error")
    return _text(error.get("message")) if isinstance(error, dict) else _text(event.get("message"))


def _usage(reported: object) -> Usage:
    """The usage of the whole session, which is all that codex reports. `input_tokens` includes cached ones."""
    if not isinstance(reported, dict):
        return Usage()
    input_tokens, output_tokens = (agent.whole_number(reported.get(name)) for name in ("input_tokens", "output_tokens"))
    return Usage(input_tokens=input_tokens, output_tokens=output_tokens)


def _since(before: Usage, total: Usage) -> Usage:
    """The usage of one turn: the difference of two totals, or the new total if the session started to count again."""
    input_tokens, output_tokens = (
        total.input_tokens - before.input_tokens,
        total.output_tokens - before.output_tokens,
    )
    if input_tokens < 0 or output_tokens < 0:
        input_tokens, output_tokens = total.input_tokens, total.output_tokens
    return Usage(turns=1, input_tokens=input_tokens, output_tokens=output_tokens)


KIND = CodexRunner()
