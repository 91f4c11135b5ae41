"""`sync-jobs`."""

from __future__ import annotations

import click

from app.app import App
from commands.output import print_json

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Running", 20)


@click.command("sync-jobs")
@click.option("--allow-removals", is_flag=True, help="Allow that more than half of the jobs are removed at once.")
@click.option(
    "--if-changed",
    is_flag=True,
    help="As by tick: only a file that was not synced last; a broken one is noted for status.",
)
@click.pass_obj
def command(app: App, allow_removals: bool, if_changed: bool) -> int:
    """Check all of .jobs.json, then write all of it to the database, or nothing.

    Prints the job ids that were added, changed, removed (disabled, history kept) and unchanged, warnings, the next
    three instants of each added or changed job, and under "scheduler" when the last tick ran.

    With --if-changed it prints {"status", "sync"}, "sync" null when there was nothing to do.

    A job keeps its place in time unless its schedule or zone changed. A job that is enabled again starts from now.

    \b
    Example:
      python3 main.py sync-jobs
      {"status": "ok", "synced_jobs": 2, "added": ["backup"], "changed": [], "removed": [], "unchanged": ["report"], …}
    """
    now = app.clock.now()
    with app.session() as session:
        if if_changed:
            found = session.sync_if_changed(now)
            print_json({"status": found["status"] if found else "ok", "sync": found})
            return 1 if found is not None and found["status"] == "error" else 0
        report = session.sync_jobs(now, allow_removals=allow_removals)
    report.warnings += [*app.settings.warnings, *app.no_tick_warning(now)]
    print_json({**report.as_dict(), "scheduler": app.tick_state(now)})
    return 0
