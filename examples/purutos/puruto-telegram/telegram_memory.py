"""What a drain keeps for the next one: how long Telegram asked to wait, and the words of its last rejection.

db/telegram_state.json: {"to": digest of bot, chat and server, "wait": {"asked_at": epoch seconds, "sec": …},
"refused": {"words": …, "event": digest, "since": epoch seconds}}. An unreadable file counts as {}; one about another
bot, chat or server too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inbox_files import read_object, replace

FILE = "telegram_state.json"
#: The longest wait in seconds that is respected, and the longest time that unknown words delay an event.
LONGEST_SEC = 86_400.0


class Memory:
    """Kept in `folder`, about one bot, chat and server; `clock` gives epoch seconds."""

    def __init__(self, folder: Path, to: str, clock: Callable[[], float]) -> None:
        self._path = folder / FILE
        self._to = hashlib.sha256(to.encode("utf-8", "replace")).hexdigest()[:32]
        self._clock = clock
        found = read_object(self._path)
        self._known: dict[str, Any] = found if found.get("to") == self._to else {}

    def wait_left(self) -> float:
        """The seconds for which Telegram still wants no message; 0 if the clock was set back."""
        sec = min(_number(self._entry("wait").get("sec")), LONGEST_SEC)
        gone = self._clock() - _number(self._entry("wait").get("asked_at"))
        return sec - gone if 0 <= gone < sec else 0.0

    def keep_wait(self, sec: float) -> None:
        """Records that Telegram wants no message for so many seconds from now."""
        self._keep("wait", {"asked_at": self._clock(), "sec": min(sec, LONGEST_SEC)})

    def may_refuse(self, words: str, event: str) -> bool:
        """Whether these words may be about this event: not if another one was rejected with them before, unless a
        message was accepted since then.

        After `LONGEST_SEC` they may be again, so that nothing is held back for ever.
        """
        known = self._entry("refused")
        age = self._clock() - _number(known.get("since"))
        if known.get("words") == words and known.get("event") != event and age < LONGEST_SEC:
            if age < 0:
                # The clock was set back: the time counts from now.
                self._keep("refused", {**known, "since": self._clock()})
            return False
        if (known.get("words"), known.get("event")) != (words, event):
            self._keep("refused", {"words": words, "event": event, "since": self._clock()})
        return True

    def taken(self) -> None:
        """Records that a message was accepted: earlier rejections did not concern all messages."""
        if "refused" in self._known:
            self._keep("refused", {})

    def _entry(self, name: str) -> dict[str, Any]:
        found = self._known.get(name)
        return found if isinstance(found, dict) else {}

    def _keep(self, name: str, value: dict[str, Any]) -> None:
        self._known = {**self._known, "to": self._to, name: value}
        if not value:
            del self._known[name]
        replace(self._path, self._known)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e12 else 0.0
