"""`next`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NotRequired, TypedDict

import click

from app.app import App
from commands.names import job_names
from commands.view import show
from commands.when import given_instant
from core.errors import DefinitionUnreadable, JobNotFound, ScheduleError, UsageError
from core.job import JobState
from schedules.calendar import LocalInstant
from scheduling.planner import start_of
from store.definitions import job_state

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 70)

#: The most paused jobs that a note names.
_NAMED = 10


@click.command("next")
@click.argument("job_id", shell_complete=job_names, required=False)
@click.option("--schedule", help="A schedule to evaluate, instead of a job.")
@click.option("--timezone", help="IANA zone of --schedule. Default: PURUTO_CRON_TIMEZONE, else the machine's.")
@click.option(
    "--after", help="Only instants after this one: ISO 8601, without an offset local time of the zone. Default: now."
)
@click.option("--count", type=click.IntRange(1, 1000), default=5, show_default=True, help="The number of instants.")
@click.pass_obj
def command(
    app: App, job_id: str | None, schedule: str | None, timezone: str | None, after: str | None, count: int,
) -> None:  # fmt: skip
    """Show the next instants of a job or a schedule, in UTC and in its zone, and the schedule in words.

    Without JOB_ID and --schedule: the next instants of all enabled jobs. For a disabled or paused job the instants are
    those that it would have, and a "note" says so. For a job that is paused until a time they begin at that time, and a
    "note" names it.

    \b
    Examples:
      python3 main.py next daily-data-backup --count 3
      python3 main.py next --schedule "30 2 * * *" --timezone Europe/Madrid --after 2026-03-28T00:00
    """
    if job_id is not None and schedule is not None:
        raise UsageError("Give JOB_ID or --schedule, not both", hint="See: python3 main.py next --help")
    if timezone is not None and schedule is None:
        message = "--timezone needs --schedule: a job has its own zone"
        raise UsageError(message, hint="See: python3 main.py next --help")
    report: Mapping[str, object]
    if schedule is not None:
        report = _of_schedule(app, schedule, app.default_zone if timezone is None else timezone, after, count)
    elif job_id is not None:
        report = _of_job(app, job_id, after, count)
    else:
        report = _of_all(app, after, count)
    doubt = app.zone_warning() if timezone is None else []
    show(app, {"status": "ok", **report, **({"warnings": doubt} if doubt else {})}, "next")


class ScheduleInstants(TypedDict):
    """The next instants of a schedule, each in UTC and local time, and its meaning in words."""

    schedule: str
    timezone: str
    meaning: str
    instants: list[LocalInstant]


class JobInstant(LocalInstant):
    """An instant of a job."""

    job_id: str


class FleetInstants(TypedDict):
    """The next instants of all enabled jobs, each with its `job_id`, and the errors of jobs that can't be planned."""

    note: NotRequired[str]
    instants: list[JobInstant]
    problems: list[dict[str, object]]


def _of_schedule(app: App, schedule: str, zone: str, after: str | None, count: int) -> ScheduleInstants:
    from schedules.language import check, describe

    check(schedule, zone)
    start = _start(app, after, zone)
    return {
        "schedule": schedule,
        "timezone": zone,
        "meaning": describe(schedule, zone),
        "instants": app.calendar.next_instants(schedule, zone, start, count, anchor=start),
    }


def _of_job(app: App, job_id: str, after: str | None, count: int) -> Mapping[str, object]:
    """`job_id`, `enabled`, a `note` for a disabled or paused job, and the fields of `ScheduleInstants`."""
    from schedules.language import describe

    with app.session(read_only=True) as session:
        state = session.store.definitions.load(job_id)
        pause = session.store.definitions.pause(job_id, app.clock.now())
    if state is None:
        raise JobNotFound(f"There is no job {job_id}", hint="See: python3 main.py list", details={"job_id": job_id})
    off = "paused" if pause is not None else "disabled"
    notes = [] if state.enabled else [f"The job is {off}: it would run at these instants."]
    if _is_paused_after(app, state, after):
        notes.append(f"The job is paused until {state.job.paused_until}: these are its instants from then on.")
    instants: ScheduleInstants = {
        "schedule": state.job.schedule,
        "timezone": state.timezone,
        "meaning": describe(state.job.schedule, state.timezone),
        "instants": _instants_of(app, state, after, count),
    }
    note = {"note": " ".join(notes)} if notes else {}
    return {"job_id": job_id, "enabled": state.enabled, **note, **instants}


def _of_all(app: App, after: str | None, count: int) -> FleetInstants:
    with app.session(read_only=True) as session:
        rows = [row for row in session.store.definitions.active() if row["enabled"]]
    all_instants: list[JobInstant] = []
    problems: list[dict[str, object]] = []
    paused: list[str] = []
    for row in rows:
        try:
            state = job_state(row)
            instants = _instants_of(app, state, after, count)
        except (DefinitionUnreadable, ScheduleError) as error:
            problems.append({"job_id": row["job_id"], "error": error.as_dict()})
        else:
            all_instants += [{"job_id": row["job_id"], **instant} for instant in instants]
            if _is_paused_after(app, state, after):
                paused.append(f"{row['job_id']} until {state.job.paused_until}")
    all_instants.sort(key=lambda entry: (entry["utc"], entry["job_id"]))
    report: FleetInstants = {"instants": all_instants[:count], "problems": problems}
    return {"note": _note(paused), **report} if paused else report


def _note(paused: list[str]) -> str:
    others = f", and {len(paused) - _NAMED} more" if len(paused) > _NAMED else ""
    return f"Jobs that are paused, whose instants begin after the pause: {', '.join(paused[:_NAMED])}{others}."


def _is_paused_after(app: App, state: JobState, after: str | None) -> bool:
    """Whether the job is still paused at the instant after which its slots are listed."""
    start = _start(app, after, state.timezone)
    return start_of(state.job, start) > start


def _instants_of(app: App, state: JobState, after: str | None, count: int) -> list[LocalInstant]:
    start = start_of(state.job, _start(app, after, state.timezone))
    return app.calendar.next_instants(state.job.schedule, state.timezone, start, count, anchor=state.anchor)


def _start(app: App, after: str | None, zone: str) -> datetime:
    if after is None:
        return app.clock.now()
    return given_instant("--after", after, zone)
