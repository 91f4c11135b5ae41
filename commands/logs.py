"""`logs`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

import click

from app.app import App
from commands.names import job_names, run_names
from commands.view import show
from core.errors import RunNotFound
from core.permissions import obstacle
from core.run import folder_of

if TYPE_CHECKING:
    from core.redact import Redactor

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 60)

#: At most so many bytes from the end of each output file are shown: errors are usually at the end.
SHOWN_BYTES = 65_536


class OutputFile(TypedDict):
    """A file in the folder of a run: its size in bytes, and the end of its text, at most `SHOWN_BYTES`."""

    file: str
    path: str
    bytes: int
    truncated: bool
    text: str
    problem: NotRequired[str]


class LogsReport(TypedDict):
    """Events as they were sent, each with `ts`; with --run the run's row and its output."""

    status: str
    events: list[dict[str, object]]
    run: NotRequired[dict[str, object]]
    output: NotRequired[list[OutputFile]]


@click.command("logs")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="The number of events to show."
)
@click.option("--job", "job_id", shell_complete=job_names, help="Only events of this job.")
@click.option("--run", "run_id", shell_complete=run_names, help="Show one run: its row, its events and its output.")
@click.pass_obj
def command(app: App, limit: int, job_id: str | None, run_id: str | None) -> None:
    """Show the newest events in the order of time; with --run also the output of that run.

    The last 64 KiB of each output file are shown; "path" names the whole file.

    \b
    Examples:
      python3 main.py logs --job daily-data-backup --limit 5
      python3 main.py logs --run daily-data-backup-20260225T200000
    """
    with app.session(read_only=True) as session:
        session.store.definitions.require_known(job_id)
        run = session.store.runs.find(run_id) if run_id is not None else None
        if run_id is not None and run is None:
            raise RunNotFound(
                f"There is no run {run_id}", hint="See: python3 main.py status", details={"run_id": run_id}
            )
        events = session.store.events.recent(limit, job_id=job_id or "", run_id=run_id or "")
        job_ids = {event.job_id for event in events} | ({str(run["job_id"])} if run is not None else set())
        masks = {name: app.redactor(session.job(name)) for name in job_ids}
    masked_events = [masked({"ts": event.ts, **event.payload}, masks[event.job_id]) for event in events]
    report: LogsReport = {"status": "ok", "events": masked_events}
    if run is not None:
        mask = masks[str(run["job_id"])]
        report["run"] = masked(run, mask)
        output = captured(app.settings.runs_folder / folder_of(str(run["job_id"]), str(run["run_id"])))
        report["output"] = [{**file, "text": mask.text(file["text"])} for file in output]
    show(app, report, "logs")


def masked(record: Mapping[str, object], mask: Redactor) -> dict[str, object]:
    """A run or an event with the secrets in its result and error masked.

    They were masked before they were stored; this masks values that have become secrets since then.
    """
    return {key: mask.any(value) if key in ("result", "error") else value for key, value in record.items()}


def captured(folder: Path) -> list[OutputFile]:
    """The output files of a run, in the order of their names. What can't be read is named with the reason."""
    try:
        return [_tail(path) for path in run_files(folder)]
    except OSError as error:
        return [_unreadable(folder, error)]


def run_files(folder: Path) -> list[Path]:
    """The regular files in the folder of a run, by name: none if there is no such folder. Links are not followed.

    Raises OSError if it can't be looked into.
    """
    if os.path.islink(folder) or os.path.islink(folder.parent):
        return []
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _unreadable(path: Path, error: OSError) -> OutputFile:
    found = obstacle(str(path), write=False)
    reason = f"{found.sentence}. {found.hint}" if found is not None else error.strerror
    problem = f"{path} can't be read: {reason}"
    return {"file": path.name, "path": str(path), "bytes": 0, "truncated": False, "text": "", "problem": problem}


def _tail(path: Path) -> OutputFile:
    try:
        return _end_of(path)
    except OSError as error:
        return _unreadable(path, error)


def _end_of(path: Path) -> OutputFile:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - SHOWN_BYTES))
        data = file.read(SHOWN_BYTES)
    return {
        "file": path.name,
        "path": str(path),
        "bytes": size,
        "truncated": size > SHOWN_BYTES,
        "text": data.decode("utf-8", "replace"),
    }
