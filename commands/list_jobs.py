"""`list`."""

from __future__ import annotations

import click

from commands.output import print_json
from instants import show_instant
from models import from_text
from wiring import App


@click.command("list")
@click.pass_obj
def command(app: App) -> None:
    """List the jobs: what each does, when it runs next in its own zone, and how its last run ended.

    \b
    Example:
      python3 main.py list
      {"status": "ok", "jobs": [{"job_id": "daily-data-backup", "next_run": {"utc": …, "local": …}, …}]}
    """
    now = app.clock.now()
    with app.store(read_only=True) as store:
        rows = store.definitions.table()
        last = store.runs.last_of_each_job()
    jobs = [_job(row, last.get(str(row["job_id"]))) for row in rows]
    print_json({"status": "ok", "jobs": jobs, "warnings": app.no_tick_warning(now)})


def _job(row: dict[str, object], last_run: dict[str, object] | None) -> dict[str, object]:
    definition = row["definition"]
    known = {name: row[name] for name in ("job_id", "enabled", "puruto_target", "schedule", "prompt")}
    fields = {**known, **(definition if isinstance(definition, dict) else {})}
    zone, cursor = str(row["timezone"]), row["next_run_at"]
    return {
        **fields,
        # A paused job is declared as enabled, and is not.
        "enabled": row["enabled"],
        "paused": row["paused"],
        "consecutive_failures": row["consecutive_failures"],
        "timezone": zone,
        "timezone_source": row["timezone_source"],
        "next_run": show_instant(from_text(cursor), zone) if isinstance(cursor, str) else None,
        "last_run": last_run,
        "problem": row["problem"],
    }
