"""Names in a message: the first few, and how many there are more."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 5


def listed(names: Sequence[str], most: int = NAMED) -> str:
    """`a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
