"""Strict, bounded reading of JSON from files and programs; and writing of JSON that every reader accepts.

Imports no other package. The caller names the file or the program in its own error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.bounded_file import UnfitFile, read_bounded

#: Deeper nesting is refused: later readers recurse too.
MAX_DEPTH = 64
#: Longer numbers are refused: other readers of the same JSON fail on numbers beyond the range of a double.
MAX_DIGITS = 309
_EXCERPT = 40
_FIRST_SLICE = 512
#: `-Infinity`, with room to spare; the position of an error is the beginning of the word that it is in.
_LONGEST_WORD = 12
#: JSON as it is stored, in readable UTF-8. Made once, because `json.dumps` makes an encoder at each call.
encode = json.JSONEncoder(ensure_ascii=False).encode
_ENCODE_STRICTLY = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?Infinity|NaN|-?[0-9][0-9.eE+-]*|[\[\]{}]', re.DOTALL)
#: Characters that a terminal obeys or that hide what a text says: DEL and the C1 controls, line and paragraph ends, the
#: controls of direction, and the format characters (Unicode's Cf) that have no form of their own.
_HIDING = (
    "\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
#: The two joiners are needed to write some languages and emoji, so people see them; in JSON they may be escaped too.
_ESCAPED = re.compile(f"[{_HIDING}\u200c\u200d]")
_INVISIBLE = re.compile(f"[\0-\x08\x0b-\x1f{_HIDING}]")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class BadJson(ValueError):
    """Text that is not acceptable JSON. `str()` says what is wrong and where, with a short excerpt.

    `reason` says only what is wrong. `kind` is "encoding", "syntax", "number", "depth", "key", or "cut" if a `Finder`
    came to the end of the text. `position` is the index of the wrong character, or of the wrong byte if `kind` is
    "encoding".
    """

    def __init__(self, message: str, *, kind: str = "syntax", reason: str = "", position: int = 0) -> None:
        super().__init__(message)
        self.kind = kind
        self.reason = reason or message
        self.position = position


class _BadToken(ValueError):
    """A number or constant that Python's parser accepts and we don't. Its arguments: the text, and what is wrong."""


def parse(data: bytes, *, unique_keys: bool = False) -> object:
    """The value in `data`: one JSON text in UTF-8, whitespace around it allowed.

    Besides bad syntax it refuses NaN and Infinity, numbers out of range, nesting over `MAX_DEPTH`, and, with
    `unique_keys`, an object that has a key twice. Lone surrogates and NULs in strings become U+FFFD, because they
    can't be stored as text. Raises BadJson.
    """
    return storable(parse_text(decode(data), _unique if unique_keys else None))


def decode(data: bytes) -> str:
    """Decodes UTF-8, without a byte order mark. Raises BadJson."""
    skip = len(_BOM) if data.startswith(_BOM) else 0
    try:
        return data[skip:].decode("utf-8")
    except UnicodeDecodeError as error:
        offset = error.start + skip
        raise BadJson(f"not UTF-8 at byte {offset}", kind="encoding", reason="not UTF-8", position=offset) from None


def parse_text(text: str, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> object:
    """The value in `text`, with the bounds of `parse` and with strings unchanged. Raises BadJson.

    `pairs` builds each object from its keys and values.
    """
    try:
        value = json.loads(
            text, parse_constant=_refuse_constant, parse_int=_integer, parse_float=_number, object_pairs_hook=pairs
        )
    except json.JSONDecodeError as error:
        raise BadJson(_syntax_error(text, error), reason=error.msg, position=error.pos) from None
    except _BadToken as error:
        token, reason = error.args
        raise BadJson(reason, kind="number", position=_token_position(text, token)) from None
    except RecursionError:
        raise _too_deep(text) from None
    if _is_deeper(value, MAX_DEPTH):
        raise _too_deep(text)
    return value


class Found(NamedTuple):
    """A value that stands in a text, the index after it, and why `parse` would refuse it; "" if it would not."""

    value: object
    end: int
    fault: str


class Finder:
    """Reads single values out of a text that also holds other things.

    What `parse` refuses for its content is still read, because the rest of such a value may be wanted; then `fault`
    says what is wrong. A number out of bounds is None. Of a key that occurs twice, the last value counts.
    """

    def __init__(self) -> None:
        self._fault = ""
        self._decoder = json.JSONDecoder(
            parse_constant=lambda name: self._tolerate(_refuse_constant, name),
            parse_int=lambda text: self._tolerate(_integer, text),
            parse_float=lambda text: self._tolerate(_number, text),
            object_pairs_hook=self._members,
        )

    def find(self, text: str, start: int) -> Found:
        """The value that begins at `start`. Raises BadJson with the position at which it can't be read further.

        Its cost is in proportion to the length that it reads, wherever in the text that is.
        """
        size = _FIRST_SLICE
        while True:
            # Python's errors count all lines before them, so the parser gets only a slice, and a longer one if needed.
            part = text[start : start + size]
            is_all = start + size >= len(text)
            self._fault = ""
            try:
                value, end = self._decoder.raw_decode(part)
            except json.JSONDecodeError as error:
                if not is_all and _may_go_on(error, len(part)):
                    size *= 8
                    continue
                near = excerpt(part[max(0, error.pos - 10) :])
                message = f"{error.msg} at character {start + error.pos + 1}, near {near}"
                if is_all and _is_cut(error, part.rstrip()):
                    raise BadJson(message, kind="cut", position=len(text)) from None
                raise BadJson(message, reason=error.msg, position=start + error.pos) from None
            except RecursionError:
                raise BadJson("nested too deep", kind="depth", position=start + len(part)) from None
            if _is_deeper(value, MAX_DEPTH):
                self._fault = self._fault or f"nested deeper than {MAX_DEPTH} levels"
            return Found(value, start + end, self._fault)

    def _tolerate(self, convert: Callable[[str], object], text: str) -> object:
        try:
            return convert(text)
        except _BadToken as error:
            self._fault = self._fault or error.args[1]
            return None

    def _members(self, pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
        try:
            return _unique(pairs)
        except BadJson as twice:
            self._fault = self._fault or str(twice)
            return dict(pairs)


def read_object(path: Path, limit: int, *, unique_keys: bool = False) -> dict[str, object]:
    """The JSON object in a regular file of at most `limit` bytes. Raises OSError, or BadJson if it is anything else."""
    try:
        data, _ = read_bounded(path, limit)
    except UnfitFile as error:
        raise BadJson(error.reason.removeprefix("is ")) from None
    value = parse(data, unique_keys=unique_keys)
    if not isinstance(value, dict):
        raise BadJson(f"must be an object, is {kind(value)}")
    return value


def dump(value: object) -> bytes:
    """One line of JSON in UTF-8, with non-ASCII characters unescaped where possible. Raises ValueError for NaN."""
    text = escape_hidden(_ENCODE_STRICTLY(value))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False).encode("ascii")


def escape_hidden(text: str) -> str:
    """JSON with the characters escaped that JSON allows in strings, but that a terminal obeys, that hide a part of the
    text, or that many readers take for line ends (U+0085, U+2028, U+2029). Its values are the same.
    """
    if text.isascii() and "\x7f" not in text:
        return text
    return _ESCAPED.sub(lambda match: json.dumps(match[0]).strip('"') if match[0] != "\x7f" else "\\u007f", text)


def visible(text: str) -> str:
    """Text for people, with U+FFFD for what a terminal would obey or not show. Tabs and line ends stay."""
    return text if text.isprintable() else _INVISIBLE.sub("\ufffd", text)


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


def _syntax_error(text: str, error: json.JSONDecodeError) -> str:
    if not text.strip():
        return "empty"
    start = max(0, min(error.pos, len(text) - 1) - 10)
    return f"{error.msg} at line {error.lineno}, column {error.colno}, near {excerpt(text[start:])}"


def _may_go_on(error: json.JSONDecodeError, size: int) -> bool:
    """Whether more text could mend the error: the parser came to the end, or into a word or an escape just before."""
    return error.msg.startswith("Unterminated string") or error.pos >= size - _LONGEST_WORD


def _is_cut(error: json.JSONDecodeError, text: str) -> bool:
    """Whether the text, of which nothing follows, breaks off."""
    return _may_go_on(error, len(text)) and (error.pos >= len(text) or not text.endswith(("}", "]")))


def _refuse_constant(name: str) -> float:
    raise _BadToken(name, f"{name} is not a JSON number")


def _integer(text: str) -> int:
    return int(_bounded(text))


def _number(text: str) -> float:
    number = float(_bounded(text))
    if number in (float("inf"), float("-inf")):
        raise _BadToken(text, f"the number {text[:_EXCERPT]} is out of range")
    return number


def _bounded(text: str) -> str:
    if len(text) > MAX_DIGITS:
        raise _BadToken(text, f"a number of {len(text)} digits; at most {MAX_DIGITS}")
    return text


def _token_position(text: str, token: str) -> int:
    """The index of the first occurrence of a token outside strings."""
    return next((match.start() for match in _TOKEN.finditer(text) if match[0] == token), 0)


def _too_deep(text: str) -> BadJson:
    depth = position = 0
    for match in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > MAX_DEPTH:
            position = match.start()
            break
    return BadJson(f"nested deeper than {MAX_DEPTH} levels", kind="depth", position=position)


def _is_deeper(value: object, levels: int) -> bool:
    """Whether lists and objects are nested more than `levels` deep. Without recursion: level by level."""
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(levels):
        if not level:
            return False
        parts = [part.values() if isinstance(part, dict) else part for part in level]
        level = [item for part in parts for item in part if isinstance(item, list | dict)]
    return bool(level)


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for key, value in pairs:
        if key in members:
            raise BadJson(f"the key {excerpt(key)} occurs twice", kind="key")
        members[key] = value
    return members


def storable(value: object) -> object:
    """A JSON value with `plain_text` applied to its strings."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {plain_text(key): storable(item) for key, item in value.items()}
    return value
