"""`dry-run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from app.app import App
from app.schedule_warnings import schedule_warnings
from commands.names import job_names
from commands.view import show
from core.boundary import Failure, guarded
from core.errors import JobNotFound

if TYPE_CHECKING:
    from core.json_objects import ErrorObject
    from invocation.dry_run import PlannedStart

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 100)


@click.command("dry-run")
@click.argument("job_id", shell_complete=job_names)
@click.pass_obj
def command(app: App, job_id: str) -> None:
    """Show how a job would run, without starting it: arguments, environment, target, gates and next instants.

    "prompt" is the text that would be sent now, also of a prompt_file, whose digest is "prompt_sha256".
    Values that look like secrets are masked. "problem" says why it could not start, as when its program is missing, and
    "gate" why a gate would refuse it now. For a disabled or paused job the instants are those that it would have; they
    begin after a pause that has an end. RUN_ID stands for the ID of the run.

    \b
    Example:
      python3 main.py dry-run daily-data-backup
    """
    from scheduling.planner import start_of

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
    mask = app.redactor(state.job)
    # The report also has the fields of `PlannedStart`, unless `problem` says that there is none.
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
            "problem": mask.any(_problem(start)),
            "warnings": schedule_warnings(app, [(job_id, state.job.schedule)]),
            "schedule": state.job.schedule,
            "timezone": state.timezone,
            "prompt_file": state.job.prompt_file,
            **({} if isinstance(start, Failure) else mask(start)),
            "instants": app.calendar.next_instants(
                state.job.schedule, state.timezone, start_of(state.job, now), 3, anchor=state.anchor
            ),
        },
        "dry-run",
    )


def _problem(start: PlannedStart | Failure) -> ErrorObject | None:
    """Why this start would fail; None if nothing is in its way."""
    from invocation.dry_run import obstacle_of

    obstacle = start if isinstance(start, Failure) else guarded(lambda: obstacle_of(start))
    return None if obstacle is None else obstacle.as_dict()
