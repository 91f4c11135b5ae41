"""`unlock`."""

from __future__ import annotations

import click

from app.app import App
from commands.names import job_names
from commands.output import print_json

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Running", 70)


@click.command("unlock")
@click.argument("job_id", shell_complete=job_names)
@click.option("--yes", is_flag=True, help="Also end a run whose scheduler is alive.")
@click.pass_obj
def command(app: App, job_id: str, yes: bool) -> None:
    """Free a job that can't start because a run of it seems to go on: ends that run and whatever lives of it.

    A run whose scheduler is gone is ended at once, without waiting for its lease; it reads "interrupted" and is not
    made up for. One whose scheduler is alive is ended only with --yes; without it the command says what it would end.

    Prints what it did: "was_locked", and under "ended_runs" each run, who owned it, and the error that it now carries.
    Exit code 1 for JOB_NOT_FOUND and UNLOCK_NEEDS_YES.

    \b
    Example:
      python3 main.py unlock daily-data-backup
    """
    with app.session() as session:
        report = session.control().unlock(job_id, yes=yes)
        app.notifier.deliver(session.store.events)
    print_json(report)
