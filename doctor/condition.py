"""Checks of the scheduler: its last tick, the daemon, the clock, overdue jobs, undelivered events, anomalies."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from core.clock import utc_text
from doctor.findings import Few, Finding, error, fine, warning
from doctor.scene import Scene
from doctor.starter import tick_line, what_to_look_at
from reports.health import (
    PING_FACT,
    Anomaly,
    OverdueJob,
    Silence,
    TickLine,
    WaitingEvents,
    first_tick_comes,
    silence,
)
from store.last_tick import file_of as last_tick_file
from system import cgroups

TICKS = "ticks"
CLOCK = "clock"
DAEMON = "daemon"
#: Plausible years. Outside of them the clock was never set.
YEARS = range(2024, 2200)
#: Anomalies of `status` that the checks of schedules examine more closely.
_CHECKED_ELSEWHERE = {"NO_NEXT_RUN"}
_CLOCK_CODES = {"LAST_TICK_IN_FUTURE", "CLOCK_SET_BACK"}


def check_clock(scene: Scene) -> Iterator[Finding]:
    """The wall clock and the monotonic clock of the machine."""
    yield from clock(scene.now, (scene.app.clock.monotonic(), scene.app.clock.monotonic()))


def clock(now: datetime, monotonic: tuple[float, float]) -> Iterator[Finding]:
    """Whether the year is plausible, and whether two readings of the monotonic clock (seconds) are in order."""
    fix = "Set the machine's clock, and run a time service (NTP)."
    if now.year not in YEARS:
        yield error("CLOCK_IMPLAUSIBLE", CLOCK, f"The clock says {now.isoformat()}", fix)
    if monotonic[1] < monotonic[0] or monotonic[0] < 0:
        text = f"The monotonic clock went back: first {monotonic[0]} s, then {monotonic[1]} s"
        yield error("CLOCK_NOT_MONOTONIC", CLOCK, text, "Check this machine, or the host of this virtual machine.")
    yield fine(CLOCK, f"It is {now.replace(microsecond=0).isoformat()}")


def check_tick(scene: Scene) -> Iterator[Finding]:
    """The age of the last tick. It has its own file, which can be read even if the database can't."""
    path = last_tick_file(str(scene.need_settings.db_path)) if scene.settings else ""
    if os.path.exists(path) and not os.access(path, os.R_OK):
        text = f"This user can't read {path}, the file with the time of the last tick"
        yield error("OTHER_USER", TICKS, text, "Run doctor as the user whose crontab starts the tick.")
        return
    ticks = scene.app.tick_state(scene.now)
    # Only a silence is explained by the crontab.
    line = tick_line(scene) if ticks["stale"] else None
    yield from last_tick(ticks, scene.daemon, scene.app.last_poll(), scene.now, line)


def check_daemon(scene: Scene) -> Iterator[Finding]:
    """Whether a daemon is running. Without one, ticks do the work, so that is not a fault."""
    if scene.daemon["running"]:
        yield fine(DAEMON, f"It has been running since {scene.daemon.get('since')}: {scene.daemon_name}")
    else:
        yield fine(DAEMON, "None is running")


def check_cgroup(scene: Scene) -> Iterator[Finding]:
    """Whether a daemon of this user gets a cgroup of its own."""
    folder, reason = cgroups.where() if scene.need_settings.cgroups else ("", "PURUTO_CRON_CGROUPS is off")
    if folder:
        yield fine(DAEMON, f"It gets a cgroup of its own, in {folder}: after a crash all that its runs left is found")
    else:
        text = f"It gets no cgroup of its own, because {reason}: what clears its environment may outlive its crash"
        yield fine(DAEMON, text)


def check(scene: Scene) -> Iterator[Finding]:
    """Overdue jobs, undelivered events and anomalies, as `status` reports them under `scheduler`."""
    health = scene.need_session.scheduler_health(scene.now)
    yield from overdue(health["overdue_count"], health["overdue_jobs"])
    yield from undelivered(health["waiting_events"])
    yield from anomalies(health["anomalies"])
    if scene.need_settings.ping_url:
        yield from ping(scene.need_store.state.get_fact(PING_FACT))


def ping(last: Mapping[str, object] | None) -> Iterator[Finding]:
    """Whether the dead-man's ping of the last tick arrived."""
    if last is not None and not last.get("ok"):
        text = f"The ping of {last.get('at')} did not arrive: {last.get('error')}"
        yield warning("PING_FAILED", TICKS, text, "Correct PURUTO_CRON_PING_URL, or check that server.")


def last_tick(
    state: Mapping[str, object], daemon: Mapping[str, object], last_poll: datetime | None, now: datetime,
    line: TickLine | None = None,
) -> Iterator[Finding]:  # fmt: skip
    """The age of the last tick. A daemon also writes that time, and besides it the time of its own last poll.

    `line` is the line of a crontab that should start ticks.
    """
    at, age = state["last_tick_at"], state["last_tick_age_sec"]
    since = f"since {at} ({age} s)" if at else "so far"
    fault = silence(state, daemon, last_poll, now)
    if fault is Silence.TICK and line is not None and first_tick_comes(state, line, now):
        yield fine(TICKS, f"No tick has run {since}. The line is in the crontab: the first tick comes within a minute")
    elif fault is Silence.TICK:
        text = f"No tick has run {since}: no job starts by itself"
        text += f", although a line in {line.source} starts one each minute. Is cron running?" if line else ""
        fix = what_to_look_at() if line else "See the findings about the crontab, and db/tick.log."
        yield error("NO_TICK", TICKS, text, fix)
    elif fault is Silence.DAEMON:
        last = f"since {utc_text(last_poll)}" if last_poll is not None else since
        text = f"The daemon (process {daemon.get('pid')}) hangs: it has not looked for due jobs {last}"
        fix = "End it, and start it again. Its log may say why it hangs."
        yield error("DAEMON_SILENT", TICKS, text, fix)
    elif state["stale"]:
        yield fine(TICKS, f"The daemon started at {daemon.get('since')}")
    else:
        yield fine(TICKS, f"The last tick ran at {at}, {age} s ago")


def overdue(count: int, jobs: Sequence[OverdueJob]) -> Iterator[Finding]:
    """One warning about overdue jobs. `count` is their number; `jobs` begins with the one that is overdue longest."""
    if not jobs:
        return
    first = jobs[0]
    text = f"Overdue jobs: {count}, longest {first['job_id']}: due at {first['next_run_at']}, {first['late_sec']} s ago"
    fix = (
        "If no ticks run, see the findings about them. Else PURUTO_CRON_MAX_RUNNING runs are running:"
        " see `running` in `python3 main.py status`."
    )
    yield warning("JOBS_OVERDUE", TICKS, text, fix)


def undelivered(channels: Sequence[WaitingEvents]) -> Iterator[Finding]:
    """A warning for each channel to which a delivery failed."""
    for channel in channels:
        if channel["failures"]:
            text = (
                f"Undelivered events for the channel {channel['channel']}: {channel['count']},"
                f" since {channel['oldest_ts']}. {channel['last_error']}"
            )
            fix = "Fix the error that is named; the next tick tries again."
            yield warning("EVENTS_WAITING", TICKS, text, fix)


def anomalies(reported: Sequence[Anomaly]) -> Iterator[Finding]:
    """A warning for each anomaly of `status` that no other check covers."""
    few = Few()
    for anomaly in reported:
        code = anomaly["code"]
        subject = f"job {anomaly['job_id']}" if "job_id" in anomaly else CLOCK if code in _CLOCK_CODES else TICKS
        finding = warning(code, subject, anomaly["message"], anomaly.get("hint") or "")
        if code not in _CHECKED_ELSEWHERE and few.passes(finding):
            yield finding
    yield from few.remaining(TICKS)
