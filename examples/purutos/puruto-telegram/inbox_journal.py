"""The outcome of each event, recorded before and after it is sent, so that nothing is sent twice after a crash.

One JSON line each in db/inbox_journal.jsonl: {"event": digest of its line, "state": …, "part": n, "why": …}. States:
`forwarded` (it stands in the log), `sending` (part n is being sent), `unsent` (it is known that it has not arrived, and
is to be sent), `sent` (part n has arrived), `refused` (Telegram does not take part n), `unknown` (nobody can say if
part n arrived), `done` (nothing more to do; `why` is what became of the event, a `_delivery.status` or `no_event`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from inbox_files import put_in_place

FILE = "inbox_journal.jsonl"
#: The number of events that are kept; a much longer file is rewritten.
KEPT = 10_000
_LONGEST = 6 * KEPT
#: States of a part that is finished.
_FINISHED = ("sent", "refused", "unknown")


def digest(line: bytes) -> str:
    """The digest that identifies an event: that of its line."""
    return hashlib.sha256(line.strip()).hexdigest()[:32]


class Journal:
    """An append-only file. Each line is on the disk before the action that it announces."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._events: dict[str, dict[str, Any]] = {}
        lines = self._read()
        if lines > _LONGEST:
            self._compact()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._file = open(descriptor, "ab", buffering=0)  # noqa: SIM115 - closed by __exit__
        if not self._ends_well():
            # A crash left a line without its end: start a new one.
            self._file.write(b"\n")

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def note(self, event: str, state: str, part: int = 0, why: str = "") -> None:
        """Records a state, and waits until it is on the disk."""
        entry = _entry(event, state, part, why)
        self._apply(entry)
        self._file.write(_line(entry))
        os.fsync(self._file.fileno())

    def is_forwarded(self, event: str) -> bool:
        """Whether the event is in the log."""
        return event in self._events

    def is_done(self, event: str) -> bool:
        """Whether the event is finished."""
        return "done" in self._events.get(event, {})

    def outcome(self, event: str) -> str:
        """The outcome of a finished event."""
        return str(self._events[event]["done"]) or "delivered"

    def finished(self, event: str) -> int:
        """The number of its first parts that are finished."""
        return max(self._events.get(event, {}).get("parts", {}), default=0)

    def parts_that_are(self, state: str, event: str) -> dict[int, str]:
        """Its parts in that state, with the reasons."""
        parts = self._events.get(event, {}).get("parts", {})
        return {part: why for part, (found, why) in parts.items() if found == state}

    def in_doubt(self, event: str) -> int:
        """The part that was being sent when a drain died, so that it may have arrived; 0 if there is none."""
        sending = int(self._events.get(event, {}).get("sending", 0))
        return sending if sending > self.finished(event) else 0

    def _apply(self, entry: dict[str, Any]) -> None:
        state, part, why = str(entry["state"]), int(entry.get("part", 0)), str(entry.get("why", ""))
        known = self._events.setdefault(str(entry["event"]), {})
        if state in _FINISHED:
            known.setdefault("parts", {})[part] = (state, why)
        elif state in ("sending", "unsent"):
            known["sending"] = part if state == "sending" else 0
        elif state == "done":
            known["done"] = why

    def _read(self) -> int:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        lines = data.splitlines()
        for line in lines:
            try:
                entry = json.loads(line)
                if isinstance(entry, dict) and isinstance(entry.get("event"), str):
                    self._apply(entry)
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                continue
        return len(lines)

    def _ends_well(self) -> bool:
        with open(self._path, "rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return True
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _compact(self) -> None:
        newest = dict(list(self._events.items())[-KEPT:])
        fresh = self._path.with_suffix(".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            for event, known in newest.items():
                for entry in _entries(event, known):
                    file.write(_line(entry))
            file.flush()
            os.fsync(file.fileno())
        put_in_place(fresh, self._path)
        self._events = newest


def _entry(event: str, state: str, part: int, why: str) -> dict[str, Any]:
    return {"event": event, "state": state, "part": part, **({"why": why} if why else {})}


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _entries(event: str, known: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The fewest lines that keep the state of an event."""
    yield _entry(event, "forwarded", 0, "")
    for part, (state, why) in known.get("parts", {}).items():
        yield _entry(event, state, part, why)
    if known.get("sending"):
        yield _entry(event, "sending", known["sending"], "")
    if "done" in known:
        yield _entry(event, "done", 0, known["done"])
