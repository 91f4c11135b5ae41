"""`history`."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NotRequired, TypedDict

import click

from app.app import App
from commands.names import job_names, run_names
from commands.output import print_text
from commands.view import choose, once_more, show
from commands.when import START_EXAMPLE, given_start
from commands.words import Choice
from core.errors import UsageError
from core.run import RunStatus
from core.strict_json import visible
from store.history import FIELDS, History, RunFilter

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 40)


class HistoryReport(TypedDict):
    """A page of runs with the columns of `store.history.FIELDS`; `next_page` is a run ID, null on the last page.

    `next_command` shows that page.
    """

    status: str
    runs: list[dict[str, object]]
    next_page: str | None
    next_command: NotRequired[str]


@click.command("history")
@click.argument("job_id", shell_complete=job_names, required=False)
@click.option("--status", type=Choice([str(status) for status in RunStatus]), help="Only runs of this status.")
@click.option("--since", metavar="T", help=f"Only runs since then: {START_EXAMPLE}; without an offset: local.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The number of runs to show."
)
@click.option(
    "--before", metavar="RUN_ID", shell_complete=run_names, help="Only runs older than this one, to get the next page."
)
@click.option("--format", "form", type=click.Choice(["json", "csv", "text"]), help="csv is for spreadsheets.")
@click.pass_obj
def command(
    app: App, job_id: str | None, status: str | None, since: str | None, limit: int, before: str | None,
    form: str | None,
) -> None:  # fmt: skip
    """Show past runs, the newest first: times, status, duration, cost and error.

    Slots that did not run (skipped and missed) are listed too. Prints {"status": "ok", "runs": [...], "next_page":
    RUN_ID}. Pass "next_page" to --before for the next page; it is null on the last one.

    \b
    Examples:
      python3 main.py history daily-data-backup --since 7d
      python3 main.py history --status error --format csv > errors.csv
    """
    if form is not None:
        choose(form)
    with app.session(read_only=True) as session:
        session.store.definitions.require_known(job_id)
        older_than = None
        if before is not None:
            row = session.store.runs.find(before)
            if row is None:
                hint = "Pass the next_page of the previous page."
                raise UsageError(f"--before {before}: there is no such run", hint=hint, details={"run_id": before})
            older_than = (str(row["started_at"]), before)
        query = RunFilter(job_id or "", status or "", _since(app, since), older_than, limit + 1)
        page = History(session.store.db).page(query)
        masks = {name: app.redactor(session.job(name)) for name in {str(row["job_id"]) for row in page}}
    runs = [{**row, "error": masks[str(row["job_id"])].any(row["error"])} for row in page[:limit]]
    if form == "csv":
        lines = _csv(runs)
        print_text([visible(line) for line in lines] if sys.stdout.isatty() else lines)
        return
    next_page = str(runs[-1]["run_id"]) if len(page) > limit else None
    report: HistoryReport = {"status": "ok", "runs": runs, "next_page": next_page}
    if next_page is not None:
        report["next_command"] = once_more(before=next_page)
    show(app, report, "history")


def _csv(runs: Sequence[Mapping[str, object]]) -> list[str]:
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in run.items()} for run in runs)
    return text.getvalue().removesuffix("\n").split("\n")


def _cell(value: object) -> object:
    # A spreadsheet would interpret a text that begins with one of these as a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def _since(app: App, text: str | None) -> datetime | None:
    return None if text is None else given_start("--since", text, app.default_zone, app.clock.now())
