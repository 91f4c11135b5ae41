"""`next`."""

from __future__ import annotations

from datetime import datetime

import click

from app.app import App
from commands.names import job_names
from commands.view import show, table_option
from commands.when import given_instant
from core.errors import DefinitionUnreadable, JobNotFound, ScheduleError, UsageError
from core.job import JobState
from scheduling.planner import start_of
from store.definitions import job_state

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Looking", 70)

#: Jobs that a note names.
_NAMED = 10


@click.command("next")
@click.argument("job_id", shell_complete=job_names, required=False)
@click.option("--schedule", help="A schedule to try, instead of a job.")
@click.option("--timezone", help="IANA zone of --schedule; else PURUTO_CRON_TIMEZONE, else the machine's.")
@click.option(
    "--after", help="Start behind this instant, ISO 8601; without an offset it is wall time in the zone. Default: now."
)
@click.option("--count", type=click.IntRange(1, 1000), default=5, show_default=True, help="How many instants.")
@table_option
@click.pass_obj
def command(
    app: App, job_id: str | None, schedule: str | None, timezone: str | None, after: str | None, count: int,
    table: bool | None,
) -> None:  # fmt: skip
    """Show when a job, or any schedule, will run, in UTC and in its zone, and what the schedule means in words.

    Without JOB_ID and --schedule: the next instants of all enabled jobs together. Of a job that is disabled or paused
    its instants if it were not, and a "note" that says so; of one that is paused until an instant those from then on,
    and a "note" with the instant.

    \b
    Examples:
      python3 main.py next daily-data-backup --count 3
      python3 main.py next --schedule "30 2 * * *" --timezone Europe/Madrid --after 2026-03-28T00:00
    """
    if job_id is not None and schedule is not None:
        raise UsageError("Give JOB_ID or --schedule, not both", hint="See: python3 main.py next --help")
    if timezone is not None and schedule is None:
        raise UsageError("--timezone goes with --schedule: a job has its own", hint="See: python3 main.py next --help")
    if schedule is not None:
        report = _of_schedule(app, schedule, app.default_zone if timezone is None else timezone, after, count)
    elif job_id is not None:
        report = _of_job(app, job_id, after, count)
    else:
        report = _of_all(app, after, count)
    show(app, "next", {"status": "ok", **report}, table=table)


def _of_schedule(app: App, schedule: str, zone: str, after: str | None, count: int) -> dict[str, object]:
    from schedules.language import check, describe

    check(schedule, zone)
    start = _start(app, after, zone)
    return {
        "schedule": schedule,
        "timezone": zone,
        "meaning": describe(schedule, zone),
        "instants": app.calendar.shown(schedule, zone, start, count, anchor=start),
    }


def _of_job(app: App, job_id: str, after: str | None, count: int) -> dict[str, object]:
    from schedules.language import describe

    with app.session(read_only=True) as session:
        state = session.store.definitions.load(job_id)
    if state is None:
        raise JobNotFound(f"There is no job {job_id}", hint="See: python3 main.py list", details={"job_id": job_id})
    notes = [] if state.enabled else ["The job is disabled or paused: these would be its instants."]
    if _waits(app, state, after):
        notes.append(f"The job is paused until {state.job.paused_until}: these are its instants from then on.")
    return {
        "job_id": job_id,
        "enabled": state.enabled,
        **({"note": " ".join(notes)} if notes else {}),
        "schedule": state.job.schedule,
        "timezone": state.timezone,
        "meaning": describe(state.job.schedule, state.timezone),
        "instants": _instants_of(app, state, after, count),
    }


def _of_all(app: App, after: str | None, count: int) -> dict[str, object]:
    with app.session(read_only=True) as session:
        rows = [row for row in session.store.definitions.active() if row["enabled"]]
    found: list[dict[str, str]] = []
    problems: list[dict[str, object]] = []
    paused: list[str] = []
    for row in rows:
        try:
            state = job_state(row)
            instants = _instants_of(app, state, after, count)
        except (DefinitionUnreadable, ScheduleError) as error:
            problems.append({"job_id": row["job_id"], "error": error.as_dict()})
        else:
            found += [{"job_id": row["job_id"], **instant} for instant in instants]
            paused += [f"{row['job_id']} until {state.job.paused_until}"] if _waits(app, state, after) else []
    found.sort(key=lambda entry: (entry["utc"], entry["job_id"]))
    return {**_note(paused), "instants": found[:count], "problems": problems}


def _note(paused: list[str]) -> dict[str, object]:
    if not paused:
        return {}
    more = f", and {len(paused) - _NAMED} more" if len(paused) > _NAMED else ""
    return {"note": f"Paused, and not shown before the end of it: {', '.join(paused[:_NAMED])}{more}."}


def _waits(app: App, state: JobState, after: str | None) -> bool:
    """Whether the job's pause goes on beyond the instant that its slots are asked behind."""
    start = _start(app, after, state.timezone)
    return start_of(state.job, start) > start


def _instants_of(app: App, state: JobState, after: str | None, count: int) -> list[dict[str, str]]:
    start = start_of(state.job, _start(app, after, state.timezone))
    return app.calendar.shown(state.job.schedule, state.timezone, start, count, anchor=state.anchor)


def _start(app: App, after: str | None, zone: str) -> datetime:
    if after is None:
        return app.clock.now()
    return given_instant("--after", after, zone)
