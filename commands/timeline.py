"""`timeline`."""

from __future__ import annotations

import click

from app.app import App
from commands.names import job_names
from commands.output import print_text
from commands.picture_file import write
from commands.view import is_chosen, show, wants_text
from core.errors import UsageError
from reports.overview import Window, timeline

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 80)


@click.command("timeline")
@click.option("--hours", type=click.IntRange(1, 336), default=12, show_default=True, help="Hours before and after now.")
@click.option("--job", "job_id", shell_complete=job_names, help="Only this job.")
@click.option("--limit", type=click.IntRange(1, 500), default=40, show_default=True, help="The most jobs to show.")
@click.option("--svg", "svg_file", metavar="FILE", help="Write the picture as SVG to a file; - for stdout.")
@click.option("--force", is_flag=True, help="With --svg: replace a file even if it is not SVG.")
@click.pass_obj
def command(app: App, hours: int, job_id: str | None, limit: int, svg_file: str | None, force: bool) -> None:
    """Show the runs of the last hours and the slots of the next ones; on a terminal as a picture.

    Prints {"status": "ok", "from", "to", "now", "jobs": [{"job_id", "runs", "missed", "upcoming", …}], …}. "missed"
    are slots that were missed or skipped. What a limit leaves out is counted: "jobs_left_out", and per job
    "runs_left_out" and "upcoming_left_out". Labels are local time of the default zone.

    With --svg the output has "svg": {"path", "bytes"} instead of "jobs". A file that exists and is not SVG is only
    replaced with --force, a file of this program never. On a terminal the picture is also shown, and the file is named
    below it.

    \b
    Examples:
      python3 main.py timeline --hours 48
      python3 main.py timeline --svg timeline.svg
    """
    if svg_file == "-" and is_chosen():
        message = "--svg - prints the picture, so nothing is printed as --json or --text"
        raise UsageError(message, hint="Name a file, or omit one of them.")
    with app.session(read_only=True) as session:
        session.store.definitions.require_known(job_id)
        jobs = timeline(session.store, Window(app.clock.now(), hours, limit, job_id or ""), app.calendar)
    report = {"status": "ok", "timezone": app.default_zone, **jobs, "warnings": app.no_tick_warning(app.clock.now())}
    if svg_file is None:
        show(app, report, "timeline")
        return
    from render.svg import picture

    text = picture(report)
    if svg_file == "-":
        print_text([text])
        return
    written = {**report, "svg": write(app.settings, svg_file, text, force=force)}
    if not wants_text(app):
        # They are in the picture.
        del written["jobs"]
    show(app, written, "timeline")
