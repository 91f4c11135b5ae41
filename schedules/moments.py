"""`@every` and `@at`: a grid of instants, and one instant."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from core.errors import ScheduleError
from schedules.likely import likely
from schedules.slots import DAY, EPOCH, DueSlots, Kind
from schedules.words import listing
from schedules.zones import gap_end, readings

_LONGEST_INTERVAL = 366 * DAY


class Every:
    """A grid of instants through the anchor, independent of the wall clock.

    It also has slots before the anchor: if the clock was ahead when the job was synced, the job must still run.
    """

    kind: Kind = "interval"

    def __init__(self, interval: timedelta) -> None:
        self.interval = interval

    def next_after(self, after: datetime, anchor: datetime) -> datetime | None:
        """The first slot strictly later than `after`, in UTC; None when there is none."""
        after = max(after, EPOCH)
        try:
            return anchor + ((after - anchor) // self.interval + 1) * self.interval
        except OverflowError:
            return None

    def due(self, after: datetime, until: datetime, anchor: datetime, keep: int) -> DueSlots:
        """All slots s with after < s ≤ until: their number, the first, and the `keep` newest."""
        after = max(after, EPOCH)
        low, high = (after - anchor) // self.interval, (until - anchor) // self.interval
        count = max(high - low, 0)
        newest = (anchor + step * self.interval for step in range(high - min(keep, count) + 1, high + 1))
        return DueSlots(count, anchor + (low + 1) * self.interval if count else None, tuple(newest))

    def words(self) -> str:
        """The meaning in English."""
        hours, seconds = divmod(int(self.interval.total_seconds()), 3600)
        parts = zip((*divmod(hours, 24), *divmod(seconds, 60)), ("day", "hour", "minute", "second"), strict=True)
        length = listing([f"{number} {unit}{'s' * (number > 1)}" for number, unit in parts if number])
        grid = "on a fixed grid from the instant the job first had this schedule, however long a run takes"
        note = ""
        if self.interval >= DAY:
            note = " A day is 24 hours here, so a clock change moves the time of day; use five fields to keep it."
        return f"Every {length}, {grid}. Daylight saving does not move it.{note}"


class Once:
    """One instant."""

    kind: Kind = "once"

    def __init__(self, instant: datetime, zone: ZoneInfo, note: str) -> None:
        self.instant, self.zone, self.note = instant, zone, note

    def next_after(self, after: datetime, _anchor: datetime) -> datetime | None:
        """The first slot strictly later than `after`, in UTC; None when there is none."""
        return self.instant if self.instant > after else None

    def due(self, after: datetime, until: datetime, _anchor: datetime, keep: int) -> DueSlots:
        """All slots s with after < s ≤ until: their number, the first, and the `keep` newest."""
        slots = (self.instant,) if after < self.instant <= until else ()
        return DueSlots(len(slots), self.instant if slots else None, slots if keep else ())

    def words(self) -> str:
        """The meaning in English."""
        try:
            local = self.instant.astimezone(self.zone)
        except OverflowError:
            local = self.instant
        return f"Once, at {local.isoformat(' ')}, {self.zone.key} time{self.note}. Then the job is complete."


_INTERVAL = re.compile(r"(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?"
)


def parse_every(text: str) -> Every:
    """The grid that `@every …` describes. Raises ScheduleError."""
    match = _INTERVAL.fullmatch(text)
    if match is None or not text:
        hint = "write whole numbers with units, largest first: 90s, 15m, 6h, 1d, 1w, 1h30m"
        if text.isdecimal():
            hint = f"write {text}s for seconds, {text}m for minutes or {text}h for hours; {hint}"
        elif meant := likely(text):
            hint = f"{meant}; {hint}"
        raise ScheduleError(f"@every '{text}': is not an interval", field="@every", text=text, hint=hint)
    weeks, days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
    total = (((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds
    if not 1 <= total <= _LONGEST_INTERVAL // timedelta(seconds=1):
        message, hint = f"@every '{text}': is out of range", "use 1s to 366d"
        raise ScheduleError(message, field="@every", text=text, hint=hint)
    return Every(timedelta(seconds=total))


def parse_at(text: str, zone: ZoneInfo) -> Once:
    """The instant of `@at …`; without an offset it is local time in `zone`. Raises ScheduleError."""
    if not _MOMENT.fullmatch(text):
        raise _bad_moment(text, "is not a date and time")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _bad_moment(text, "there is no such date") from None
    if moment.year < EPOCH.year:
        raise _bad_moment(text, "is before 1970")
    try:
        if moment.tzinfo is not None:
            return Once(moment.astimezone(UTC), zone, "")
        first, second = readings(moment, zone)
    except OverflowError:
        raise _bad_moment(text, "is after the year 9999 in UTC") from None
    if first > second:
        note = f" (the first minute after the gap: {moment.isoformat(' ')} is skipped there)"
        return Once(gap_end(moment, zone), zone, note)
    return Once(first, zone, " (the first of two: the clock shows this time twice)" if first < second else "")


def _bad_moment(text: str, problem: str) -> ScheduleError:
    hint = "write 2026-02-15T14:30 for a time in the job's zone, or 2026-02-15T14:30:00+01:00; no fractions of a second"
    return ScheduleError(f"@at '{text}': {problem}", field="@at", text=text, hint=hint)
