"""`timeline` as a picture for a terminal: a row a job, a cell a stretch of time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from core.clock import from_text
from render.axis import Axis, Tick
from render.marks import KINDS, NEVER_RAN, RANK, Mark, marks_of
from render.tables import columns_wanted
from render.words import local, plain

Report = Mapping[str, Any]
#: Without a terminal nothing is known of the width.
WIDTH_ELSEWHERE = 100
_LONGEST_NAME, _NARROWEST_CHART = 28, 20
_NOW = "│"
_SEVERAL = ":"


class Picture:
    """The report as rich prints it, as wide as there is room."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines of exactly the width, or less."""
        known = console.is_terminal or columns_wanted(os.environ)
        width = options.max_width if known else min(options.max_width, WIDTH_ELSEWHERE)
        yield from lines(self._report, width)


def lines(report: Report, width: int) -> list[Text]:
    """The picture: days, hours, a row a job, the legend, and what is not shown."""
    axis = Axis(from_text(report["from"]), from_text(report["to"]), report["timezone"])
    now = from_text(report["now"])
    names = [plain(job["job_id"]) for job in report["jobs"]]
    room = min(max([cell_len(name) for name in names], default=3), _LONGEST_NAME, max(8, width // 3))
    chart = max(_NARROWEST_CHART, width - room - 2)
    at = min(int(axis.place(now) * chart), chart - 1)
    indent = " " * (room + 2)
    zone = f"{local(report['from'], axis.zone)}  to  {local(report['to'], axis.zone)}   {plain(axis.zone)}"
    found = [Text(zone, "bold", no_wrap=True, overflow="ellipsis")]
    found += [
        Text(indent + _labels([axis.first_day(), *axis.days(chart // 12)], axis, chart), "bold", no_wrap=True),
        Text(indent + _labels(axis.hours(chart // 7), axis, chart), "dim", no_wrap=True),
        Text(f"{indent}{' ' * at}▼", "bold cyan", no_wrap=True),
    ]
    for name, job in zip(names, report["jobs"], strict=True):
        row = Text(f"{_fitted(name, room)}  ", "" if job["state"] == "enabled" else "dim", no_wrap=True)
        found.append(row.append_text(_row(marks_of(job, axis, now), axis, chart, at)))
    if not names:
        found.append(Text("No jobs."))
    found += [Text(), legend(report, width), *map(_note, notes(report, axis))]
    if "svg" in report:
        found.append(Text(f"Written as SVG: {plain(report['svg']['path'], 4_096)}", overflow="fold"))
    return found


def _note(text: str) -> Text:
    return Text(text, "yellow")


def _fitted(name: str, room: int) -> str:
    return set_cell_size(name, room) if cell_len(name) <= room else f"{set_cell_size(name, room - 1)}…"


def _labels(ticks: Sequence[Tick], axis: Axis, chart: int) -> str:
    line = ""
    places = [int(axis.place(tick.at) * chart) for tick in ticks]
    for tick, place, following in zip(ticks, places, [*places[1:], chart + 1], strict=False):
        # A label that would touch another, or stand over the edge, is left out.
        if (place > len(line) or not line) and place + len(tick.text) < following:
            line = line.ljust(place) + tick.text
    return line


def _row(marks: Sequence[Mark], axis: Axis, chart: int, now_at: int) -> Text:
    cells: list[str] = [""] * chart
    several: set[int] = set()
    for mark in marks:
        first, last = (min(int(axis.place(at) * chart), chart - 1) for at in (mark.start, mark.end))
        # A run that ends where the next cell begins has no part in that; a slot that lies there has.
        last -= int(last > first and mark.kind not in NEVER_RAN and axis.place(mark.end) * chart == last)
        for place in range(first, last + 1):
            if mark.kind == "upcoming" == cells[place]:
                several.add(place)
            if not cells[place] or RANK[mark.kind] < RANK[cells[place]]:
                cells[place] = mark.kind
    row = Text(no_wrap=True)
    # Neighbours of one kind together: a terminal far away is sent a style once for all of them.
    for kind, group in groupby(range(chart), lambda place: cells[place]):
        if kind:
            many = (_SEVERAL if kind == "upcoming" and place in several else KINDS[kind].letter for place in group)
            row.append("".join(many), KINDS[kind].style)
        else:
            row.append("".join(_NOW if place == now_at else " " for place in group), "cyan")
    row.rstrip()
    return row


def legend(report: Report, width: int) -> Text:
    """The signs; those of rare kinds only where they are in the picture."""
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
        # rich breaks lines between any two words, and a sign must stand beside its own.
        gap = "" if not used else "\n" if used + 3 + entry.cell_len > width else "   "
        used = entry.cell_len if gap != "   " else used + 3 + entry.cell_len
        text.append(gap).append_text(entry)
    return text


def notes(report: Report, axis: Axis) -> list[str]:
    """Clock changes, jobs that can't be planned, and what the limits leave out; a sentence each."""
    found = [f"Clock change at {local(tick.at.isoformat(), axis.zone)}: {tick.text}" for tick in axis.clock_changes()]
    for job in report["jobs"]:
        name = plain(job["job_id"])
        if job["problem"]:
            found.append(f"{name} can't be planned: {plain(job['problem']['message'])}")
        if job["runs_left_out"]:
            found.append(f"{name}: {job['runs_left_out']:,} older runs are not drawn")
        if job["upcoming_left_out"]:
            found.append(f"{name}: {job['upcoming_left_out']:,} later slots are not drawn")
    if report["jobs_left_out"]:
        found.append(f"{report['jobs_left_out']:,} more jobs are not shown: --limit shows more, --job one of them")
    return found
