"""Masks secrets in what is stored and told. A leaf: knows no room."""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
#: Words in the name of a variable that say that its value is a secret. Whole words: not KEYBOARD, not AUTHOR; and
#: those that end a longer word, like PGPASSWORD.
_SECRET_NAME = re.compile(
    r"(?:(?:^|[^A-Z0-9])(?:KEY|CREDENTIAL|AUTH|PASS|PAT)|[^A-Z0-9]PWD|TOKEN|SECRET|APIKEY|PASSWORD|PASSWD|PASSPHRASE)"
    r"S?\d*(?:[^A-Z0-9]|$)"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: What a variable with such a name holds all the same without being a secret: a path, a number, a short or an ordinary
#: word. A path begins with a word in plain letters: one in sixty base64 texts begins with a slash.
_NO_SECRET = re.compile(
    r"(?:~|\.{1,2})/[^+=]*|/(?:[a-z]+|Users|Library|Volumes|Applications)(?:/[^+=]*)?|[\d.,:+-]*|.{0,7}"
    r"|(?i:localhost|(?:un)?limited|(?:en|dis)abled|required|optional|production|development|undefined|anonymous)",
    re.DOTALL,
)
#: Shorter values are ordinary words and numbers; masking them would garble every answer.
SHORTEST_SECRET = 6
#: What every process gets anyway, and nobody hides: a HOME that is masked would garble each path.
NO_SECRETS = frozenset({"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TZ", "TMPDIR"})
#: So many characters of a form are searched for first.
_LONGEST_NEEDLE = 6
#: More needles are not searched for one by one. Measured: a search costs 3 ns a character, a window 300.
_MOST_SEARCHES = 100
#: Of a secret that was cut off, by a limit of ours, so much must be left to be told from ordinary text.
_SHORTEST_PIECE = 8
#: Lines of a secret of several, like a private key, are masked on their own from this length.
_SHORTEST_LINE = 16
#: Behind a piece: the end of the text, or the mark of an excerpt. Before one: the beginning, or an excerpt's.
_CUT_AFTER = re.compile(r"[\"']?(?:…|\s*(?:\(\d+\))?\s*\Z)")
_CUT_BEFORE = ("near '", 'near "')
#: Our own keys look so, and no secret does.
_PLAIN_KEY = re.compile(r"[a-z_]{1,40}")


def looks_secret(name: str) -> bool:
    """Whether a variable of this name is likely to hold a secret."""
    return _SECRET_NAME.search(_CAMEL.sub("_", name).upper()) is not None


def is_plain(value: str) -> bool:
    """Whether a value is surely no secret: a path, a number, a short or an ordinary word."""
    return _NO_SECRET.fullmatch(value) is not None


def secrets_of(variables: Mapping[str, str], named: Iterable[str]) -> Iterator[str]:
    """The values to mask: those of the variables that are named, and those of variables that look like secrets.

    Also the password in a variable that holds an address: `postgres://name:password@host`.
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
        # `guest:guest` is no secret, and its mask would garble every other `guest`.
        if text != parts.username and not _NO_SECRET.fullmatch(text):
            yield text


#: Where something of one secret stands in a text, as (begin, end).
_Look = Callable[[str], Iterator[tuple[int, int]]]


class Redactor:
    """Replaces the given values wherever they stand in strings, also inside nested objects and lists.

    Also as they are written in JSON, in addresses, in Python and in base64, and pieces of them at the place where a
    text was cut off; not when a program has split or encoded them otherwise.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        whole = {text for given in secrets for text in _texts(given)}
        written = {form for text in whole for form in (text, *_written(text))}
        cut = sorted(form for form in written if len(form) > _SHORTEST_PIECE)
        base64 = sorted({form for text in whole for form in _base64(text)})
        forms = sorted(written.union(base64))
        # Each way to find a form begins with a search for so many characters of it, its needle. Nearly every text holds
        # no needle, and then one pass is all.
        self._width = min([_LONGEST_NEEDLE, *map(len, forms)])
        self._looks: dict[str, list[_Look]] = {}
        for find, where, searched in ((_every, 0, forms), (_beginnings, 0, cut), (_ends, -_SHORTEST_PIECE, cut)):
            for form in searched:
                self._looks.setdefault(form[where:][: self._width], []).append(partial(find, form))
        self._wrapped_looks: dict[str, list[_Look]] = {}
        for form in base64:
            self._wrapped_looks.setdefault(form[: self._width], []).append(partial(_every, form))

    def __call__(self, value: Mapping[str, object]) -> dict[str, object]:
        """A copy of a JSON object without the secrets, in values, and in keys unless they are plain small letters."""
        if not self._looks:
            return dict(value)
        return {key if _PLAIN_KEY.fullmatch(key) else self.text(key): self.any(item) for key, item in value.items()}

    def text(self, text: str) -> str:
        """A string without the secrets."""
        spans = list(self._spans(text, self._looks))
        if "\n" in text and self._wrapped_looks:
            spans += self._wrapped(text)
        if not spans:
            return text
        parts, done = [], 0
        # Secrets may overlap: what any of them covers is covered.
        for start, end in _merged(spans):
            parts += [text[done:start], MASK]
            done = end
        return "".join([*parts, text[done:]])

    def _spans(self, text: str, looks: Mapping[str, Sequence[_Look]]) -> Iterator[tuple[int, int]]:
        needles = _needles_in(text, looks.keys(), self._width)
        return (span for needle in needles for look in looks[needle] for span in look(text))

    def _wrapped(self, text: str) -> Iterator[tuple[int, int]]:
        """Base64 that was broken into lines, as `base64` and mail do it."""
        found = list(self._spans(text.replace("\r", "").replace("\n", ""), self._wrapped_looks))
        places = [place for place, char in enumerate(text) if char not in "\r\n"] if found else []
        return ((places[start], places[end - 1] + 1) for start, end in found)

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
    """The secret as programs read it: without the newline of its file, and each line of a long one."""
    for text in (secret, secret.strip()):
        if len(text) >= SHORTEST_SECRET:
            yield text
    lines = [line.strip() for line in secret.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _SHORTEST_LINE)


def _written(text: str) -> Iterator[str]:
    """How it looks inside JSON, an address, or Python's quotes, and where bytes that are no UTF-8 were replaced."""
    for ascii_only in (True, False):
        as_json = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield from (as_json, as_json.replace("/", "\\/"))
        # JSON inside JSON.
        yield json.dumps(as_json, ensure_ascii=ascii_only)[1:-1]
    data = _bytes(text)
    for in_address in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield from (in_address, re.sub("%..", lambda found: found[0].lower(), in_address))
    yield repr(text)[1:-1]
    # Two ways in which shells quote a quote.
    yield from (text.replace("'", "'\\''"), text.replace("'", "'\"'\"'"))
    yield data.decode("utf-8", "replace")


def _base64(text: str) -> Iterator[str]:
    """What base64 makes of it inside other bytes: the digits that hold nothing else, for each way to begin."""
    data = _bytes(text)
    if len(data) < _SHORTEST_PIECE:
        return
    for before, first in ((0, 0), (1, 2), (2, 3)):
        digits = binascii.b2a_base64(b"\0" * before + data, newline=False).decode()
        found = digits[first : (before + len(data)) * 8 // 6]
        yield from {found, found.replace("+", "-").replace("/", "_")}


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
    """Those of the needles, which are `width` long, that the text holds."""
    windows = range(len(text) - width + 1)
    if min(len(windows), _MOST_SEARCHES) < len(needles):
        # What a text costs must not grow with the number of secrets, be it long or one of very many short ones.
        return {window for start in windows if (window := text[start : start + width]) in needles}
    return [needle for needle in needles if needle in text]


def _beginnings(secret: str, text: str) -> Iterator[tuple[int, int]]:
    """Where the beginning of the secret stands before a cut."""
    for start, _ in _every(secret[:_SHORTEST_PIECE], text):
        end = start + _common(secret, text[start : start + len(secret)])
        if _CUT_AFTER.match(text, end):
            yield start, end


def _ends(secret: str, text: str) -> Iterator[tuple[int, int]]:
    """Where the end of the secret stands behind a cut."""
    first = len(text) - len(text.lstrip())
    for _, end in _every(secret[-_SHORTEST_PIECE:], text):
        begin = end - _common(secret[::-1], text[max(0, end - len(secret)) : end][::-1])
        if begin <= first or text[max(0, begin - 6) : begin] in _CUT_BEFORE:
            yield begin, end


def _common(first: str, second: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((number for number, (one, other) in pairs if one != other), min(len(first), len(second)))


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
