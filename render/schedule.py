"""The views of schedules: `next` and `simulate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from render.console import Report, ViewContext
from render.grid import Grid
from render.hanging import Hanging
from render.parts import note, step, together
from render.words import counted, distance, local, plain, short

#: The most slots, minutes and jobs that `simulate` shows.
_SLOTS, _MINUTES, _JOBS = 20, 5, 10


def upcoming(report: Report, context: ViewContext) -> RenderableType:
    """The view of `next`."""
    parts: list[RenderableType] = []
    if "meaning" in report:
        where = f"{plain(report['schedule'])} ({plain(report['timezone'])}): "
        parts.append(Hanging(Text(where, "bold"), Text(plain(report["meaning"], 600))))
    if "note" in report:
        # Of one job: the times in the note are in the zone of the instants below it.
        parts.append(note(report["note"], replace(context, zone=str(report.get("timezone") or context.zone))))
    named = any("job_id" in instant for instant in report["instants"])
    cells: list[list[str]] = []
    for instant in report["instants"]:
        at, left = _local(instant["local"]), distance(instant["utc"], context.now)
        row = [at, _utc(instant["utc"], instant["local"]), left]
        cells.append([*row, plain(instant["job_id"])] if named else row)
    columns = ["AT", "UTC", "FROM NOW", *(["JOB"] if named else [])]
    never = "It will not run." if "schedule" in report else "No enabled job has a next instant."
    parts.append(Grid(columns, cells, {3: 12} if named else {}) if cells else Text(never))
    for problem in report.get("problems") or ():
        text = f"{plain(problem['job_id'])}: {plain(problem['error'].get('message'), 500)}"
        parts.append(note(text, context, "bold red"))
    return together(*parts, [] if cells or "schedule" in report else step("python3 main.py list"))


def _utc(text: str, local: str) -> str:
    """The time in UTC, with its day if that is another one there."""
    at = datetime.fromisoformat(text)
    seconds = f":{at:%S}" if at.second else ""
    return f"{at:%H:%M}{seconds}" if text[:10] == local[:10] else f"{at:%a %H:%M}{seconds}"


def _local(text: str) -> str:
    """A local instant with its day, its seconds if it has any, and its offset from UTC."""
    at = datetime.fromisoformat(text)
    seconds = f":{at:%S}" if at.second else ""
    return f"{at:%a %Y-%m-%d %H:%M}{seconds} {text[-6:]}"


def simulation(report: Report, context: ViewContext) -> RenderableType:
    """The view of `simulate`: the number of slots, the crowded minutes, and the first slots."""
    slots, zone = report["slots"], context.zone
    start, end = (local(report[name], zone) for name in ("from", "to"))
    more = "more than " if report["truncated"] else ""
    parts: list[RenderableType] = [
        Text(f"{more}{counted(len(slots), 'slot')} after {start} up to {end} ({plain(zone)})")
    ]
    parts += _per_job(report["per_job"])
    parts += _crowded(report["collisions"], context)
    for problem in report["problems"]:
        text = f"{plain(problem['job_id'])}: {plain(problem['error'].get('message'), 500)}"
        parts.append(note(text, context, "bold red"))
    if slots:
        cells = [(_local(slot["local"]), plain(slot["job_id"]), str(slot["together"])) for slot in slots[:_SLOTS]]
        parts += [Text(), Grid(("AT", "JOB", "AT ONCE>"), cells, {1: 12})]
    if len(slots) > _SLOTS:
        left = f"{counted(len(slots) - _SLOTS, 'more slot')}: "
        parts.append(Hanging(Text(left, "bold"), Text("--json has all of them, --job NAME those of one job")))
    return together(*parts)


def _per_job(counts: Report) -> list[RenderableType]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{plain(name)} {count:,}" for name, count in ranked[:_JOBS])
    others = f", and {counted(len(ranked) - _JOBS, 'more job', 'more jobs')}" if len(ranked) > _JOBS else ""
    return [Hanging(Text("  per job: ", "dim"), Text(f"{shown}{others}"))] if shown else []


def _crowded(minutes: Sequence[Report], context: ViewContext) -> list[RenderableType]:
    """The minutes in which more jobs are due than may run at a time, the fullest first."""
    if not minutes:
        return []
    fullest = sorted(minutes, key=lambda entry: (-entry["count"], entry["minute"]))[:_MINUTES]
    text = ", ".join(
        f"{short(entry['minute'], context.now, context.zone)} ({counted(entry['count'], 'job')})" for entry in fullest
    )
    others = f", and {len(minutes) - _MINUTES:,} more" if len(minutes) > _MINUTES else ""
    return [note(f"More jobs are due than may run at a time: {text}{others}", context)]
