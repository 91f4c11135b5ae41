"""What is wrong with a setting, in one form for the environment and `.env`."""

from __future__ import annotations

Problem = dict[str, object]


class Unfit(Exception):
    """A value is wrong; the sentence goes on after the variable's name."""

    def __init__(self, code: str, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.hint = hint


def about(code: str, line: int | None, message: str, hint: str, **more: str) -> Problem:
    """A problem or warning; without a line of `.env` it is about the environment."""
    place: Problem = {"source": "environment"} if line is None else {"source": f".env line {line}", "line": line}
    return {"code": code, **more, **place, "message": message, "hint": hint}


def shown(text: str) -> str:
    """At most 80 characters of `text`, those that can't be printed as escapes."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:80])
