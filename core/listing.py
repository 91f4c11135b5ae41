"""Names in a message: the first few, and how many there are more. Sentences one after the other."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 5


def listed(names: Sequence[str], most: int = NAMED) -> str:
    """`a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def sentences(*texts: str) -> str:
    """The texts that are not empty, as sentences: each but the last ends in its own sign, or in a full stop."""
    found = [text.strip() for text in texts if text.strip()]
    return " ".join(
        [*(text if text.endswith((".", "?", "!", ":")) else f"{text}." for text in found[:-1]), *found[-1:]]
    )
