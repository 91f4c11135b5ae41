"""`edit-job`."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

import click

from app.app import App
from commands.job_options import field_options, from_json, given_fields, masked, preview, synced, target_warnings
from commands.names import job_names
from commands.output import print_json
from core.errors import UsageError
from core.job import Job

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Editing .jobs.json", 20)


@click.command("edit-job")
@click.argument("job_id", shell_complete=job_names)
@click.option("--from-json", "source", metavar="FILE|-|JSON", help="Fields from a JSON object; options win over it.")
@click.option(
    "--unset", multiple=True, metavar="FIELD", help="Take a field away: its default rules. May be given again."
)
@click.option("--dry-run", is_flag=True, help="Check and show it, and write nothing.")
@field_options
@click.pass_obj
def command(
    app: App, /, job_id: str, source: str | None, unset: tuple[str, ...], dry_run: bool, **options: Any
) -> None:
    """Change fields of a job in .jobs.json, and sync it. The rest of the file stays as it is, also in its look.

    Prints the whole entry, its next three instants, and warnings. What a sync would refuse is refused, and nothing
    changes. `pause-job` and `resume-job` switch it off and on.

    \b
    Example:
      python3 main.py edit-job weekday-report --schedule "0 9 * * 1-5" --unset max_retries
    """
    changes = {**(from_json(source) if source else {}), **given_fields(options)}
    if changes.pop("job_id", job_id) != job_id:
        raise UsageError("A job can't be renamed: its history hangs on its name", hint="Register another one.")
    removed = frozenset(map(_field, unset))
    if not changes and not removed:
        raise UsageError("Nothing to change was given", hint="See: python3 main.py edit-job --help")
    edit = app.editor().update(job_id, changes, removed, dry_run=dry_run)
    report: dict[str, object] = {
        "next": preview(app, edit.entry or {}),
        "warnings": [*app.no_tick_warning(app.clock.now()), *target_warnings(app, edit.entry or {})],
    }
    if not dry_run:
        report = synced(app, job_id, edit.entry)
    print_json({"status": "ok", "job_id": job_id, "dry_run": dry_run, "entry": masked(app, edit.entry or {}), **report})


def _field(name: str) -> str:
    """A field that was named as in the file, or as its option. Raises `UsageError`."""
    plain = name.lstrip("-").replace("-", "_")
    known = [field.name for field in dataclasses.fields(Job)]
    if plain not in known:
        near = difflib.get_close_matches(plain, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else "docs/jobs-file.md lists the fields."
        raise UsageError(f"--unset {name}: a job has no such field", hint=hint)
    return plain
