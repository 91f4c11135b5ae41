"""`tick`. If nothing is due, `app.fast_tick` does the work, and this module is not imported."""

from __future__ import annotations

import signal

import click

from app.app import App
from commands.view import show
from system.stop_signals import stop_on_signals

#: Its group in `--help`, and its position in that group.
PLACE = ("Running", 30)


@click.command("tick")
@click.option(
    "--quiet", is_flag=True, help="Print only if a job was due or something is wrong; for the log of the crontab."
)
@click.pass_obj
def command(app: App, quiet: bool) -> int:
    """Run the jobs that are due. The system crontab starts this command each minute.

    It syncs .jobs.json if that has changed (PURUTO_CRON_AUTO_SYNC=0 turns this off), ends the runs of dead ticks, and
    delivers events that wait. Then it starts the due jobs, the oldest first, at most PURUTO_CRON_MAX_RUNNING at a time,
    and waits for their end. Several ticks at once do no harm: each slot is started once.

    Prints the due jobs, their results as run-now prints them, missed and skipped slots, and problems. Exit code 0 if
    the scheduler did its work, even if a job failed.

    \b
    Example:
      python3 main.py tick --quiet
    """
    with app.session() as session, stop_on_signals() as stop:
        report = session.scheduler(stop).tick()
        reason = stop.reason
        try:
            if not quiet or report.is_worth_a_line:
                show(app, report.as_dict(), "tick")
        finally:
            # At the very end: a server that does not answer must delay no run and no output.
            if app.settings.ping_url:
                session.ping(failed=report.has_failed)
    return 128 + signal.Signals[reason] if reason else 0
