"""`dry-run`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from boundary import guarded
from commands.output import print_json
from errors import JobNotFound
from instants import show_instant
from models import ClaimedRun, Context, Failure, JobState, Trigger
from wiring import App

_FOLDER_SHOWN = "RUN_ID"


@click.command("dry-run")
@click.argument("job_id")
@click.pass_obj
def command(app: App, job_id: str) -> None:
    """Show what a run of a job would be, and start nothing: arguments, environment, target, gates, next instants.

    Values that look like secrets are masked. What would keep it from starting stands under "problem"; what a gate says
    now, under "gate". The run id stands for one that a run would get.

    \b
    Example:
      python3 main.py dry-run daily-data-backup
    """
    now = app.clock.now()
    with app.store(read_only=True) as store:
        state = store.definitions.load(job_id)
        if state is None:
            hint = "See the names: python3 main.py list"
            raise JobNotFound(f"There is no job {job_id}", hint=hint, details={"job_id": job_id})
        remembered = store.sessions.find(job_id)
        gate = app.gate(store, state, now)
        running = store.runs.is_running(job_id)
    from conversation import first_context

    start = guarded(lambda: _start(app, state, first_context(state.job, remembered)))
    problem = start.as_dict() if isinstance(start, Failure) else None
    mask = app.redactor(state.job)
    zone = state.timezone
    instants, after = [], now
    for _ in range(3):
        found = app.calendar.next_fire(state.job.schedule, zone, after, anchor=state.anchor)
        if found is None:
            break
        instants.append(show_instant(found, zone))
        after = found
    print_json(
        {
            "status": "ok",
            "job_id": job_id,
            "enabled": state.enabled,
            "running": running,
            "gate": None if gate is None else {"code": gate.code, "reason": gate.reason, **gate.details},
            "problem": problem,
            **({} if isinstance(start, Failure) else mask(start)),
            "instants": instants if state.enabled else [],
        }
    )


def _start(app: App, state: JobState, context: Context) -> Mapping[str, object]:
    import calls
    import runners
    from invoker import child_environment
    from policy import POLICY_FILE, PolicyFile
    from targets import Targets

    job, now = state.job, app.clock.now()
    run = ClaimedRun(_FOLDER_SHOWN, job, Trigger.MANUAL, "", now, None, None, timezone=state.timezone)
    ids = calls.Ids("req-…", "corr-…", 1, 1)
    runs_folder = str(app.settings.runs_folder)
    if job.heartbeat is not None and job.heartbeat.enabled:
        context = Context(context.session_id, context.previous_summary, 1, job.heartbeat.max_iterations)
    invocation = calls.invocation(
        run, ids, context, timeout_sec=job.timeout_sec, runs_folder=runs_folder, hop=0, now=now
    )
    PolicyFile(app.settings.root / POLICY_FILE).check(invocation.request)
    folder = Targets(app.settings.home, app.settings.data_path).resolve(job.puruto_target)
    host = app.host()
    runner = runners.choose(invocation, folder, host)
    launch = runner.launch(invocation, folder, host)
    request_file = Path(invocation.run_folder) / f"{invocation.stem}.request.json"
    environment = child_environment(host.variables, invocation, request_file, launch.env)
    return {
        "target": str(folder),
        "runner": runner.name,
        "argv": list(launch.argv),
        "stdin": launch.stdin if not launch.request_on_stdin else invocation.request.as_dict(),
        "prompt": launch.stdin or job.prompt,
        "environment": environment,
        "timeout_sec": job.timeout_sec,
    }
