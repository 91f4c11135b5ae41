"""An error as text for people. Imports no library, so that it also tells of a missing one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from render.paragraphs import wrapped
from render.screen import Screen
from render.words import plain

_RED, _BOLD, _END = "\x1b[1;31m", "\x1b[1m", "\x1b[0m"
#: Details that the text says in another way, or that only programs need.
_SAID = ("hint", "problems", "commands", "sync")
#: The most characters of a detail.
_LONGEST = 500


def error_text(error: Mapping[str, Any], screen: Screen) -> str:
    """`error: …`, then where it is, then `fix: …`; each line fits the screen, except words that must stay whole."""
    return "\n".join(_lines(error, screen))


def _lines(error: Mapping[str, Any], screen: Screen) -> Iterator[str]:
    details: Mapping[str, Any] = error.get("details") or {}
    message = plain(error.get("message"), 4_000)
    yield from _labelled("error: ", message, screen, _RED)
    problems = details.get("problems")
    if isinstance(problems, Sequence) and not isinstance(problems, str):
        yield from _problems(problems, screen)
    for name, value in details.items():
        if name not in _SAID and _is_plain(value) and plain(value, _LONGEST) not in message:
            yield from _labelled(f"  {name.replace('_', ' ')}: ", plain(value, _LONGEST), screen)
    yield from _labelled("  code: ", plain(error.get("code")), screen)
    if hint := details.get("hint"):
        yield from _labelled("  fix: ", plain(hint, 2_000), screen, _BOLD)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _problems(problems: Sequence[Any], screen: Screen) -> Iterator[str]:
    """The faults of a file or of settings, those of one job together."""
    last = ""
    for problem in problems:
        if not isinstance(problem, Mapping):
            continue
        place = " ".join(plain(problem[name]) for name in ("job_id", "path") if problem.get(name))
        if place != last and place:
            yield f"  {place}"
        last = place
        yield from _labelled("    - ", plain(problem.get("message"), 1_000), screen)
        if problem.get("hint"):
            yield from _labelled("      fix: ", plain(problem["hint"], 1_000), screen)


def _labelled(label: str, text: str, screen: Screen, style: str = "") -> Iterator[str]:
    """A label and its text, which is wrapped below itself."""
    first, *others = wrapped(text, screen.width - len(label)) or [""]
    head = f"{style}{label.rstrip()}{_END} " if style and screen.colour else label
    yield f"{head}{first}"
    yield from (" " * len(label) + line for line in others)
