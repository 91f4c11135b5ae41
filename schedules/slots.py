"""Types and constants that all kinds of schedules share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

Kind = Literal["wild", "fixed", "interval", "once"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class DueSlots:
    """The slots in a span of time: their number, the oldest, and the newest in ascending order."""

    count: int
    first: datetime | None
    last: tuple[datetime, ...]
