"""`logs`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.app import App
from commands.names import job_names, run_names
from commands.view import show, table_option
from core.errors import JobNotFound, RunNotFound

if TYPE_CHECKING:
    from core.redact import Redactor

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Looking", 60)

#: Of each captured file at most this much is shown: its end, where programs say what went wrong.
SHOWN_BYTES = 65_536


@click.command("logs")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Newest events shown.")
@click.option("--job", "job_id", shell_complete=job_names, help="Only events of this job.")
@click.option("--run", "run_id", shell_complete=run_names, help="One run: its row, its events and its captured output.")
@table_option
@click.pass_obj
def command(app: App, limit: int, job_id: str | None, run_id: str | None, table: bool | None) -> None:
    """Show the newest events, the oldest of them first; with --run also what that run printed.

    Of a captured file the last 64 KiB are shown; "path" names the whole file.

    \b
    Examples:
      python3 main.py logs --job daily-data-backup --limit 5
      python3 main.py logs --run daily-data-backup-20260225T200000
    """
    with app.session(read_only=True) as session:
        if job_id is not None and not session.store.definitions.knows(job_id):
            raise JobNotFound(
                f"There is no job {job_id}, and there never was",
                hint="See: python3 main.py list",
                details={"job_id": job_id},
            )
        run = session.store.runs.find(run_id) if run_id is not None else None
        if run_id is not None and run is None:
            raise RunNotFound(
                f"There is no run {run_id}", hint="See: python3 main.py status", details={"run_id": run_id}
            )
        events = session.store.events.recent(limit, job_id=job_id or "", run_id=run_id or "")
        whose = {event.job_id for event in events} | ({str(run["job_id"])} if run is not None else set())
        masks = {job: app.redactor(session.job(job)) for job in whose}
    shown = [masked({"ts": event.ts, **event.payload}, masks[event.job_id]) for event in events]
    report: dict[str, object] = {"status": "ok", "events": shown}
    if run is not None:
        mask = masks[str(run["job_id"])]
        report["run"] = masked(run, mask)
        output = captured(app.settings.runs_folder / str(run["job_id"]) / str(run["run_id"]))
        report["output"] = [{**file, "text": mask.text(str(file["text"]))} for file in output]
    show(app, "logs", report, table=table)


def masked(told: Mapping[str, object], mask: Redactor) -> dict[str, object]:
    """A run or an event without the secrets in its result and error.

    They were taken out before they were stored; of what has become a secret since, only here.
    """
    return {key: mask.any(value) if key in ("result", "error") else value for key, value in told.items()}


def captured(folder: Path) -> list[dict[str, object]]:
    """What a run's calls printed: of each file its path, size in bytes and the end of its text."""
    if not folder.is_dir() or folder.is_symlink() or folder.parent.is_symlink():
        return []
    return [_tail(path) for path in sorted(folder.iterdir()) if path.is_file() and not path.is_symlink()]


def _tail(path: Path) -> dict[str, object]:
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
