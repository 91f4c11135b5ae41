"""`list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.view import show, table_option
from instants import show_instant
from models import from_text
from wiring import App

if TYPE_CHECKING:
    from store.bundle import Store


@click.command("list")
@table_option
@click.pass_obj
def command(app: App, table: bool | None) -> None:
    """List the jobs: what each does, when it runs next in its own zone, and how its last run ended.

    \b
    Example:
      python3 main.py list
      {"status": "ok", "jobs": [{"job_id": "daily-data-backup", "next_run": {"utc": …, "local": …}, …}]}
    """
    now = app.clock.now()
    with app.store(read_only=True) as store:
        rows = jobs_shown(app, store)
        last = store.runs.last_of_each_job()
    jobs = [_job(row, last.get(str(row["job_id"]))) for row in rows]
    show(app, "list", {"status": "ok", "jobs": jobs, "warnings": app.no_tick_warning(now)}, table=table)


def jobs_shown(app: App, store: Store) -> list[dict[str, object]]:
    """The jobs' rows, without the secrets that stand in an `env`, where they should not."""
    from redact import Redactor, secrets_of

    rows = store.definitions.table()
    for row in rows:
        definition = row["definition"]
        if isinstance(definition, dict) and definition.get("env"):
            own = Redactor(secrets_of(definition["env"], app.settings.redact))
            row["definition"] = {**definition, "env": own(definition["env"])}
    return rows


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
