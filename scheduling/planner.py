"""Decides what to do about a job's due slots. Pure functions of its stored state, the calendar and the time."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.clock import from_text
from core.job import Job, JobState
from core.run import Missed, Plan, Trigger
from schedules.calendar import Calendar

#: A slot that starts later than this is a catch-up. Ticks come once a minute, so a punctual tick sees a slot within
#: 60 s; the rest allows for a slow start.
ON_TIME_SEC = 120
#: `due_slots` reads whole days, so shorter steps would cost more than they save.
_FIRST_STEP, _LONGEST_STEP = timedelta(days=2), timedelta(days=32)
#: More slots than one step can hold.
_ALL = 10_000_000


def plan(state: JobState, now: datetime, calendar: Calendar, *, starts_at: datetime | None = None) -> Plan:
    """Plans the slots from the cursor up to `now`, by the job's `catch_up` and `max_lateness_sec`.

    `starts_at` is when the run would start, and so what lateness is measured by: later than `now` if the slot had to
    wait for a permit. The cursor always counts as a slot, because it was stored as one. Raises `ScheduleError`, and
    `ValueError` if the job is not due. Source: docs/design.md "The life of a slot"; docs/promises.md, row 16.
    """
    job, cursor = state.job, state.next_run_at
    if cursor is None or cursor > now:
        raise ValueError(f"{job.job_id} is not due")
    limit = job.catch_up_limit if job.catch_up == "all" else 1
    # One more than may run: it is the last slot that will not run, if there is one.
    later = calendar.due_slots(job.schedule, state.timezone, cursor, now, anchor=state.anchor, keep=limit + 1)
    newest = (cursor, *later.last) if later.count <= limit else later.last
    total = 1 + later.count
    at = starts_at or now
    runnable = [slot for slot in newest[-limit:] if _is_in_time(state, slot, at)]
    following = calendar.next_fire(job.schedule, state.timezone, now, anchor=state.anchor)
    if not runnable:
        missed = Missed(total, cursor, newest[-1], _too_late(state), superseded=False)
        return Plan(cursor, None, Trigger.SCHEDULE, missed, following, following)
    slot, later_slots = runnable[0], runnable[1:]
    missed_count = total - len(runnable)
    last_missed = newest[newest.index(slot) - 1]
    reason = _too_late(state) if last_missed in newest[-limit:] else _not_caught_up(state)
    is_late = (at - slot).total_seconds() > ON_TIME_SEC
    return Plan(
        cursor=cursor,
        slot=slot,
        trigger=Trigger.CATCH_UP if is_late or later_slots else Trigger.SCHEDULE,
        missed=Missed(missed_count, cursor, last_missed, reason, superseded=True) if missed_count else None,
        next_run_at=later_slots[0] if later_slots else following,
        following=following,
    )


def skip_all(state: JobState, now: datetime, calendar: Calendar, reason: str) -> Missed | None:
    """The due slots of a job that was changed, disabled or removed before they could run; None if none is due."""
    cursor = state.next_run_at
    if cursor is None or cursor > now:
        return None
    later = calendar.due_slots(state.job.schedule, state.timezone, cursor, now, anchor=state.anchor)
    last = later.last[-1] if later.last else cursor
    return Missed(1 + later.count, cursor, last, reason, superseded=False)


class Slots:
    """What the store needs of the calendar when it pauses a job or ends its pause. Both raise `ScheduleError`."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar

    def following(self, state: JobState, now: datetime) -> datetime | None:
        """The job's first slot after `now`, and after the end of its pause."""
        after = start_of(state.job, now)
        return self._calendar.next_fire(state.job.schedule, state.timezone, after, anchor=state.anchor)

    def due(self, state: JobState, now: datetime, reason: str) -> Missed | None:
        """The job's due slots up to `now`; None if there are none."""
        return skip_all(state, now, self._calendar, reason)


def slots_between(
    state: JobState, after: datetime, until: datetime, calendar: Calendar, most: int
) -> tuple[datetime, ...]:
    """The first `most` slots s with after < s <= until, none before the end of the job's pause. Raises `ScheduleError`.

    Disabled jobs have slots too here, and the cursor is ignored.
    """
    slots: list[datetime] = []
    low, step = start_of(state.job, after), _FIRST_STEP
    # `due_slots` keeps the newest slots of a span. Spans that grow give the oldest ones without computing all.
    while low < until and len(slots) < most:
        high = low + step if until - low > step else until
        span = calendar.due_slots(state.job.schedule, state.timezone, low, high, anchor=state.anchor, keep=_ALL)
        slots += span.last
        low, step = high, min(step * 2, _LONGEST_STEP)
    return tuple(slots[:most])


def start_of(job: Job, now: datetime) -> datetime:
    """The job's next slot is after this time: `now`, or a second before its pause ends."""
    if job.paused_until is None:
        return now
    return max(now, from_text(job.paused_until) - timedelta(seconds=1))


def corrected_cursor(state: JobState, now: datetime, calendar: Calendar) -> datetime | None:
    """The job's cursor, or the next time of its schedule if the cursor is later than that.

    A clock that was wrong can set a cursor far into the future; without this the job would not run until then. Raises
    `ScheduleError`. Source: docs/design.md "Time".
    """
    after = start_of(state.job, now)
    expected = calendar.next_fire(state.job.schedule, state.timezone, after, anchor=state.anchor)
    if state.next_run_at is not None and (expected is None or state.next_run_at <= expected):
        return state.next_run_at
    # There is no cursor if an `@at` looked past to a clock that was ahead.
    return expected


def _is_in_time(state: JobState, slot: datetime, now: datetime) -> bool:
    limit = state.job.max_lateness_sec
    if limit is None and state.job.catch_up == "none":
        limit = ON_TIME_SEC
    return limit is None or now - slot <= timedelta(seconds=limit)


def _too_late(state: JobState) -> str:
    if state.job.max_lateness_sec is not None:
        return f"the scheduler was not running then (max_lateness_sec: {state.job.max_lateness_sec})"
    return "the scheduler was not running then (catch_up: none)"


def _not_caught_up(state: JobState) -> str:
    if state.job.catch_up == "all":
        return f"the scheduler was not running then (catch_up_limit: {state.job.catch_up_limit})"
    if state.job.catch_up == "none":
        return "the scheduler was not running then (catch_up: none)"
    return "the scheduler was not running then. Only the latest slot is run later (catch_up: latest)"
