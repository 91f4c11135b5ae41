"""`status`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, NotRequired, TypedDict

import click

from app.app import App
from commands.list import without_secrets
from commands.view import show, wants_text
from core.clock import utc_text
from reports.health import PING_FACT, SchedulerHealth
from reports.overview import UndeliveredEvents
from store.definitions import JobRow
from store.runs import RecentRun, RunningNow
from store.spending import DailySpending

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 10)

RECENT_RUNS = 20
#: As text, so that all of it fits a screen of 24 lines.
RUNS_ON_A_SCREEN = 6
SPENDING_SHOWN = timedelta(days=7)


class StatusReport(TypedDict):
    """The state of everything.

    `starting` is there while the first tick is still to come, because the crontab has just got its line. `jobs_to_load`
    says, for people, whether .jobs.json has any where the database has none. `sync` says whether the database has the
    jobs of .jobs.json. `ping` is the last `PingResult`, null without one.
    """

    status: str
    jobs: list[JobRow]
    recent_runs: list[RecentRun]
    notification_targets: Mapping[str, object]
    scheduler: SchedulerHealth
    starting: NotRequired[Literal[True]]
    jobs_to_load: NotRequired[bool]
    running: list[RunningNow]
    events: UndeliveredEvents
    spending: list[DailySpending]
    sync: Mapping[str, object]
    ping: Mapping[str, object] | None
    paths: Mapping[str, str]
    warnings: list[Mapping[str, object]]


@click.command("status")
@click.option(
    "--limit",
    type=click.IntRange(0, 1000),
    help=f"The number of recent runs. Default: {RECENT_RUNS}, and {RUNS_ON_A_SCREEN} as text.",
)
@click.pass_obj
def command(app: App, limit: int | None) -> None:
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
    if limit is None:
        limit = RUNS_ON_A_SCREEN if wants_text(app) else RECENT_RUNS
    settings = app.settings
    with app.session(read_only=True) as session:
        report: StatusReport = {
            "status": "ok",
            "jobs": without_secrets(app, session.store.definitions.table(now)),
            "recent_runs": session.store.runs.recent(limit),
            "notification_targets": app.notifier.targets(),
            "scheduler": session.scheduler_health(now),
            "running": session.store.runs.running_now(),
            "events": {"waiting": session.waiting_events()},
            "spending": session.store.spending.since(utc_text(now - SPENDING_SHOWN)[:10]),
            "sync": session.sync_state(),
            "ping": session.store.state.get_fact(PING_FACT) if settings.ping_url else None,
            "paths": app.paths(),
            "warnings": [*settings.warnings, *app.no_tick_warning(now), *app.zone_warning()],
        }
        if not report["jobs"] and wants_text(app):
            report["jobs_to_load"] = session.has_jobs_to_load()
    if app.is_starting(now):
        report["starting"] = True
    show(app, report, "status")
