"""`run-now`."""

from __future__ import annotations

import signal

import click

from commands.names import job_names
from commands.output import print_json
from errors import JobNotFound
from stop_signals import stop_on_signals
from wiring import App


@click.command("run-now")
@click.argument("job_id", shell_complete=job_names)
@click.option(
    "--force", is_flag=True, help="Run it even if it is disabled or paused. A job that is running is never run twice."
)
@click.pass_obj
def command(app: App, job_id: str, force: bool) -> int:
    """Run one job now, with its retries, and wait for it. Its schedule is not touched.

    An edited .jobs.json is synced first, as by tick. Ctrl-C ends the run, which then reads "cancelled".

    Prints the result or the error, and where the event is written; "events_waiting" when that was not possible yet.
    Exit code 0 when the run succeeded, 1 when it failed or was refused (JOB_NOT_FOUND, JOB_DISABLED, JOB_LOCKED), 130
    after Ctrl-C.

    \b
    Example:
      python3 main.py run-now daily-data-backup
      {"status": "ok", "job_id": "daily-data-backup", "run_id": "daily-data-backup-20260225T200000", "attempt": 1, …}
    """
    with app.store() as store, stop_on_signals() as stop:
        sync = app.sync_if_changed(store, app.clock.now())
        broken = sync if sync is not None and sync["status"] == "error" else None
        try:
            result = app.scheduler(store, stop).run_now(job_id, force=force)
        except JobNotFound as error:
            # A job that is new in a broken file is known to nobody: what is wrong with the file is the answer.
            error.details |= {"sync": broken} if broken else {}
            raise
        reason = stop.reason
    if broken:
        result["sync"] = broken
    print_json(result)
    if reason:
        return 128 + signal.Signals[reason]
    return 0 if result["status"] == "ok" else 1
