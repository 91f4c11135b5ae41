"""A fault in the settings: one form for the environment and for `.env`."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Problem(TypedDict):
    """A fault or a warning, as `status` and an error's `details.problems` print it.

    `source` is `environment`, `.env` or `.env line 3`; then `line` is 3. `text` is the value, unless it may be secret.
    """

    code: str
    source: str
    message: str
    hint: str
    line: NotRequired[int]
    variable: NotRequired[str]
    text: NotRequired[str]


class InvalidValue(Exception):
    """A value is wrong. `sentence` continues after the variable's name: "must be …"."""

    def __init__(self, code: str, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.hint = hint


def problem_of(
    code: str, line: int | None, message: str, hint: str, *, variable: str | None = None, text: str | None = None
) -> Problem:
    """A fault or a warning. `line` is a line of `.env`; None means the environment."""
    problem: Problem = {
        "code": code,
        "source": "environment" if line is None else f".env line {line}",
        "message": message,
        "hint": hint,
    }
    if line is not None:
        problem["line"] = line
    if variable is not None:
        problem["variable"] = variable
    if text is not None:
        problem["text"] = text
    return problem


def printable(text: str) -> str:
    """At most 80 characters of `text`, with unprintable ones as escapes."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:80])
