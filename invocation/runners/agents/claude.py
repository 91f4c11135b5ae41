"""`claude`: Claude Code in its print mode. Source: `claude --help`, and the output of version 2.1.197."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

from core import strict_json
from core.invocation import Answer, Invocation, Usage
from core.invocation_errors import (
    AgentFailed,
    AgentLimitReached,
    AgentOutputTruncated,
    PermissionDenied,
    StructuredOutputMissing,
)
from invocation.runners.agents import base as agent
from invocation.runners.agents.base import AgentRunner
from invocation.runners.base import Ending, Host, nonzero_exit, read_head, read_tail

_LOST_SESSION = "No conversation found with session ID"
#: Variables of the Claude Code session in which we may have been started.
_OF_THE_CALLER = frozenset(
    {"CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT", "CLAUDE_CODE_SESSION_ID", "CLAUDE_CODE_EXECPATH"}
)
_RETRIES = "CLAUDE_CODE_MAX_RETRIES"
#: Its own messages about its provider or its login. Any other text is an answer of the model.
_ITS_OWN_WORDS = re.compile(r"API Error|Repeated \d|Invalid API key|Not logged in|Please run /login|Credit balance")
_LIMITS = {"error_max_budget_usd": "max_budget_usd", "error_max_turns": "max_turns"}


class ClaudeRunner(AgentRunner):
    """Success: a result with subtype `success` that is not an error, exit code 0, and the job's own conditions."""

    name = "claude"
    title = "Claude Code"
    markers = ("CLAUDE.md",)
    install = "npm install -g @anthropic-ai/claude-code."

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
            yield f"--json-schema={agent.schema_text(invocation)}"
        # One by one and with =, so that no tool is read as an option, and no later argument as a tool.
        yield from (f"--allowed-tools={tool}" for tool in options.allowed_tools)

    def variables(self, invocation: Invocation, program: str, host: Host) -> dict[str, str]:
        """Adds the number of claude's own retries, which by default take more than three minutes."""
        selected = super().variables(invocation, program, host)
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

    def read(self, invocation: Invocation, ending: Ending) -> Answer:
        data, size = read_head(ending.stdout, agent.OUTPUT_LIMIT)
        report = agent.parse_object(self.name, data, size, ending)
        if report is None:
            errors = read_tail(ending.stderr)
            if invocation.context.session_id and _LOST_SESSION in errors:
                raise agent.lost(self.name, invocation, errors)
            if ending.exit_code == 0:
                raise agent.invalid(self.name, "it printed nothing", ending)
            raise nonzero_exit(self.name, ending)
        if report.get("type") != "result":
            raise agent.invalid(self.name, f"type is {_shown(report.get('type'))}, not result", ending)
        return self._judge(invocation, ending, report)

    def _judge(self, invocation: Invocation, ending: Ending, report: dict[str, object]) -> Answer:
        text, session = _text(report.get("result")), _text(report.get("session_id"))
        usage, subtype = _usage(report), _text(report.get("subtype"))

        def failure(error: AgentFailed) -> Answer:
            return Answer(failure=agent.failure_of(error), usage=usage, session_id=session, text=text)

        if subtype in _LIMITS:
            reached = AgentLimitReached(
                f"claude reached {_LIMITS[subtype]} and stopped",
                hint=f"Raise {_LIMITS[subtype]} if the work needs more.",
                details={"subtype": subtype, "errors": report.get("errors"), "turns": usage.turns},
            )
            return failure(reached)
        if report.get("is_error") is not False or subtype != "success" or ending.exit_code != 0:
            errors = report.get("errors")
            said = text or ("; ".join(map(str, errors)) if isinstance(errors, list) else "") or subtype
            status = report.get("api_error_status")
            number = status if isinstance(status, int) else None
            tells = bool(_ITS_OWN_WORDS.match(said.strip()))
            return agent.failed(
                self.name, ending, said, usage=usage, session_id=session, status=number, tells_why=tells
            )
        if report.get("stop_reason") == "max_tokens":
            error = AgentOutputTruncated("the answer of claude is incomplete: it reached the model's limit of tokens")
            return failure(error)
        denials = report.get("permission_denials")
        denied = [_denied(entry) for entry in denials] if isinstance(denials, list) else []
        if denied and invocation.agent.fail_on_permission_denial:
            refused = PermissionDenied(
                f"claude had no permission for {', '.join(sorted(set(denied)))[:300]}",
                hint="Allow it with allowed_tools or permission_mode.",
                details={"tools": denied[:50]},
            )
            return failure(refused)
        structured = report.get("structured_output")
        if invocation.agent.json_schema is not None and structured is None:
            missing = StructuredOutputMissing(
                "claude gave no structured answer, though the job has json_schema", details={"said": text[:2000]}
            )
            return failure(missing)
        extra: dict[str, object] = {
            "num_turns": usage.turns,
            "total_cost_usd": usage.cost_usd,
            "usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
        }
        if denied:
            extra["permission_denials"] = denied[:50]
        return agent.conclude(
            self.name, invocation, ending, text, usage=usage, session_id=session, structured=structured, extra=extra
        )


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


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _shown(value: object) -> str:
    return strict_json.excerpt(value) if isinstance(value, str) else strict_json.kind(value)


def _denied(entry: object) -> str:
    return _text(entry.get("tool_name"))[:200] if isinstance(entry, dict) else "?"


def _dollars(cost: object) -> float:
    """A plausible cost of a run in US dollars; 0 for anything else."""
    if isinstance(cost, bool) or not isinstance(cost, int | float):
        return 0.0
    return float(cost) if math.isfinite(cost) and 0 < cost < 1_000_000 else 0.0


def _usage(report: dict[str, object]) -> Usage:
    """Cost, turns and tokens. If the model changed, `usage` has only the last turn's input; `modelUsage` has all."""
    cost, models = report.get("total_cost_usd"), report.get("modelUsage")
    tokens = [entry for entry in models.values() if isinstance(entry, dict)] if isinstance(models, dict) else []
    input_names = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
    return Usage(
        cost_usd=_dollars(cost),
        turns=agent.whole_number(report.get("num_turns")),
        input_tokens=sum(agent.whole_number(entry.get(name)) for entry in tokens for name in input_names),
        output_tokens=sum(agent.whole_number(entry.get("outputTokens")) for entry in tokens),
    )


KIND = ClaudeRunner()
