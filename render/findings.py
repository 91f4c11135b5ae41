"""The findings of `doctor` as text: the worst first, the fix below each."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from render.console import Report, ViewContext
from render.hanging import Hanging
from render.words import plain

_STYLES = {"error": "bold red", "warning": "yellow", "ok": "green"}
_LONGEST = 4_000


def findings(report: Report, context: ViewContext) -> RenderableType:
    """The view of `doctor`."""
    parts: list[RenderableType] = []
    wraps = context.screen.height is not None
    for finding in report["findings"]:
        where = " (only under cron)" if finding.get("only_under_cron") else ""
        severity = finding["severity"]
        text = f"{plain(finding['subject'])}: {plain(finding['message'], _LONGEST)} [{finding['code']}]{where}"
        parts.append(Hanging(Text(f"{severity:<7} ", _STYLES.get(severity, "")), Text(text), wraps))
        if finding["cure"]:
            parts.append(Hanging(Text("        fix: "), Text(plain(finding["cure"], _LONGEST)), wraps))
    counts = report["counts"]
    parts += [Text(), Text(f"errors: {counts['error']}, warnings: {counts['warning']}, fine: {counts['ok']}")]
    return Group(*parts)
