"""`show`."""

from __future__ import annotations

import json
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import TypedDict

import click

from app.app import App
from commands.logs import OutputFile, captured, masked, run_files
from commands.names import run_names
from commands.view import show
from core.bounded_file import read_bounded
from core.errors import RunNotFound
from core.run import folder_of
from store.definitions import Pause

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 50)
#: A longer request is not shown: it was not written by the program.
_MOST_BYTES = 16 << 20


class Call(TypedDict):
    """The request of a call (null if it can't be read), and its file."""

    request: object
    file: str


class RunReport(TypedDict):
    """A run: its row, the note and pause of its job, its calls in the order of time, its events and output."""

    status: str
    note: str | None
    paused: Pause | None
    run: dict[str, object]
    calls: list[Call]
    events: list[dict[str, object]]
    output: list[OutputFile]


@click.command("show")
@click.argument("run_id", shell_complete=run_names)
@click.pass_obj
def command(app: App, run_id: str) -> None:
    """Show everything about a run: its row, the note of its job, the request of each call, events, output and cost.

    Secrets are masked. "calls" are in the order of time; for a running run, what there is so far is shown.

    \b
    Example:
      python3 main.py show daily-data-backup-20260225T200000
    """
    with app.session(read_only=True) as session:
        run = session.store.runs.find(run_id)
        if run is None:
            hint = "See: python3 main.py history"
            raise RunNotFound(f"There is no run {run_id}", hint=hint, details={"run_id": run_id})
        job = session.job(str(run["job_id"]))
        mask = app.redactor(job)
        paused = session.store.definitions.pause(str(run["job_id"]), app.clock.now())
        events = [{"ts": event.ts, **event.payload} for event in session.store.events.recent(100, run_id=run_id)]
    folder = app.settings.runs_folder / folder_of(str(run["job_id"]), run_id)
    report: RunReport = {
        "status": "ok",
        "note": mask.text(job.note) if job is not None and job.note else None,
        "paused": paused,
        "run": masked(run, mask),
        "calls": [{"request": mask.any(_request(path)), "file": str(path)} for path in _requests(folder)],
        "events": [masked(event, mask) for event in events],
        "output": [{**file, "text": mask.text(file["text"])} for file in captured(folder)],
    }
    show(app, report, "show")


def _requests(folder: Path) -> list[Path]:
    with suppress(OSError):
        # Sorted by time: by name the tenth call would come before the second one.
        paths = [path for path in run_files(folder) if fnmatch(path.name, "attempt-*.request.json")]
        return sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name))
    # `captured` says why it can't be looked into.
    return []


def _request(path: Path) -> object:
    try:
        return json.loads(read_bounded(path, _MOST_BYTES)[0])
    except (OSError, ValueError, RecursionError):
        return None
