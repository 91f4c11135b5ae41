"""The views by the name of their command. Each is a pure function of a report, imported when it is drawn."""

from __future__ import annotations

from importlib import import_module

from rich.console import Group, RenderableType
from rich.text import Text

from render.console import Report, View, ViewContext, drawn
from render.fields import fields
from render.words import plain

#: The module of `render` and the function in it. A command that is not here shows its fields.
VIEWS = {
    "list": "tables:jobs",
    "history": "tables:history",
    "status": "tables:status",
    "logs": "tables:logs",
    "next": "tables:upcoming",
    "tick": "ticks:tick",
    "watch": "watching:frame",
    "doctor": "findings:findings",
    "timeline": "timeline:whole",
}
#: Pictures, whose lines are cut at the edge of the screen.
_CROPPED = ("watch", "timeline")


def view_of(name: str) -> View:
    """The view of that name, or the fields of the report."""
    module, _, function = VIEWS.get(name, "").partition(":")
    if not module:
        return fields
    view: View = getattr(import_module(f"render.{module}"), function)
    return view


def text_of(view: str | View, report: Report, context: ViewContext) -> str:
    """A report in a view, and its warnings, as text for the screen of the context."""
    draw = view_of(view) if isinstance(view, str) else view
    parts: list[RenderableType] = [draw(report, context), *warnings(report)]
    return drawn(Group(*parts), context.screen, crop=view in _CROPPED)


def warnings(report: Report) -> list[Text]:
    """The warnings of a report, a paragraph each."""
    entries = report.get("warnings") or ()
    return [Text(f"! {plain(entry.get('message'), 1_000)}", "yellow") for entry in entries]
