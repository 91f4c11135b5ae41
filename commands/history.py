"""`history`."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta

import click

from app.app import App
from commands.names import job_names, run_names
from commands.output import print_json, print_text
from commands.view import show
from commands.when import given_instant
from core.errors import JobNotFound, UsageError
from core.run import RunStatus
from store.history import FIELDS, History, Wanted

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Looking", 40)

_SPANS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.command("history")
@click.argument("job_id", shell_complete=job_names, required=False)
@click.option("--status", type=click.Choice([str(status) for status in RunStatus]), help="Only runs of this status.")
@click.option("--since", metavar="T", help="Started since: ISO 8601 (local without an offset), or 90m, 12h, 7d, 2w.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Newest runs shown.")
@click.option(
    "--before", metavar="RUN_ID", shell_complete=run_names, help="Only runs older than this one: the next page."
)
@click.option(
    "--format", "form", type=click.Choice(["json", "csv", "table"]), help="Default: PURUTO_CRON_FORMAT, json."
)
@click.option("--table", is_flag=True, help="The same as --format table.")
@click.pass_obj
def command(
    app: App, job_id: str | None, status: str | None, since: str | None, limit: int, before: str | None,
    form: str | None, table: bool,
) -> None:  # fmt: skip
    """Show past runs, the newest first: when, how they ended, how long they took, what they cost, why they failed.

    Also slots that did not run: skipped and missed ones. Prints {"status": "ok", "runs": [...], "next_page": RUN_ID};
    the last is what --before takes, null on the last page.

    \b
    Examples:
      python3 main.py history daily-data-backup --since 7d --table
      python3 main.py history --status error --format csv > errors.csv
    """
    if table and form not in (None, "table"):
        raise UsageError(f"--table and --format {form}: give one of them", hint="See: python3 main.py history --help")
    with app.session(read_only=True) as session:
        if job_id is not None and not session.store.definitions.knows(job_id):
            hint = "See the names: python3 main.py list"
            raise JobNotFound(f"There is no job {job_id}, and there never was", hint=hint, details={"job_id": job_id})
        edge = None
        if before is not None:
            row = session.store.runs.find(before)
            if row is None:
                raise UsageError(f"--before {before}: there is no such run", hint="Take next_page of the page before.")
            edge = (str(row["started_at"]), before)
        wanted = Wanted(job_id or "", status or "", _since(app, since), edge, limit + 1)
        found = History(session.store.db).page(wanted)
        masks = {name: app.redactor(session.job(name)) for name in {str(row["job_id"]) for row in found}}
    runs = [{**row, "error": masks[str(row["job_id"])].any(row["error"])} for row in found[:limit]]
    form = "table" if table else form or app.settings.format
    if form == "csv":
        print_text(_csv(runs))
        return
    following = runs[-1]["run_id"] if len(found) > limit else None
    report = {"status": "ok", "runs": runs, "next_page": following}
    if form == "json":
        print_json(report)
    else:
        show(app, "history", report, table=True)


def _csv(runs: list[dict[str, object]]) -> list[str]:
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in run.items()} for run in runs)
    return text.getvalue().splitlines()


def _cell(value: object) -> object:
    # A spreadsheet would take a text that begins like these for a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def _since(app: App, text: str | None) -> datetime | None:
    if text is None:
        return None
    if text[-1:] in _SPANS and text[:-1].isdecimal():
        try:
            return app.clock.now() - timedelta(**{_SPANS[text[-1]]: int(text[:-1])})
        except OverflowError:
            raise UsageError(f"--since {text!r} is before all time", hint="Write it as 7d, or as an instant.") from None
    return given_instant("--since", text, app.default_zone, "2026-03-01, 2026-03-01T09:00+01:00, 90m, 12h, 7d or 2w")
