"""`claude`: Claude Code in its print mode. Source: `claude --help` and what 2.1.197 was seen to print."""

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
#: Those of the Claude Code session, if any, that we were called from.
_OF_THE_CALLER = frozenset(
    {"CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT", "CLAUDE_CODE_SESSION_ID", "CLAUDE_CODE_EXECPATH"}
)
_RETRIES = "CLAUDE_CODE_MAX_RETRIES"
#: How it says what its provider, or its login, has against it; anything else is what the model said.
_ITS_OWN_WORDS = re.compile(r"API Error|Repeated \d|Invalid API key|Not logged in|Please run /login|Credit balance")
_LIMITS = {"error_max_budget_usd": "max_budget_usd", "error_max_turns": "max_turns"}


class ClaudeRunner(AgentRunner):
    """Success is a result with subtype `success` that is no error, exit code 0, and what the job asks for besides."""

    name = "claude"
    title = "Claude Code"
    markers = ("CLAUDE.md",)
    install = "npm install -g @anthropic-ai/claude-code."

    def arguments(self, invocation: Invocation) -> Iterator[str]:
        asked = invocation.agent
        yield from ("-p", "--output-format", "json", "--permission-mode", asked.permission_mode or "default")
        if invocation.context.session_id:
            yield f"--resume={invocation.context.session_id}"
        if asked.model:
            yield f"--model={asked.model}"
        if asked.max_budget_usd is not None:
            yield f"--max-budget-usd={asked.max_budget_usd:.10g}"
        if asked.max_turns is not None:
            yield f"--max-turns={asked.max_turns}"
        if asked.append_system_prompt:
            yield f"--append-system-prompt={asked.append_system_prompt}"
        if asked.json_schema is not None:
            yield f"--json-schema={agent.schema_text(invocation)}"
        # One by one and with =, so that none is taken for an option, and nothing behind them for a tool.
        yield from (f"--allowed-tools={tool}" for tool in asked.allowed_tools)

    def variables(self, invocation: Invocation, program: str, host: Host) -> dict[str, str]:
        """The same, and how often claude may try again by itself: by default that takes more than three minutes."""
        found = super().variables(invocation, program, host)
        if _RETRIES not in invocation.env:
            found.setdefault(_RETRIES, str(_retries_within(invocation.request.timeout_sec / 4)))
        return found

    def wanted(self, name: str, variables: Mapping[str, str]) -> bool:
        if name.startswith(("ANTHROPIC_", "CLAUDE_")):
            return name not in _OF_THE_CALLER
        if name.startswith("AWS_"):
            return _is_on(variables.get("CLAUDE_CODE_USE_BEDROCK"))
        # CLOUD_ML_REGION is where Vertex is told its region.
        return name.startswith(("GOOGLE_", "CLOUD_ML_REGION")) and _is_on(variables.get("CLAUDE_CODE_USE_VERTEX"))

    def read(self, invocation: Invocation, ending: Ending) -> Answer:
        data, size = read_head(ending.stdout, agent.OUTPUT_LIMIT)
        told = agent.parse_object(self.name, data, size, ending)
        if told is None:
            said = read_tail(ending.stderr)
            if invocation.context.session_id and _LOST_SESSION in said:
                raise agent.lost(self.name, invocation, said)
            if ending.exit_code == 0:
                raise agent.invalid(self.name, "it printed nothing", ending)
            raise nonzero_exit(self.name, ending)
        if told.get("type") != "result":
            raise agent.invalid(self.name, f"type is {_shown(told.get('type'))}, not result", ending)
        return self._judge(invocation, ending, told)

    def _judge(self, invocation: Invocation, ending: Ending, told: dict[str, object]) -> Answer:
        text, session = _text(told.get("result")), _text(told.get("session_id"))
        usage, subtype = _usage(told), _text(told.get("subtype"))

        def failure(error: AgentFailed) -> Answer:
            return Answer(failure=agent.failure_of(error), usage=usage, session_id=session, text=text)

        if subtype in _LIMITS:
            reached = AgentLimitReached(
                f"claude reached {_LIMITS[subtype]} and ended itself",
                hint=f"Raise {_LIMITS[subtype]} if the work needs more.",
                details={"subtype": subtype, "errors": told.get("errors"), "turns": usage.turns},
            )
            return failure(reached)
        if told.get("is_error") is not False or subtype != "success" or ending.exit_code != 0:
            errors = told.get("errors")
            said = text or ("; ".join(map(str, errors)) if isinstance(errors, list) else "") or subtype
            status = told.get("api_error_status")
            known = status if isinstance(status, int) else None
            tells = bool(_ITS_OWN_WORDS.match(said.strip()))
            return agent.failed(self.name, ending, said, usage=usage, session_id=session, status=known, tells_why=tells)
        if told.get("stop_reason") == "max_tokens":
            error = AgentOutputTruncated("the answer of claude breaks off: it reached the model's limit of tokens")
            return failure(error)
        denials = told.get("permission_denials")
        denied = [_denied(entry) for entry in denials] if isinstance(denials, list) else []
        if denied and invocation.agent.fail_on_permission_denial:
            refused = PermissionDenied(
                f"claude was refused {', '.join(sorted(set(denied)))[:300]}",
                hint="Allow it in allowed_tools, or by permission_mode.",
                details={"tools": denied[:50]},
            )
            return failure(refused)
        structured = told.get("structured_output")
        if invocation.agent.json_schema is not None and structured is None:
            missing = StructuredOutputMissing(
                "claude gave no structured answer, which json_schema asks for", details={"said": text[:2000]}
            )
            return failure(missing)
        more: dict[str, object] = {
            "num_turns": usage.turns,
            "total_cost_usd": usage.cost_usd,
            "usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
        }
        if denied:
            more["permission_denials"] = denied[:50]
        return agent.conclude(
            self.name, invocation, ending, text, usage=usage, session_id=session, structured=structured, more=more
        )


def _retries_within(seconds: float) -> int:
    """How many of claude's own retries fit, at least one and at most its default of ten.

    Source: 2.1.197 waits half a second, twice as long each time, at most 32, and up to a quarter more.
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
    """What a run can have cost; 0 for anything else."""
    if isinstance(cost, bool) or not isinstance(cost, int | float):
        return 0.0
    return float(cost) if math.isfinite(cost) and 0 < cost < 1_000_000 else 0.0


def _usage(told: dict[str, object]) -> Usage:
    """What it cost. `usage` counts the last turn's input only where models were changed; `modelUsage` counts all."""
    cost, models = told.get("total_cost_usd"), told.get("modelUsage")
    tokens = [entry for entry in models.values() if isinstance(entry, dict)] if isinstance(models, dict) else []
    read = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
    return Usage(
        cost_usd=_dollars(cost),
        turns=agent.whole_number(told.get("num_turns")),
        input_tokens=sum(agent.whole_number(entry.get(name)) for entry in tokens for name in read),
        output_tokens=sum(agent.whole_number(entry.get("outputTokens")) for entry in tokens),
    )


KIND = ClaudeRunner()
