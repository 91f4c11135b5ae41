"""Lines that fit: text is broken between words, never inside of one. Imports no library."""

from __future__ import annotations

import unicodedata

from render.whole import JOINT, unbroken


def cells(text: str) -> int:
    """The width of a text on a terminal. Source: Unicode Standard Annex 11, East Asian Width."""
    if text.isascii():
        return len(text)
    return sum(_cells(sign) for sign in text)


def _cells(sign: str) -> int:
    if unicodedata.combining(sign) or unicodedata.category(sign) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def wrapped(text: str, width: int, first: int | None = None) -> list[str]:
    """Lines of at most `width` cells, the first of at most `first`.

    A word or a command that is wider is a line of its own.
    """
    lines: list[str] = []
    room = width if first is None else first
    for word in unbroken(text).split():
        if lines and cells(lines[-1]) + 1 + cells(word) <= (room if len(lines) == 1 else width):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [line.replace(JOINT, " ") for line in lines]
