"""One table for people, one JSON file for later comparisons."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Ratio, Samples, Spread, ratio, spread

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Row:
    """One measured thing. `goal` bounds the median of the ratios, `goal_sec` the seconds of the fastest run.

    Seconds can't be compared with a second measurement under the same load, so the least disturbed run counts.
    With `share`, `ratio` says how fast this is by the speed of the other, and `goal_least` is the least median that
    will do. `goal_ms` bounds the median of the times, in milliseconds, where it was measured often. With a `unit`
    the figures, and `goal_sec` with them, are no seconds but so many of that.
    """

    name: str
    wall: Spread | None
    """None if nothing was measured; `absent` says why."""
    against: str = ""
    ratio: Ratio | None = None
    goal: float | None = None
    goal_sec: float | None = None
    fault: str = ""
    """Why the figure is invalid: the measured program did not do what the name of the row says."""
    share: bool = False
    goal_least: float | None = None
    goal_ms: float | None = None
    note: str = ""
    """What a reader must know in addition to the figure; printed below the table."""
    absent: str = ""
    count: int = 0
    """How many jobs or slots were done in that time; 0 if that has no meaning."""
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.fault:
            return False
        if self.wall is None:
            return None
        found = []
        if self.ratio is not None:
            median = self.ratio.rounds.median
            found += [median <= self.goal] if self.goal is not None else []
            found += [median >= self.goal_least] if self.goal_least is not None else []
        found += [self.wall.least <= self.goal_sec] if self.goal_sec is not None else []
        found += [self.wall.median * 1000 <= self.goal_ms] if self.goal_ms is not None else []
        return all(found) if found else None


def compared(
    name: str,
    samples: dict[str, Samples],
    against: str,
    *,
    goal: float | None = None,
    goal_sec: float | None = None,
    fault: str = "",
) -> Row:
    """The row of a contender of `alternate` against another one of the same call."""
    found = ratio(samples[name], samples[against])
    return Row(name, spread(samples[name].wall), against, found, goal, goal_sec, fault or samples[name].fault)


def shared(
    name: str,
    samples: dict[str, Samples],
    against: str,
    *,
    count: int = 0,
    goal_least: float | None = None,
    note: str = "",
) -> Row:
    """The same as speed: 0.5 is half as fast as the other one, so it takes twice as long."""
    found = ratio(samples[against], samples[name])
    fault = samples[name].fault or samples[against].fault
    wall = spread(samples[name].wall)
    return Row(name, wall, against, found, fault=fault, share=True, goal_least=goal_least, note=note, count=count)


def absent(name: str, against: str, why: str, *, share: bool = False) -> Row:
    """A row for something that was not measured."""
    return Row(name, None, against, share=share, absent=why)


def table(rows: Sequence[Row], *, judged: bool = True) -> str:
    """The rows as text, under what they are compared with, and their notes. Ratios first; times are milliseconds.

    Without `judged` a row says nothing of its goal: its size is not the one that the goal is about.
    """
    head = ("", "ratio", "middle half", "fastest", "cpu", "ms", "middle half", "least", "per s", "goal", "")
    lines = [head, *(_cells(row) if judged or row.fault else (*_cells(row)[:-2], "", "") for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = [_line(head, widths), "-" * (sum(widths) + 2 * len(widths))]
    heading = None
    for row, cells in zip(rows, lines[1:], strict=True):
        if _heading(row) != heading:
            heading = _heading(row)
            text.append(heading)
        text.append(_line(cells, widths))
    return "\n".join([*text, *_notes(rows)])


def _heading(row: Row) -> str:
    if not row.against:
        return "by itself:"
    return f"as a share of the speed of: {row.against}" if row.share else f"as a multiple of: {row.against}"


def _notes(rows: Sequence[Row]) -> list[str]:
    """An empty line and the notes, each once."""
    found = dict.fromkeys(row.note for row in rows if row.note)
    return ["", *(textwrap.fill(note, 120, subsequent_indent="  ") for note in found)] if found else []


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = cells
    padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
    return "  ".join(padded).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    name = f"  {row.name}"
    if row.wall is None:
        return (name, *[""] * 9, row.absent)
    per_sec = f"{row.count / row.wall.median:.0f}" if row.count else ""
    show = _ms if not row.unit else _with_unit(row.unit)
    times = (show(row.wall.median), _between(row.wall, show), show(row.wall.least), per_sec)
    verdict = row.fault or {True: "met", False: "MISSED", None: ""}[row.met]
    if row.ratio is None:
        return (name, "", "", "", "", *times, _goal(row), verdict)
    middle, cpu = row.ratio.rounds, row.ratio.cpu
    figures = (_ratio(middle.median), _between(middle, _ratio), _ratio(row.ratio.fastest))
    return (name, *figures, "" if cpu is None else _ratio(cpu), *times, _goal(row), verdict)


def _between(values: Spread, show: Callable[[float], str]) -> str:
    """The middle half; nothing for a single value, which has none."""
    return "" if values.least == values.high else f"{show(values.low)}-{show(values.high)}"


def _goal(row: Row) -> str:
    goals = [
        "" if row.goal is None else f"<= {row.goal:.2f}",
        "" if row.goal_least is None else f">= {row.goal_least:.2f}",
        ""
        if row.goal_sec is None
        else f"<= {_with_unit(row.unit)(row.goal_sec) if row.unit else f'{_ms(row.goal_sec)} ms'}",
        "" if row.goal_ms is None else f"<= {row.goal_ms:g} ms",
    ]
    return ", ".join(goal for goal in goals if goal)


def _ratio(value: float) -> str:
    return f"{value:.3f}"


def _with_unit(unit: str) -> Callable[[float], str]:
    return lambda value: f"{value:.3g} {unit}"


def _ms(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def save(name: str, rows: Sequence[Row], facts: dict[str, object]) -> Path:
    """Writes bench/results/<name>.json: `facts`, then `rows`; all times in seconds. Returns its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    found = [{**dataclasses.asdict(row), "met": row.met} for row in rows]
    path.write_text(json.dumps({**facts, "rows": found}, indent=1) + "\n", encoding="utf-8")
    return path
