"""`prune`."""

from __future__ import annotations

import click

from app.app import App
from commands.view import show

#: Its group in `--help`, and its position in that group.
PLACE = ("Installing and checking", 60)


@click.command("prune")
@click.option("--dry-run", is_flag=True, help="Delete nothing; show what would be deleted.")
@click.pass_obj
def command(app: App, dry_run: bool) -> None:
    """Delete old data: ended runs with their events and output, and old event files.

    Ticks do this step by step; this command does all of it at once, and also deletes folders in runs/ that have no
    row. It keeps the last PURUTO_CRON_KEEP_RUNS runs of each job, but none older than PURUTO_CRON_KEEP_DAYS, and
    PURUTO_CRON_KEEP_OUTPUT_MB of output. It always keeps each job's newest run, running runs, and runs with undelivered
    events. A deleted slot never starts again.

    Prints how much was deleted, the limits, and what could not be deleted.

    \b
    Example:
      python3 main.py prune --dry-run
    """
    with app.session(read_only=dry_run) as session:
        pruned = session.retention(dry_run=dry_run).everything()
    limits = {name: getattr(app.settings, name) for name in ("keep_runs", "keep_days", "keep_output_mb")}
    show(app, {"status": "ok", "dry_run": dry_run, **pruned.as_dict(), "limits": limits})
