"""The marks in a row of the timeline: each has a kind, a start and an end. Marks that lie close together are merged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from core.clock import from_text
from render.axis import Axis


@dataclass(frozen=True)
class Kind:
    """How a kind of mark looks: letter, label in the legend, rich style, SVG colours on light and dark background."""

    letter: str
    label: str
    style: str
    light: str
    dark: str


#: The worst first: where marks overlap, the worst one is shown.
KINDS: dict[str, Kind] = {
    "error": Kind("E", "error", "bold white on red", "#cf222e", "#f85149"),
    "interrupted": Kind("I", "interrupted", "bold white on magenta", "#8250df", "#a371f7"),
    "cancelled": Kind("C", "cancelled", "bold black on yellow", "#bc4c00", "#db6d28"),
    "missed": Kind("M", "missed", "bold red", "#cf222e", "#f85149"),
    "skipped": Kind("S", "skipped", "bold yellow", "#9a6700", "#d29922"),
    "overdue": Kind("!", "due, not started", "bold red", "#cf222e", "#f85149"),
    "running": Kind("▶", "running", "bold white on blue", "#0969da", "#58a6ff"),
    "ok": Kind("█", "ok", "green", "#2da44e", "#3fb950"),
    "upcoming": Kind("·", "to come", "dim", "#57606a", "#8b949e"),
    "unknown": Kind("░", "not drawn", "dim", "#afb8c1", "#484f58"),
}
RANK = {name: rank for rank, name in enumerate(KINDS)}

#: Kinds that mark slots (instants) and not runs.
NEVER_RAN = frozenset({"missed", "skipped"})


@dataclass(frozen=True)
class Mark:
    """`count` runs or slots of one kind, from the first one's start to the last one's end."""

    kind: str
    start: datetime
    end: datetime
    count: int = 1
    note: str = ""


def marks_of(job: Mapping[str, Any], axis: Axis, now: datetime) -> list[Mark]:
    """The marks of one job of `timeline`'s report, clipped to the axis and sorted by start."""
    marks = [mark for mark in _marks(job, axis, now) if mark.end >= axis.start and mark.start <= axis.end]
    clipped = [replace(mark, start=max(mark.start, axis.start), end=min(mark.end, axis.end)) for mark in marks]
    return sorted(clipped, key=lambda mark: (mark.start, RANK[mark.kind]))


def _marks(job: Mapping[str, Any], axis: Axis, now: datetime) -> Iterator[Mark]:
    for run in job["runs"]:
        start, end = _instant(run["started_at"]), _instant(run["finished_at"]) or now
        if start is not None and run["status"] in KINDS:
            yield Mark(run["status"], start, max(start, end), note=str(run["run_id"]))
    for gap in job["missed"]:
        first, last = _instant(gap["from"]), _instant(gap["to"])
        if first is not None and last is not None and gap["status"] in KINDS:
            yield Mark(gap["status"], first, max(first, last), max(1, gap["slots"]), str(gap["code"] or ""))
    upcoming = [slot for text in job["upcoming"] if (slot := _instant(text)) is not None]
    yield from (Mark("upcoming", slot, slot) for slot in upcoming)
    if (due := _instant(job["overdue"])) is not None:
        yield Mark("overdue", due, due)
    if job["runs_left_out"]:
        rows = (*job["runs"], *job["missed"])
        drawn = [at for row in rows if (at := _instant(row.get("started_at") or row["to"]))]
        yield Mark("unknown", axis.start, min(drawn, default=now), job["runs_left_out"], "older runs")
    if job["upcoming_left_out"]:
        yield Mark("unknown", max(upcoming, default=now), axis.end, job["upcoming_left_out"], "later slots")


def _instant(text: object) -> datetime | None:
    try:
        return from_text(text) if isinstance(text, str) else None
    except ValueError:
        return None


def merged(marks: Sequence[Mark], least_gap: float, axis: Axis) -> list[Mark]:
    """Merges marks of one kind that are less than `least_gap` (a fraction of the axis) apart; keeps the order."""
    result: list[Mark] = []
    last_of_kind: dict[str, int] = {}
    for mark in marks:
        index = last_of_kind.get(mark.kind)
        if index is not None and axis.position(mark.start) - axis.position(result[index].end) < least_gap:
            previous = result[index]
            count = previous.count + mark.count
            result[index] = replace(previous, end=max(previous.end, mark.end), count=count, note="")
        else:
            last_of_kind[mark.kind] = len(result)
            result.append(mark)
    return result
