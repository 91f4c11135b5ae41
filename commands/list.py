"""`list`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

import click

from app.app import App
from commands.names import job_names
from commands.view import once_more, show, wants_text
from core.clock import from_text
from reports.health import WarningEntry
from schedules.calendar import LocalInstant, show_instant
from store.definitions import JobRow
from store.history import History, LastRun

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 30)


class JobsReport(TypedDict):
    """A page of jobs. Each has the fields of .jobs.json, its state, `next_run` and `last_run`.

    `next_command` shows the next page. `jobs_to_load` says, for people, whether .jobs.json has any
    where the database has none.
    """

    status: str
    jobs: list[dict[str, object]]
    warnings: list[WarningEntry]
    after: NotRequired[str]
    next_page: NotRequired[str | None]
    next_command: NotRequired[str]
    jobs_to_load: NotRequired[bool]


@click.command("list")
@click.option("--limit", type=click.IntRange(1, 100_000), help="Show at most so many jobs, and name the next page.")
@click.option(
    "--after", metavar="JOB_ID", shell_complete=job_names, help="Only jobs after this one, to get the next page."
)
@click.pass_obj
def command(app: App, limit: int | None, after: str | None) -> None:
    """List the jobs by name: their fields, their next run in their own zone, and how their last run ended.

    With --limit or --after the output also has "next_page": pass it to --after. It is null on the last page.

    \b
    Examples:
      python3 main.py list
      {"status": "ok", "jobs": [{"job_id": "daily-data-backup", "next_run": {"utc": …, "local": …}, …}]}
      python3 main.py list --limit 50 --after daily-data-backup
    """
    now = app.clock.now()
    with app.session(read_only=True) as session:
        if limit is None and after is None:
            rows = session.store.definitions.table(now)
        else:
            rows = session.store.definitions.page(after or "", -1 if limit is None else limit + 1, now)
        page = without_secrets(app, rows[:limit])
        to_load = session.has_jobs_to_load() if not page and wants_text(app) else None
        last_runs = History(session.store.db).last_runs(str(row["job_id"]) for row in page)
    jobs = [_job(row, last_runs.get(str(row["job_id"]))) for row in page]
    report: JobsReport = {"status": "ok", "jobs": jobs, "warnings": app.no_tick_warning(now)}
    if to_load is not None:
        report["jobs_to_load"] = to_load
    if after is not None:
        report["after"] = after
    if limit is not None or after is not None:
        report["next_page"] = next_page = str(page[-1]["job_id"]) if len(rows) > len(page) else None
        if next_page is not None:
            report["next_command"] = once_more(after=next_page)
    show(app, report, "list")


def without_secrets(app: App, rows: list[JobRow]) -> list[JobRow]:
    """The rows of jobs, with secrets in their `env` masked (they should be in .env instead)."""
    from core.redact import Redactor, secrets_of

    for row in rows:
        definition = row["definition"]
        if isinstance(definition, dict) and definition.get("env"):
            own = Redactor(secrets_of(definition["env"], app.settings.redact))
            row["definition"] = {**definition, "env": own(definition["env"])}
    return rows


def _job(row: JobRow, last_run: LastRun | None) -> dict[str, object]:
    definition = row["definition"]
    columns = {name: row[name] for name in ("job_id", "enabled", "puruto_target", "schedule", "prompt")}
    fields = {**columns, **(definition if isinstance(definition, dict) else {})}
    zone, cursor = str(row["timezone"]), row["next_run_at"]
    return {
        **fields,
        # The definition of a paused job says enabled; the row says that it is not.
        "enabled": row["enabled"],
        "paused": row["paused"],
        "consecutive_failures": row["consecutive_failures"],
        "timezone": zone,
        "timezone_source": row["timezone_source"],
        "next_run": _next_run(cursor, zone),
        "last_run": last_run,
        "problem": row["problem"],
    }


def _next_run(cursor: object, zone: str) -> LocalInstant | None:
    """The next run in UTC and local time; None if there is none, or if somebody changed the row to an invalid time."""
    try:
        return show_instant(from_text(cursor), zone) if isinstance(cursor, str) else None
    except ValueError:
        return None
