"""`remove-job`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from app.app import App
from commands.job_options import synced
from commands.names import job_names
from commands.view import show

#: Its group in `--help`, and its position in that group.
PLACE = ("Editing .jobs.json", 50)


@click.command("remove-job")
@click.argument("job_id", shell_complete=job_names)
@click.option("--dry-run", is_flag=True, help="Check that the job exists, but write nothing.")
@click.pass_obj
def command(app: App, job_id: str, dry_run: bool) -> None:
    """Remove a job from .jobs.json, and sync the file. Its history stays, and a running run is not ended.

    Prints whether it was synced. A job that is registered under the same name later continues that history.

    \b
    Example:
      python3 main.py remove-job weekday-report
    """
    app.editor().remove(job_id, dry_run=dry_run)
    # The user asked to remove this job, so the sync may, even if it is the only one.
    report: Mapping[str, object] = {} if dry_run else synced(app, job_id, None, allow_removals=True)
    show(app, {"status": "ok", "job_id": job_id, "dry_run": dry_run, **report})
