"""`claude`: Claude Code in its print mode. Source: `claude --help`, and the output of version 2.1.197."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from core.invocation import Answer, Invocation, Usage, total
from core.invocation_errors import AgentLimitReached, AgentRequestInvalid, PermissionDenied, StructuredOutputMissing
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
from invocation.runners.base import Ending, Host, read_tail

#: Variables of the Claude Code session in which we may have been started.
_OF_THE_CALLER = frozenset(
    {"CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT", "CLAUDE_CODE_SESSION_ID", "CLAUDE_CODE_EXECPATH"}
)
_RETRIES = "CLAUDE_CODE_MAX_RETRIES"
#: Its own messages about its provider or its login. Any other text is an answer of the model.
_ITS_OWN_WORDS = re.compile(
    r"API Error|Repeated \d|Invalid API key|Not logged in|Please run /login|Failed to authenticate|Prompt is too long"
)
#: The key of what a result says was used. The other keys are ids of messages.
_RESULT = "(result)"
#: Its own words as the whole of a result that does not say that it is an error.
_WHOLE_ERROR = re.compile(
    r"API Error: [^\n]{1,1000}|(?:Invalid API key|Not logged in) · [^\n]{1,200}|Please run /login\.?"
    r"|Failed to authenticate[.:][^\n]{0,500}|Credit balance is too low|Prompt is too long"
    r"|You've hit your (?:[\w-]+ ){0,3}limit · resets [^\n]{1,100}|Claude AI usage limit reached\|\d+"
)
#: Subtypes, and reasons why the turn ended, and what was used up. Source: the Agent SDK's `TerminalReason`.
_LIMITS = {
    "error_max_budget_usd": "max_budget_usd",
    "error_max_turns": "max_turns",
    "error_max_structured_output_retries": "its tries for an answer that fits json_schema",
    "budget_exhausted": "max_budget_usd",
    "max_turns": "max_turns",
    "structured_output_retry_exhausted": "its tries for an answer that fits json_schema",
}
#: Reasons with which the turn did not end well.
_ENDED_BADLY = frozenset(
    {"api_error", "model_error", "image_error", "aborted_streaming", "aborted_tools", "turn_setup_failed",
     "prompt_too_long", "blocking_limit", "rapid_refill_breaker", "malformed_tool_use_exhausted",
     "tool_deferred_unavailable"}
)  # fmt: skip
#: Tools by which the model itself stops what it has put into the background.
_STOPPING_TOOLS = ("TaskStop", "KillShell", "KillBash")
#: What it prints on stderr when it stops it. Its events, which name the tasks, are printed only with `verbose`.
_STOPPED = re.compile(r"^Background tasks still running after .*", re.MULTILINE)
_MOST_TASKS = 20
#: How long `-p` waits at the end for subagents that the model has put into the background; 0 is for ever.
_CEILING = "CLAUDE_CODE_PRINT_BG_WAIT_CEILING_MS"


class ClaudeRunner(AgentRunner):
    """Success: a result with subtype `success` that is not an error, exit code 0, and the job's own conditions."""

    name = "claude"
    title = "Claude Code"
    markers = ("CLAUDE.md",)
    install = "npm install -g @anthropic-ai/claude-code."
    lost_words = ("No conversation found with session ID", "is already in use")
    wanted = ("type", "subtype", "session_id", "total_cost_usd", "num_turns", "usage", "modelUsage")

    def arguments(self, invocation: Invocation) -> Iterator[str]:
        options = invocation.agent
        yield from ("-p", "--output-format", "json", "--permission-mode", options.permission_mode or "default")
        if invocation.context.session_id:
            yield f"--resume={invocation.context.session_id}"
        if options.model:
            yield f"--model={options.model}"
        if options.max_budget_usd is not None:
            yield f"--max-budget-usd={options.max_budget_usd:.10g}"
        if options.max_turns is not None:
            yield f"--max-turns={options.max_turns}"
        if options.append_system_prompt:
            yield f"--append-system-prompt={options.append_system_prompt}"
        if options.json_schema is not None:
            yield f"--json-schema={schema_text(invocation)}"
        # One by one and with =, so that no tool is read as an option, and no later argument as a tool.
        yield from (f"--allowed-tools={tool}" for tool in options.allowed_tools)

    def variables(self, invocation: Invocation, program: str, host: Host) -> dict[str, str]:
        """Adds the number of claude's own retries, which by default take more than three minutes.

        And lets it wait for its background tasks, which it would end after ten minutes: the run has a timeout.
        """
        selected = super().variables(invocation, program, host)
        if _CEILING not in invocation.env:
            selected.setdefault(_CEILING, "0")
        if _RETRIES not in invocation.env:
            selected.setdefault(_RETRIES, str(_retries_within(invocation.request.timeout_sec / 4)))
        return selected

    def needs(self, name: str, variables: Mapping[str, str]) -> bool:
        if name.startswith(("ANTHROPIC_", "CLAUDE_")):
            return name not in _OF_THE_CALLER
        if name.startswith("AWS_"):
            return _is_on(variables.get("CLAUDE_CODE_USE_BEDROCK"))
        # CLOUD_ML_REGION sets the region of Vertex.
        return name.startswith(("GOOGLE_", "CLOUD_ML_REGION")) and _is_on(variables.get("CLAUDE_CODE_USE_VERTEX"))

    def take(self, event: Mapping[str, object], report: Report) -> bool:
        kind, session = event.get("type"), text_of(event.get("session_id"))
        if kind == "result" and ("subtype" in event or "is_error" in event):
            report.last = event
            # Of two results, the later one counts what the earlier one did.
            results = (_usage(event), report.used.get(_RESULT, Usage()))
            report.used[_RESULT] = max(results, key=lambda used: used.cost_usd)
        elif kind == "assistant":
            message = members_of(event.get("message"))
            # A message of several parts is one event for each, all with the same usage.
            report.used[text_of(message.get("id"))] = _tokens(members_of(message.get("usage")))
            _forget_stopped(message.get("content"), report)
        elif kind == "rate_limit_event":
            report.reset = f"resets_at: {members_of(event.get('rate_limit_info')).get('resetsAt')}"
        elif kind == "result" or not (
            isinstance(kind, str) and (session or kind in ("system", "user", "stream_event"))
        ):
            return False
        if kind == "system":
            _follow_task(event, report)
        report.session_id = session or report.session_id
        return True

    def usage(self, report: Report) -> Usage:
        result = report.used.get(_RESULT, Usage())
        if result.input_tokens is None and result.output_tokens is None:
            # Killed, or cut off: then its messages say so much.
            messages = sum((used for name, used in report.used.items() if name != _RESULT), Usage())
            result = replace(messages, cost_usd=result.cost_usd, turns=result.turns)
        return result

    def shares(self, before: Usage, usage: Usage, report: Report) -> tuple[Usage, Usage]:
        """From version 2.1.277 on, a continued session goes on counting; before, each call counted from zero.

        No version is reported. If it goes on, the totals have grown by at least what the result says of this call.
        """
        if _RESULT not in report.used:
            return usage, before + usage
        own = _tokens(members_of(members_of(report.last).get("usage")))
        if not own.output_tokens or not before.output_tokens or usage.cost_usd < before.cost_usd:
            return usage, usage
        grown = since(before, usage)
        if min((grown.input_tokens or 0) - (own.input_tokens or 0), (grown.output_tokens or 0) - own.output_tokens) < 0:
            return usage, usage
        return replace(grown, turns=usage.turns), usage

    def judge(self, invocation: Invocation, ending: Ending, report: Report) -> Answer:
        result, usage = report.last or {}, self.usage(report)
        reason, stop = text_of(result.get("terminal_reason")), text_of(result.get("stop_reason"))
        report.text = text = _answer_of(result)
        if limit := _LIMITS.get(text_of(result.get("subtype"))) or _LIMITS.get(reason):
            raise _limit_reached(limit, result, usage)
        status = result.get("api_error_status")
        number = status if isinstance(status, int) and not isinstance(status, bool) else None
        if _is_failure(result, text, number):
            report.error = said = text or _listed(result.get("errors")) or reason or stop
            is_own = not text or _ITS_OWN_WORDS.match(said.strip()) is not None
            kind = AgentRequestInvalid if reason == "prompt_too_long" else None
            return failed(
                self.name, invocation, ending, said, status=number, is_own=is_own, reset=report.reset, kind=kind
            )
        if stop == "max_tokens":
            raise truncated(self.name, "it reached the model's limit of tokens", ending)
        denials = result.get("permission_denials")
        denied = [_denied(entry) for entry in denials] if isinstance(denials, list) else []
        if denied and invocation.agent.fail_on_permission_denial:
            raise PermissionDenied(
                f"claude had no permission for {', '.join(sorted(set(denied)))[:300]}",
                hint="Allow it with allowed_tools or permission_mode.",
                details={"tools": denied[:50]},
            )
        structured = result.get("structured_output")
        if invocation.agent.json_schema is not None and structured is None:
            raise StructuredOutputMissing(
                "claude gave no structured answer, though the job has json_schema", details={"said": text[:2000]}
            )
        extra: dict[str, object] = {"num_turns": usage.turns, "total_cost_usd": usage.cost_usd}
        if denied:
            extra["permission_denials"] = denied[:50]
        if stopped := list(filter(None, report.tasks.values())) or _STOPPED.findall(read_tail(ending.stderr))[-1:]:
            extra["stopped_tasks"] = [task[:200] for task in stopped[:_MOST_TASKS]]
        return conclude(
            self.name,
            invocation,
            ending,
            report,
            structured=structured,
            extra=extra | ({} if text.strip() else {"stop_reason": stop or None}),
            why_empty=_why_empty(result),
        )


def _follow_task(event: Mapping[str, object], report: Report) -> None:
    """Keeps what is in the background. Source: the Agent SDK's `SDKTaskStartedMessage`, and the others like it."""
    task, patch = text_of(event.get("task_id")), members_of(event.get("patch"))
    status = event.get("status") or patch.get("status")
    if not task:
        return
    if status in ("completed", "failed"):
        report.tasks.pop(task, None)
    elif status in ("stopped", "killed") or True in (event.get("is_backgrounded"), patch.get("is_backgrounded")):
        report.tasks.setdefault(task, text_of(event.get("description")) or text_of(event.get("summary")) or task)


def _forget_stopped(content: object, report: Report) -> None:
    """Leaves out what the model itself stops: that has done its work."""
    for part in map(members_of, content if isinstance(content, list) else ()):
        if part.get("name") in _STOPPING_TOOLS:
            given = members_of(part.get("input"))
            report.tasks[text_of(given.get("task_id") or given.get("shell_id"))] = ""


def _answer_of(result: Mapping[str, object]) -> str:
    text = text_of(result.get("result"))
    return "" if text.strip() == "(no content)" else text


def _limit_reached(limit: str, result: Mapping[str, object], usage: Usage) -> AgentLimitReached:
    hint = f"Raise {limit} if the work needs more." if limit.startswith("max") else "Make json_schema simpler."
    details = {"subtype": text_of(result.get("subtype")), "errors": result.get("errors"), "turns": usage.turns}
    return AgentLimitReached(f"claude reached {limit} and stopped", hint=hint, details=details)


def _is_failure(result: Mapping[str, object], text: str, status: int | None) -> bool:
    """Whether anything in a result says that the turn failed. `is_error` alone is not always true to it."""
    if result.get("is_error") is not False or result.get("subtype") != "success" or (status or 0) >= 400:
        return True
    if text_of(result.get("terminal_reason")) in _ENDED_BADLY or result.get("stop_reason") == "refusal":
        return True
    return _WHOLE_ERROR.fullmatch(text.strip()) is not None


def _listed(errors: object) -> str:
    return "; ".join(map(str, errors)) if isinstance(errors, list) else ""


def _why_empty(result: Mapping[str, object]) -> str:
    """How an empty answer may have come about, to continue the message about it."""
    if result.get("stop_reason") == "tool_use":
        return ": its turn ended at a call of a tool"
    return ": it took no turn, so the model was not asked" if result.get("num_turns") == 0 else ""


def _retries_within(seconds: float) -> int:
    """How many of claude's own retries fit into so many seconds: at least one, at most its default of ten.

    Source: version 2.1.197 waits half a second, then twice as long each time up to 32 s, plus up to a quarter.
    """
    waited, number = 0.0, 0
    while number < 10 and (waited := waited + 1.25 * min(0.5 * 2**number, 32)) <= seconds:
        number += 1
    return max(1, number)


def _is_on(text: str | None) -> bool:
    return (text or "").strip().lower() not in ("", "0", "false", "no", "off")


def _denied(entry: object) -> str:
    return text_of(entry.get("tool_name"))[:200] if isinstance(entry, dict) else "?"


def _dollars(cost: object) -> float:
    """A plausible cost of a run in US dollars; 0 for anything else."""
    if isinstance(cost, bool) or not isinstance(cost, int | float):
        return 0.0
    return float(cost) if math.isfinite(cost) and 0 < cost < 1_000_000 else 0.0


def _usage(result: Mapping[str, object]) -> Usage:
    """Cost, turns and tokens. If the model changed, `usage` has only the last turn's input; `modelUsage` has all."""
    models = [members_of(entry) for entry in members_of(result.get("modelUsage")).values()]
    input_names = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
    tokens = _tokens(members_of(result.get("usage")))
    input_tokens = total(*(count_of(entry, *input_names) for entry in models))
    output_tokens = total(*(count_of(entry, "outputTokens") for entry in models))
    return Usage(
        cost_usd=_dollars(result.get("total_cost_usd")) or sum(_dollars(entry.get("costUSD")) for entry in models),
        turns=count_of(result, "num_turns") or 0,
        input_tokens=tokens.input_tokens if input_tokens is None else input_tokens,
        output_tokens=tokens.output_tokens if output_tokens is None else output_tokens,
    )


def _tokens(usage: Mapping[str, object]) -> Usage:
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return Usage(input_tokens=count_of(usage, *names), output_tokens=count_of(usage, "output_tokens"))


KIND = ClaudeRunner()
