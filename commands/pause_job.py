"""`pause-job`."""

from __future__ import annotations

import click

from commands.job_options import synced
from commands.names import job_names
from commands.output import print_json
from commands.when import given_instant
from errors import UsageError
from models import utc_text
from wiring import App


@click.command("pause-job")
@click.argument("job_id", shell_complete=job_names)
@click.option("--until", metavar="T", help="Go on by itself from this instant, ISO 8601; local without an offset.")
@click.pass_obj
def command(app: App, job_id: str, until: str | None) -> None:
    """Keep a job from running, in .jobs.json itself. A run that goes on is not touched: see `cancel`.

    Without --until it is disabled until `resume-job`. With it, no slot before that instant runs, and then it goes on by
    itself. Slots of the pause are not made up for. Prints the entry and the next instants.

    \b
    Examples:
      python3 main.py pause-job weekday-report
      python3 main.py pause-job weekday-report --until 2026-09-01T08:00
    """
    if until is None:
        edit = app.editor().update(job_id, {"enabled": False}, frozenset({"paused_until"}))
    else:
        edit = app.editor().update(job_id, {"paused_until": _instant(app, until)})
    print_json({"status": "ok", "job_id": job_id, "entry": edit.entry, **synced(app, job_id, edit.entry)})


def _instant(app: App, text: str) -> str:
    found = utc_text(given_instant("--until", text, app.default_zone))
    if found <= utc_text(app.clock.now()):
        raise UsageError(f"--until {text!r} is past", hint="Name an instant to come; `resume-job` ends a pause.")
    return found
