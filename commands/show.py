"""`show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

import click

from app.app import App
from commands.logs import OutputFile, captured, masked
from commands.names import run_names
from commands.view import show
from core.bounded_file import read_bounded
from core.errors import RunNotFound

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 50)
#: A longer request is not shown: it was not written by the program.
_MOST_BYTES = 16 << 20


class Call(TypedDict):
    """The request of a call (null if it can't be read), and its file."""

    request: object
    file: str


class RunReport(TypedDict):
    """Everything about a run: its row, its job's note, its calls in the order of time, its events and output."""

    status: str
    note: str | None
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
        events = [{"ts": event.ts, **event.payload} for event in session.store.events.recent(100, run_id=run_id)]
    folder = app.settings.runs_folder / str(run["job_id"]) / run_id
    report: RunReport = {
        "status": "ok",
        "note": mask.text(job.note) if job is not None and job.note else None,
        "run": masked(run, mask),
        "calls": [{"request": mask.any(_request(path)), "file": str(path)} for path in _requests(folder)],
        "events": [masked(event, mask) for event in events],
        "output": [{**file, "text": mask.text(file["text"])} for file in captured(folder)],
    }
    show(app, report)


def _requests(folder: Path) -> list[Path]:
    if not folder.is_dir() or folder.is_symlink() or folder.parent.is_symlink():
        return []
    # Sorted by time: by name the tenth call would come before the second one.
    paths = [path for path in folder.glob("attempt-*.request.json") if path.is_file() and not path.is_symlink()]
    return sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _request(path: Path) -> object:
    try:
        return json.loads(read_bounded(path, _MOST_BYTES)[0])
    except (OSError, ValueError, RecursionError):
        return None
