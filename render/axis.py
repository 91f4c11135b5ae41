"""The axis of a picture: distances are real time, an hour an hour; what is written on it is local time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

#: All offsets of today are multiples of it, so that each local hour and each clock change lies on it.
_GRID = timedelta(minutes=15)
_DAY_MIN = 1440
#: Minutes between two labels.
_STEPS = (15, 30, 60, 120, 180, 360, 720, _DAY_MIN)


@dataclass(frozen=True)
class Tick:
    """A label at an instant."""

    at: datetime
    text: str


@dataclass(frozen=True)
class Axis:
    """A span in UTC, and the zone of its labels."""

    start: datetime
    end: datetime
    zone: str

    def place(self, instant: datetime) -> float:
        """Where an instant lies: 0 at the start, 1 at the end, less or more outside."""
        return (instant - self.start) / (self.end - self.start)

    def hours(self, labels: int) -> list[Tick]:
        """Full local hours, `18:00`, or finer: as close together as `labels` of them allow; none for whole days."""
        minutes = (self.end - self.start) / timedelta(minutes=1)
        step = next((step for step in _STEPS if minutes / step <= labels), _DAY_MIN)
        if step == _DAY_MIN:
            return []
        return [Tick(at, f"{at:%H:%M}") for at in self._grid() if (at.hour * 60 + at.minute) % step == 0]

    def first_day(self) -> Tick:
        """The day that the axis begins in."""
        return _day(self.start.astimezone(ZoneInfo(self.zone)))

    def days(self, labels: int) -> list[Tick]:
        """The first instant of local days, `Wed 25 Feb`; of each n-th where there are more than `labels`."""
        found, before = [], None
        for at in self._grid():
            if before is not None and before.date() != at.date():
                found.append(_day(at))
            before = at
        every = max(1, -(-len(found) // max(1, labels)))
        return [tick for tick in found if every == 1 or tick.at.toordinal() % every == 0]

    def clock_changes(self) -> list[Tick]:
        """Where the offset changes: `+01:00 → +02:00`."""
        found, before = [], ""
        for at in self._grid():
            offset = at.strftime("%z")
            if before and offset != before:
                found.append(Tick(at, f"{before[:3]}:{before[3:]} → {offset[:3]}:{offset[3:]}"))
            before = offset
        return found

    def _grid(self) -> Iterator[datetime]:
        zone = ZoneInfo(self.zone)
        at = self.start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        while at <= self.end:
            if at >= self.start:
                yield at.astimezone(zone)
            at += _GRID


def _day(at: datetime) -> Tick:
    return Tick(at, f"{at:%a} {at.day} {at:%b}")
