"""What stands in a row of the picture: marks of a kind from an instant to another, and what happens when they meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from core.clock import from_text
from render.axis import Axis


@dataclass(frozen=True)
class Kind:
    """How a mark looks: its letter, what the legend says, its style in a terminal, its colours on light and dark."""

    letter: str
    label: str
    style: str
    light: str
    dark: str


#: The worst first: where marks fall on one another, it is the one that is seen.
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
RANK = {name: place for place, name in enumerate(KINDS)}

#: Slots, which are instants, and no runs.
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
    """The marks of a job of `timeline`'s report, cut to the axis, in the order of their starts."""
    marks = [mark for mark in _marks(job, axis, now) if mark.end >= axis.start and mark.start <= axis.end]
    cut = [replace(mark, start=max(mark.start, axis.start), end=min(mark.end, axis.end)) for mark in marks]
    return sorted(cut, key=lambda mark: (mark.start, RANK[mark.kind]))


def _marks(job: Mapping[str, Any], axis: Axis, now: datetime) -> Iterator[Mark]:
    for run in job["runs"]:
        start, end = _instant(run["started_at"]), _instant(run["finished_at"]) or now
        if start is not None and run["status"] in KINDS:
            yield Mark(run["status"], start, max(start, end), note=str(run["run_id"]))
    for gap in job["missed"]:
        first, last = _instant(gap["from"]), _instant(gap["to"])
        if first is not None and last is not None and gap["status"] in KINDS:
            yield Mark(gap["status"], first, max(first, last), max(1, gap["slots"]), str(gap["code"] or ""))
    coming = [slot for text in job["upcoming"] if (slot := _instant(text)) is not None]
    yield from (Mark("upcoming", slot, slot) for slot in coming)
    if (due := _instant(job["overdue"])) is not None:
        yield Mark("overdue", due, due)
    if job["runs_left_out"]:
        known = [at for row in (*job["runs"], *job["missed"]) if (at := _instant(row.get("started_at") or row["to"]))]
        yield Mark("unknown", axis.start, min(known, default=now), job["runs_left_out"], "older runs")
    if job["upcoming_left_out"]:
        yield Mark("unknown", max(coming, default=now), axis.end, job["upcoming_left_out"], "later slots")


def _instant(text: object) -> datetime | None:
    try:
        return from_text(text) if isinstance(text, str) else None
    except ValueError:
        return None


def merged(marks: Sequence[Mark], nearest: float, axis: Axis) -> list[Mark]:
    """Marks of one kind that are less than `nearest` (a part of the axis) apart become one; order as before."""
    done: list[Mark] = []
    latest: dict[str, int] = {}
    for mark in marks:
        place = latest.get(mark.kind)
        if place is not None and axis.place(mark.start) - axis.place(done[place].end) < nearest:
            old = done[place]
            done[place] = replace(old, end=max(old.end, mark.end), count=old.count + mark.count, note="")
        else:
            latest[mark.kind] = len(done)
            done.append(mark)
    return done
