"""Checks of a job's fields for agents that types and bounds can't express."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from core.job import AGENT_FIELDS, RESERVED_ARGUMENTS
from core.kinds import AGENTS, RUNNERS
from jobs.messages import child, quoted
from jobs.success_fields import Fault, schema_faults

_TEXTS = ("model", "append_system_prompt")
_LISTS = ("allowed_tools", "agent_args")


def faults(entry: Mapping[str, Any], has_fault: Callable[[str], bool]) -> Iterator[Fault]:
    """The faults of a job's entry. `has_fault` says whether a field already has a fault."""
    given = [field for field in AGENT_FIELDS if entry.get(field) not in (None, [], False)]
    runner = entry.get("runner")
    for field in given:
        if (runner in RUNNERS and runner not in AGENTS) or entry.get("command") is not None:
            runs_by = "command" if entry.get("command") is not None else runner
            hint = "remove it, or let an agent run the target"
            yield "CONFLICT", f".{field}", f"is for agents only, but this job is run by {runs_by}", hint
        elif isinstance(runner, str) and runner in AGENTS and field in AGENTS[runner].unsupported:
            yield "CONFLICT", f".{field}", f"can't be used with {runner}, which has no option for it", "remove it"
    texts = [(f".{field}", entry[field]) for field in _TEXTS if isinstance(entry.get(field), str)]
    for field in _LISTS:
        if isinstance(entry.get(field), list):
            texts += [(child(f".{field}", number), text) for number, text in enumerate(entry[field])]
    tools = entry.get("allowed_tools")
    for number, text in enumerate(tools if isinstance(tools, list) else []):
        if isinstance(text, str) and text.startswith("-"):
            yield "RESERVED_ARGUMENT", child(".allowed_tools", number), "begins with a dash", "name a tool, like Read"
    for path, text in texts:
        if isinstance(text, str) and "\0" in text:
            yield "BAD_TEXT", path, "contains a NUL character", "remove it"
    yield from _arguments(entry.get("agent_args"))
    schema = entry.get("json_schema")
    if isinstance(schema, dict) and not has_fault("json_schema"):
        yield from schema_faults(".json_schema", schema)


def _arguments(arguments: object) -> Iterator[Fault]:
    for number, text in enumerate(arguments if isinstance(arguments, list) else []):
        reserved = _reserved(text) if isinstance(text, str) else ""
        if reserved:
            message = f"is {quoted(reserved)}, which only the scheduler or another field of the job may set"
            hint = "use session_mode for sessions, json_schema for the form of the answer, and --config for codex's -c"
            yield "RESERVED_ARGUMENT", child(".agent_args", number), message, hint


def _reserved(text: str) -> str:
    """The reserved argument in a text, which may also contain its value; "" if there is none."""
    name = text.partition("=")[0]
    if name in RESERVED_ARGUMENTS:
        return name
    # `-rID` means `-r ID`.
    short = text[:2]
    return short if len(text) > 2 and text[1] != "-" and short in RESERVED_ARGUMENTS else ""
