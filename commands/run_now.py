"""`run-now`."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, cast

import click

from app.app import App
from commands.names import job_names
from commands.view import is_screen, is_terminal, show, wants_text
from config.settings import next_hop
from core.boundary import Failure, guarded
from core.errors import JobNotFound, OutputUnwritable
from core.listing import sentences
from store.history import History
from system.stop_signals import stop_on_signals

if TYPE_CHECKING:
    from app.session import Session, SyncFailure
    from core.json_objects import ReportedRun
    from render.progress import ProgressLine
    from system.processes import Stop

#: Its group in `--help`, and its position in that group.
PLACE = ("Running", 50)

#: Of the run's row, what the report for programs does not have.
_FOR_PEOPLE = (
    "status", "duration_ms", "cost_usd", "turns", "iterations", "input_tokens", "output_tokens", "output_dir",
)  # fmt: skip


@click.command("run-now")
@click.argument("job_id", shell_complete=job_names)
@click.option(
    "--force",
    is_flag=True,
    help="Run it even if it is disabled or paused. A job that is running is never started twice.",
)
@click.pass_obj
def command(app: App, job_id: str, force: bool) -> int:
    """Run one job now, with its retries, and wait for its end. Its schedule does not change.

    A changed .jobs.json is synced first, as by tick. Ctrl-C ends the run; its status is then "cancelled".

    On a terminal, a line on stderr shows the progress: the attempt, the time compared with the usual duration, the wait
    for a retry. It is erased at the end.

    Prints the result or the error, and where the event was written, or "events_waiting" if that was not possible yet.
    Exit code 0 if the run succeeded, 1 if it failed or was refused (JOB_NOT_FOUND, JOB_DISABLED, JOB_LOCKED), 130
    after Ctrl-C, 129 after the terminal was closed, 143 after TERM.

    \b
    Example:
      python3 main.py run-now daily-data-backup
      {"status": "ok", "job_id": "daily-data-backup", "run_id": "daily-data-backup-20260225T200000", "attempt": 1, …}
    """
    on_terminal = is_terminal(sys.stdout)
    # Refused before anything is done, if it can't be understood.
    hop = next_hop(app.environ)
    with app.session() as session, stop_on_signals() as stop:
        sync = session.sync_if_changed(app.clock.now())
        broken = cast("SyncFailure", sync) if sync is not None and sync["status"] == "error" else None
        try:
            with _progress(app, session, job_id, stop) as line:
                scheduler = session.scheduler(stop, line.around if line is not None else None, hop)
                result = scheduler.run_now(job_id, force=force)
        except JobNotFound as error:
            raise error if broken is None else _not_loaded(job_id, broken) from None
        reason = stop.reason
        report: dict[str, object] = {**result, "sync": broken} if broken else {**result}
        if wants_text(app):
            row: Mapping[str, object] = session.store.runs.find(result["run_id"]) or {}
            report["row"] = {name: row.get(name) for name in _FOR_PEOPLE}
    try:
        show(app, report, "run-now")
    except OutputUnwritable as error:
        if not reason and not (on_terminal and _is_hung_up(error)):
            raise
        # The terminal is gone, so nobody can read the result; the database has it.
        return 128 + signal.Signals[reason or signal.SIGHUP.name]
    return _exit_code(result, reason)


def _not_loaded(job_id: str, broken: SyncFailure) -> JobNotFound:
    """The error for a job that may be new in a file that can't be synced: the fault in the file is the reason."""
    fault = broken["error"]
    message = (
        f"There is no job {job_id} in the database. If it is new in .jobs.json: that file is broken, so it was not"
        f" loaded. {fault['message']}"
    )
    hint = str(fault["details"].get("hint") or "Correct the file")
    hint = sentences(f"{hint[:1].upper()}{hint[1:]}", "Then run: python3 main.py sync-jobs")
    return JobNotFound(message, hint=hint, details={"job_id": job_id, "sync": broken})


def _exit_code(result: ReportedRun, reason: str) -> int:
    """That of the signal that ended the run, which the result names. A signal that came too late changes nothing."""
    details = result["error"]["details"] if "error" in result else {}
    if reason and details.get("stopped_by") == reason:
        return 128 + signal.Signals[reason]
    return 0 if result["status"] == "ok" else 1


def _is_hung_up(error: OutputUnwritable) -> bool:
    """Whether the error means that the terminal is gone; it may come before the signal HUP."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EIO


def _progress(app: App, session: Session, job_id: str, stop: Stop) -> AbstractContextManager[ProgressLine | None]:
    """The progress line on stderr; None if that is not a terminal."""
    if not is_screen(sys.stderr):
        return nullcontext()
    line = guarded(lambda: _line(app, session, job_id, stop))
    return nullcontext() if isinstance(line, Failure) or line is None else line


def _line(app: App, session: Session, job_id: str, stop: Stop) -> ProgressLine | None:
    from render.progress import ProgressLine, Step

    job = session.job(job_id)
    if job is None:
        return None
    step = Step(
        job_id, 1, job.max_retries + 1, app.clock.monotonic(), History(session.store.db).median_duration_ms(job_id)
    )
    fd = sys.stderr.fileno()
    return ProgressLine(fd, step, app.clock.monotonic, app.waits(job), lambda: stop.reason, os.environ)
