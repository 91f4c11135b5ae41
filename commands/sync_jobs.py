"""`sync-jobs`."""

from __future__ import annotations

import click

from app.app import App
from app.schedule_warnings import schedule_warnings
from app.start_warnings import start_warnings
from commands.view import show

#: Its group in `--help`, and its position in that group.
PLACE = ("Running", 20)


@click.command("sync-jobs")
@click.option("--allow-removals", is_flag=True, help="Allow the removal of more than half of the jobs in use at once.")
@click.option(
    "--if-changed",
    is_flag=True,
    help="Do what a tick does: sync only a changed file, and record errors for status.",
)
@click.pass_obj
def command(app: App, allow_removals: bool, if_changed: bool) -> int:
    """Check .jobs.json, and load it into the database: all of it, or nothing if it has errors.

    Prints the jobs that were added, changed, removed (disabled, with their history kept), renamed and unchanged,
    warnings, the next three instants of each added or changed job, and under "scheduler" when the last tick ran.

    A job of which only the name has changed keeps its history. See also `rename-job`.

    With --if-changed it prints {"status", "sync"}; "sync" is null if there was nothing to do.

    A job keeps its next run unless its schedule or zone changed. A job that is enabled again continues from now.

    \b
    Example:
      python3 main.py sync-jobs
      {"status": "ok", "synced_jobs": 2, "added": ["backup"], "changed": [], "removed": [], "unchanged": ["report"], …}
    """
    now = app.clock.now()
    with app.session() as session:
        if if_changed:
            sync = session.sync_if_changed(now)
            show(app, {"status": sync["status"] if sync else "ok", "sync": sync}, "sync-jobs")
            return 1 if sync is not None and sync["status"] == "error" else 0
        report = session.sync_jobs(now, allow_removals=allow_removals)
        report.warnings += schedule_warnings(app, session.store.definitions.doubtful_schedules())
        report.warnings += start_warnings(app, session.store.definitions.doubtful_commands())
    report.warnings += [*app.settings.warnings, *app.no_tick_warning(now)]
    show(app, {**report.as_dict(), "scheduler": app.tick_state(now)}, "sync-jobs")
    return 0
