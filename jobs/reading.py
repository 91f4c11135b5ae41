"""Bytes → JSON values, stricter than Python's parser, with the line and column of what is wrong."""

from __future__ import annotations

import json
import re
from typing import NoReturn

from core.errors import JobsFileNotJson

#: Objects with a key that stood in them twice, and that key.
Doubled = list[tuple[dict[str, object], str]]

MAX_NUMBER_LENGTH = 32
MAX_DEPTH = 100

_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?Infinity|NaN|-?[0-9][0-9.eE+-]*|[\[\]{}]', re.DOTALL)


class _OutOfJson(ValueError):
    """Something that Python's parser takes and we do not: (its text, what is wrong with it)."""


def load(data: bytes, name: str) -> tuple[object, Doubled]:
    """The value in `data`, and what was doubled in it. Raises `JobsFileNotJson` about the file `name`."""
    text = _decoded(data, name)
    doubled: Doubled = []

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(items)
        if len(made) != len(items):
            keys = [key for key, _ in items]
            doubled.extend((made, key) for key in made if keys.count(key) > 1)
        return made

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_int=_whole, parse_float=_real, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise _refusal(text, name, error.pos, f"is no JSON: {error.msg}", _hint(text, error.pos)) from None
    except _OutOfJson as error:
        token, reason = error.args
        place = next((found.start() for found in _TOKEN.finditer(text) if found[0] == token), 0)
        raise _refusal(text, name, place, reason, "write a plain number") from None
    except RecursionError:
        reason = f"is nested more than {MAX_DEPTH} deep"
        raise _refusal(text, name, _deep_place(text), reason, "a job is one flat object") from None
    return value, doubled


def _decoded(data: bytes, name: str) -> str:
    skip = len(_BOM) if data.startswith(_BOM) else 0
    try:
        return data[skip:].decode("utf-8")
    except UnicodeDecodeError as error:
        offset = error.start + skip
        line = data.count(10, 0, offset) + 1
        message = f"{name}: the byte 0x{data[offset]:02x} at offset {offset} (line {line}) is not UTF-8"
        details: dict[str, object] = {"file": name, "offset": offset, "line": line}
        raise JobsFileNotJson(message, hint="save the file as UTF-8", details=details) from None


def _whole(text: str) -> int:
    if len(text) > MAX_NUMBER_LENGTH:
        raise _OutOfJson(text, f"is a number of {len(text)} digits")
    return int(text)


def _real(text: str) -> float:
    if len(text) > MAX_NUMBER_LENGTH or float(text) in (float("inf"), float("-inf")):
        raise _OutOfJson(text, "is a number beyond all use")
    return float(text)


def _constant(text: str) -> NoReturn:
    raise _OutOfJson(text, f"is {text}, which JSON does not have")


def _deep_place(text: str) -> int:
    depth = 0
    for found in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > MAX_DEPTH:
            return found.start()
    return 0


def _refusal(text: str, name: str, place: int, reason: str, hint: str) -> JobsFileNotJson:
    line = text.count("\n", 0, place) + 1
    column = place - text.rfind("\n", 0, place)
    details: dict[str, object] = {"file": name, "line": line, "column": column}
    return JobsFileNotJson(f"{name}: line {line}, column {column} {reason}", hint=hint, details=details)


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
