"""`simulate`."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from typing import TypedDict

import click

from app.app import App
from commands.names import job_names
from commands.view import show
from commands.when import given_instant
from core.boundary import Failure, guarded
from core.clock import utc_text
from core.errors import UsageError
from schedules.calendar import LocalInstant, show_instant
from scheduling.planner import slots_between
from store.definitions import job_state

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 90)

MOST_SLOTS = 100_000
LONGEST = timedelta(days=366 * 2)


@click.command("simulate")
@click.option("--from", "start", metavar="A", required=True, help="Start: ISO 8601, without an offset local time.")
@click.option("--to", "end", metavar="B", required=True, help="End, at most two years later.")
@click.option("--job", "job_id", shell_complete=job_names, help="Only slots of this job.")
@click.option("--all", "everything", is_flag=True, help="Include jobs that are disabled or paused.")
@click.pass_obj
def command(app: App, start: str, end: str, job_id: str | None, everything: bool) -> None:
    """List every slot of all jobs after A up to B, and the minutes in which too many jobs are due.

    Prints {"status": "ok", "slots": [{"job_id", "utc", "local", "together": N}], "collisions": [...], …}. "together" is
    the number of jobs that are due in that minute; "collisions" are the minutes with more than PURUTO_CRON_MAX_RUNNING.
    Nothing is started. @every and @at are computed from what is stored now.

    \b
    Example:
      python3 main.py simulate --from 2026-03-28T00:00 --to 2026-03-30T00:00
    """
    zone = app.default_zone
    first, last = given_instant("--from", start, zone), given_instant("--to", end, zone)
    if not first < last <= first + LONGEST:
        message = "--to must be later than --from, by at most two years"
        raise UsageError(message, hint="See: python3 main.py simulate --help")
    with app.session(read_only=True) as session:
        session.store.definitions.require_known(job_id)
        rows = [row for row in session.store.definitions.active() if (row["enabled"] or everything)]
    slots: list[tuple[str, str, LocalInstant]] = []
    problems: list[dict[str, object]] = []
    for row in rows if job_id is None else [row for row in rows if row["job_id"] == job_id]:
        most = MOST_SLOTS - len(slots)
        job_slots = guarded(partial(_slots_of, app, row, first, last, most))
        if isinstance(job_slots, Failure):
            problems.append({"job_id": row["job_id"], "error": job_slots.as_dict()})
        else:
            slots += job_slots
    slots.sort(key=lambda slot: slot[:2])
    minutes = Counter(utc[:16] for utc, _, _ in slots)
    jobs_by_minute: dict[str, list[str]] = {}
    for utc, name, _ in slots:
        jobs_by_minute.setdefault(utc[:16], []).append(name)
    crowded = sorted((minute, count) for minute, count in minutes.items() if count > app.settings.max_running)
    report: Simulation = {
        "status": "ok",
        "from": utc_text(first),
        "to": utc_text(last),
        "slots": [
            {"job_id": name, "utc": instant["utc"], "local": instant["local"], "together": minutes[utc[:16]]}
            for utc, name, instant in slots
        ],
        "collisions": [
            {"minute": f"{minute}:00+00:00", "count": count, "jobs": jobs_by_minute[minute]}
            for minute, count in crowded[:1_000]
        ],
        "per_job": dict(Counter(job for _, job, _ in slots)),
        "truncated": len(slots) >= MOST_SLOTS,
        "problems": problems,
    }
    show(app, report, "simulate")


class SimulatedSlot(TypedDict):
    """A slot of a job, and how many jobs are due in its minute."""

    job_id: str
    utc: str
    local: str
    together: int


class Collision(TypedDict):
    """A minute (UTC text) in which more jobs are due than may run at a time."""

    minute: str
    count: int
    jobs: list[str]


#: All slots from `from` to `to` (UTC text), the number of slots per job, and errors of jobs that can't be planned.
Simulation = TypedDict(
    "Simulation",
    {
        "status": str,
        "from": str,
        "to": str,
        "slots": list[SimulatedSlot],
        "collisions": list[Collision],
        "per_job": dict[str, int],
        "truncated": bool,
        "problems": list[dict[str, object]],
    },
)


def _slots_of(app: App, row: object, first: datetime, last: datetime, most: int) -> list[tuple[str, str, LocalInstant]]:
    """The slots of a job: UTC text, job name, and the instant in UTC and local time."""
    state = job_state(row)  # type: ignore[arg-type]
    return [
        (utc_text(slot), state.job.job_id, show_instant(slot, state.timezone))
        for slot in slots_between(state, first, last, app.calendar, most)
    ]
