"""What became of each event, written down before and after it is sent, so that a crash sends nothing twice.

One JSON line each in db/inbox_journal.jsonl: {"event": digest of its line, "state": …, "part": n}. States: `forwarded`
(it stands in the log), `sending` (part n is being sent), `sent` (part n has arrived), `unsent` (it is known that it has
not), `done` (nothing more to do).
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

FILE = "inbox_journal.jsonl"
#: So many events are remembered; the file is written anew when it is much longer.
KEPT = 10_000
_LONGEST = 6 * KEPT


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

    def note(self, event: str, state: str, part: int = 0) -> None:
        """Writes it down, and waits until the disk has it."""
        self._apply({"event": event, "state": state, "part": part})
        self._file.write(json.dumps({"event": event, "state": state, "part": part}).encode() + b"\n")
        os.fsync(self._file.fileno())

    def is_forwarded(self, event: str) -> bool:
        """Whether it stands in the log."""
        return event in self._events

    def is_done(self, event: str) -> bool:
        """Whether nothing more is to be done about it."""
        return bool(self._events.get(event, {}).get("done"))

    def sent_parts(self, event: str) -> int:
        """How many of its parts have arrived."""
        return int(self._events.get(event, {}).get("sent", 0))

    def in_doubt(self, event: str) -> bool:
        """Whether a part was being sent when a drain died: it may have arrived, or not."""
        known = self._events.get(event, {})
        return int(known.get("sending", 0)) > int(known.get("sent", 0))

    def _apply(self, entry: dict[str, Any]) -> None:
        known = self._events.setdefault(str(entry["event"]), {})
        if entry["state"] in ("sending", "sent"):
            known[entry["state"]] = max(int(entry.get("part", 0)), int(known.get(entry["state"], 0)))
        elif entry["state"] == "unsent":
            known["sending"] = known.get("sent", 0)
        elif entry["state"] == "done":
            known["done"] = True

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
            except (ValueError, KeyError, TypeError):
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
                entries = [("forwarded", 0), ("sending", known.get("sending", 0)), ("sent", known.get("sent", 0))]
                entries += [("done", 0)] if known.get("done") else []
                for state, part in entries:
                    file.write(json.dumps({"event": event, "state": state, "part": part}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self._path)
        self._events = newest
