"""Bytes → JSON values, with the line and column of what is wrong. The bounds are those of all JSON that is read."""

from __future__ import annotations

import re

from core import strict_json
from core.errors import JobsFileNotJson

#: Objects with a key that stood in them twice, and that key.
Doubled = list[tuple[dict[str, object], str]]

_HINTS = {"number": "write a plain number", "depth": "a job is one flat object"}


def load(data: bytes, name: str) -> tuple[object, Doubled]:
    """The value in `data`, and what was doubled in it. Raises `JobsFileNotJson` about the file `name`."""
    doubled: Doubled = []

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(items)
        if len(made) != len(items):
            keys = [key for key, _ in items]
            doubled.extend((made, key) for key in made if keys.count(key) > 1)
        return made

    text = _decoded(data, name)
    try:
        return strict_json.parse_text(text, pairs), doubled
    except strict_json.BadJson as bad:
        reason = f"not valid JSON: {bad.reason}" if bad.kind == "syntax" else bad.reason
        hint = _HINTS.get(bad.kind) or _hint(text, bad.place)
        raise _refusal(text, name, bad.place, reason, hint) from None


def _decoded(data: bytes, name: str) -> str:
    try:
        return strict_json.decode(data)
    except strict_json.BadJson as bad:
        offset = bad.place
        line = data.count(10, 0, offset) + 1
        message = f"{name}: the byte 0x{data[offset]:02x} at offset {offset} (line {line}) is not UTF-8"
        details: dict[str, object] = {"file": name, "offset": offset, "line": line}
        raise JobsFileNotJson(message, hint="save the file as UTF-8", details=details) from None


def _refusal(text: str, name: str, place: int, reason: str, hint: str) -> JobsFileNotJson:
    line = text.count("\n", 0, place) + 1
    column = place - text.rfind("\n", 0, place)
    details: dict[str, object] = {"file": name, "line": line, "column": column}
    return JobsFileNotJson(f"{name}: line {line}, column {column}: {reason}", hint=hint, details=details)


def _hint(text: str, place: int) -> str:
    """What is usually meant by the fault at `place`."""
    rest = text[place : place + 200]
    before = text[max(0, place - 2000) : place].rstrip()
    if not text.strip():
        return 'the file is empty; {"jobs": []} is a file without jobs'
    if rest.startswith(("//", "/*", "#")):
        return "JSON has no comments; remove it"
    if (re.match(r"\s*[\]}]", rest) and before.endswith(",")) or re.match(r",\s*[\]}]", rest):
        return "remove the comma before the closing bracket"
    if rest.startswith(("'", "“", "”")):
        return 'write texts in straight double quotes: "text"'
    if word := re.match(r"(True|False|None)\b", rest):
        return "write " + {"True": "true", "False": "false", "None": "null"}[word[1]]
    if rest[:1] in ("\n", "\r", "\t"):
        return "inside a text a new line is written \\n and a tab \\t"
    return "check the brackets, commas and quotes just before this place"
