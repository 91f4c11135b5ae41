"""`register-job`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from app.app import App
from commands.job_options import (
    entry_warnings,
    field_options,
    from_json,
    given_fields,
    masked,
    preview,
    synced,
)
from commands.option_errors import naming_options
from commands.view import show
from core.errors import UsageError

#: Its group in `--help`, and its position in that group.
PLACE = ("Editing .jobs.json", 10)


@click.command("register-job")
@click.argument("job_id", required=False)
@click.option("--from-json", "source", metavar="FILE|-|JSON", help="A JSON object of fields; options override them.")
@click.option("--dry-run", is_flag=True, help="Check and show the job, but write nothing.")
@click.option("--enable", is_flag=True, help="Enable the job. Without this it is registered disabled.")
@field_options
@click.pass_obj
def command(app: App, /, job_id: str | None, source: str | None, dry_run: bool, enable: bool, **options: Any) -> None:
    """Add a job to .jobs.json, and sync the file. The rest of it keeps its content and layout.

    Prints the entry, its next three instants in UTC and local time, and warnings. The job is disabled unless --enable
    is given: check the instants first, then run `resume-job`. If a sync would refuse the job, nothing is changed.

    \b
    Examples:
      python3 main.py register-job weekday-report --puruto-target puruto-financial --schedule "30 8 * * 1-5" \\
          --timezone Europe/Madrid --prompt "Resume los movimientos de ayer" --dry-run
      python3 main.py register-job --from-json job.json --enable
    """
    entry = from_json(source) if source else {}
    given = given_fields(options)
    entry = {**({"job_id": job_id} if job_id else {}), **entry, **given}
    if job_id:
        entry["job_id"] = job_id
    if "job_id" not in entry:
        hint = "Write: python3 main.py register-job JOB_ID …, or put job_id into the JSON object of --from-json."
        raise UsageError("The job has no name", hint=hint)
    first = {name: entry.pop(name) for name in ("job_id", "enabled") if name in entry}
    entry = {"job_id": first["job_id"], "enabled": enable, **entry}
    edit = app.editor().register(entry, dry_run=dry_run, explain=naming_options(given, source))
    name = str(entry["job_id"])
    report: Mapping[str, object] = {
        "next": preview(app, entry),
        "warnings": [*app.no_tick_warning(app.clock.now()), *entry_warnings(app, entry)],
    }
    if not dry_run:
        report = synced(app, name, edit.entry)
    show(
        app, {"status": "ok", "job_id": name, "dry_run": dry_run, "entry": masked(app, entry), **report}, "register-job"
    )
