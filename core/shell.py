"""Words of a command that people are told to run."""

from __future__ import annotations

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-")


def quoted(word: object) -> str:
    """A path, or any other word, as a shell must read it: in single quotes unless it is plain."""
    text = str(word)
    if text and _PLAIN.issuperset(text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"
