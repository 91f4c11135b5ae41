"""`local`: notifications/events.jsonl, which gets the events of every job and is put aside when it has grown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from channels.base import Surroundings
from channels.jsonl import AppendOnly, FileChannel

_MEGABYTE = 1_000_000


class LocalChannel(FileChannel):
    """`rotate_at` is the size in bytes at which the file is put aside."""

    name = "local"
    order = 0
    always = True
    path_key = "local_events"

    def __init__(
        self, path: str, shown: str, *, rotate_at: int, now: Callable[[], datetime], pause: Callable[[float], object]
    ) -> None:
        super().__init__(path, shown, pause)
        self._rotate_at = rotate_at
        self._now = now

    @classmethod
    def make(cls, around: Surroundings) -> LocalChannel:
        settings = around.settings
        return cls(
            str(settings.local_events),
            settings.display("local_events"),
            rotate_at=settings.events_mb * _MEGABYTE,
            now=around.now,
            pause=around.pause,
        )

    def after_all(self, file: AppendOnly) -> None:
        file.rotate(self._rotate_at, self._now().date().isoformat())

    def target(self) -> dict[str, object]:
        return {self.path_key: self.shown_path()}


KIND = LocalChannel
