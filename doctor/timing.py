"""Checks of when jobs run: schedules that have ended, time zones that changed, minutes with too many jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.schedule_warnings import schedule_warnings
from core.boundary import Failure, guarded
from core.clock import utc_text
from core.job import JobState
from doctor.findings import Few, Finding, error, fine, of_error, warning
from doctor.scene import Scene
from schedules.calendar import Calendar
from store.definitions import job_state

SUBJECT = "schedules"
AHEAD = timedelta(days=1)
#: Jobs per permit in one minute; up to that many are started within a few minutes.
JOBS_A_PERMIT = 5
#: The most different schedules that are computed for the day; each may take some milliseconds.
MOST_SCHEDULES = 2_000
_MINUTES = 24 * 60


def check(scene: Scene) -> Iterator[Finding]:
    """The schedules of all enabled jobs."""
    few = Few()
    states: list[JobState] = []
    kept_zones: Counter[str] = Counter()
    complete = scene.need_store.health.complete()
    for row in scene.need_store.definitions.active():
        if not row["enabled"] or row["job_id"] in complete:
            continue
        kept_zones[str(row["timezone"])] += row["timezone_source"] == "machine"
        state = guarded(partial(job_state, row))
        if isinstance(state, Failure):
            continue
        states.append(state)
        finding = no_next_run(state, scene.now, scene.app.calendar)
        if finding is not None and few.passes(finding):
            yield finding
    yield from few.remaining(SUBJECT)
    for entry in schedule_warnings(scene.app, ((state.job.job_id, state.job.schedule) for state in states)):
        yield warning(entry["code"], SUBJECT, entry["message"], entry.get("hint", ""))
    for entry in scene.app.zone_warning():
        yield warning(entry["code"], SUBJECT, entry["message"], entry.get("hint", ""))
    yield from moved_zones(kept_zones, scene.app.machine_zone, scene.need_settings.timezone, scene.now)
    yield from crowded(states, scene.now, scene.app.calendar, scene.need_settings.max_running)
    yield fine(SUBJECT, f"Enabled jobs whose schedule was checked over a day: {len(states)}")


def no_next_run(state: JobState, now: datetime, calendar: Calendar) -> Finding | None:
    """The finding about an enabled job without a next run; None if it has one."""
    job = state.job
    if state.next_run_at is not None:
        return None
    subject = f"job {job.job_id}"
    following = guarded(lambda: calendar.next_fire(job.schedule, state.timezone, now, anchor=state.anchor))
    if isinstance(following, Failure):
        return of_error(subject, following)
    if following is not None:
        text = f"{job.job_id} is enabled but has no next run, though `{job.schedule}` is due at {utc_text(following)}"
        return error(
            "NO_NEXT_RUN",
            subject,
            text,
            "Set enabled to false, run `python3 main.py sync-jobs`, and set it to true again.",
        )
    text = f"{job.job_id} is enabled, but `{job.schedule}` will never be due again"
    return warning("NEVER_FIRES_AGAIN", subject, text, "Give it a new schedule, or disable or remove it.")


def moved_zones(kept: Counter[str], machine_zone: str, set_zone: str | None, now: datetime) -> Iterator[Finding]:
    """Warnings about jobs that keep a former zone of the machine. `kept` has the number of jobs by zone.

    Another name for the same zone is not a change.
    """
    for zone in sorted(zone for zone, count in kept.items() if count):
        if set_zone is None and _offsets(zone, now) != _offsets(machine_zone, now):
            text = f"{kept[zone]} jobs keep the time zone {zone}, but the machine's zone is now {machine_zone}"
            yield warning("ZONE_KEPT", SUBJECT, text, "Set timezone in the jobs, or PURUTO_CRON_TIMEZONE in .env.")


def _offsets(zone: str, now: datetime) -> tuple[object, ...]:
    """The offsets of a zone through a year, by which zones are compared; the name of an unknown zone."""
    try:
        info = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return (zone,)
    return tuple((now + timedelta(days=days)).astimezone(info).utcoffset() for days in range(0, 366, 15))


def crowded(states: Iterable[JobState], now: datetime, calendar: Calendar, max_running: int) -> Iterator[Finding]:
    """A warning about the minute of the next day with the most due jobs, if these are too many for `max_running`."""
    load = minutes(states, now, calendar)
    most = max_running * JOBS_A_PERMIT
    full = [minute for minute, count in load.items() if count > most]
    if not full:
        return
    worst = min(full, key=lambda minute: (-load[minute], minute))
    others = f"; {len(full) - 1} more minutes of the next day have more than {most}" if len(full) > 1 else ""
    text = f"In the minute {utc_text(worst)} {load[worst]} jobs are due, but only {max_running} run at a time{others}"
    yield warning("CROWDED_MINUTE", SUBJECT, text, "Spread their schedules, or raise PURUTO_CRON_MAX_RUNNING.")


def minutes(states: Iterable[JobState], now: datetime, calendar: Calendar) -> Counter[datetime]:
    """How many jobs are due in each minute of the next day."""
    schedules: Counter[tuple[str, str, datetime]] = Counter()
    for state in states:
        # Only intervals depend on their anchor; equal schedules of other kinds are computed once.
        anchor = state.anchor if state.job.schedule.lstrip().startswith("@every") else now
        schedules[state.job.schedule, state.timezone, anchor] += 1
    load: Counter[datetime] = Counter()
    for (schedule, zone, anchor), count in schedules.most_common(MOST_SCHEDULES):
        slots = guarded(partial(calendar.due_slots, schedule, zone, now, now + AHEAD, anchor=anchor, keep=_MINUTES))
        if isinstance(slots, Failure):
            continue
        # More slots than minutes: an interval of seconds, which is due at every tick.
        instants = slots.last if slots.count <= _MINUTES else [now + timedelta(minutes=n) for n in range(_MINUTES)]
        for minute in {slot.replace(second=0, microsecond=0) for slot in instants}:
            load[minute] += count
    return load
