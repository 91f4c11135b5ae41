"""The views by the name of their command. Each is a pure function of a report, imported when it is drawn."""

from __future__ import annotations

from importlib import import_module

from rich.console import RenderableType

from render.console import Report, View, ViewContext, drawn
from render.fields import fields
from render.parts import note, together
from render.whole import joined
from render.words import advised

#: The module of `render` and the function in it. What is not here shows its fields.
VIEWS = {
    "list": "jobs:jobs",
    "register-job": "jobs:registered",
    "edit-job": "jobs:edited",
    "rename-job": "jobs:renamed",
    "pause-job": "jobs:paused",
    "resume-job": "jobs:resumed",
    "remove-job": "jobs:removed",
    "sync-jobs": "jobs:synced",
    "dry-run": "jobs:dry_run",
    "run-now": "runs:ran",
    "history": "runs:history",
    "show": "runs:shown",
    "logs": "runs:logs",
    "cancel": "runs:cancelled",
    "unlock": "runs:unlocked",
    "sessions": "runs:sessions",
    "status": "status:status",
    "next": "schedule:upcoming",
    "simulate": "schedule:simulation",
    "init-db": "setup:database",
    "install-crontab": "setup:installed",
    "uninstall-crontab": "setup:uninstalled",
    "install-systemd": "setup:units_written",
    "crontab": "setup:crontab",
    "units": "setup:units",
    "import-crontab": "setup:imported",
    "prune": "setup:pruned",
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
    """A report in a view, and its warnings, as text for the screen of the context.

    A view that returns text is printed as it is: it may be pasted elsewhere.
    """
    draw = view_of(view) if isinstance(view, str) else view
    report = joined(report, context.places)
    drawing = draw(report, context)
    if isinstance(drawing, str):
        return context.screen.shown(drawing)
    return drawn(together(drawing, warnings(report, context)), context.screen, crop=view in _CROPPED)


def warnings(report: Report, context: ViewContext) -> list[RenderableType]:
    """The warnings of a report, a paragraph each."""
    return [note(advised(entry), context) for entry in report.get("warnings") or ()]
