"""`cancel`."""

from __future__ import annotations

import click

from app.app import App
from commands.names import running_names
from commands.view import show

#: Its group in `--help`, and its position in that group.
PLACE = ("Running", 60)


@click.command("cancel")
@click.argument("run_id", shell_complete=running_names)
@click.pass_obj
def command(app: App, run_id: str) -> None:
    """End a run that is running, and all processes that it started. Its status becomes "cancelled".

    Its processes get TERM, and KILL after PURUTO_CRON_KILL_GRACE_SECONDS. A run that waits for a retry is not tried
    again. If the run's scheduler is gone or does not answer, this command ends the run itself.

    Prints how the run ended ("run_status") and who ended it. Exit code 1 for RUN_NOT_FOUND and RUN_NOT_RUNNING.

    \b
    Example:
      python3 main.py cancel daily-data-backup-20260225T200000
    """
    with app.session() as session:
        report = session.control().cancel(run_id)
        app.notifier.deliver(session.store.events)
    show(app, report)
