"""Lines that fit: text is broken between words, never inside of one. Imports no library."""

from __future__ import annotations

import unicodedata


def cells(text: str) -> int:
    """The width of a text on a terminal. Source: Unicode Standard Annex 11, East Asian Width."""
    if text.isascii():
        return len(text)
    return sum(_cells(sign) for sign in text)


def _cells(sign: str) -> int:
    if unicodedata.combining(sign) or unicodedata.category(sign) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells; a word that is wider is a line of its own."""
    lines: list[str] = []
    for word in text.split():
        if lines and cells(lines[-1]) + 1 + cells(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
