"""`rename-job`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from app.app import App
from commands.job_options import masked, synced
from commands.names import job_names
from commands.option_errors import naming_options
from commands.view import show
from core.errors import JobNameUsed, UsageError

#: Its group in `--help`, and its position in that group.
PLACE = ("Editing .jobs.json", 45)


@click.command("rename-job")
@click.argument("old", metavar="OLD", shell_complete=job_names)
@click.argument("new", metavar="NEW")
@click.option("--dry-run", is_flag=True, help="Check that the job can have this name, but write nothing.")
@click.pass_obj
def command(app: App, old: str, new: str, dry_run: bool) -> None:
    """Rename a job in .jobs.json and in the database, with its history.

    The job keeps its runs, costs, sessions, pause and next run: no slot runs twice, and none is lost. A run of it that
    is running goes on. Past runs, their folders and events keep the IDs that they have. The new name must be free
    (DUPLICATE_JOB), and not that of a job that was removed and has a history (JOB_NAME_USED). Prints {"status": "ok",
    "job_id", "renamed": [{"from", "to"}], "entry", …}.

    \b
    Example:
      python3 main.py rename-job weekday-report daily-report
    """
    if old == new:
        raise UsageError(f"The job is called {old} already", hint="Give another name as NEW.")
    editor = app.editor()
    edit = editor.give_name(old, new, dry_run=True, explain=naming_options({"job_id"}, None, name="The new name"))
    with app.session(read_only=True) as session:
        definitions = session.store.definitions
        if not definitions.is_active(new) and definitions.has_history(new):
            raise JobNameUsed(
                f"A job that was removed was called {new}, and its history would be mixed with that of {old}",
                hint="Choose another name.",
                details={"job_id": new},
            )
    report: Mapping[str, object] = {}
    if not dry_run:
        with app.session() as session:
            # What else has changed in the file comes first. Then only the name differs, also for a tick in between.
            session.sync_jobs(app.clock.now())
        edit = editor.give_name(old, new)
        report = synced(app, new, edit.entry, renames={old: new})
    renamed = [{"from": old, "to": new}]
    entry = masked(app, edit.entry or {})
    answer = {"status": "ok", "job_id": new, "dry_run": dry_run, "renamed": renamed, "entry": entry, **report}
    show(app, answer, "rename-job")
