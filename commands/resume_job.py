"""`resume-job`."""

from __future__ import annotations

import click

from app.app import App
from commands.job_options import masked, synced
from commands.names import job_names
from commands.pause_job import note_pause
from commands.view import show
from core.boundary import guarded

#: Its group in `--help`, and its position in that group.
PLACE = ("Editing .jobs.json", 40)


@click.command("resume-job")
@click.argument("job_id", shell_complete=job_names)
@click.pass_obj
def command(app: App, job_id: str) -> None:
    """Resume a job that is disabled, paused with --until, or paused because it failed too often.

    It continues from now: slots during the pause are not run later. Prints the entry, the next instants, and whether
    anything was "changed".

    \b
    Example:
      python3 main.py resume-job weekday-report
    """
    editor = app.editor()
    # A job that does not say `enabled` is enabled.
    changes = {} if editor.entry(job_id).get("enabled", True) is True else {"enabled": True}
    edit = editor.update(job_id, changes, frozenset({"paused_until"}))

    def end_pause() -> bool:
        with app.session() as session:
            return session.end_pause(job_id, app.clock.now())

    guarded(lambda: note_pause(app, job_id, None), "The pause was not forgotten", job=job_id)
    # Before the sync, which would otherwise report the pause. If the database has an error, the sync reports it.
    was_paused = guarded(end_pause, "The pause was not ended", job=job_id) is True
    report = synced(app, job_id, edit.entry)
    entry = masked(app, edit.entry or {})
    show(
        app,
        {
            "status": "ok",
            "job_id": job_id,
            "changed": edit.changed or was_paused,
            "entry": entry,
            "failures_forgotten": was_paused,
            **report,
        },
        "resume-job",
    )
