"""A label with a text beside it, whose further lines begin below its first one."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text


@dataclass(frozen=True)
class Hanging:
    """`label` and `text` on one line; the text wraps between words, and words that are too long stay whole.

    With `wraps` False all is one line, for output that is searched.
    """

    label: Text
    text: Text
    wraps: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the lines."""
        width = max(10, options.max_width - self.label.cell_len)
        lines = self.text.wrap(console, width, overflow="ignore") if self.wraps else [self.text]
        for number, line in enumerate(lines or [Text()]):
            label = self.label.copy() if not number else Text(" " * self.label.cell_len)
            line.rstrip()
            yield Text("", no_wrap=True, overflow="ignore").append_text(label).append_text(line)
