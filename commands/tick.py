"""`tick`. One with nothing to do ends in `idle`, before this is imported."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from app import fast_tick
from app.app import App
from commands.output import print_json
from core import crash_points, log
from core.boundary import Failure, guarded
from core.clock import utc_text
from reports.health import CLOCK_FACT, PING_FACT, clock_fact
from store.look import SEEN_KEY
from system.stop_signals import stop_on_signals

if TYPE_CHECKING:
    from datetime import datetime

    from store.bundle import Store
    from system.processes import Stop


@click.command("tick")
@click.option(
    "--quiet", is_flag=True, help="Print nothing unless something was due or is wrong: for the crontab's log."
)
@click.pass_obj
def command(app: App, quiet: bool) -> int:
    """Run what is due: the command for the system crontab, each minute.

    It first syncs .jobs.json if that has changed (PURUTO_CRON_AUTO_SYNC=0 turns that off), settles what dead ticks
    left, delivers waiting events, then starts the due jobs, oldest first, several at once up to
    PURUTO_CRON_MAX_RUNNING, and waits for them. Several ticks at once do no harm: each slot is started once.

    Prints what was due, the results as run-now prints them, slots written off as missed or skipped, and what is wrong.
    Exit code 0 when the scheduler did its work, even if a job failed.

    \b
    Example:
      python3 main.py tick --quiet
    """
    with app.store() as store, stop_on_signals() as stop:
        # What was seen first, then our own time: else a tick at the same moment would look like a clock set back.
        last_seen = app.last_seen(store)
        report = _tick(app, store, stop, app.clock.now(), last_seen)
        reason = stop.reason
        if not quiet or _is_worth_a_line(report):
            print_json(report)
        if app.settings.ping_url:
            _ping(app, store, report)
    return 128 + signal.Signals[reason] if reason else 0


def _tick(app: App, store: Store, stop: Stop, now: datetime, last_seen: datetime | None) -> dict[str, object]:
    seen = fast_tick.fingerprint(app.root, app.environ)
    sync = app.sync_if_changed(store, now)
    broken = sync is not None and sync["status"] == "error"
    # An idle tick passes by as long as nothing but this has been seen; a broken file is told at every tick.
    store.state.set(SEEN_KEY, "" if broken else seen)
    scheduler = app.scheduler(store, stop)
    anomaly = scheduler.correct_clock(now, last_seen)
    if anomaly is not None:
        store.state.set_fact(CLOCK_FACT, clock_fact(anomaly, now))
    upkeep = app.upkeep(store)
    upkeep.note_jump(last_seen, now)
    _touch(app, now)
    crash_points.point("time.left")
    report = scheduler.tick(now)
    ended = [*report.results, *report.settled]
    pruned = guarded(lambda: upkeep.prune(str(row["job_id"]) for row in ended), "Ended runs were not cleaned up")
    paused = guarded(lambda: upkeep.paused(ended), "Which jobs are paused now was not looked at")
    return {
        **report.as_dict(),
        "pruned": pruned.as_dict() if pruned else None,
        "clock_anomaly": anomaly,
        "sync": sync,
        "events": {"delivered": report.delivered, "waiting": app.waiting_events(store)},
        "warnings": [*app.settings.warnings, *([] if isinstance(paused, Failure) else paused)],
    }


def _ping(app: App, store: Store, report: dict[str, object]) -> None:
    """After all is said and done: a server that does not answer holds up no run and no line."""
    results = report["results"]
    bad = isinstance(results, list) and any(result["status"] != "ok" for result in results)
    sync = report["sync"]
    broken = isinstance(sync, dict) and sync["status"] == "error"
    failed = bad or broken or bool(report["settled"]) or bool(report["problems"])
    fact = app.ping(failed=failed)
    # A database that refuses this note has shown itself before.
    guarded(lambda: store.state.set_fact(PING_FACT, fact), "The ping was not noted")


def _touch(app: App, now: datetime) -> None:
    # `status` will call the scheduler stale, which is the truth about a folder that can't be written.
    with log.tolerated(OSError, "The time of this tick was not left"):
        fast_tick.touch(str(app.settings.db_path), utc_text(now))


def _is_worth_a_line(report: dict[str, object]) -> bool:
    sync, events = report["sync"], report["events"]
    broken = isinstance(sync, dict) and sync["status"] == "error"
    waiting = isinstance(events, dict) and events["waiting"]
    names = ("due_jobs", "results", "settled", "problems", "clock_anomaly")
    return bool(broken or waiting or any(report[name] for name in names))
