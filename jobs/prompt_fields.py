"""Checks of a job's prompt: where it comes from, and the path of its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jobs.messages import quoted
from jobs.success_fields import Fault

HINT = 'write "prompt": "…", or "prompt_file": "prompts/report.md" for a file in the target\'s folder'


def faults(entry: Mapping[str, Any], has_fault: Callable[[str], bool]) -> Iterator[Fault]:
    """The faults of a job's entry. `has_fault` says whether a field already has a fault."""
    path = entry.get("prompt_file")
    if path is None:
        if "prompt" not in entry and entry.get("command") is None:
            yield "MISSING_FIELD", ".prompt", "is missing", HINT
        return
    if "prompt" in entry:
        yield "CONFLICT", ".prompt_file", "can't be used with prompt, which says the same", "remove one of the two"
    if isinstance(path, str) and not has_fault("prompt_file"):
        yield from _path(path)


def _path(text: str) -> Iterator[Fault]:
    parts = text.split("/")
    if text.startswith("~"):
        yield "BAD_PATH", ".prompt_file", "begins with ~, which is not replaced here", _inside(text)
    elif text.startswith("/"):
        yield "BAD_PATH", ".prompt_file", "is absolute, but must be inside the target's folder", _inside(text)
    elif ".." in parts:
        yield "BAD_PATH", ".prompt_file", "contains .., but must stay inside the target's folder", _inside(text)
    elif parts[-1] in ("", "."):
        yield "BAD_PATH", ".prompt_file", f"is {quoted(text)}, which is a folder", "name a file"


def _inside(text: str) -> str:
    name = text.rstrip("/").rpartition("/")[2]
    return f"put the file into the target's folder, and write its path from there, like {quoted(name or 'prompt.md')}"
