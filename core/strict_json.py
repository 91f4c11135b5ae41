"""JSON from files and programs that we don't trust to be well made, read with bounds; and written so that it arrives.

A leaf: it knows no room and no error class of ours. Who calls it names the file or the program in the error.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

#: Deeper nesting than this is refused: readers after us recurse too.
MAX_DEPTH = 64
#: Longer integers are refused: beyond the range of a double, other readers of the same JSON fail.
MAX_DIGITS = 309
_EXCERPT = 40
#: Made once: `json.dumps` makes an encoder at each call.
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class BadJson(ValueError):
    """Text that is no acceptable JSON. `str()` says what is wrong and where, with a short excerpt."""


def parse(data: bytes, *, unique_keys: bool = False) -> object:
    """The value in `data`: one JSON text in UTF-8, whitespace around it allowed.

    Refused besides bad syntax: NaN and Infinity, numbers out of range, nesting over `MAX_DEPTH`, and with
    `unique_keys` an object that has a key twice. Lone surrogates and NULs in strings become U+FFFD, because they
    can't be stored as text. Raises BadJson.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadJson(f"not UTF-8 at byte {error.start}") from None
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_number,
            object_pairs_hook=_unique if unique_keys else None,
        )
    except json.JSONDecodeError as error:
        raise BadJson(_place(text, error)) from None
    except RecursionError:
        raise BadJson(f"nested deeper than {MAX_DEPTH} levels") from None
    return _checked(value, 0)


def read_object(path: Path, limit: int, *, unique_keys: bool = False) -> dict[str, object]:
    """The JSON object in a regular file of at most `limit` bytes. Raises OSError, or BadJson if it is anything else."""
    # O_NONBLOCK: opening a named pipe must not wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadJson("not a regular file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BadJson(f"larger than {limit} bytes")
    value = parse(data, unique_keys=unique_keys)
    if not isinstance(value, dict):
        raise BadJson(f"must be an object, is {kind(value)}")
    return value


def dump(value: object) -> bytes:
    """One line of JSON, readable UTF-8 where that is possible. Raises ValueError for NaN."""
    text = _ENCODE(value)
    # JSON allows these as they are, but many readers take them for the end of a line.
    for char in "\x85\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False).encode("ascii")


def kind(value: object) -> str:
    """JSON's name for the type of a value, with its article: `a string`, `null`."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def plain_text(text: str) -> str:
    """The text with U+FFFD for NULs and lone surrogates, which neither UTF-8 nor C strings can carry."""
    return _NO_TEXT.sub("\ufffd", text)


def excerpt(text: str) -> str:
    """The beginning of a text, quoted and escaped, for an error message."""
    return repr(text[:_EXCERPT]) + ("…" if len(text) > _EXCERPT else "")


def _place(text: str, error: json.JSONDecodeError) -> str:
    if not text.strip():
        return "empty"
    start = max(0, min(error.pos, len(text) - 1) - 10)
    return f"{error.msg} at line {error.lineno}, column {error.colno}, near {excerpt(text[start:])}"


def _refuse_constant(name: str) -> float:
    raise BadJson(f"{name} is no JSON number")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise BadJson(f"a number of {len(text)} digits; at most {MAX_DIGITS}")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise BadJson(f"the number {text[:_EXCERPT]} is out of range")
    return number


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise BadJson(f"the key {excerpt(key)} is there twice")
        found[key] = value
    return found


def _checked(value: object, depth: int) -> object:
    """The value with plain text in it; `depth` is how many lists and objects it lies in."""
    if isinstance(value, str):
        return plain_text(value)
    if not isinstance(value, list | dict):
        return value
    if depth >= MAX_DEPTH:
        raise BadJson(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, list):
        return [_checked(item, depth + 1) for item in value]
    return {plain_text(key): _checked(item, depth + 1) for key, item in value.items()}
