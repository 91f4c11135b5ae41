"""The next and the due instants of a schedule, for packages that need no more of schedules than that."""

from __future__ import annotations

import functools
from datetime import datetime
from typing import Protocol, TypedDict

from core.clock import utc_text

#: Many jobs share a schedule and are planned in the same second.
_CACHE_SIZE = 1024
_MINUTE_SEC = 60


class LocalInstant(TypedDict):
    """An instant for people: `utc` in UTC, `local` in the job's zone with its offset. Both ISO 8601."""

    utc: str
    local: str


class DueSlots(Protocol):
    """The slots in a span: their number, the first, and the newest in ascending order."""

    @property
    def count(self) -> int: ...

    @property
    def first(self) -> datetime | None: ...

    @property
    def last(self) -> tuple[datetime, ...]: ...


class Calendar(Protocol):
    """What the planner needs from schedules. Instants are UTC."""

    def next_fire(
        self, schedule: str, timezone: str, after: datetime, *, anchor: datetime | None = None
    ) -> datetime | None:
        """The first slot later than `after`, or None."""

    def due_slots(
        self,
        schedule: str,
        timezone: str,
        after: datetime,
        until: datetime,
        *,
        anchor: datetime | None = None,
        keep: int = 1,
    ) -> DueSlots:
        """All slots s with after < s <= until; `last` holds the `keep` newest."""


class Schedules:
    """The `Calendar` of this program. It imports croniter at the first call, as most commands need none, and caches.

    Slots are whole seconds, so fractions of a second are dropped.
    """

    def next_fire(
        self, schedule: str, timezone: str, after: datetime, *, anchor: datetime | None = None
    ) -> datetime | None:
        return _next_fire(schedule, timezone, after.replace(microsecond=0), anchor)

    def due_slots(
        self,
        schedule: str,
        timezone: str,
        after: datetime,
        until: datetime,
        *,
        anchor: datetime | None = None,
        keep: int = 1,
    ) -> DueSlots:
        whole = after.replace(microsecond=0), until.replace(microsecond=0)
        return _due_slots(schedule, timezone, *whole, anchor, keep)

    def next_instants(
        self, schedule: str, timezone: str, after: datetime, count: int, *, anchor: datetime
    ) -> list[LocalInstant]:
        """The next `count` instants after `after`; fewer if the schedule ends. Raises ScheduleError, TimezoneError."""
        instants: list[LocalInstant] = []
        instant: datetime | None = after
        while instant is not None and len(instants) < count:
            instant = self.next_fire(schedule, timezone, instant, anchor=anchor)
            if instant is not None:
                instants.append(show_instant(instant, timezone))
        return instants


def lone_steps(schedule: str) -> list[str]:
    """Those parts of a cron expression whose step leaves one value: "`*/90` means minute 0 alone"."""
    from core.errors import ScheduleError
    from schedules.fields import parse_fields

    try:
        return [text for field in parse_fields(schedule) for text in field.lone_steps()]
    except ScheduleError:
        return []


def is_under_a_minute(schedule: str) -> bool:
    """Whether a schedule has several slots in a minute, of which a tick each minute runs only some."""
    word, _, interval = schedule.strip().partition(" ")
    if word.lower() != "@every":
        return False
    from core.errors import ScheduleError
    from schedules.moments import parse_every

    try:
        return parse_every(interval.strip()).interval.total_seconds() < _MINUTE_SEC
    except ScheduleError:
        return False


@functools.lru_cache(_CACHE_SIZE)
def _next_fire(schedule: str, timezone: str, after: datetime, anchor: datetime | None) -> datetime | None:
    from schedules.language import next_fire

    return next_fire(schedule, timezone, after, anchor=anchor)


@functools.lru_cache(_CACHE_SIZE)
def _due_slots(
    schedule: str, timezone: str, after: datetime, until: datetime, anchor: datetime | None, keep: int
) -> DueSlots:
    from schedules.language import due_slots

    return due_slots(schedule, timezone, after, until, anchor=anchor, keep=keep)


def show_instant(instant: datetime, zone: str) -> LocalInstant:
    """An instant in UTC and in `zone`."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        local = instant.astimezone(ZoneInfo(zone))
    except ZoneInfoNotFoundError:
        # A stored zone that this machine no longer knows: `next` and the tick report it.
        local = instant
    except OverflowError:
        # In the last hours of the year 9999 the local date would be too late for datetime.
        local = instant
    return {"utc": utc_text(instant), "local": local.replace(microsecond=0).isoformat()}
