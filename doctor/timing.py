"""When jobs run: schedules that are over, zones that moved, minutes in which too many come together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.boundary import Failure, guarded
from core.clock import utc_text
from core.job import JobState
from doctor.findings import Few, Finding, error, fine, of_error, warning
from doctor.scene import Scene
from schedules.calendar import Calendar
from store.definitions import job_state

SUBJECT = "schedules"
AHEAD = timedelta(days=1)
#: So many jobs for each place under the cap are still served within a few minutes.
JOBS_A_PERMIT = 5
#: Different schedules that are laid out over the day; each may cost some milliseconds.
MOST_SCHEDULES = 2_000
_MINUTES = 24 * 60


def check(scene: Scene) -> Iterator[Finding]:
    """All enabled jobs."""
    few = Few()
    states: list[JobState] = []
    kept: Counter[str] = Counter()
    complete = scene.need_store.health.complete()
    for row in scene.need_store.definitions.active():
        if not row["enabled"] or row["job_id"] in complete:
            continue
        kept[str(row["timezone"])] += row["timezone_source"] == "machine"
        state = guarded(lambda row=row: job_state(row))  # type: ignore[misc]
        if isinstance(state, Failure):
            continue
        states.append(state)
        finding = silent(state, scene.now, scene.app.calendar)
        if finding is not None and few.passes(finding):
            yield finding
    yield from few.rest(SUBJECT)
    yield from moved_zones(kept, scene.app.machine_zone, scene.need_settings.timezone, scene.now)
    yield from crowded(states, scene.now, scene.app.calendar, scene.need_settings.max_running)
    yield fine(SUBJECT, f"Enabled jobs whose schedule was laid out over a day: {len(states)}")


def silent(state: JobState, now: datetime, calendar: Calendar) -> Finding | None:
    """What to say of an enabled job without a next run; None when it has one."""
    job = state.job
    if state.next_run_at is not None:
        return None
    subject = f"job {job.job_id}"
    following = guarded(lambda: calendar.next_fire(job.schedule, state.timezone, now, anchor=state.anchor))
    if isinstance(following, Failure):
        return of_error(subject, following)
    if following is not None:
        text = f"{job.job_id} is enabled and has no next run, though `{job.schedule}` goes on at {utc_text(following)}"
        return error("NO_NEXT_RUN", subject, text, "Set enabled to false, run sync-jobs, and set it to true again.")
    text = f"{job.job_id} is enabled, but `{job.schedule}` never fires again"
    return warning("NEVER_FIRES_AGAIN", subject, text, "Give it a new schedule, or disable or remove it.")


def moved_zones(kept: Counter[str], machine_zone: str, set_zone: str | None, now: datetime) -> Iterator[Finding]:
    """Jobs that keep the zone that the machine once had, `kept` says how many of each; not for another name of it."""
    for zone in sorted(zone for zone, count in kept.items() if count):
        if set_zone is None and _offsets(zone, now) != _offsets(machine_zone, now):
            text = f"Jobs that keep the zone {zone}, though the machine's zone is {machine_zone} here: {kept[zone]}"
            yield warning("ZONE_KEPT", SUBJECT, text, "Set timezone in the jobs, or PURUTO_CRON_TIMEZONE in .env.")


def _offsets(zone: str, now: datetime) -> tuple[object, ...]:
    """What tells zones apart: their offsets through the year; of an unknown one its name."""
    try:
        info = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return (zone,)
    return tuple((now + timedelta(days=days)).astimezone(info).utcoffset() for days in range(0, 366, 15))


def crowded(states: Iterable[JobState], now: datetime, calendar: Calendar, max_running: int) -> Iterator[Finding]:
    """The minute of the next day in which most jobs come due, if they are too many for the places."""
    load = minutes(states, now, calendar)
    most = max_running * JOBS_A_PERMIT
    full = [minute for minute, count in load.items() if count > most]
    if not full:
        return
    worst = min(full, key=lambda minute: (-load[minute], minute))
    more = f"; {len(full) - 1} more minutes of the next day hold more than {most}" if len(full) > 1 else ""
    text = f"In the minute {utc_text(worst)} {load[worst]} jobs come due, and {max_running} run at a time{more}"
    yield warning("CROWDED_MINUTE", SUBJECT, text, "Spread their schedules, or raise PURUTO_CRON_MAX_RUNNING.")


def minutes(states: Iterable[JobState], now: datetime, calendar: Calendar) -> Counter[datetime]:
    """For each minute of the next day how many jobs come due in it."""
    alike: Counter[tuple[str, str, datetime]] = Counter()
    for state in states:
        # Only intervals start from their anchor; of all others those alike are laid out once.
        anchor = state.anchor if state.job.schedule.lstrip().startswith("@every") else now
        alike[state.job.schedule, state.timezone, anchor] += 1
    load: Counter[datetime] = Counter()
    for (schedule, zone, anchor), count in alike.most_common(MOST_SCHEDULES):
        slots = guarded(
            lambda schedule=schedule, zone=zone, anchor=anchor: calendar.due_slots(  # type: ignore[misc]
                schedule, zone, now, now + AHEAD, anchor=anchor, keep=_MINUTES
            )
        )
        if isinstance(slots, Failure):
            continue
        # More slots than minutes: an interval of seconds, which is due at every tick.
        instants = slots.last if slots.count <= _MINUTES else [now + timedelta(minutes=n) for n in range(_MINUTES)]
        for minute in {slot.replace(second=0, microsecond=0) for slot in instants}:
            load[minute] += count
    return load
