"""`timeline` as a picture for a terminal: a row is a job, a cell a stretch of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.text import Text

from core.clock import from_text
from render.axis import Axis, Tick
from render.console import ViewContext
from render.marks import KINDS, NEVER_RAN, RANK, Mark, marks_of
from render.parts import copied
from render.screen import WIDTH_ELSEWHERE
from render.words import local, plain

Report = Mapping[str, Any]
#: The width in cells where stdout is not a terminal.
_WIDTH_ELSEWHERE = 100
_LONGEST_NAME, _NARROWEST_CHART = 28, 20
_NOW = "│"
_SEVERAL = ":"


def whole(report: Report, context: ViewContext) -> RenderableType:
    """The view of `timeline`: a picture that is as wide as the screen."""
    width = context.screen.width
    if context.screen.height is None and width == WIDTH_ELSEWHERE:
        width = _WIDTH_ELSEWHERE
    return Group(*lines(report, width))


def lines(report: Report, width: int) -> list[Text]:
    """The lines of the picture, at most `width` cells wide: days, hours, one row per job, the legend, the notes."""
    axis = Axis(from_text(report["from"]), from_text(report["to"]), report["timezone"])
    now = from_text(report["now"])
    names = [plain(job["job_id"]) for job in report["jobs"]]
    name_width = min(max([cell_len(name) for name in names], default=3), _LONGEST_NAME, max(8, width // 3))
    chart = max(_NARROWEST_CHART, width - name_width - 2)
    at = min(int(axis.position(now) * chart), chart - 1)
    indent = " " * (name_width + 2)
    zone = f"{local(report['from'], axis.zone)}  to  {local(report['to'], axis.zone)}   {plain(axis.zone)}"
    picture = [Text(zone, "bold", no_wrap=True, overflow="ellipsis")]
    picture += [
        Text(indent + _labels([axis.first_day(), *axis.days(chart // 12)], axis, chart), "bold", no_wrap=True),
        Text(indent + _labels(axis.hours(chart // 7), axis, chart), "dim", no_wrap=True),
        Text(f"{indent}{' ' * at}▼", "bold cyan", no_wrap=True),
    ]
    for name, job in zip(names, report["jobs"], strict=True):
        row = Text(f"{_fitted(name, name_width)}  ", "" if job["state"] == "enabled" else "dim", no_wrap=True)
        picture.append(row.append_text(_row(marks_of(job, axis, now), axis, chart, at)))
    if not names:
        picture.append(Text("No jobs."))
    picture += [Text(), legend(report, width), *map(_note, notes(report, axis))]
    if "svg" in report:
        picture.append(copied(f"Written as SVG: {report['svg']['path']}"))
    return picture


def _note(text: str) -> Text:
    return Text(text, "yellow")


def _fitted(name: str, name_width: int) -> str:
    return (
        set_cell_size(name, name_width) if cell_len(name) <= name_width else f"{set_cell_size(name, name_width - 1)}…"
    )


def _labels(ticks: Sequence[Tick], axis: Axis, chart: int) -> str:
    line = ""
    columns = [int(axis.position(tick.at) * chart) for tick in ticks]
    for tick, column, following in zip(ticks, columns, [*columns[1:], chart + 1], strict=False):
        # A label that would touch its neighbour or the edge is left out.
        if (column > len(line) or not line) and column + len(tick.text) < following:
            line = line.ljust(column) + tick.text
    return line


def _row(marks: Sequence[Mark], axis: Axis, chart: int, now_at: int) -> Text:
    cells: list[str] = [""] * chart
    several: set[int] = set()
    for mark in marks:
        first, last = (min(int(axis.position(at) * chart), chart - 1) for at in (mark.start, mark.end))
        # A run that ends where the next cell begins does not fill that cell; a slot at that instant does.
        last -= int(last > first and mark.kind not in NEVER_RAN and axis.position(mark.end) * chart == last)
        for cell in range(first, last + 1):
            if mark.kind == "upcoming" == cells[cell]:
                several.add(cell)
            if not cells[cell] or RANK[mark.kind] < RANK[cells[cell]]:
                cells[cell] = mark.kind
    row = Text(no_wrap=True)
    # Neighbouring cells of one kind are appended together: the style is then sent once for all of them.
    for kind, group in groupby(range(chart), lambda cell: cells[cell]):
        if kind:
            signs = (_SEVERAL if kind == "upcoming" and cell in several else KINDS[kind].letter for cell in group)
            row.append("".join(signs), KINDS[kind].style)
        else:
            row.append("".join(_NOW if cell == now_at else " " for cell in group), "cyan")
    row.rstrip()
    return row


def legend(report: Report, width: int) -> Text:
    """The legend, wrapped at `width` cells. Rare kinds are listed only if the picture contains them."""
    seen = {run["status"] for job in report["jobs"] for run in job["runs"]}
    seen |= {gap["status"] for job in report["jobs"] for gap in job["missed"]} | {"ok", "error", "upcoming"}
    seen |= {"overdue"} if any(job["overdue"] for job in report["jobs"]) else set()
    cut = any(job["runs_left_out"] or job["upcoming_left_out"] for job in report["jobs"])
    seen |= {"unknown"} if cut else set()
    entries = [
        Text.assemble((kind.letter, kind.style), f" {kind.label}")
        for name, kind in sorted(KINDS.items(), key=lambda item: -RANK[item[0]])
        if name in seen
    ]
    entries += [Text.assemble((_SEVERAL, "dim"), " several to come"), Text.assemble(("▼", "bold cyan"), " now")]
    text, used = Text(), 0
    for entry in entries:
        # Broken here and not by rich, which would separate a sign from its label.
        gap = "" if not used else "\n" if used + 3 + entry.cell_len > width else "   "
        used = entry.cell_len if gap != "   " else used + 3 + entry.cell_len
        text.append(gap).append_text(entry)
    return text


def notes(report: Report, axis: Axis) -> list[str]:
    """Sentences about clock changes, jobs that can't be planned, and what the limits left out."""
    texts = [f"Clock change at {local(tick.at.isoformat(), axis.zone)}: {tick.text}" for tick in axis.clock_changes()]
    for job in report["jobs"]:
        name = plain(job["job_id"])
        if job["problem"]:
            texts.append(f"{name} can't be planned: {plain(job['problem']['message'])}")
        if job["runs_left_out"]:
            texts.append(f"{name}: {job['runs_left_out']:,} older runs are not drawn")
        if job["upcoming_left_out"]:
            texts.append(f"{name}: {job['upcoming_left_out']:,} later slots are not drawn")
    if report["jobs_left_out"]:
        texts.append(f"{report['jobs_left_out']:,} more jobs are not shown: --limit shows more, --job one of them")
    return texts
