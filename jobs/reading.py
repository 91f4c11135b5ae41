"""Parses the bytes of a jobs file as JSON, and reports faults with line and column. Bounds: `core.strict_json`."""

from __future__ import annotations

import re

from core import strict_json
from core.errors import JobsFileNotJson

#: Each object in which a key occurs twice, with that key.
DuplicateKeys = list[tuple[dict[str, object], str]]

_HINTS = {"number": "write a plain number", "depth": "a job is one flat object"}


def load(data: bytes, name: str) -> tuple[object, DuplicateKeys]:
    """The value in `data`, and its duplicate keys. Raises `JobsFileNotJson`, which names the file `name`."""
    duplicates: DuplicateKeys = []

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(items)
        if len(made) != len(items):
            keys = [key for key, _ in items]
            duplicates.extend((made, key) for key in made if keys.count(key) > 1)
        return made

    text = _decoded(data, name)
    try:
        return strict_json.parse_text(text, pairs), duplicates
    except strict_json.BadJson as bad:
        reason = f"not valid JSON: {bad.reason}" if bad.kind == "syntax" else bad.reason
        hint = _HINTS.get(bad.kind) or _hint(text, bad.position)
        raise _error_at(text, name, bad.position, reason, hint) from None


def _decoded(data: bytes, name: str) -> str:
    try:
        return strict_json.decode(data)
    except strict_json.BadJson as bad:
        offset = bad.position
        line = data.count(10, 0, offset) + 1
        message = f"{name}: the byte 0x{data[offset]:02x} at offset {offset} (line {line}) is not UTF-8"
        details: dict[str, object] = {"file": name, "offset": offset, "line": line}
        raise JobsFileNotJson(message, hint="save the file as UTF-8", details=details) from None


def _error_at(text: str, name: str, position: int, reason: str, hint: str) -> JobsFileNotJson:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    details: dict[str, object] = {"file": name, "line": line, "column": column}
    return JobsFileNotJson(f"{name}: line {line}, column {column}: {reason}", hint=hint, details=details)


def _hint(text: str, position: int) -> str:
    """A hint for the most likely cause of the fault at `position`."""
    following = text[position : position + 200]
    before = text[max(0, position - 2000) : position].rstrip()
    if not text.strip():
        return 'the file is empty; {"jobs": []} is a file without jobs'
    if following.startswith(("//", "/*", "#")):
        return "JSON has no comments; remove it"
    if (re.match(r"\s*[\]}]", following) and before.endswith(",")) or re.match(r",\s*[\]}]", following):
        return "remove the comma before the closing bracket"
    if following.startswith(("'", "“", "”")):
        return 'write texts in straight double quotes: "text"'
    if word := re.match(r"(True|False|None)\b", following):
        return "write " + {"True": "true", "False": "false", "None": "null"}[word[1]]
    if following[:1] in ("\n", "\r", "\t"):
        return "inside a text, write a new line as \\n and a tab as \\t"
    return "check the brackets, commas and quotes just before this place"
