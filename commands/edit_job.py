"""`edit-job`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import click

from app.app import App
from commands.job_options import entry_warnings, field_options, from_json, given_fields, masked, preview, synced
from commands.names import job_names
from commands.option_errors import naming_options
from commands.view import show
from core.errors import UsageError
from core.job import Job
from core.suggest import did_you_mean
from jobs.messages import escaped

#: Its group in `--help`, and its position in that group.
PLACE = ("Editing .jobs.json", 20)

#: A job has one of the two: the one that is given takes the place of the other.
_INSTEAD = {"prompt": "prompt_file", "prompt_file": "prompt"}


@click.command("edit-job")
@click.argument("job_id", shell_complete=job_names)
@click.option("--from-json", "source", metavar="FILE|-|JSON", help="A JSON object of fields; options override them.")
@click.option(
    "--unset", multiple=True, metavar="FIELD", help="Remove a field, so that its default applies. May be given again."
)
@click.option("--dry-run", is_flag=True, help="Check and show the job, but write nothing.")
@field_options
@click.pass_obj
def command(
    app: App, /, job_id: str, source: str | None, unset: tuple[str, ...], dry_run: bool, **options: Any
) -> None:
    """Change fields of a job in .jobs.json, and sync the file. The rest of it keeps its content and layout.

    Prints the whole entry, its next three instants, and warnings. If a sync would refuse the job, nothing is changed.
    `pause-job` and `resume-job` disable and enable a job. --prompt removes prompt_file, and the other way round.

    \b
    Example:
      python3 main.py edit-job weekday-report --schedule "0 9 * * 1-5" --unset max_retries
    """
    given = given_fields(options)
    changes = {**(from_json(source) if source else {}), **given}
    if changes.pop("job_id", job_id) != job_id:
        message = "edit-job changes no names"
        raise UsageError(message, hint=f"To rename it with its history: python3 main.py rename-job {job_id} NEW")
    unset_fields = frozenset(map(_field, unset))
    if both := sorted(unset_fields & changes.keys()):
        message = f"{both[0]} is to be removed by --unset, and to be set"
        raise UsageError(message, hint="Give one of the two.", details={"fields": both})
    removed = unset_fields.union(
        other for field, other in _INSTEAD.items() if field in changes and other not in changes
    )
    if not changes and not removed:
        raise UsageError("No change was given", hint="See: python3 main.py edit-job --help")
    edit = app.editor().update(
        job_id, changes, removed, dry_run=dry_run, explain=naming_options(given, source, removes=True)
    )
    report: Mapping[str, object] = {
        "next": preview(app, edit.entry or {}),
        "warnings": [*app.no_tick_warning(app.clock.now()), *entry_warnings(app, edit.entry or {})],
    }
    if not dry_run:
        report = synced(app, job_id, edit.entry)
    show(
        app,
        {
            "status": "ok",
            "job_id": job_id,
            "dry_run": dry_run,
            "changed": edit.changed,
            "entry": masked(app, edit.entry or {}),
            **report,
        },
        "edit-job",
    )


def _field(name: str) -> str:
    """The field that is named as in the file or as its option. Raises `UsageError`."""
    field_name = name.lstrip("-").replace("-", "_")
    names = [field.name for field in dataclasses.fields(Job)]
    if field_name not in names:
        hint = did_you_mean(field_name, names, "docs/jobs-file.md lists the fields.")
        raise UsageError(f"--unset {escaped(name)}: a job has no such field", hint=hint)
    return field_name
