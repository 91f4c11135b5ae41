"""Instants for the rooms that must not know schedules, and for people."""

from __future__ import annotations

import functools
from datetime import datetime
from typing import Protocol

from core.clock import utc_text

#: Many jobs have the same schedule, and are asked about in the same second.
_REMEMBERED = 1024


class DueSlots(Protocol):
    """The slots in a span: how many, the first, and the newest of them in ascending order."""

    @property
    def count(self) -> int: ...

    @property
    def first(self) -> datetime | None: ...

    @property
    def last(self) -> tuple[datetime, ...]: ...


class Calendar(Protocol):
    """What the planner asks of `schedules`. Instants are UTC."""

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
    """`schedules`, imported when first asked: most commands never need it. Remembers what it was asked last.

    Slots are whole seconds, so that a fraction of one makes no difference to any answer.
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

    def shown(
        self, schedule: str, timezone: str, after: datetime, count: int, *, anchor: datetime
    ) -> list[dict[str, str]]:
        """The next `count` instants behind `after`, fewer where the schedule ends, each as `show_instant` has it."""
        found: list[dict[str, str]] = []
        instant: datetime | None = after
        while instant is not None and len(found) < count:
            instant = self.next_fire(schedule, timezone, instant, anchor=anchor)
            if instant is not None:
                found.append(show_instant(instant, timezone))
        return found


@functools.lru_cache(_REMEMBERED)
def _next_fire(schedule: str, timezone: str, after: datetime, anchor: datetime | None) -> datetime | None:
    from schedules.language import next_fire

    return next_fire(schedule, timezone, after, anchor=anchor)


@functools.lru_cache(_REMEMBERED)
def _due_slots(
    schedule: str, timezone: str, after: datetime, until: datetime, anchor: datetime | None, keep: int
) -> DueSlots:
    from schedules.language import due_slots

    return due_slots(schedule, timezone, after, until, anchor=anchor, keep=keep)


def show_instant(instant: datetime, zone: str) -> dict[str, str]:
    """An instant for people: `{"utc": …, "local": …}`, the second in `zone` with its offset."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        local = instant.astimezone(ZoneInfo(zone))
    except ZoneInfoNotFoundError:
        # A stored zone that this machine does not know any more: `next` and the tick say so.
        local = instant
    except OverflowError:
        # In the last hours of the year 9999 there is no later date to show.
        local = instant
    return {"utc": utc_text(instant), "local": local.replace(microsecond=0).isoformat()}
