"""One frame of `watch`: what runs, what comes next, what ended last. A pure function of the report and the instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from core.clock import from_text
from render.grid import Grid
from render.tables import STYLES, ViewContext, status_text
from render.words import duration, local, plain, relative, span

Report = Mapping[str, Any]
#: Columns of a progress bar, by the room that there is.
_BARS = (16, 8, 0)
#: Of names and errors so much is shown, or they tell nothing.
_SHORTEST_NAME, _SHORTEST_ERROR = 12, 10
_FULL, _EMPTY = "█", "░"


def frame(report: Report, context: ViewContext, height: int | None = None) -> RenderableType:
    """The view as it is at `context.now`; in `height` lines, or as many as it needs."""
    head = _head(report, context)
    parts = {name: report[name] for name in ("running", "next", "recent_runs")}
    shown = rooms([len(rows) for rows in parts.values()], None if height is None else height - len(head) - 6)
    running, upcoming, ended = (rows[:room] for rows, room in zip(parts.values(), shown, strict=True))
    return Group(
        *head,
        _running(running, context, _title("RUNNING", parts["running"], running)),
        Text(),
        _next(upcoming, context, _title("NEXT UP", parts["next"], upcoming)),
        Text(),
        _ended(ended, context, _title("LAST RESULTS", parts["recent_runs"], ended)),
    )


def rooms(wanted: Sequence[int], lines: int | None) -> list[int]:
    """How many rows each part gets of so many lines: a part takes at most half of what is left."""
    if lines is None:
        return list(wanted)
    left, found = max(len(wanted), lines), []
    for place, count in enumerate(wanted):
        last = place == len(wanted) - 1
        given = min(max(1, count), left if last else max(1, left // 2))
        found.append(min(given, count))
        left = max(1, left - given)
    return found


def _title(name: str, rows: Sequence[Report], shown: Sequence[Report]) -> str:
    return f"{name} ({len(shown)} of {len(rows)})" if len(shown) < len(rows) else name


def _head(report: Report, context: ViewContext) -> list[RenderableType]:
    scheduler = report["scheduler"]
    line = Text("puruto-cron  ", "bold", no_wrap=True, overflow="ellipsis")
    line.append(local(context.now.replace(microsecond=0).isoformat(), context.zone), "bold")
    tick = relative(scheduler["last_tick_at"], context.now) or "never"
    line.append(f"   last tick {tick}", "not bold")
    found: list[RenderableType] = [line]
    if scheduler["stale"]:
        found.append(_warning("STALE: no tick has run lately, so no job starts by itself", "bold red"))
    if problem := report.get("problem"):
        # The code first: a long path must not push what is wrong over the edge.
        found.append(_warning(f"{plain(problem['code'])}, trying again: {plain(problem['message'], 300)}", "bold red"))
        if report.get("read_at"):
            found.append(_warning(f"This is what was read {relative(report['read_at'], context.now)}.", "yellow"))
    if report.get("notice"):
        found.append(_warning(plain(report["notice"], 300), "yellow"))
    if report["overdue_count"]:
        found.append(_warning(f"Overdue jobs: {report['overdue_count']}", "yellow"))
    for entry in report["events"]["waiting"]:
        found.append(_warning(f"Events wait for {plain(entry['channel'])}: {entry['count']}", "yellow"))
    return [*found, Text()]


def _warning(text: str, style: str) -> Text:
    return Text(f"! {text}", style, no_wrap=True, overflow="ellipsis")


class _Running:
    """What runs; the bars of the progress give way before a name is cut to less than can be told apart."""

    def __init__(self, rows: Sequence[Report], context: ViewContext, title: str) -> None:
        self._rows, self._context, self._title = rows, context, title

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        grids = [self._grid(bar) for bar in _BARS]
        yield next((grid for grid in grids if grid.least() <= options.max_width), grids[-1])

    def _grid(self, bar: int) -> Grid:
        found = []
        for row in self._rows:
            elapsed = max(0.0, (self._context.now - from_text(row["started_at"])).total_seconds())
            most = None if row["max_retries"] is None else max(row["max_retries"] + 1, row["attempt"])
            attempt = f"{max(1, row['attempt'])} of {most}" if most else str(max(1, row["attempt"]))
            name = Text(plain(row["job_id"]), STYLES["running"])
            found.append((name, attempt, span(elapsed), duration(row["usual_ms"]), _state(row, elapsed, bar)))
        columns = (self._title, "ATTEMPT>", "ELAPSED>", "USUAL>", "PROGRESS")
        return Grid(columns, found, {0: _SHORTEST_NAME}, folds=False)


def _running(rows: Sequence[Report], context: ViewContext, title: str) -> RenderableType:
    if not rows:
        return Group(Text(title, "bold"), Text("Nothing runs now.", "dim"))
    return _Running(rows, context, title)


def _state(row: Report, elapsed: float, bar: int) -> Text:
    if row["lease_over"]:
        return Text("its scheduler may be gone", "bold red")
    if row["waiting"]:
        return Text("waits for its next attempt", "yellow")
    return progress(elapsed, row["usual_ms"], bar)


def progress(elapsed: float, usual_ms: int | None, bar: int = _BARS[0]) -> Text:
    """A bar of so many columns and a percentage that never says 100; nothing for a job without history.

    `elapsed` in seconds.
    """
    if not usual_ms:
        return Text()
    part = elapsed * 1000 / usual_ms
    if part > 1:
        return Text(f"{_FULL * bar} longer than usual".strip(), "yellow")
    full = min(int(part * bar), bar)
    text = Text(_FULL * full, "cyan").append(_EMPTY * (bar - full), "dim")
    return text.append(f"{' ' if bar else ''}{min(int(part * 100), 99):2d} %", "not dim")


def _next(rows: Sequence[Report], context: ViewContext, title: str) -> RenderableType:
    if not rows:
        return Group(Text(title, "bold"), Text("Nothing will run.", "dim"))
    found = []
    for row in rows:
        due = row["next_run_at"] <= context.now.isoformat()
        near = Text("due", "yellow") if due else Text(relative(row["next_run_at"], context.now).removeprefix("in "))
        found.append((plain(row["job_id"]), near, local(row["next_run_at"], context.zone)))
    return Grid((title, "IN>", "AT"), found, {0: _SHORTEST_NAME}, folds=False)


def _ended(rows: Sequence[Report], context: ViewContext, title: str) -> RenderableType:
    if not rows:
        return Group(Text(title, "bold"), Text("No runs.", "dim"))
    found = []
    for row in rows:
        when = relative(row["finished_at"] or row["started_at"], context.now)
        error = f"{row['error_code']}: {row['error'] or ''}" if row["error_code"] else ""
        took, status = duration(row["duration_ms"]), status_text(row["status"])
        found.append((plain(row["job_id"]), status, when, took, plain(error, 120)))
    gives = {4: _SHORTEST_ERROR, 0: _SHORTEST_NAME}
    return Grid((title, "STATUS", "ENDED>", "TOOK>", "ERROR"), found, gives, spare=1, folds=False)
