"""One frame of `watch`: running jobs, next runs, last results. A pure function of the report and the instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from core.clock import from_text
from render.console import STYLES, ViewContext, status_text
from render.grid import Grid
from render.words import duration, local, plain, relative, span

Report = Mapping[str, Any]
#: Widths of a progress bar in cells; the widest that fits is used.
_BARS = (16, 8, 0)
#: Minimum widths of names and errors, in cells.
_SHORTEST_NAME, _SHORTEST_ERROR = 12, 10
_FULL, _EMPTY = "█", "░"


def frame(report: Report, context: ViewContext, height: int | None = None) -> RenderableType:
    """The view at `context.now`, in at most `height` lines; None means as many as it needs."""
    head = _head(report, context)
    parts = {name: report[name] for name in ("running", "next", "recent_runs")}
    counts = share_lines([len(rows) for rows in parts.values()], None if height is None else height - len(head) - 6)
    running, upcoming, ended = (rows[:count] for rows, count in zip(parts.values(), counts, strict=True))
    return Group(
        *head,
        _running(running, context, _title("RUNNING", parts["running"], running)),
        Text(),
        _next(upcoming, context, _title("NEXT UP", parts["next"], upcoming)),
        Text(),
        _ended(ended, context, _title("LAST RESULTS", parts["recent_runs"], ended)),
    )


def share_lines(rows: Sequence[int], lines: int | None) -> list[int]:
    """How many of its `rows` each part may show in `lines` lines; None means all.

    Each part but the last takes at most half of the lines that are left.
    """
    if lines is None:
        return list(rows)
    left, shares = max(len(rows), lines), []
    for index, count in enumerate(rows):
        is_last = index == len(rows) - 1
        share = min(max(1, count), left if is_last else max(1, left // 2))
        shares.append(min(share, count))
        left = max(1, left - share)
    return shares


def _title(name: str, rows: Sequence[Report], shown: Sequence[Report]) -> str:
    return f"{name} ({len(shown)} of {len(rows)})" if len(shown) < len(rows) else name


def _head(report: Report, context: ViewContext) -> list[RenderableType]:
    scheduler = report["scheduler"]
    line = Text("puruto-cron  ", "bold", no_wrap=True, overflow="ellipsis")
    line.append(local(context.now.replace(microsecond=0).isoformat(), context.zone), "bold")
    tick = relative(scheduler["last_tick_at"], context.now) or "never"
    line.append(f"   last tick {tick}", "not bold")
    head: list[RenderableType] = [line]
    if report.get("starting"):
        head.append(_warning("Starting: the first tick comes within a minute", "yellow"))
    elif scheduler["stale"]:
        head.append(_warning("STALE: no tick has run lately, so no job starts by itself", "bold red"))
    if problem := report.get("problem"):
        # The code comes first: a long path must not push it over the edge.
        head.append(_warning(f"{plain(problem['code'])}, trying again: {plain(problem['message'], 300)}", "bold red"))
        if report.get("read_at"):
            head.append(_warning(f"The data below was read {relative(report['read_at'], context.now)}.", "yellow"))
    if report.get("notice"):
        head.append(_warning(plain(report["notice"], 300), "yellow"))
    if report["overdue_count"]:
        head.append(_warning(f"Overdue jobs: {report['overdue_count']}", "yellow"))
    for entry in report["events"]["waiting"]:
        head.append(_warning(f"Undelivered events for {plain(entry['channel'])}: {entry['count']}", "yellow"))
    return [*head, Text()]


def _warning(text: str, style: str) -> Text:
    return Text(f"! {text}", style, no_wrap=True, overflow="ellipsis")


class _Running:
    """The running jobs. Progress bars shrink before names are cut too short to tell them apart."""

    def __init__(self, rows: Sequence[Report], context: ViewContext, title: str) -> None:
        self._rows, self._context, self._title = rows, context, title

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        grids = [self._grid(bar) for bar in _BARS]
        yield next((grid for grid in grids if grid.minimum_width() <= options.max_width), grids[-1])

    def _grid(self, bar: int) -> Grid:
        cells = []
        for row in self._rows:
            elapsed = max(0.0, (self._context.now - from_text(row["started_at"])).total_seconds())
            most = None if row["max_retries"] is None else max(row["max_retries"] + 1, row["attempt"])
            attempt = f"{max(1, row['attempt'])} of {most}" if most else str(max(1, row["attempt"]))
            name = Text(plain(row["job_id"]), STYLES["running"])
            cells.append((name, attempt, span(elapsed), duration(row["usual_ms"]), _state(row, elapsed, bar)))
        columns = (self._title, "ATTEMPT>", "ELAPSED>", "USUAL>", "PROGRESS")
        return Grid(columns, cells, {0: _SHORTEST_NAME}, wraps=False)


def _running(rows: Sequence[Report], context: ViewContext, title: str) -> RenderableType:
    if not rows:
        return Group(Text(title, "bold"), Text("No job is running.", "dim"))
    return _Running(rows, context, title)


def _state(row: Report, elapsed: float, bar: int) -> Text:
    if row["lease_over"]:
        return Text("its scheduler may be gone", "bold red")
    if row["waiting"]:
        return Text("waiting for its retry", "yellow")
    return progress(elapsed, row["usual_ms"], bar)


def progress(elapsed: float, usual_ms: int | None, bar: int = _BARS[0]) -> Text:
    """A bar of `bar` cells and a percentage, at most 99; empty for a job without history.

    `elapsed` is in seconds; `usual_ms`, the usual duration, in milliseconds.
    """
    if not usual_ms:
        return Text()
    fraction = elapsed * 1000 / usual_ms
    if fraction > 1:
        return Text(f"{_FULL * bar} longer than usual".strip(), "yellow")
    full = min(int(fraction * bar), bar)
    text = Text(_FULL * full, "cyan").append(_EMPTY * (bar - full), "dim")
    return text.append(f"{' ' if bar else ''}{min(int(fraction * 100), 99):2d} %", "not dim")


def _next(rows: Sequence[Report], context: ViewContext, title: str) -> RenderableType:
    if not rows:
        return Group(Text(title, "bold"), Text("No run is planned.", "dim"))
    cells = []
    for row in rows:
        is_due = row["next_run_at"] <= context.now.isoformat()
        left = Text("due", "yellow") if is_due else Text(relative(row["next_run_at"], context.now).removeprefix("in "))
        cells.append((plain(row["job_id"]), left, local(row["next_run_at"], context.zone)))
    return Grid((title, "IN>", "AT"), cells, {0: _SHORTEST_NAME}, wraps=False)


def _ended(rows: Sequence[Report], context: ViewContext, title: str) -> RenderableType:
    if not rows:
        return Group(Text(title, "bold"), Text("No runs.", "dim"))
    cells = []
    for row in rows:
        when = relative(row["finished_at"] or row["started_at"], context.now)
        error = f"{row['error_code']}: {row['error'] or ''}" if row["error_code"] else ""
        took, status = duration(row["duration_ms"]), status_text(row["status"])
        cells.append((plain(row["job_id"]), status, when, took, plain(error, 120)))
    minimums = {4: _SHORTEST_ERROR, 0: _SHORTEST_NAME}
    return Grid((title, "STATUS", "ENDED>", "TOOK>", "ERROR"), cells, minimums, movable=1, wraps=False)
