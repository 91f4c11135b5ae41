"""`dry-run`."""

from __future__ import annotations

import click

from app.app import App
from app.command_warnings import start_obstacle
from app.schedule_warnings import schedule_warnings
from commands.names import job_names
from commands.view import show
from core.boundary import Failure, guarded
from core.errors import JobNotFound

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 100)


@click.command("dry-run")
@click.argument("job_id", shell_complete=job_names)
@click.pass_obj
def command(app: App, job_id: str) -> None:
    """Show how a job would run, without starting it: arguments, environment, target, gates and next instants.

    "prompt" is the text that would be sent now, also of a prompt_file, whose digest is "prompt_sha256".
    Values that look like secrets are masked. "problem" says why it could not start, and "gate" why a gate would refuse
    it now. For a disabled or paused job the instants are those that it would have. RUN_ID stands for the ID of the run.

    \b
    Example:
      python3 main.py dry-run daily-data-backup
    """
    now = app.clock.now()
    with app.session(read_only=True) as session:
        state = session.store.definitions.load(job_id)
        if state is None:
            hint = "See the names: python3 main.py list"
            raise JobNotFound(f"There is no job {job_id}", hint=hint, details={"job_id": job_id})
        remembered = session.store.sessions.find(job_id)
        gate = session.gate(state, now)
        running = session.store.runs.is_running(job_id)
        paused = session.store.definitions.pause(job_id, now)
    start = guarded(lambda: app.dry_run(state, remembered, now))
    obstacle = start if isinstance(start, Failure) else start_obstacle(app, state.job)
    mask = app.redactor(state.job)
    # The report has the fields of `PlannedStart` too, unless nothing says what would be started.
    show(
        app,
        {
            "status": "ok",
            "job_id": job_id,
            "note": mask.text(state.job.note) if state.job.note else None,
            "enabled": state.enabled,
            "paused": paused,
            "running": running,
            "gate": None if gate is None else {"code": gate.code, "reason": gate.reason, **gate.details},
            "problem": None if obstacle is None else mask(obstacle.as_dict()),
            "warnings": schedule_warnings(app, [(job_id, state.job.schedule)]),
            "prompt_file": state.job.prompt_file,
            **({} if isinstance(start, Failure) else mask(start)),
            "instants": app.calendar.next_instants(state.job.schedule, state.timezone, now, 3, anchor=state.anchor),
        },
        "dry-run",
    )
