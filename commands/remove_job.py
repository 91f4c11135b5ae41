"""`remove-job`."""

from __future__ import annotations

import click

from app.app import App
from commands.job_options import synced
from commands.names import job_names
from commands.output import print_json

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Editing .jobs.json", 50)


@click.command("remove-job")
@click.argument("job_id", shell_complete=job_names)
@click.option("--dry-run", is_flag=True, help="Check that it is there, and write nothing.")
@click.pass_obj
def command(app: App, job_id: str, dry_run: bool) -> None:
    """Take a job out of .jobs.json, and sync. Its history stays; a run that goes on is not touched.

    Prints whether it was synced. A job of the same name that is registered later goes on with that history.

    \b
    Example:
      python3 main.py remove-job weekday-report
    """
    app.editor().remove(job_id, dry_run=dry_run)
    # That one job goes is what was asked for, also where it is the only one.
    report = {} if dry_run else synced(app, job_id, None, allow_removals=True)
    print_json({"status": "ok", "job_id": job_id, "dry_run": dry_run, **report})
