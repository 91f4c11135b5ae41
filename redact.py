"""Masks secrets in what is stored and told. A leaf: knows no room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MASK = "***"
#: Shorter values are ordinary words and numbers; masking them would garble every answer.
SHORTEST_SECRET = 6


class Redactor:
    """Replaces the given values wherever they stand in strings, also inside nested objects and lists."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # Longest first, so that a secret that contains another leaves no tail behind.
        self._secrets = sorted({text for text in secrets if len(text) >= SHORTEST_SECRET}, key=len, reverse=True)

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
