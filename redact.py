"""Masks secrets in what is stored and told. A leaf: knows no room."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

MASK = "***"
#: Words in the name of a variable that say that its value is a secret. Whole words: not KEYBOARD, not AUTHOR.
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|KEY|APIKEY|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|AUTH|PAT)S?\d*(?:_|$)", re.IGNORECASE
)
#: What a variable with such a name holds all the same without being a secret: a path, a number, a short word.
_NO_SECRET = re.compile(r"(~|\.{1,2})?/[^+=]*/[^+=]*|~?/[\w.-]*|[\d.,:+-]*|.{0,7}", re.DOTALL)
#: Shorter values are ordinary words and numbers; masking them would garble every answer.
SHORTEST_SECRET = 6


def looks_secret(name: str) -> bool:
    """Whether a variable of this name is likely to hold a secret."""
    return _SECRET_NAME.search(name) is not None


def secrets_of(variables: Mapping[str, str], named: Iterable[str]) -> Iterator[str]:
    """The values to mask: those of the variables that are named, and those of variables that look like secrets."""
    yield from (variables[name] for name in named if name in variables)
    for name, value in variables.items():
        if looks_secret(name) and not _NO_SECRET.fullmatch(value):
            yield value


class Redactor:
    """Replaces the given values wherever they stand in strings, also inside nested objects and lists.

    Also as they are written in JSON and in addresses; not when a program has split or encoded them otherwise.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        found = {text for text in secrets if len(text) >= SHORTEST_SECRET}
        for text in list(found):
            found |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
            found |= {quote(text, safe="", errors="surrogateescape")}
        # Longest first, so that a secret that contains another leaves no tail behind.
        self._secrets = sorted(found, key=len, reverse=True)

    def __call__(self, value: Mapping[str, object]) -> dict[str, object]:
        """A copy of a JSON object without the secrets, in keys and values."""
        return {self.text(key): self._any(item) for key, item in value.items()}

    def text(self, text: str) -> str:
        """A string without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def _any(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int | float) and self.text(str(value)) != str(value):
            return MASK
        if isinstance(value, Mapping):
            return self(value)
        if isinstance(value, list | tuple):
            return [self._any(item) for item in value]
        return value
