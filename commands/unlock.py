"""`unlock`."""

from __future__ import annotations

import click

from app.app import App
from commands.names import job_names
from commands.view import show, wants_text
from core.boundary import guarded
from core.job import JobState

#: Its group in `--help`, and its position in that group.
PLACE = ("Running", 70)


@click.command("unlock")
@click.argument("job_id", shell_complete=job_names)
@click.option("--yes", is_flag=True, help="Also kill a run whose scheduler is alive.")
@click.pass_obj
def command(app: App, job_id: str, yes: bool) -> None:
    """Release a job whose run looks stuck: end that run and its processes, so that the job can start again.

    If the run's scheduler is gone, the run is ended at once, without waiting for its lease; its status becomes
    "interrupted", and it is not run again. If its scheduler is alive, --yes kills it; without --yes the command says
    what it would end.

    Prints "was_locked", and under "ended_runs" each run with its owner and its error. Exit code 1 for JOB_NOT_FOUND and
    UNLOCK_NEEDS_YES.

    \b
    Example:
      python3 main.py unlock daily-data-backup
    """
    with app.session() as session:
        report = session.control().unlock(job_id, yes=yes)
        state = guarded(lambda: session.store.definitions.load(job_id))
        app.notifier.deliver(session.store.events)
    # For the next step, which is for people.
    enabled = {"enabled": isinstance(state, JobState) and state.enabled} if wants_text(app) else {}
    show(app, {**report, **enabled}, "unlock")
