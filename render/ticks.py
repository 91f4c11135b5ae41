"""The view of `tick`: a line for each thing that happened."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from render.console import Report, ViewContext
from render.happenings import happenings


def tick(report: Report, _context: ViewContext) -> RenderableType:
    """What a tick did."""
    lines = list(happenings({**report, "warnings": ()}))
    return Group(*map(Text, lines or ["Nothing was due."]))
