"""`watch`."""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from app.app import App
from commands.view import is_screen, show, wants_text
from core.boundary import Failure, guarded
from core.clock import utc_text
from core.errors import UsageError
from reports.overview import overview
from system.stop_signals import stop_on_signals

if TYPE_CHECKING:
    from render.console import ViewContext

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 20)

#: If the database is locked for longer than this, the view says so and reads again later.
TIMEOUT_SEC = 1.0
_NOTHING: dict[str, object] = {"running": [], "next": [], "recent_runs": [], "overdue_count": 0}


@click.command("watch")
@click.option(
    "--interval", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, help="Seconds between two reads."
)
@click.option("--once", is_flag=True, help="Print one frame and end. This is the default if stdout is not a terminal.")
@click.pass_obj
def command(app: App, interval: float, once: bool) -> int:
    """Watch running jobs, the next runs and the last results on a terminal, until Ctrl-C.

    The progress of a run is its time compared with the median of its job's last successes. The command only reads, and
    continues while the database is busy, missing or replaced.

    Prints one frame with --once or --json, or if stdout is not a terminal: as text, or as {"status": "ok", "now",
    "scheduler", "running", "next", "recent_runs", "overdue_count", "events"}.

    \b
    Examples:
      python3 main.py watch
      python3 main.py watch --once
    """
    if not interval >= 0:
        raise UsageError("--interval must be a number of seconds", hint="See: python3 main.py watch --help")
    if once or not is_screen(sys.stdout) or not wants_text(app):
        show(app, _look(app, TIMEOUT_SEC * 5), "watch")
        return 0
    watcher = _Watcher(app)
    with stop_on_signals() as stop:
        from render.live import live

        live(watcher.read, watcher.context, app.clock.monotonic, stop.wait, interval)
    # Ctrl-C is the normal end. Without a signal the terminal is gone, and its signal HUP has not come yet.
    return 0 if stop.reason == "SIGINT" else 128 + signal.Signals[stop.reason or signal.SIGHUP.name]


def _look(app: App, busy_timeout_sec: float) -> dict[str, Any]:
    now = app.clock.now()
    with app.session(read_only=True, busy_timeout_sec=busy_timeout_sec) as session:
        report = overview(session.store, now)
        masks = {str(row["job_id"]): app.redactor(session.job(str(row["job_id"]))) for row in report["recent_runs"]}
    report["recent_runs"] = [
        {**row, "error": None if row["error"] is None else masks[row["job_id"]].text(row["error"])}
        for row in report["recent_runs"]
    ]
    head = {"status": "ok", "now": utc_text(now), "timezone": app.default_zone}
    return {**head, "scheduler": app.tick_state(now), **report, **_starting(app, now)}


def _starting(app: App, now: datetime) -> dict[str, bool]:
    """`starting`, where the first tick is still to come because the crontab has just got its line."""
    return {"starting": True} if app.is_starting(now) else {}


class _Watcher:
    """The report that was read last, and the problem since then."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._last: dict[str, Any] = {}
        self._file = self._identity()
        self._gone = False
        self._notice = ""

    def context(self) -> ViewContext:
        """The current instant, and the zone of the times that are shown."""
        from render.console import ViewContext

        return ViewContext(self._app.clock.now(), self._app.default_zone)

    def read(self) -> dict[str, Any]:
        """A new report, or the last one with the problem that prevented a new one."""
        now = self._app.clock.now()
        report = guarded(lambda: _look(self._app, TIMEOUT_SEC))
        self._note_replaced(utc_text(now))
        if isinstance(report, Failure):
            last = self._last or {**_NOTHING, "events": {"waiting": []}}
            state = {"read_at": last.get("now"), "notice": self._notice, "scheduler": self._app.tick_state(now)}
            state |= {"starting": self._app.is_starting(now), "problem": self._app.redactor(None)(report.as_dict())}
            return {**last, **state}
        self._last = report
        return {**report, "notice": self._notice}

    def _note_replaced(self, now: str) -> None:
        file = self._identity()
        if file is None:
            self._gone = self._file is not None
            return
        # The inode number of a deleted file may be used again by the next one.
        if self._file is not None and (self._gone or file != self._file):
            self._notice = f"The database was replaced at {now}: the data below is from the new one."
        self._file, self._gone = file, False

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._app.settings.db_path)
        except OSError:
            return None
        return status.st_dev, status.st_ino
