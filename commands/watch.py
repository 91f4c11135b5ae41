"""`watch`."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from app.app import App
from commands.view import is_screen, show, table_option
from core.boundary import Failure, guarded
from core.clock import utc_text
from core.errors import UsageError
from reports.overview import overview
from system.stop_signals import stop_on_signals

if TYPE_CHECKING:
    from render.console import ViewContext

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Looking", 20)

#: A reader that finds the database locked for longer says so, and looks again.
TIMEOUT_SEC = 1.0
_NOTHING: dict[str, object] = {"running": [], "next": [], "recent_runs": [], "overdue_count": 0}


@click.command("watch")
@click.option(
    "--interval", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, help="Seconds between two looks."
)
@click.option("--once", is_flag=True, help="Print one frame and end; so it is too where stdout is no terminal.")
@table_option
@click.pass_obj
def command(app: App, interval: float, once: bool, table: bool | None) -> int:
    """Watch on a terminal what runs, what comes next and what ended last, until Ctrl-C.

    A run's progress is its time against the median of its job's last successes; one that takes longer is called
    that. Only reads, and goes on while the database is busy, missing or replaced.

    Prints one frame with --once or --no-table, and where stdout is no terminal: {"status": "ok", "now", "scheduler",
    "running", "next", "recent_runs", "overdue_count", "events"}, or text with --table.

    \b
    Examples:
      python3 main.py watch
      python3 main.py watch --once --table
    """
    if not interval >= 0:
        raise UsageError("--interval must be a number of seconds", hint="See: python3 main.py watch --help")
    if once or table is False or not is_screen(sys.stdout):
        show(app, "watch", _look(app, TIMEOUT_SEC * 5), table=table)
        return 0
    watcher = _Watcher(app)
    with stop_on_signals() as stop:
        from render.live import live

        live(watcher.read, watcher.context, app.clock.monotonic, stop.wait, interval)
    # Ctrl-C is how one ends it, and no failure. Who was not asked to end has lost the terminal, before its signal came.
    return 0 if stop.reason == "SIGINT" else 128 + signal.Signals[stop.reason or signal.SIGHUP.name]


def _look(app: App, busy_timeout_sec: float) -> dict[str, Any]:
    now = app.clock.now()
    with app.session(read_only=True, busy_timeout_sec=busy_timeout_sec) as session:
        found: Any = overview(session.store, now)
        masks = {str(row["job_id"]): app.redactor(session.job(str(row["job_id"]))) for row in found["recent_runs"]}
    found["recent_runs"] = [
        {**row, "error": masks[str(row["job_id"])].any(row["error"])} for row in found["recent_runs"]
    ]
    head = {"status": "ok", "now": utc_text(now), "timezone": app.default_zone}
    return {**head, "scheduler": app.tick_state(now), **found}


class _Watcher:
    """What was read last, and what went wrong since."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._last: dict[str, Any] = {}
        self._file = self._identity()
        self._gone = False
        self._notice = ""

    def context(self) -> ViewContext:
        """Who looks, now."""
        from render.console import ViewContext

        return ViewContext(self._app.clock.now(), self._app.default_zone)

    def read(self) -> dict[str, Any]:
        """A new look, or the last one with the problem that stands in the way."""
        now = self._app.clock.now()
        found = guarded(lambda: _look(self._app, TIMEOUT_SEC))
        self._note_replaced(utc_text(now))
        if isinstance(found, Failure):
            known = self._last or {**_NOTHING, "events": {"waiting": []}}
            seen = {"read_at": known.get("now"), "notice": self._notice, "scheduler": self._app.tick_state(now)}
            return {**known, **seen, "problem": self._app.redactor(None)(found.as_dict())}
        self._last = found
        return {**found, "notice": self._notice}

    def _note_replaced(self, now: str) -> None:
        file = self._identity()
        if file is None:
            self._gone = self._file is not None
            return
        # The number of a file that is gone may be given to the next one.
        if self._file is not None and (self._gone or file != self._file):
            self._notice = f"The database was replaced by another at {now}: this is the new one."
        self._file, self._gone = file, False

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._app.settings.db_path)
        except OSError:
            return None
        return found.st_dev, found.st_ino
