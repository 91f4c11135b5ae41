"""`tick`. One with nothing to do ends in `idle`, before this is imported."""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import TYPE_CHECKING

import click

import crash
import idle
from boundary import guarded
from commands.output import print_json
from health import CLOCK_FACT, PING_FACT, clock_fact
from models import Failure, from_text, utc_text
from stop_signals import stop_on_signals
from store.look import SEEN_KEY
from store.pauses import how_to_resume
from wiring import App

if TYPE_CHECKING:
    from datetime import datetime

    from processes import Stop
    from retention import Pruned
    from scheduler import TickReport
    from store.bundle import Store

#: State row that holds when a tick last cleaned by age and room, and how often one does.
PRUNED_AT = "pruned_at"
PRUNE_EVERY = timedelta(hours=1)
#: State row that holds when a tick came so long after the last one: the machine was off, or its clock jumped.
JUMPED_AT = "jumped_at"
JUMP = timedelta(days=1)


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
    seen = idle.fingerprint(app.root, app.environ)
    sync = app.sync_if_changed(store, now)
    broken = sync is not None and sync["status"] == "error"
    # An idle tick passes by as long as nothing but this has been seen; a broken file is told at every tick.
    store.state.set(SEEN_KEY, "" if broken else seen)
    scheduler = app.scheduler(store, stop)
    anomaly = scheduler.correct_clock(now, last_seen)
    if anomaly is not None:
        store.state.set_fact(CLOCK_FACT, clock_fact(anomaly, now))
    if last_seen is not None and now - last_seen > JUMP:
        store.state.set(JUMPED_AT, utc_text(now))
    _leave_time(app, now)
    crash.point("time.left")
    report = scheduler.tick(now)
    pruned = guarded(lambda: _prune(app, store, report))
    paused = guarded(lambda: _paused(store, report))
    return {
        **report.as_dict(),
        "pruned": pruned.as_dict() if pruned else None,
        "clock_anomaly": anomaly,
        "sync": sync,
        "events": {"delivered": report.delivered, "waiting": app.waiting_events(store)},
        "warnings": [*app.settings.warnings, *([] if isinstance(paused, Failure) else paused)],
    }


def _paused(store: Store, report: TickReport) -> list[dict[str, object]]:
    """A warning for each job that a run of this tick has paused, or left so."""
    ended = [*report.settled, *(result for result in report.results if result["status"] != "ok")]
    return [
        {
            "code": "JOB_PAUSED",
            "job_id": job_id,
            "message": f"The job {job_id} is paused since {paused_at}: it failed too often",
            "hint": how_to_resume(job_id),
        }
        for job_id, paused_at in store.definitions.paused({str(row["job_id"]) for row in ended})
    ]


def _prune(app: App, store: Store, report: TickReport) -> Pruned:
    """Cleans behind the runs that ended, bounded; now and then also by age and room."""
    now = app.clock.now()
    retention = app.retention(store)
    ended = {str(row["job_id"]) for row in [*report.results, *report.settled]}
    last, jumped = store.state.get(PRUNED_AT), store.state.get(JUMPED_AT)
    # A clock that is wrong in the future makes everything old, and its slots accounted for: a day is left to set it
    # right.
    if jumped and jumped <= utc_text(now) < utc_text(from_text(jumped) + JUMP):
        return retention.after_runs([])
    pruned = retention.after_runs(sorted(ended))
    if ended and not (last and utc_text(now - PRUNE_EVERY) < last <= utc_text(now)):
        store.state.set(PRUNED_AT, utc_text(now))
        pruned = retention.hourly()
    return pruned


def _ping(app: App, store: Store, report: dict[str, object]) -> None:
    """After all is said and done: a server that does not answer holds up no run and no line."""
    import ping

    results = report["results"]
    bad = isinstance(results, list) and any(result["status"] != "ok" for result in results)
    sync = report["sync"]
    broken = isinstance(sync, dict) and sync["status"] == "error"
    failed = bad or broken or bool(report["settled"]) or bool(report["problems"])
    error = ping.send(ping.address(app.settings.ping_url or "", failed=failed))
    fact = {"at": utc_text(app.clock.now()), "ok": not error, "failed": failed, "error": error or None}
    # A database that refuses this note has shown itself before.
    guarded(lambda: store.state.set_fact(PING_FACT, fact))


def _leave_time(app: App, now: datetime) -> None:
    try:
        idle.leave_time(str(app.settings.db_path), utc_text(now))
    except OSError:
        # `status` will call the scheduler stale, which is the truth about a folder that can't be written.
        return


def _is_worth_a_line(report: dict[str, object]) -> bool:
    sync, events = report["sync"], report["events"]
    broken = isinstance(sync, dict) and sync["status"] == "error"
    waiting = isinstance(events, dict) and events["waiting"]
    names = ("due_jobs", "results", "settled", "problems", "clock_anomaly")
    return bool(broken or waiting or any(report[name] for name in names))
