"""What is to be done about a job's due slots: a pure function of its stored state and the instant."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.clock import from_text
from core.job import Job, JobState
from core.run import Missed, Plan, Trigger
from schedules.calendar import Calendar

#: A slot served later than this is a catch-up. Ticks come once a minute, so a punctual one sees a slot within 60 s;
#: the rest is for a slow start.
ON_TIME_SEC = 120
#: `due_slots` looks at whole days, so shorter steps cost more than they save.
_FIRST_STEP, _LONGEST_STEP = timedelta(days=2), timedelta(days=32)
#: More slots than a span of the longest step can hold.
_ALL = 10_000_000


def plan(state: JobState, now: datetime, calendar: Calendar, *, served_at: datetime | None = None) -> Plan:
    """Decides about the slots from the cursor up to `now`, by the job's `catch_up` and `max_lateness_sec`.

    `served_at` is the instant that lateness is measured at, when a tick that began at `now` had to wait for a place.
    The cursor itself counts as a slot: it is what the ledger promised. Raises `ScheduleError`.
    Source: docs/design.md "The life of a slot"; docs/promises.md, row 16.
    """
    job, cursor = state.job, state.next_run_at
    if cursor is None or cursor > now:
        raise ValueError(f"{job.job_id} is not due")
    limit = job.catch_up_limit if job.catch_up == "all" else 1
    # One more than may run, so that the last slot given up is known by its instant.
    later = calendar.due_slots(job.schedule, state.timezone, cursor, now, anchor=state.anchor, keep=limit + 1)
    newest = (cursor, *later.last) if later.count <= limit else later.last
    total = 1 + later.count
    at = served_at or now
    runnable = [slot for slot in newest[-limit:] if _in_time(state, slot, at)]
    following = calendar.next_fire(job.schedule, state.timezone, now, anchor=state.anchor)
    if not runnable:
        missed = Missed(total, cursor, newest[-1], _too_late(state), superseded=False)
        return Plan(cursor, None, Trigger.SCHEDULE, missed, following, following)
    slot, waiting = runnable[0], runnable[1:]
    given_up = total - len(runnable)
    before = newest[newest.index(slot) - 1]
    reason = _too_late(state) if before in newest[-limit:] else _given_up(state)
    late = (at - slot).total_seconds() > ON_TIME_SEC
    return Plan(
        cursor=cursor,
        slot=slot,
        trigger=Trigger.CATCH_UP if late or waiting else Trigger.SCHEDULE,
        missed=Missed(given_up, cursor, before, reason, superseded=True) if given_up else None,
        next_run_at=waiting[0] if waiting else following,
        following=following,
    )


def skip_all(state: JobState, now: datetime, calendar: Calendar, reason: str) -> Missed | None:
    """The due slots of a job that is changed, disabled or removed before they could run; None if none is due."""
    cursor = state.next_run_at
    if cursor is None or cursor > now:
        return None
    later = calendar.due_slots(state.job.schedule, state.timezone, cursor, now, anchor=state.anchor)
    last = later.last[-1] if later.last else cursor
    return Missed(1 + later.count, cursor, last, reason, superseded=False)


class Slots:
    """What the store asks when a verdict pauses a job, or ends its pause. Both raise `ScheduleError`."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar

    def following(self, state: JobState, now: datetime) -> datetime | None:
        """The job's first slot after now."""
        after = start_of(state.job, now)
        return self._calendar.next_fire(state.job.schedule, state.timezone, after, anchor=state.anchor)

    def due(self, state: JobState, now: datetime, reason: str) -> Missed | None:
        """The job's slots up to now that nobody has served."""
        return skip_all(state, now, self._calendar, reason)


def slots_between(
    state: JobState, after: datetime, until: datetime, calendar: Calendar, most: int
) -> tuple[datetime, ...]:
    """The first `most` slots s with after < s <= until, none before the end of the job's pause. Raises `ScheduleError`.

    As if the job were enabled; its cursor is not asked.
    """
    found: list[datetime] = []
    low, step = start_of(state.job, after), _FIRST_STEP
    # `due_slots` keeps the newest of a span; spans that grow give the oldest without laying out all of them.
    while low < until and len(found) < most:
        high = low + step if until - low > step else until
        slots = calendar.due_slots(state.job.schedule, state.timezone, low, high, anchor=state.anchor, keep=_ALL)
        found += slots.last
        low, step = high, min(step * 2, _LONGEST_STEP)
    return tuple(found[:most])


def start_of(job: Job, now: datetime) -> datetime:
    """The instant behind which a job's next slot lies: now, or just before the end of its pause."""
    if job.paused_until is None:
        return now
    return max(now, from_text(job.paused_until) - timedelta(seconds=1))


def corrected_cursor(state: JobState, now: datetime, calendar: Calendar) -> datetime | None:
    """Where the cursor belongs when it lies further ahead than the next instant from now, else the cursor.

    So a clock that was once wrong in the future does not silence a job. Source: docs/design.md "Time".
    """
    after = start_of(state.job, now)
    expected = calendar.next_fire(state.job.schedule, state.timezone, after, anchor=state.anchor)
    if state.next_run_at is not None and (expected is None or state.next_run_at <= expected):
        return state.next_run_at
    # Without a cursor: a clock that was ahead took an `@at` that is still to come for one that is over.
    return expected


def _in_time(state: JobState, slot: datetime, now: datetime) -> bool:
    limit = state.job.max_lateness_sec
    if limit is None and state.job.catch_up == "none":
        limit = ON_TIME_SEC
    return limit is None or now - slot <= timedelta(seconds=limit)


def _too_late(state: JobState) -> str:
    if state.job.max_lateness_sec is not None:
        return f"the scheduler was not running then (max_lateness_sec: {state.job.max_lateness_sec})"
    return "the scheduler was not running then (catch_up: none)"


def _given_up(state: JobState) -> str:
    if state.job.catch_up == "all":
        return f"the scheduler was not running then (catch_up_limit: {state.job.catch_up_limit})"
    if state.job.catch_up == "none":
        return "the scheduler was not running then (catch_up: none)"
    return "the scheduler was not running then. Only the latest slot is run later (catch_up: latest)"
