"""`telegram`: a file of the sibling puruto-telegram, never rotated: that sibling keeps a byte offset into it."""

from __future__ import annotations

import os
from collections.abc import Callable

from channels.base import Surroundings
from channels.jsonl import FileChannel


class TelegramChannel(FileChannel):
    """`repo` is the sibling's folder, absolute. If it is missing, nothing is sent."""

    name = "telegram"
    path_key = "telegram_outbox"

    def __init__(self, path: str, shown: str, *, repo: str, pause: Callable[[float], object]) -> None:
        super().__init__(path, shown, pause)
        self._repo = repo

    @classmethod
    def make(cls, around: Surroundings) -> TelegramChannel:
        settings = around.settings
        return cls(
            str(settings.telegram_outbox),
            settings.display("telegram_outbox"),
            repo=str(settings.telegram_path),
            pause=around.pause,
        )

    def is_there(self) -> bool:
        return os.path.isdir(self._repo)

    def target(self) -> dict[str, object]:
        return {self.path_key: self.shown_path(), "telegram_repo_exists": self.is_there()}


KIND = TelegramChannel
