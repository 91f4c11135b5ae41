"""One table for people, one JSON file for later comparisons."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Ratio, Samples, Spread, ratio, spread

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Row:
    """One measured thing. `goal` bounds the median of the ratios, `goal_sec` the seconds of the fastest run.

    Seconds have no second measurement beside them that suffers from the same load, so the least disturbed run counts.
    """

    name: str
    wall: Spread
    against: str = ""
    ratio: Ratio | None = None
    goal: float | None = None
    goal_sec: float | None = None
    fault: str = ""
    """Why the figure does not count: what was measured did not do what its name says."""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.fault:
            return False
        if self.goal is not None and self.ratio is not None:
            return self.ratio.rounds.median <= self.goal
        return None if self.goal_sec is None else self.wall.least <= self.goal_sec


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
    return Row(name, spread(samples[name].wall), against, found, goal, goal_sec, fault)


def table(rows: Sequence[Row]) -> str:
    """The rows as text, under what they are compared with. Ratios first; times are milliseconds."""
    head = ("", "ratio", "middle half", "fastest", "cpu", "ms", "middle half", "least", "goal", "")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = [_line(head, widths), "-" * (sum(widths) + 2 * len(widths))]
    against = None
    for row, cells in zip(rows, lines[1:], strict=True):
        if row.against != against:
            against = row.against
            text.append(f"as a multiple of: {against}" if against else "by itself:")
        text.append(_line(cells, widths))
    return "\n".join(text)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = cells
    padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
    return "  ".join(padded).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    name = f"  {row.name}"
    times = (_ms(row.wall.median), f"{_ms(row.wall.low)}-{_ms(row.wall.high)}", _ms(row.wall.least))
    verdict = row.fault or {True: "met", False: "MISSED", None: ""}[row.met]
    goal = "" if row.goal_sec is None else f"<= {_ms(row.goal_sec)} ms"
    if row.ratio is None:
        return (name, "", "", "", "", *times, goal, verdict)
    middle = row.ratio.rounds
    figures = (f"{middle.median:.3f}", f"{middle.low:.3f}-{middle.high:.3f}", f"{row.ratio.fastest:.3f}")
    goal = f"<= {row.goal:.2f}" if row.goal is not None else goal
    return (name, *figures, f"{row.ratio.cpu:.3f}", *times, goal, verdict)


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
