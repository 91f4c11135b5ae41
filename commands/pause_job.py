"""`pause-job`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from app.app import App
from commands.job_options import masked, pause_of, synced
from commands.names import job_names
from commands.view import show
from commands.when import given_end
from core.boundary import guarded
from core.clock import utc_text
from core.errors import UsageError
from core.strict_json import excerpt
from store.definitions import BY_HAND

#: Its group in `--help`, and its position in that group.
PLACE = ("Editing .jobs.json", 30)


@click.command("pause-job")
@click.argument("job_id", shell_complete=job_names)
@click.option(
    "--until",
    metavar="T",
    help="Resume by itself then: 2h, 30m, 3d, 18:00, tomorrow, tomorrow 9:00, monday 9:00, or ISO 8601; without an"
    " offset in the job's zone.",
)
@click.pass_obj
def command(app: App, job_id: str, until: str | None) -> None:
    """Pause a job, in .jobs.json. A running run is not ended: see `cancel`.

    Without --until the job is disabled until `resume-job`. With --until, no slot before that time runs, and then the
    job resumes by itself, also one that was paused without an end before. Slots during the pause are not run later.
    `list` says that it is paused, and `run-now` refuses it without --force. Prints the entry, the next instants, and
    whether anything was "changed".

    \b
    Examples:
      python3 main.py pause-job weekday-report
      python3 main.py pause-job weekday-report --until "monday 9:00"
      python3 main.py pause-job weekday-report --until 2026-09-01T08:00
    """
    if until is None:
        edit = app.editor().update(job_id, {"enabled": False}, frozenset({"paused_until"}))
        before, now = pause_of(app, job_id), app.clock.now()
        # A job that is disabled becomes one that is paused.
        changed = edit.changed or before is None
        if changed:
            guarded(lambda: note_pause(app, job_id, now), "The pause is shown as disabled", job=job_id)
    else:
        changes: dict[str, Any] = {"paused_until": _instant(app, job_id, until)}
        # A pause that was made without an end gets one.
        pause = pause_of(app, job_id)
        was_endless = pause is not None and pause["reason"] == BY_HAND
        edit = app.editor().update(job_id, {**changes, "enabled": True} if was_endless else changes)
        changed = edit.changed
        if was_endless:
            guarded(lambda: note_pause(app, job_id, None), "The pause was not forgotten", job=job_id)
    report = synced(app, job_id, edit.entry)
    entry = masked(app, edit.entry or {})
    show(app, {"status": "ok", "job_id": job_id, "changed": changed, "entry": entry, **report}, "pause-job")


def note_pause(app: App, job_id: str, since: datetime | None) -> None:
    """Stores since when the job is paused; None: that it is not."""
    with app.session() as session:
        session.store.definitions.note_pause_by_hand(job_id, since)


def _instant(app: App, job_id: str, text: str) -> str:
    until = utc_text(given_end("--until", text, _zone(app, job_id), app.clock.now()))
    if until <= utc_text(app.clock.now()):
        message = f"--until {excerpt(text)} is in the past"
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
