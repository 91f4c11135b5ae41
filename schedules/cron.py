"""The instants of five cron fields in a zone, by the rules of Debian's cron(8). The only file that imports croniter.

croniter gets naive wall times only. What happens to a wall time that daylight saving skips or repeats is decided here.
 Source of the rule: docs/schedules.md "Daylight saving".
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from schedules.fields import Field
from schedules.slots import DAY, EPOCH, DueSlots, Kind
from schedules.words import clock_words, day_words, shift_words
from schedules.zones import gap_end, readings

END = datetime(9999, 12, 29, tzinfo=UTC)  # no zone's wall time overflows before it
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
_CLOCK_CHANGE = 3 * HOUR  # a longer shift is not daylight saving
_STEP_COST = 16  # finding the next slot costs as much as computing this many slots of a whole day


class _WallTimes:
    """The wall times of five fields. The lock is needed because a croniter object has state."""

    def __init__(self, expression: str) -> None:
        from croniter import croniter

        self._lock = threading.Lock()
        self._croniter = croniter(expression, start_time=0, ret_type=datetime, implement_cron_bug=True)

    def after(self, wall: datetime) -> datetime | None:
        """The first one strictly later than `wall`; None at the end of the calendar."""
        try:
            with self._lock:
                following: datetime = self._croniter.get_next(datetime, start_time=wall)
        except (OverflowError, ValueError):
            # only expected at the end of the calendar; elsewhere it is a bug, as the longest gap is 40 years
            if wall.year < END.year - 50:
                raise
            return None
        return following if following <= END.replace(tzinfo=None) + DAY else None

    def between(self, start: datetime, stop: datetime) -> Iterator[datetime]:
        """All wall times with start < wall ≤ stop."""
        wall = self.after(start)
        while wall is not None and wall <= stop:
            yield wall
            wall = self.after(wall)


class Cron:
    """Five cron fields in a zone."""

    def __init__(self, fields: tuple[Field, ...], zone: ZoneInfo) -> None:
        self.minutes, self.hours, self.days, self.months, self.weekdays = self.fields = fields
        self.zone = zone
        self.kind: Kind = "wild" if self.minutes.starred or self.hours.starred else "fixed"

    @functools.cached_property
    def _wall_times(self) -> _WallTimes:
        return _WallTimes(" ".join(field.for_croniter for field in self.fields))

    @functools.cached_property
    def _midnights(self) -> _WallTimes:
        """Midnight of each day on which the job runs."""
        return _WallTimes(" ".join(["0 0", *(field.for_croniter for field in self.fields[2:])]))

    @functools.cached_property
    def _times(self) -> tuple[timedelta, ...]:
        """The times of day at which the job runs, without daylight saving."""
        pairs = itertools.product(self.hours.values, self.minutes.values)
        return tuple(hour * HOUR + minute * MINUTE for hour, minute in pairs)

    def next_after(self, after: datetime, _anchor: datetime) -> datetime | None:
        """The first slot strictly later than `after`, in UTC; None when there is none."""
        after = max(after, EPOCH - MINUTE)
        if after >= END:
            return None
        local = after.astimezone(self.zone)
        wall = local.replace(tzinfo=None, fold=0, second=0, microsecond=0)
        slot = self._search(wall, after)
        instants = self._instants(wall)
        if len(instants) == 2 and not local.fold:  # in a repeated hour: its earlier wall times come again
            slot = min(filter(None, [slot, self._search(wall - (instants[1] - instants[0]), after)]), default=None)
        return slot if slot is None or slot <= END else None

    def _search(self, wall: datetime, after: datetime) -> datetime | None:
        """The first instant later than `after` among those of the wall times after `wall`."""
        while (following := self._wall_times.after(wall)) is not None:
            wall = following
            for instant in self._instants(wall):
                if instant > after:
                    return instant
        return None

    def _instants(self, wall: datetime) -> tuple[datetime, ...]:
        """When a job with this wall time runs: once; twice or never if it is wild or the zone's offset was changed.

        Source: cron(8) of Debian, restated in docs/schedules.md "Daylight saving".
        """
        first, second = readings(wall, self.zone)
        if first == second:
            return (first,)
        follows_clock = self.kind == "wild" or abs(first - second) > _CLOCK_CHANGE
        if first < second:
            return (first, second) if follows_clock else (first,)
        return () if follows_clock else (gap_end(wall, self.zone),)

    def due(self, after: datetime, until: datetime, _anchor: datetime, keep: int) -> DueSlots:
        """All slots s with after < s ≤ until: their number, the first, and the `keep` newest."""
        after, until = max(after, EPOCH - MINUTE), min(until, END)
        if after >= until:
            return DueSlots(0, None, ())
        few = self._few(after, until)
        if few is not None:
            return DueSlots(len(few), few[0] if few else None, few[max(len(few) - keep, 0) :])
        whole, loose = self._split(after, until)
        count = len(loose) + len(whole) * len(self._times)
        oldest, newest = whole[:1], whole[-(keep // len(self._times) + 1) :]
        ends = sorted({*loose, *(start + time for start in (*oldest, *newest) for time in self._times)})
        return DueSlots(count, ends[0] if ends else None, tuple(ends[max(len(ends) - keep, 0) :]))

    def _few(self, after: datetime, until: datetime) -> tuple[datetime, ...] | None:
        """The slots of the span, or None if they are too many to be found one by one.

        A tick that is on time asks for the slots after the due one, and there are none.
        """
        slots: list[datetime] = []
        most = max(1, len(self._times) // _STEP_COST)
        while (slot := self.next_after(after, after)) is not None and slot <= until:
            if len(slots) == most:
                return None
            slots.append(slot)
            after = slot
        return tuple(slots)

    def _split(self, after: datetime, until: datetime) -> tuple[list[datetime], set[datetime]]:
        """The starts of the whole ordinary days in the span, and every slot of the other days."""
        whole: list[datetime] = []
        loose: set[datetime] = set()
        low, high = (instant.astimezone(self.zone).replace(tzinfo=None, fold=0) for instant in (after, until))
        for midnight in self._midnights.between(low - 2 * DAY, high + DAY):
            start = readings(midnight, self.zone)[0]
            if after < start and start + DAY <= until and self._is_ordinary(midnight):
                whole.append(start)
            else:
                loose.update(instant for time in self._times for instant in self._instants(midnight + time))
        return whole, {instant for instant in loose if after < instant <= until}

    def _is_ordinary(self, midnight: datetime) -> bool:
        """Whether the zone's offset does not change near this day. In no zone are two changes within three days."""
        near = (midnight + hours * HOUR for hours in (-12, 12, 36))
        return len({wall.replace(tzinfo=self.zone).utcoffset() for wall in near}) == 1

    def words(self) -> str:
        """The meaning in English."""
        return f"{clock_words(self)}{day_words(self)}, {self.zone.key} time. {shift_words(self)}"
