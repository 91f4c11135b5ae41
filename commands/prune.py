"""`prune`."""

from __future__ import annotations

import click

from app.app import App
from commands.view import show
from core.errors import DatabaseFull
from maintenance.retention import Pruned

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

    On a full disk it deletes files first, and then the rows, for which there is room then.

    Prints how much was deleted, the limits, and what could not be deleted.

    \b
    Example:
      python3 main.py prune --dry-run
    """
    try:
        with app.session(read_only=dry_run) as session:
            pruned = session.retention(dry_run=dry_run).everything()
    except DatabaseFull as full:
        if dry_run:
            raise
        pruned = _without_room(app, full)
    limits = {name: getattr(app.settings, name) for name in ("keep_runs", "keep_days", "keep_output_mb")}
    show(app, {"status": "ok", "dry_run": dry_run, **pruned.as_dict(), "limits": limits}, "prune")


def _without_room(app: App, full: DatabaseFull) -> Pruned:
    """Deletes files first, as the full disk takes no row, and then the rows. Raises `full` if that freed nothing."""
    with app.session(read_only=True) as session:
        freed = session.retention(files_only=True).everything()
    try:
        with app.session() as session:
            pruned = session.retention().everything()
    except DatabaseFull as error:
        if not (freed.outputs or freed.event_files or freed.unknown_folders):
            raise full from None
        freed.failures.append(f"No row was deleted: {error.message}")
        return freed
    # The folders are gone, so the second round counts their rows only.
    pruned.output_bytes = max(pruned.output_bytes, freed.output_bytes)
    pruned.outputs = max(pruned.outputs, freed.outputs)
    pruned.event_files = sorted({*freed.event_files, *pruned.event_files})
    pruned.unknown_folders = sorted({*freed.unknown_folders, *pruned.unknown_folders})
    return pruned
