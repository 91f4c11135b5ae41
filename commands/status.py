"""`status`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TypedDict

import click

from app.app import App
from commands.list import without_secrets
from commands.view import show
from core.clock import utc_text
from reports.health import PING_FACT, SchedulerHealth
from reports.overview import UndeliveredEvents
from store.definitions import JobRow
from store.runs import RecentRun, RunningNow
from store.spending import DailySpending

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 10)

RECENT_RUNS = 20
SPENDING_SHOWN = timedelta(days=7)


class StatusReport(TypedDict):
    """The state of everything.

    `sync` says whether the database has the jobs of .jobs.json. `ping` is the last `PingResult`, null without one.
    """

    status: str
    jobs: list[JobRow]
    recent_runs: list[RecentRun]
    notification_targets: Mapping[str, object]
    scheduler: SchedulerHealth
    running: list[RunningNow]
    events: UndeliveredEvents
    spending: list[DailySpending]
    sync: Mapping[str, object]
    ping: Mapping[str, object] | None
    paths: Mapping[str, str]
    warnings: list[Mapping[str, object]]


@click.command("status")
@click.option(
    "--limit", type=click.IntRange(0, 1000), default=RECENT_RUNS, show_default=True, help="The number of recent runs."
)
@click.pass_obj
def command(app: App, limit: int) -> None:
    """Show the jobs, the recent runs, and the health of the scheduler. It never waits for running jobs.

    "scheduler" has the time of the last tick, whether that is too long ago, overdue jobs, undelivered events and
    anomalies. "running" are the running runs. "spending" is the cost of agents per job and day in the last week. "sync"
    says whether the database has the jobs of .jobs.json, and what is wrong with the file. "events" are undelivered
    events with the reason. "paths" are the files and folders in use.

    \b
    Example:
      python3 main.py status
    """
    now = app.clock.now()
    settings = app.settings
    with app.session(read_only=True) as session:
        report: StatusReport = {
            "status": "ok",
            "jobs": without_secrets(app, session.store.definitions.table()),
            "recent_runs": session.store.runs.recent(limit),
            "notification_targets": app.notifier.targets(),
            "scheduler": session.scheduler_health(now),
            "running": session.store.runs.running_now(),
            "events": {"waiting": session.waiting_events()},
            "spending": session.store.spending.since(utc_text(now - SPENDING_SHOWN)[:10]),
            "sync": session.sync_state(),
            "ping": session.store.state.get_fact(PING_FACT) if settings.ping_url else None,
            "paths": app.paths(),
            "warnings": [*settings.warnings, *app.no_tick_warning(now)],
        }
    show(app, report, "status")
