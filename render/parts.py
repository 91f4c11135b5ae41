"""What views are made of: labelled facts, excerpts of long texts, the next step."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from render.console import Report, ViewContext
from render.hanging import Hanging, on_one_line, wrapped
from render.whole import pasted
from render.words import distance, one_line, plain, sentence, short, verbatim

#: Lines of a screen that are left for a text when everything else about a run is on it too.
_LEAST_LINES, _OTHER_LINES, _USUAL_HEIGHT = 4, 14, 24


def facts(rows: Iterable[tuple[str, str | Text | None]]) -> list[Hanging]:
    """A line for each fact that there is, the labels in one column; `copied` texts stay in that line."""
    kept = [(name, value) for name, value in rows if value]
    width = max((len(name) for name, _ in kept), default=0)
    texts = [(name, value if isinstance(value, Text) else Text(value or "")) for name, value in kept]
    return [Hanging(Text(f"  {name:<{width}}  ", "dim"), text, wraps=not text.no_wrap) for name, text in texts]


def copied(text: object, style: str = "", most: int = 4_096) -> Text:
    """A path or a command, which is neither broken nor cut: it may have blanks in it, and is copied."""
    return Text(one_line(text)[:most], style, no_wrap=True, overflow="ignore")


def path(value: object, style: str = "") -> Text:
    """A path by itself, as a shell reads it; empty for none."""
    return copied(pasted(one_line(value)), style)


def head(status: str, style: str, text: str) -> Text:
    """The first line of a report about one thing."""
    return Text.assemble((status, style), ("  ", ""), (text, "bold"), overflow="ignore")


def step(*commands: str, label: str = "Next") -> list[Hanging]:
    """What to do next, a command a line, which can be pasted as it is."""
    names = [f"{label}: ", *[" " * (len(label) + 2)] * (len(commands) - 1)]
    return [
        Hanging(Text(name, "bold"), Text(command), wraps=False) for name, command in zip(names, commands, strict=True)
    ]


def first_step(report: Report) -> list[Hanging]:
    """What to do where the database has no job: `jobs_to_load` says whether .jobs.json has any."""
    return step("python3 main.py sync-jobs" if report["jobs_to_load"] else "python3 main.py register-job --help")


def note(text: object, context: ViewContext, style: str = "yellow") -> Hanging:
    """Something that somebody must know."""
    return Hanging(Text("! ", style), Text(sentence(text, context.now, context.zone), style))


def instants(report: object, context: ViewContext, zone: object = None) -> str:
    """The next instants of a job: `Tue 20:45 (in 22 h), Wed 20:45`."""
    entries = report if isinstance(report, Sequence) else ()
    # With an interval under a minute the minutes alone would be the same ones.
    seconds = any(str(entry.get("utc"))[17:19] not in ("00", "") for entry in entries)
    found = [short(entry.get("utc"), context.now, str(zone or context.zone), seconds=seconds) for entry in entries]
    if not found:
        return "never"
    return ", ".join([f"{found[0]} ({distance(entries[0].get('utc'), context.now)})", *found[1:]])


def lines_left(context: ViewContext) -> int:
    """How many lines a text may have so that a report about one run fits the screen."""
    return max(_LEAST_LINES, (context.screen.height or _USUAL_HEIGHT) - _OTHER_LINES)


@dataclass(frozen=True)
class Excerpt:
    """The first lines of a text (or the last ones), wrapped between words and indented; it says how many are left.

    `lines` are those of the screen; those that are left are the text's own. Of a text that is only `a part` of another
    nobody has counted them.
    """

    text: str
    lines: int
    indent: int = 2
    last: bool = False
    style: str = ""
    is_part: bool = False

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the lines."""
        width = max(10, options.max_width - self.indent)
        text = Text(verbatim(self.text.strip("\n")).expandtabs(4), self.style)
        lines: list[Text] = []
        sources = list(text.split("\n", allow_blank=True))
        unseen = len(sources)
        for line in reversed(sources) if self.last else sources:
            if len(lines) >= self.lines:
                break
            parts = wrapped(line, width)
            lines = [*parts, *lines] if self.last else [*lines, *parts]
            unseen -= 1
        is_cut = len(lines) > self.lines
        blank = Text(" " * self.indent)
        counted = f" {unseen:,} more line{'s' if unseen > 1 else ''}" if unseen and not self.is_part else " more"
        left = [Text(f"{blank}…{counted}", "dim")] if unseen or is_cut or self.is_part else []
        shown = lines[-self.lines :] if self.last else lines[: self.lines]
        yield from left if self.last else ()
        yield from (on_one_line(blank, line) for line in shown)
        yield from () if self.last else left


def error_facts(error: Report, context: ViewContext, *, with_stderr: bool = True) -> list[RenderableType]:
    """Why something failed, and what to do."""
    details = error.get("details") or {}
    text = sentence(error.get("message"), context.now, context.zone, 2_000)
    parts: list[RenderableType] = [
        Hanging(Text("  error: ", "bold red"), Text.assemble(text, (f" [{plain(error.get('code'))}]", "dim")))
    ]
    failed = details.get("failed")
    for missed in failed if isinstance(failed, list) else ():
        if isinstance(missed, Mapping):
            parts.append(Hanging(Text("  - "), Text(_missed(missed))))
    if hint := details.get("hint"):
        parts.append(Hanging(Text("  fix: ", "bold"), Text(sentence(hint, context.now, context.zone, 2_000))))
    if reason := details.get("not_retried"):
        parts.append(Hanging(Text("  not tried again: ", "dim"), Text(plain(reason))))
    if with_stderr and (stderr := details.get("stderr")):
        parts += [Text("  its stderr ends with", "dim"), Excerpt(str(stderr), 6, 4, last=True)]
    return parts


def _missed(entry: Report) -> str:
    """A condition of success that was not met: what was expected, and what was found."""
    check, expected, found = plain(entry.get("check")), entry.get("expected"), entry.get("found")
    where = f" at {plain(entry['path'], 500)}" if entry.get("path") else ""
    if not isinstance(expected, str):
        wanted = plain(json.dumps(expected, ensure_ascii=False), 500)
    else:
        # Not escaped: a pattern is compared with what is in .jobs.json. What a schema wants is a sentence already.
        wanted = plain(expected, 500) if check == "json_schema" else f'"{plain(expected, 500)}"'
    return f"{check}{where}: expected {wanted}{'' if found is None else f'; found: {plain(str(found), 500)}'}"


def together(*parts: RenderableType | Sequence[RenderableType]) -> Group:
    """Parts and lists of parts, below each other; texts are wrapped, unless they say that they are not."""
    found: list[RenderableType] = []
    for part in parts:
        found += part if isinstance(part, list | tuple) else [cast(RenderableType, part)]
    return Group(*(Hanging(Text(), part) if isinstance(part, Text) and not part.no_wrap else part for part in found))
