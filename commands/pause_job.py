"""`pause-job`."""

from __future__ import annotations

import click

from app.app import App
from commands.job_options import masked, synced
from commands.names import job_names
from commands.view import show
from commands.when import given_instant
from core.boundary import guarded
from core.clock import utc_text
from core.errors import UsageError

#: Its group in `--help`, and its position in that group.
PLACE = ("Editing .jobs.json", 30)


@click.command("pause-job")
@click.argument("job_id", shell_complete=job_names)
@click.option(
    "--until",
    metavar="T",
    help="Resume by itself at this time: ISO 8601, without an offset in the job's zone.",
)
@click.pass_obj
def command(app: App, job_id: str, until: str | None) -> None:
    """Pause a job, in .jobs.json. A running run is not ended: see `cancel`.

    Without --until the job is disabled until `resume-job`. With --until, no slot before that time runs, and then the
    job resumes by itself. Slots during the pause are not run later. Prints the entry and the next instants.

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
    show(app, {"status": "ok", "job_id": job_id, "entry": masked(app, edit.entry or {}), **report})


def _instant(app: App, job_id: str, text: str) -> str:
    until = utc_text(given_instant("--until", text, _zone(app, job_id)))
    if until <= utc_text(app.clock.now()):
        message = f"--until {text!r} is in the past"
        raise UsageError(message, hint="Give a time in the future. To end a pause now, use `resume-job`.")
    return until


def _zone(app: App, job_id: str) -> str:
    """The job's own zone; the default zone if the job is not in the database."""

    def stored_zone() -> str | None:
        with app.session(read_only=True) as session:
            state = session.store.definitions.load(job_id)
            return None if state is None else state.timezone

    zone = guarded(stored_zone)
    return zone if isinstance(zone, str) else app.default_zone
