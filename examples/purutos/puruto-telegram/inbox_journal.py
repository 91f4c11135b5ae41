"""What became of each event, written down before and after it is sent, so that a crash sends nothing twice.

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

FILE = "inbox_journal.jsonl"
#: So many events are remembered; the file is written anew when it is much longer.
KEPT = 10_000
_LONGEST = 6 * KEPT
#: Nothing more is to be done about such a part.
_FINISHED = ("sent", "refused", "unknown")


def digest(line: bytes) -> str:
    """What identifies an event: its line."""
    return hashlib.sha256(line.strip()).hexdigest()[:32]


class Journal:
    """Append-only; each line is on the disk before what it announces is done."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._events: dict[str, dict[str, Any]] = {}
        lines = self._read()
        if lines > _LONGEST:
            self._compact()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._file = open(descriptor, "ab", buffering=0)  # noqa: SIM115 - closed by __exit__
        if not self._ends_well():
            # A crash in the middle of a line: what comes now begins a new one.
            self._file.write(b"\n")

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def note(self, event: str, state: str, part: int = 0, why: str = "") -> None:
        """Writes it down, and waits until the disk has it."""
        entry = _entry(event, state, part, why)
        self._apply(entry)
        self._file.write(_line(entry))
        os.fsync(self._file.fileno())

    def is_forwarded(self, event: str) -> bool:
        """Whether it stands in the log."""
        return event in self._events

    def is_done(self, event: str) -> bool:
        """Whether nothing more is to be done about it."""
        return "done" in self._events.get(event, {})

    def outcome(self, event: str) -> str:
        """What became of an event that is done."""
        return str(self._events[event]["done"]) or "delivered"

    def finished(self, event: str) -> int:
        """Up to which of its parts nothing more is to be done."""
        return max(self._events.get(event, {}).get("parts", {}), default=0)

    def parts_that_are(self, state: str, event: str) -> dict[int, str]:
        """Its parts in that state, and why."""
        parts = self._events.get(event, {}).get("parts", {})
        return {part: why for part, (found, why) in parts.items() if found == state}

    def in_doubt(self, event: str) -> int:
        """The part that was being sent when a drain died: it may have arrived, or not. 0 when there is none."""
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
        os.replace(fresh, self._path)
        self._events = newest


def _entry(event: str, state: str, part: int, why: str) -> dict[str, Any]:
    return {"event": event, "state": state, "part": part, **({"why": why} if why else {})}


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _entries(event: str, known: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The fewest by which an event is known as before."""
    yield _entry(event, "forwarded", 0, "")
    for part, (state, why) in known.get("parts", {}).items():
        yield _entry(event, state, part, why)
    if known.get("sending"):
        yield _entry(event, "sending", known["sending"], "")
    if "done" in known:
        yield _entry(event, "done", 0, known["done"])
