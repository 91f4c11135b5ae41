"""Paragraphs: text that is broken between words, never inside of what is copied, beside a label or below it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from render.paragraphs import pieces


@dataclass(frozen=True)
class Hanging:
    """`label` and `text` on one line; further lines of the text begin below its first one.

    A word that is too long stays whole, so that a path or an ID can be copied. With `wraps` False all is one line, for
    output that is searched.
    """

    label: Text
    text: Text
    wraps: bool = True

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the lines."""
        indent = self.label.cell_len
        lines = wrapped(self.text, max(10, options.max_width - indent)) if self.wraps else [self.text]
        for number, line in enumerate(lines):
            label = Text(" " * indent) if number else self.label
            yield on_one_line(label, line)


def on_one_line(*parts: Text) -> Text:
    """The parts in a line that is neither broken nor cut."""
    line = Text("", no_wrap=True, overflow="ignore")
    for part in parts:
        line.append_text(part)
    return line


def wrapped(text: Text, width: int) -> list[Text]:
    """Lines of at most `width` cells, except where one word is wider; rich would break or cut that word."""
    lines: list[Text] = []
    for line in text.split("\n", allow_blank=True):
        lines += line.divide(_breaks(line.plain, width))
    for line in lines:
        line.rstrip()
    return lines or [Text()]


def _breaks(line: str, width: int) -> Iterator[int]:
    """Where the lines begin, except the first: after the blanks before a word that does not fit any more."""
    used = 0
    for match in pieces(line):
        wide = cell_len(match[0])
        if used and used + wide > width:
            word = match[0].lstrip()
            yield match.end() - len(word)
            used = cell_len(word)
        else:
            used += wide
