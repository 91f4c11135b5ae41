"""`sync-jobs`."""

from __future__ import annotations

import click

from commands.output import print_json
from wiring import App


@click.command("sync-jobs")
@click.option("--allow-removals", is_flag=True, help="Allow that more than half of the jobs are removed at once.")
@click.pass_obj
def command(app: App, allow_removals: bool) -> None:
    """Check all of .jobs.json, then write all of it to the database, or nothing.

    Prints the job ids that were added, changed, removed (disabled, history kept) and unchanged, warnings, the next
    three instants of each added or changed job, and under "scheduler" when the last tick ran.

    A job keeps its place in time unless its schedule or zone changed. A job that is enabled again starts from now.

    \b
    Example:
      python3 main.py sync-jobs
      {"status": "ok", "synced_jobs": 2, "added": ["backup"], "changed": [], "removed": [], "unchanged": ["report"], …}
    """
    now = app.clock.now()
    with app.store() as store:
        report = app.sync_jobs(store, now, allow_removals=allow_removals)
    report.warnings += [*app.settings.warnings, *app.no_tick_warning(now)]
    print_json({**report.as_dict(), "scheduler": app.tick_state(now)})
