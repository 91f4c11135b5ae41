"""How the scheduler is: the last tick, the clock, what waits, what looks wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from core.clock import utc_text
from doctor.findings import Few, Finding, error, fine, warning
from doctor.scene import Scene
from reports.health import PING_FACT, Silence, silence
from store.last_tick import file_of as last_tick_file

TICKS = "ticks"
CLOCK = "clock"
DAEMON = "daemon"
#: Years in which this program can run. Outside of them no clock was set.
YEARS = range(2024, 2200)
#: Found by a closer look at the schedules, which `status` does not take.
_LOOKED_AT_CLOSER = {"NO_NEXT_RUN"}
_CLOCK_CODES = {"LAST_TICK_IN_FUTURE", "CLOCK_SET_BACK"}


def check_clock(scene: Scene) -> Iterator[Finding]:
    """The two clocks of the machine."""
    yield from clock(scene.now, (scene.app.clock.monotonic(), scene.app.clock.monotonic()))


def clock(now: datetime, monotonic: tuple[float, float]) -> Iterator[Finding]:
    """A year that can be, and a monotonic clock that does not go back."""
    fix = "Set the machine's clock, and let a time service keep it."
    if now.year not in YEARS:
        yield error("CLOCK_IMPLAUSIBLE", CLOCK, f"The clock says {now.isoformat()}", fix)
    if monotonic[1] < monotonic[0] or monotonic[0] < 0:
        text = f"The monotonic clock says {monotonic[0]} s, then {monotonic[1]} s"
        yield error("CLOCK_NOT_MONOTONIC", CLOCK, text, "See the machine, or the virtual machine, that this runs on.")
    yield fine(CLOCK, f"It is {now.replace(microsecond=0).isoformat()}")


def check_tick(scene: Scene) -> Iterator[Finding]:
    """The last tick's age: it stands beside the database, whatever is wrong with that."""
    path = last_tick_file(str(scene.need_settings.db_path)) if scene.settings else ""
    if os.path.exists(path) and not os.access(path, os.R_OK):
        text = f"This user can't read {path}, where each tick leaves its time"
        yield error("OTHER_USER", TICKS, text, "Run doctor as the user whose crontab starts the tick.")
        return
    yield from last_tick(scene.app.tick_state(scene.now), scene.daemon, scene.app.last_look(), scene.now)


def check_daemon(scene: Scene) -> Iterator[Finding]:
    """Whether there is one. Without it, ticks do the work: none is missed."""
    if scene.daemon["running"]:
        yield fine(DAEMON, f"It runs since {scene.daemon.get('since')}: {scene.daemon_name}")
    else:
        yield fine(DAEMON, "None runs")


def check(scene: Scene) -> Iterator[Finding]:
    """What else `status` says under `scheduler`, each as a finding."""
    state = scene.need_session.scheduler_health(scene.now)
    yield from late(state)
    yield from waiting(_list(state["waiting_events"]))
    yield from strange(_list(state["anomalies"]))
    if scene.need_settings.ping_url:
        yield from ping(scene.need_store.state.get_fact(PING_FACT))


def ping(last: Mapping[str, object] | None) -> Iterator[Finding]:
    """The dead-man's ping of the last tick: one that does not arrive wakes nobody."""
    if last is not None and not last.get("ok"):
        text = f"The ping of {last.get('at')} did not arrive: {last.get('error')}"
        yield warning("PING_FAILED", TICKS, text, "Correct PURUTO_CRON_PING_URL, or see to that server.")


def last_tick(
    state: Mapping[str, object], daemon: Mapping[str, object], looked: datetime | None, now: datetime
) -> Iterator[Finding]:
    """The last tick's age; the daemon leaves its time as ticks do, and its own last look besides."""
    at, age = state["last_tick_at"], state["last_tick_age_sec"]
    since = f"since {at} ({age} s)" if at else "so far"
    fault = silence(state, daemon, looked, now)
    if fault is Silence.TICK:
        fix = "See the findings about the crontab, and db/tick.log; is the cron service running?"
        yield error("NO_TICK", TICKS, f"No tick has run {since}: no job starts by itself", fix)
    elif fault is Silence.DAEMON:
        last = f"since {utc_text(looked)}" if looked is not None else since
        text = f"The daemon (process {daemon.get('pid')}) holds its lock, and has not looked {last}: it hangs"
        fix = "End it, and start it again; its log may say why."
        yield error("DAEMON_SILENT", TICKS, text, fix)
    elif state["stale"]:
        yield fine(TICKS, f"The daemon has begun at {daemon.get('since')}")
    else:
        yield fine(TICKS, f"The last tick ran at {at}, {age} s ago")


def late(state: Mapping[str, object]) -> Iterator[Finding]:
    """Jobs that ticks leave due."""
    jobs = _list(state["overdue_jobs"])
    if not jobs:
        return
    first = jobs[0]
    text = (
        f"Overdue jobs: {state['overdue_count']}, longest {first['job_id']}:"
        f" due at {first['next_run_at']}, {first['late_sec']} s ago"
    )
    fix = "Without ticks, see those. Else all places are taken: see `running` in `python3 main.py status`."
    yield warning("JOBS_OVERDUE", TICKS, text, fix)


def waiting(channels: Sequence[Mapping[str, object]]) -> Iterator[Finding]:
    """Events that have not arrived although that was tried."""
    for channel in channels:
        if channel["failures"]:
            text = (
                f"Events that wait for the channel {channel['channel']} since {channel['oldest_ts']}:"
                f" {channel['count']}. {channel['last_error']}"
            )
            yield warning("EVENTS_WAITING", TICKS, text, "Cure what it says of that file; the next tick tries again.")


def strange(anomalies: Sequence[Mapping[str, object]]) -> Iterator[Finding]:
    """What `status` calls an anomaly."""
    few = Few()
    for anomaly in anomalies:
        code = str(anomaly["code"])
        subject = f"job {anomaly['job_id']}" if "job_id" in anomaly else CLOCK if code in _CLOCK_CODES else TICKS
        finding = warning(code, subject, str(anomaly["message"]), str(anomaly.get("hint") or ""))
        if code not in _LOOKED_AT_CLOSER and few.passes(finding):
            yield finding
    yield from few.rest(TICKS)


def _list(value: object) -> list[Mapping[str, object]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
