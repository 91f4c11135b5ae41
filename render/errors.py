"""An error as text for people. Imports no library, so that it also tells of a missing one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from render.paragraphs import wrapped
from render.screen import Screen
from render.whole import JOINT, joined, pasted
from render.words import one_line, plain

_RED, _BOLD, _END = "\x1b[1;31m", "\x1b[1m", "\x1b[0m"
#: Details that the text says in another way, or that only programs need.
_SAID = ("hint", "problem_count", "status", "source", "form")
#: The most faults of a file that are listed.
_MOST = 30
#: The most characters of a detail.
_LONGEST, _LONGEST_PATH = 500, 4_096


def error_text(error: Mapping[str, Any], screen: Screen, places: Iterable[str] = ()) -> str:
    """`error: …`, then where it is, then `fix: …`; each line fits the screen, except what must stay whole.

    `places` are paths that stay whole, besides those in the error's own details.
    """
    return "\n".join(_lines(joined(error, places), screen)).replace(JOINT, " ")


def _lines(error: Mapping[str, Any], screen: Screen) -> Iterator[str]:
    details: Mapping[str, Any] = error.get("details") or {}
    problems = [problem for problem in _entries(details.get("problems")) if problem.get("message")]
    message = plain(error.get("message"), 4_000)
    if len(problems) > 1:
        # They are all listed below.
        message = message.partition("; the first: ")[0]
    yield from _labelled("error: ", message, screen, _RED)
    yield from _problems(problems if len(problems) > 1 else [], screen)
    yield from _refused(_entries(details.get("not_imported")), screen)
    for name, value in details.items():
        if name not in _SAID and _is_plain(value) and plain(value, _LONGEST) not in message:
            label = f"  {name.replace('_', ' ')}: "
            if str(value).startswith("/"):
                # A path, which is copied.
                yield f"{label}{pasted(one_line(value)[:_LONGEST_PATH])}"
            else:
                yield from _labelled(label, plain(value, _LONGEST), screen)
    yield from _labelled("  code: ", plain(error.get("code")), screen)
    yield from _cause(details, screen)
    listed = {problem.get("hint") for problem in problems} if len(problems) > 1 else set()
    if (hint := details.get("hint")) and hint not in listed:
        yield from _labelled("  fix: ", plain(hint, 2_000), screen, _BOLD)


def _entries(value: object) -> list[Mapping[str, Any]]:
    entries = value if isinstance(value, list | tuple) else ()
    return [entry for entry in entries if isinstance(entry, Mapping)]


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _cause(details: Mapping[str, Any], screen: Screen) -> Iterator[str]:
    """The other error that led to this one: a file that can't be loaded, an edit that can't be synced."""
    sync = details.get("sync")
    cause = sync.get("error") if isinstance(sync, Mapping) else details.get("sync_error")
    if isinstance(cause, Mapping):
        yield "  because of this error:"
        narrower = replace(screen, width=max(20, screen.width - 4))
        yield from (f"    {line}" for line in _lines(cause, narrower))


def _problems(problems: Sequence[Mapping[str, Any]], screen: Screen) -> Iterator[str]:
    """The faults of a file or of settings, those of one job together."""
    last = ""
    for problem in problems[:_MOST]:
        place, _, field = plain(problem.get("path")).partition(".")
        job = f"{place} {plain(problem['job_id'])}" if problem.get("job_id") else place
        if job and job != last:
            yield f"  {job}"
        last = job
        label = f"    {field} " if field else "    "
        yield from _labelled(label, plain(problem["message"], 1_000), screen, indent=6)
        if problem.get("hint"):
            yield from _labelled("      fix: ", plain(problem["hint"], 1_000), screen)
    if len(problems) > _MOST:
        yield f"  … {len(problems) - _MOST:,} more; --json lists them all"


def _refused(lines: Sequence[Mapping[str, Any]], screen: Screen) -> Iterator[str]:
    """The lines of a crontab that can't be jobs."""
    for line in lines[:_MOST]:
        yield from _labelled(f"  line {line.get('line')}: ", plain(line.get("reason"), 1_000), screen)
        if line.get("hint"):
            yield from _labelled("    fix: ", plain(line["hint"], 1_000), screen)
    if len(lines) > _MOST:
        yield f"  … {len(lines) - _MOST:,} more; --json lists them all"


def _labelled(label: str, text: str, screen: Screen, style: str = "", indent: int | None = None) -> Iterator[str]:
    """A label and its text, which is wrapped below itself, or `indent` cells from the left."""
    begin = len(label) if indent is None else indent
    first, *others = wrapped(text, screen.width - begin, screen.width - len(label)) or [""]
    head = f"{style}{label.rstrip()}{_END} " if style and screen.colour else label
    yield f"{head}{first}"
    yield from (" " * begin + line for line in others)
