"""`list`."""

from __future__ import annotations

import click

from app.app import App
from commands.names import job_names
from commands.view import show, table_option
from core.clock import from_text
from schedules.calendar import show_instant
from store.history import History

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Looking", 30)


@click.command("list")
@click.option("--limit", type=click.IntRange(1, 100_000), help="Show at most so many jobs, and say what follows.")
@click.option("--after", metavar="JOB_ID", shell_complete=job_names, help="Only jobs behind this one: the next page.")
@table_option
@click.pass_obj
def command(app: App, limit: int | None, after: str | None, table: bool | None) -> None:
    """List the jobs by name: what each does, when it runs next in its own zone, and how its last run ended.

    With --limit or --after the answer also has "next_page", the JOB_ID that --after takes, null on the last page.

    \b
    Examples:
      python3 main.py list
      {"status": "ok", "jobs": [{"job_id": "daily-data-backup", "next_run": {"utc": …, "local": …}, …}]}
      python3 main.py list --limit 50 --after daily-data-backup
    """
    now = app.clock.now()
    with app.session(read_only=True) as session:
        if limit is None and after is None:
            rows = session.store.definitions.table()
        else:
            rows = session.store.definitions.page(after or "", -1 if limit is None else limit + 1)
        shown = without_secrets(app, rows[:limit])
        last = History(session.store.db).last_runs(str(row["job_id"]) for row in shown)
    jobs = [_job(row, last.get(str(row["job_id"]))) for row in shown]
    report: dict[str, object] = {"status": "ok", "jobs": jobs, "warnings": app.no_tick_warning(now)}
    if limit is not None or after is not None:
        report["next_page"] = shown[-1]["job_id"] if len(rows) > len(shown) else None
    show(app, "list", report, table=table)


def without_secrets(app: App, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The jobs' rows, without the secrets that stand in an `env`, where they should not."""
    from core.redact import Redactor, secrets_of

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
        "next_run": _next_run(cursor, zone),
        "last_run": last_run,
        "problem": row["problem"],
    }


def _next_run(cursor: object, zone: str) -> dict[str, str] | None:
    """None also of a row that was changed by hand into what is no instant: one job must not hide the others."""
    try:
        return show_instant(from_text(cursor), zone) if isinstance(cursor, str) else None
    except ValueError:
        return None
