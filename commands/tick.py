"""`tick`. One with nothing to do ends in `app.fast_tick`, before this is imported."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from app.app import App
from commands.output import print_json
from system.stop_signals import stop_on_signals

if TYPE_CHECKING:
    pass

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Running", 30)


@click.command("tick")
@click.option(
    "--quiet", is_flag=True, help="Print nothing unless something was due or is wrong: for the crontab's log."
)
@click.pass_obj
def command(app: App, quiet: bool) -> int:
    """Run what is due: the command for the system crontab, each minute.

    It first syncs .jobs.json if that has changed (PURUTO_CRON_AUTO_SYNC=0 turns that off), settles what dead ticks
    left, delivers waiting events, then starts the due jobs, oldest first, several at once up to
    PURUTO_CRON_MAX_RUNNING, and waits for them. Several ticks at once do no harm: each slot is started once.

    Prints what was due, the results as run-now prints them, slots written off as missed or skipped, and what is wrong.
    Exit code 0 when the scheduler did its work, even if a job failed.

    \b
    Example:
      python3 main.py tick --quiet
    """
    with app.session() as session, stop_on_signals() as stop:
        report = session.scheduler(stop).tick()
        reason = stop.reason
        if not quiet or report.is_worth_a_line:
            print_json(report.as_dict())
        if app.settings.ping_url:
            # After all is said and done: a server that does not answer holds up no run and no line.
            session.ping(failed=report.has_failed)
    return 128 + signal.Signals[reason] if reason else 0
