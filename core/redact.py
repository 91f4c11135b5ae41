"""Masks secrets in everything that is stored, logged or sent. Imports no other package."""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from functools import partial
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
#: Words in a variable's name that mark its value as a secret. Whole words, so not KEYBOARD or AUTHOR; but also at the
#: end of a longer word, like PGPASSWORD.
_SECRET_NAME = re.compile(
    r"(?:(?:^|[^A-Z0-9])(?:KEY|CREDENTIAL|AUTH|PASS|PAT)|[^A-Z0-9]PWD|TOKEN|SECRET|APIKEY|PASSWORD|PASSWD|PASSPHRASE)"
    r"S?\d*(?:[^A-Z0-9]|$)"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Values of such variables that are no secrets: a path, a number, a short or common word. A path must begin with a word
#: in plain letters, because one in sixty base64 texts begins with a slash.
_NO_SECRET = re.compile(
    r"(?:~|\.{1,2})/[^+=]*|/(?:[a-z]+|Users|Library|Volumes|Applications)(?:/[^+=]*)?|[\d.,:+-]*|.{0,7}"
    r"|(?i:localhost|(?:un)?limited|(?:en|dis)abled|required|optional|production|development|undefined|anonymous)",
    re.DOTALL,
)
#: Shorter values are mostly common words and numbers; masking them would garble every text.
SHORTEST_SECRET = 6
#: Variables that every process gets and that are no secrets: a masked HOME would garble every path.
NO_SECRETS = frozenset({"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TZ", "TMPDIR"})
#: Length of the needle, the part of a secret that is searched for first.
_LONGEST_NEEDLE = 6
#: With more needles, windows of the text are looked up instead. Measured: a search costs 3 ns a character, a window
#: 300 ns.
_MOST_SEARCHES = 100
#: A secret may be cut off by one of our length limits. A piece is masked if it has at least this many characters.
_SHORTEST_PIECE = 8
#: Each line of a multi-line secret, like a private key, is also masked alone if it has this many characters.
_SHORTEST_LINE = 16
#: Other encodings than UTF-8 in which programs print. Their bytes are read as UTF-8, so most of them become U+FFFD.
_ENCODINGS = ("latin-1", "cp1252", "cp437", "cp850", "utf-16-le", "utf-16-be")
#: A form with fewer characters besides U+FFFD would mask every text in that encoding.
_LEAST_READABLE = 4
#: What follows a piece: the end of the text, or of an excerpt. What precedes one: the beginning of an excerpt. A
#: character that was cut in two is U+FFFD.
_CUT_AFTER = re.compile(r"\ufffd*[\"']?(?:…|\s*(?:\(\d+\))?\s*\Z)")
_CUT_BEFORE = ("near '", 'near "')
#: A character that is written as an escape: as in JSON and JavaScript, of which each writer escapes others, and in a
#: shell, where a backslash may stand before anything that is not a letter.
_ESCAPE = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([bfnrt])|(\W))"
)
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
#: JSON in JSON in JSON, as logs of agents have it, and one more.
_DEEPEST_ESCAPES = 4
#: Keys of this form are our own and never secrets.
_PLAIN_KEY = re.compile(r"[a-z_]{1,40}")


def looks_secret(name: str) -> bool:
    """Whether the name of a variable suggests that its value is a secret."""
    return _SECRET_NAME.search(_CAMEL.sub("_", name).upper()) is not None


def is_plain(value: str) -> bool:
    """Whether a value is certainly not a secret: a path, a number, a short or common word."""
    return _NO_SECRET.fullmatch(value) is not None


def secrets_of(variables: Mapping[str, str], named: Iterable[str]) -> Iterator[str]:
    """The values to mask: of the variables in `named`, and of those whose names suggest a secret.

    Also the password in a URL, like `postgres://name:password@host`.
    """
    yield from (variables[name] for name in named if name in variables)
    for name, value in variables.items():
        if looks_secret(name) and not _NO_SECRET.fullmatch(value):
            yield value
        if "://" in value and "@" in value:
            yield from _passwords(value)


def _passwords(address: str) -> Iterator[str]:
    try:
        parts = urlsplit(address)
    except ValueError:
        return
    for text in {parts.password or "", unquote(parts.password or "")}:
        # `guest:guest` is no secret, and masking it would garble every other `guest`.
        if text != parts.username and not _NO_SECRET.fullmatch(text):
            yield text


#: Finds the spans (start, end) of one form of a secret in a text.
_Finder = Callable[[str], Iterator[tuple[int, int]]]


class Redactor:
    """Replaces the given values in strings, also inside nested objects and lists.

    It finds them also as they are written in JSON, with whichever escapes, in URLs, Python, a shell and base64, and as
    bytes of other encodings, like Latin-1 and UTF-16, look that were read as UTF-8. It finds pieces of them where a
    text was cut off. It does not find values that a program has split or encoded in another way.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        whole = {form for given in secrets for text in _texts(given) for form in _composed(text)}
        written = {form for text in whole for form in (text, *_written(text))}
        cut = sorted(form for form in written if len(form) > _SHORTEST_PIECE)
        base64 = sorted({form for text in whole for form in _base64(text)})
        forms = sorted(written.union(base64))
        # Each finder starts with a search for its needle. Nearly every text contains no needle, so one pass is enough.
        self._width = min([_LONGEST_NEEDLE, *map(len, forms)])
        self._finders: dict[str, list[_Finder]] = {}
        for find, where, searched in ((_every, 0, forms), (_beginnings, 0, cut), (_ends, -_SHORTEST_PIECE, cut)):
            for form in searched:
                self._finders.setdefault(form[where:][: self._width], []).append(partial(find, form))
        self._wrapped_finders: dict[str, list[_Finder]] = {}
        for form in base64:
            self._wrapped_finders.setdefault(form[: self._width], []).append(partial(_every, form))

    def __call__(self, value: Mapping[str, object]) -> dict[str, object]:
        """A copy of a JSON object without the secrets. Keys of lower-case letters are left as they are."""
        if not self._finders:
            return dict(value)
        return {key if _PLAIN_KEY.fullmatch(key) else self.text(key): self.any(item) for key, item in value.items()}

    def text(self, text: str) -> str:
        """A string without the secrets."""
        spans = list(self._spans(text, self._finders))
        if "\n" in text and self._wrapped_finders:
            spans += self._wrapped(text)
        if "\\" in text and self._finders:
            spans += self._escaped(text, _DEEPEST_ESCAPES)
        if not spans:
            return text
        parts, done = [], 0
        # Secrets may overlap: their spans are merged first.
        for start, end in _merged(spans):
            parts += [text[done:start], MASK]
            done = end
        return "".join([*parts, text[done:]])

    def _spans(self, text: str, finders: Mapping[str, Sequence[_Finder]]) -> Iterator[tuple[int, int]]:
        needles = _needles_in(text, finders.keys(), self._width)
        return (span for needle in needles for finder in finders[needle] for span in finder(text))

    def _wrapped(self, text: str) -> Iterator[tuple[int, int]]:
        """Spans of base64 that is broken into lines, as `base64` and mail programs do it."""
        joined_spans = list(self._spans(text.replace("\r", "").replace("\n", ""), self._wrapped_finders))
        positions = [index for index, char in enumerate(text) if char not in "\r\n"] if joined_spans else []
        return ((positions[start], positions[end - 1] + 1) for start, end in joined_spans)

    def _escaped(self, text: str, depth: int) -> Iterator[tuple[int, int]]:
        """Spans of secrets with characters that are written as escapes, also of escapes."""
        plain = _ESCAPE.sub(_character, text)
        if plain == text:
            return
        spans = list(self._spans(plain, self._finders))
        if depth > 1 and "\\" in plain:
            spans += self._escaped(plain, depth - 1)
        if spans:
            starts = _starts(text)
            yield from ((starts[start], starts[end]) for start, end in spans)

    def any(self, value: object) -> object:
        """A copy of any JSON value without the secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int | float) and self.text(str(value)) != str(value):
            return MASK
        if isinstance(value, Mapping):
            return self(value)
        if isinstance(value, list | tuple):
            return [self.any(item) for item in value]
        return value


def _texts(secret: str) -> Iterator[str]:
    """The secret, the secret without surrounding whitespace, and each long line of it."""
    for text in (secret, secret.strip()):
        if len(text) >= SHORTEST_SECRET:
            yield text
    lines = [line.strip() for line in secret.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _SHORTEST_LINE)


def _written(text: str) -> Iterator[str]:
    """The text as it looks in JSON, in a URL, in Python's or a shell's quotes, and with invalid UTF-8 replaced."""
    for ascii_only in (True, False):
        as_json = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield from (as_json, as_json.replace("/", "\\/"))
        # JSON inside JSON.
        yield json.dumps(as_json, ensure_ascii=ascii_only)[1:-1]
    for data in _in_bytes(text):
        for in_address in (quote(data, safe=""), quote(data), quote_plus(data)):
            yield from (in_address, re.sub("%..", lambda match: match[0].lower(), in_address))
        yield repr(data)[2:-1]
        yield from _misread(data)
    yield repr(text)[1:-1]
    # Two ways to quote a quote in a shell.
    yield from (text.replace("'", "'\\''"), text.replace("'", "'\"'\"'"))


def _composed(text: str) -> set[str]:
    """The text, and its accents as one character and as two: some systems and programs change one into the other."""
    if text.isascii():
        return {text}
    from unicodedata import normalize

    return {text, normalize("NFC", text), normalize("NFD", text)}


def _in_bytes(text: str) -> set[bytes]:
    """The text in UTF-8, and in the other encodings that have its characters."""
    found = {_bytes(text)}
    for encoding in _ENCODINGS:
        with suppress(UnicodeEncodeError):
            found.add(text.encode(encoding))
    return found


def _misread(data: bytes) -> Iterator[str]:
    """How bytes look that were read in the wrong encoding; what can't be read is replaced, and so may be NULs."""
    forms = {data.decode("utf-8", handler) for handler in ("replace", "surrogateescape")}
    # UTF-8 that was read as Latin-1 or cp1252, and written as UTF-8 again.
    forms |= {data.decode(encoding, "replace") for encoding in ("latin-1", "cp1252")}
    for form in forms:
        for shown in {form, form.replace("\0", "\ufffd")}:
            if len(shown) >= SHORTEST_SECRET and len(shown) - shown.count("\ufffd") >= _LEAST_READABLE:
                yield shown


def _base64(text: str) -> Iterator[str]:
    """The text in base64 at each of the three alignments, without the digits that also encode other bytes."""
    for data in _in_bytes(text):
        if len(data) < _SHORTEST_PIECE:
            continue
        for before, first in ((0, 0), (1, 2), (2, 3)):
            digits = binascii.b2a_base64(b"\0" * before + data, newline=False).decode()
            own = digits[first : (before + len(data)) * 8 // 6]
            yield from {own, own.replace("+", "-").replace("/", "_")}


def _character(escape: re.Match[str]) -> str:
    """The character that an escape stands for."""
    first, second, unit, byte, control, itself = escape.groups()
    if first:
        return chr(0x10000 + ((int(first, 16) - 0xD800) << 10) + int(second, 16) - 0xDC00)
    if unit or byte:
        return chr(int(unit or byte, 16))
    return _CONTROLS[control] if control else str(itself)


def _starts(text: str) -> list[int]:
    """Where each character begins in a text, of which an escape is one character; and where the last one ends."""
    starts, done = [], 0
    for escape in _ESCAPE.finditer(text):
        starts += [*range(done, escape.start()), escape.start()]
        done = escape.end()
    return [*starts, *range(done, len(text) + 1)]


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _every(secret: str, text: str) -> Iterator[tuple[int, int]]:
    start = text.find(secret)
    while start >= 0:
        yield start, start + len(secret)
        start = text.find(secret, start + 1)


def _needles_in(text: str, needles: Set[str], width: int) -> Iterable[str]:
    """Those of the needles, all `width` long, that occur in the text."""
    windows = range(len(text) - width + 1)
    if min(len(windows), _MOST_SEARCHES) < len(needles):
        # The cost of a text must not grow with the number of secrets, for long texts and for very many short ones.
        return {window for start in windows if (window := text[start : start + width]) in needles}
    return [needle for needle in needles if needle in text]


def _beginnings(secret: str, text: str) -> Iterator[tuple[int, int]]:
    """Spans of the secret's beginning before a cut."""
    for start, _ in _every(secret[:_SHORTEST_PIECE], text):
        end = start + _common(secret, text[start : start + len(secret)])
        if _CUT_AFTER.match(text, end):
            yield start, end


def _ends(secret: str, text: str) -> Iterator[tuple[int, int]]:
    """Spans of the secret's end after a cut."""
    first = len(text) - len(text.lstrip().lstrip("\ufffd"))
    for _, end in _every(secret[-_SHORTEST_PIECE:], text):
        begin = end - _common(secret[::-1], text[max(0, end - len(secret)) : end][::-1])
        if begin <= first or text[max(0, begin - 6) : begin] in _CUT_BEFORE:
            yield begin, end


def _common(first: str, second: str) -> int:
    """The length of the common prefix."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((number for number, (left, right) in pairs if left != right), min(len(first), len(second)))


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
