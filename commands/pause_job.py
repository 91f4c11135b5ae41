"""`pause-job`."""

from __future__ import annotations

import click

from app.app import App
from commands.job_options import masked, synced
from commands.names import job_names
from commands.output import print_json
from commands.when import given_instant
from core.boundary import guarded
from core.clock import utc_text
from core.errors import UsageError

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Editing .jobs.json", 30)


@click.command("pause-job")
@click.argument("job_id", shell_complete=job_names)
@click.option(
    "--until",
    metavar="T",
    help="Go on by itself from then: ISO 8601; in the job's zone without an offset.",
)
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
        edit = app.editor().update(job_id, {"paused_until": _instant(app, job_id, until)})
    report = synced(app, job_id, edit.entry)
    print_json({"status": "ok", "job_id": job_id, "entry": masked(app, edit.entry or {}), **report})


def _instant(app: App, job_id: str, text: str) -> str:
    found = utc_text(given_instant("--until", text, _zone(app, job_id)))
    if found <= utc_text(app.clock.now()):
        raise UsageError(f"--until {text!r} is past", hint="Name an instant to come; `resume-job` ends a pause.")
    return found


def _zone(app: App, job_id: str) -> str:
    """The job's own zone, as far as it is known."""

    def stored() -> str | None:
        with app.session(read_only=True) as session:
            state = session.store.definitions.load(job_id)
            return None if state is None else state.timezone

    found = guarded(stored)
    return found if isinstance(found, str) else app.default_zone
