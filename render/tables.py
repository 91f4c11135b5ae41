"""The reports of list, status, logs, history and next as tables. Each view is a pure function of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from render.console import STYLES, Report, ViewContext, status_text
from render.grid import Grid
from render.words import dollars, duration, local, plain, relative

#: Minimum widths of columns, in cells. A time is broken after the day, the offset and the words of "5 min ago".
_MINIMUMS = {"ERROR": 20, "WHAT": 20, "OWNER": 12, "JOB": 12, "STARTED": 14, "TIME": 14, "SINCE": 14, "ENDED": 9}
#: Last columns of a table, which may be printed below their row.
_BELOW = ("RUN", "ERROR", "WHAT", "OWNER")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        name, right = column.rstrip(">"), column.endswith(">")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    return table


def _grid(*columns: str, rows: Sequence[Sequence[str | Text]]) -> Grid:
    """A table that adapts to the screen. RUN stays whole, because people copy it; long texts shrink first."""
    names = [column.rstrip(">") for column in columns]
    minimums = {names.index(name): minimum for name, minimum in _MINIMUMS.items() if name in names}
    return Grid(columns, rows, minimums, movable=sum(name in _BELOW for name in names))


def _when(text: object, context: ViewContext, zone: object = None) -> Text:
    instant = Text(local(text, str(zone or context.zone)))
    if distance := relative(text, context.now):
        instant.append(f"  {distance}", "dim")
    return instant


def jobs(report: Report, context: ViewContext) -> RenderableType:
    """The view of `list`."""
    table = _table("JOB", "STATE", "SCHEDULE", "NEXT RUN", "LAST RUN", "FAILED>")
    for job in report["jobs"]:
        state, style = ("enabled", "") if job["enabled"] else ("disabled", "dim")
        if job.get("paused"):
            state, style = "paused", "bold yellow"
        if job.get("problem"):
            state, style = "problem", "bold red"
        last = job["last_run"] or {}
        ended = status_text(last.get("status") or "")
        if last:
            ended.append(f"  {relative(last.get('finished_at') or last.get('started_at'), context.now)}", "dim")
        upcoming = (job["next_run"] or {}).get("utc")
        failures = job["consecutive_failures"] or ""
        table.add_row(
            plain(job["job_id"]), Text(state, style), f"{plain(job['schedule'])} ({plain(job['timezone'])})",
            _when(upcoming, context, job["timezone"]), ended, str(failures),
        )  # fmt: skip
    return table if report["jobs"] else Text("No jobs. Register one: python3 main.py register-job --help")


def runs(rows: Sequence[Report], context: ViewContext) -> RenderableType:
    """A table of runs, as `history` reports them."""
    cells = []
    for row in rows:
        error = f"{row.get('error_code')}: {row.get('error')}" if row.get("error_code") else ""
        cells.append((
            _when(row["started_at"], context), plain(row["job_id"]), status_text(row["status"]),
            duration(row.get("duration_ms")), dollars(row.get("cost_usd")), plain(row["run_id"]), plain(error, 120),
        ))  # fmt: skip
    columns = ("STARTED", "JOB", "STATUS", "TOOK>", "COST>", "RUN", "ERROR")
    return _grid(*columns, rows=cells) if rows else Text("No runs.")


def history(report: Report, context: ViewContext) -> RenderableType:
    """The view of `history`."""
    return runs(report["runs"], context)


def _recent(rows: Sequence[Report], context: ViewContext) -> RenderableType:
    """The last runs in `status`; shorter than in `history`."""
    cells = []
    for row in rows:
        ended = relative(row["finished_at"], context.now)
        started = _when(row["started_at"], context)
        cells.append((started, plain(row["job_id"]), status_text(row["status"]), ended, plain(row["run_id"])))
    return _grid("STARTED", "JOB", "STATUS", "ENDED", "RUN", rows=cells) if rows else Text("No runs.")


def status(report: Report, context: ViewContext) -> RenderableType:
    """The view of `status`: the scheduler, running jobs, the last runs and what they cost."""
    scheduler = report["scheduler"]
    tick = Text("Last tick: ")
    tick.append_text(_when(scheduler["last_tick_at"], context) if scheduler["last_tick_at"] else Text("never"))
    if scheduler["stale"]:
        tick.append("  STALE: no job starts by itself", "bold red")
    parts: list[RenderableType] = [tick]
    parts += [Text(f"Overdue: {plain(job['job_id'])}", "yellow") for job in scheduler["overdue_jobs"]]
    for entry in report["events"]["waiting"]:
        parts.append(Text(f"Undelivered events for {entry['channel']}: {entry['count']}", "yellow"))
    parts += [Text(f"! {plain(entry['message'], 400)}", "yellow") for entry in scheduler["anomalies"]]
    if report["sync"]["error"]:
        parts.append(Text(f"! .jobs.json: {plain(report['sync']['error']['error']['message'], 400)}", "bold red"))
    parts.append(Text())
    running = [
        (plain(row["run_id"]), plain(row["job_id"]), _when(row["started_at"], context), str(row["attempt"]),
         plain(row["lease_owner"]))
        for row in report["running"]
    ]  # fmt: skip
    columns = ("RUNNING", "JOB", "SINCE", "ATTEMPT>", "OWNER")
    parts += [_grid(*columns, rows=running) if running else Text("No job is running."), Text()]
    parts.append(_recent(report["recent_runs"], context))
    if report["spending"]:
        spent = _table("DAY", "JOB", "RUNS>", "COST>", "TURNS>", "TOKENS IN>", "TOKENS OUT>")
        for row in report["spending"]:
            tokens = (f"{row['input_tokens']:,}", f"{row['output_tokens']:,}")
            cost = dollars(row["cost_usd"])
            spent.add_row(row["day"], plain(row["job_id"]), str(row["runs"]), cost, str(row["turns"]), *tokens)
        parts += [Text(), spent]
    return Group(*parts)


def logs(report: Report, context: ViewContext) -> RenderableType:
    """The view of `logs`: the events and, for a single run, what it printed."""
    cells = []
    for event in report["events"]:
        error = event.get("error")
        if isinstance(error, Mapping):
            what = Text(f"{plain(error.get('code'))}: {plain(error.get('message'), 300)}", STYLES["error"])
        else:
            what = Text(plain(_answer(event.get("result")), 300))
        cells.append((_when(event["ts"], context), plain(event.get("job_id")), plain(event.get("run_id")), what))
    table = _grid("TIME", "JOB", "RUN", "WHAT", rows=cells)
    parts: list[RenderableType] = [table if cells else Text("No events.")]
    for file in report.get("output") or ():
        parts += [Text(), Text(plain(file["path"]), "bold"), Text("\n".join(map(_line, file["text"].splitlines())))]
    return Group(*parts)


def _line(text: str) -> str:
    return plain(text.replace("\t", "    "), 2_000) if text.strip() else ""


def _answer(result: object) -> object:
    """The part of a run's result that people read: its summary, text or output."""
    response = result.get("response") if isinstance(result, Mapping) else None
    answer = response.get("result") if isinstance(response, Mapping) else None
    if not isinstance(answer, Mapping):
        return "ok"
    return next((answer[key] for key in ("summary", "text", "stdout") if answer.get(key)), "ok")


def upcoming(report: Report, context: ViewContext) -> RenderableType:
    """The view of `next`."""
    parts: list[RenderableType] = []
    if "meaning" in report:
        parts.append(
            Text(f"{plain(report['schedule'])} ({plain(report['timezone'])}): {plain(report['meaning'], 600)}")
        )
    if "note" in report:
        parts.append(Text(plain(report["note"]), "yellow"))
    table = _table("LOCAL", "UTC", "", "JOB")
    for instant in report["instants"]:
        local_time = datetime.fromisoformat(instant["local"])
        text = f"{local_time:%a %Y-%m-%d %H:%M:%S} {instant['local'][-6:]}"
        table.add_row(text, instant["utc"], relative(instant["utc"], context.now), plain(instant.get("job_id")))
    parts.append(table if report["instants"] else Text("It will not run."))
    return Group(*parts)
