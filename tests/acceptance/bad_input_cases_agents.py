"""Jobs for agents whose fields are wrong, or can't be obeyed, or are for a job that no agent runs."""

from __future__ import annotations

from tests.acceptance.bad_input_cases import Case
from tests.acceptance.bad_input_cases_fields import conflict, wrong

_VALUES = [
    wrong("model", "", "EMPTY"),
    wrong("model", 4, "WRONG_TYPE", "text"),
    wrong("model", "a\0b", "BAD_TEXT", "NUL"),
    wrong("allowed_tools", "Read", "WRONG_TYPE", "list"),
    wrong("allowed_tools", [""], "EMPTY", inside="[0]"),
    wrong("allowed_tools", ["Read\0"], "BAD_TEXT", "NUL", inside="[0]"),
    wrong("permission_mode", "root", "UNKNOWN_VALUE", "acceptEdits", "bypassPermissions"),
    wrong("fail_on_permission_denial", "yes", "WRONG_TYPE", "true or false"),
    wrong("max_budget_usd", 0, "OUT_OF_RANGE", "more than 0"),
    wrong("max_budget_usd", -1.5, "OUT_OF_RANGE", "more than 0"),
    wrong("max_budget_usd", 100_001, "OUT_OF_RANGE", "at most 100000"),
    wrong("max_budget_usd", "5 USD", "WRONG_TYPE", "a number"),
    wrong("max_cost_usd_per_day", 0, "OUT_OF_RANGE", "more than 0"),
    wrong("max_cost_usd_per_day", True, "WRONG_TYPE", "a number"),
    wrong("max_turns", 0, "OUT_OF_RANGE", "at least 1"),
    wrong("max_turns", 1.5, "WRONG_TYPE", "whole number"),
    wrong("append_system_prompt", "", "EMPTY"),
    wrong("append_system_prompt", "x" * 32_769, "TOO_LONG", "32768", name="of 32769 characters"),
    wrong("json_schema", [], "WRONG_TYPE", "object"),
    wrong("json_schema", {"type": 1}, "BAD_SCHEMA", inside=".type"),
    wrong("agent_args", "--verbose", "WRONG_TYPE", "list"),
    wrong("agent_args", ["--resume=x"], "RESERVED_ARGUMENT", "--resume", "session_mode", inside="[0]"),
    wrong("agent_args", ["--add-dir", "..", "-p"], "RESERVED_ARGUMENT", "-p", inside="[2]"),
    wrong("session_mode", "forever", "UNKNOWN_VALUE", "shared_persistent"),
    wrong("heartbeat", True, "WRONG_TYPE", "object"),
    wrong("heartbeat", {"max_iterations": 0}, "OUT_OF_RANGE", "at least 1", inside=".max_iterations"),
    wrong("heartbeat", {"context_mode": "none"}, "UNKNOWN_VALUE", inside=".context_mode"),
    wrong("heartbeat", {"max_iteration": 3}, "UNKNOWN_FIELD", "max_iterations", inside=".max_iteration"),
    wrong("paused_until", "soon", "BAD_INSTANT", "soon"),
    wrong("paused_until", "2026-03-01T09:00", "BAD_INSTANT", "offset"),
    wrong("paused_until", 5, "WRONG_TYPE", "text"),
]

_TOGETHER = [
    conflict("model of a command", {"command": ["true"], "model": "opus"}, ".model", "this job is run by command"),
    conflict("a budget of an invoke", {"runner": "invoke", "max_budget_usd": 1}, ".max_budget_usd", "is run by invoke"),
    conflict("turns of codex", {"runner": "codex", "max_turns": 3}, ".max_turns", "codex"),
    conflict("a schema of gemini", {"runner": "gemini", "json_schema": {}}, ".json_schema", "gemini"),
    conflict("an agent with a command", {"runner": "claude", "command": ["true"]}, ".command", "remove one of the two"),
]

CASES: list[Case] = [*_VALUES, *_TOGETHER]
