"""`simulate`."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from functools import partial

import click

from app.app import App
from commands.names import job_names
from commands.output import print_json
from commands.when import given_instant
from core.boundary import Failure, guarded
from core.clock import utc_text
from core.errors import JobNotFound, UsageError
from schedules.calendar import show_instant
from scheduling.planner import slots_between
from store.definitions import job_state

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Looking", 90)

MOST_SLOTS = 100_000
LONGEST = timedelta(days=366 * 2)


@click.command("simulate")
@click.option("--from", "start", metavar="A", required=True, help="ISO 8601; local without an offset.")
@click.option("--to", "end", metavar="B", required=True, help="The same; at most two years later.")
@click.option("--job", "job_id", shell_complete=job_names, help="Only slots of this job.")
@click.option("--all", "everything", is_flag=True, help="Also jobs that are disabled or paused.")
@click.pass_obj
def command(app: App, start: str, end: str, job_id: str | None, everything: bool) -> None:
    """Lay out every slot of the fleet in a span, behind A and up to B, and mark minutes in which jobs come together.

    Prints {"status": "ok", "slots": [{"job_id", "utc", "local", "together": N}], "collisions": [...], …}.
    "together" is how many jobs are due in that minute; "collisions" are the minutes with more than
    PURUTO_CRON_MAX_RUNNING of them. Nothing is started; @every and @at are as they are stored now.

    \b
    Example:
      python3 main.py simulate --from 2026-03-28T00:00 --to 2026-03-30T00:00
    """
    zone = app.default_zone
    first, last = given_instant("--from", start, zone), given_instant("--to", end, zone)
    if not first < last <= first + LONGEST:
        raise UsageError("--to must be later than --from, by two years at most", hint="See: main.py simulate --help")
    with app.session(read_only=True) as session:
        if job_id is not None and not session.store.definitions.knows(job_id):
            hint = "See the names: python3 main.py list"
            raise JobNotFound(f"There is no job {job_id}, and there never was", hint=hint, details={"job_id": job_id})
        rows = [row for row in session.store.definitions.active() if (row["enabled"] or everything)]
    slots: list[tuple[str, str, dict[str, object]]] = []
    problems: list[dict[str, object]] = []
    for row in rows if job_id is None else [row for row in rows if row["job_id"] == job_id]:
        most = MOST_SLOTS - len(slots)
        found = guarded(partial(_slots_of, app, row, first, last, most))
        if isinstance(found, Failure):
            problems.append({"job_id": row["job_id"], "error": found.as_dict()})
        else:
            slots += found
    slots.sort(key=lambda slot: slot[:2])
    minutes = Counter(utc[:16] for utc, _, _ in slots)
    cap = app.settings.max_running
    report = [{**shown, "together": minutes[utc[:16]]} for utc, _, shown in slots]
    together: dict[str, list[str]] = {}
    for utc, name, _ in slots:
        together.setdefault(utc[:16], []).append(name)
    crowded = sorted((minute, count) for minute, count in minutes.items() if count > cap)
    print_json(
        {
            "status": "ok",
            "from": utc_text(first),
            "to": utc_text(last),
            "slots": report,
            "collisions": [
                {"minute": f"{minute}:00+00:00", "count": count, "jobs": together[minute]}
                for minute, count in crowded[:1_000]
            ],
            "per_job": dict(Counter(job for _, job, _ in slots)),
            "truncated": len(slots) >= MOST_SLOTS,
            "problems": problems,
        }
    )


def _slots_of(
    app: App, row: object, first: datetime, last: datetime, most: int
) -> list[tuple[str, str, dict[str, object]]]:
    state = job_state(row)  # type: ignore[arg-type]
    return [
        (utc_text(slot), state.job.job_id, {"job_id": state.job.job_id, **show_instant(slot, state.timezone)})
        for slot in slots_between(state, first, last, app.calendar, most)
    ]
