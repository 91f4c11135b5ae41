"""The time axis of a picture: equal distances are equal time (UTC), and the labels are local time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

#: Every UTC offset in use today is a multiple of this, so each local hour and each clock change falls on the grid.
_GRID = timedelta(minutes=15)
_DAY_MIN = 1440
#: Minutes between two labels.
_STEPS = (15, 30, 60, 120, 180, 360, 720, _DAY_MIN)


@dataclass(frozen=True)
class Tick:
    """A label and the instant that it belongs to."""

    at: datetime
    text: str


@dataclass(frozen=True)
class Axis:
    """A time span from `start` to `end` (UTC), and the IANA time zone of its labels."""

    start: datetime
    end: datetime
    zone: str

    def position(self, instant: datetime) -> float:
        """Where an instant lies: 0 at the start, 1 at the end; below 0 or above 1 outside the span."""
        return (instant - self.start) / (self.end - self.start)

    def hours(self, most: int) -> list[Tick]:
        """At most `most` labels such as `18:00`, in the smallest step that allows it; none if only whole days fit."""
        minutes = (self.end - self.start) / timedelta(minutes=1)
        step = next((step for step in _STEPS if minutes / step <= most), _DAY_MIN)
        if step == _DAY_MIN:
            return []
        return [Tick(at, f"{at:%H:%M}") for at in self._grid() if (at.hour * 60 + at.minute) % step == 0]

    def first_day(self) -> Tick:
        """The local day in which the axis begins."""
        return _day(self.start.astimezone(ZoneInfo(self.zone)))

    def days(self, most: int) -> list[Tick]:
        """The first instant of each local day, `Wed 25 Feb`; of every n-th day if there are more than `most`."""
        starts, previous = [], None
        for at in self._grid():
            if previous is not None and previous.date() != at.date():
                starts.append(_day(at))
            previous = at
        every = max(1, -(-len(starts) // max(1, most)))
        return [tick for tick in starts if every == 1 or tick.at.toordinal() % every == 0]

    def clock_changes(self) -> list[Tick]:
        """Where the UTC offset changes, labelled `+01:00 → +02:00`."""
        changes, previous = [], ""
        for at in self._grid():
            offset = at.strftime("%z")
            if previous and offset != previous:
                changes.append(Tick(at, f"{previous[:3]}:{previous[3:]} → {offset[:3]}:{offset[3:]}"))
            previous = offset
        return changes

    def _grid(self) -> Iterator[datetime]:
        zone = ZoneInfo(self.zone)
        at = self.start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        while at <= self.end:
            if at >= self.start:
                yield at.astimezone(zone)
            at += _GRID


def _day(at: datetime) -> Tick:
    return Tick(at, f"{at:%a} {at.day} {at:%b}")
