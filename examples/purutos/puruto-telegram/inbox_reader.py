"""Reads new lines of the inbox from a byte offset, appends them to the log, and sets aside what can't be delivered."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inbox_delivery import Delivery, Sender
from inbox_files import append, read_object, replace, well_formed
from inbox_journal import Journal, digest

INBOX = "inbox/cron-events.jsonl"
OFFSETS = "db/inbox_offsets.json"
STATE = "db/inbox_state.json"
FORWARDED = "db/cron-forwarded.jsonl"
SET_ASIDE = "db/cron-set-aside.jsonl"
PREVIEWED = 20
#: The number of bytes before the offset by which the inbox is recognised.
_KNOWN_BYTES = 256
_CHUNK = 1 << 16
_LONGEST_LINE = 16 * 1024 * 1024


class Drain:
    """One drain of the inbox; the caller holds the lock."""

    def __init__(self, root: Path, journal: Journal, limit: int) -> None:
        self._root = root
        self._journal = journal
        self._limit = limit
        self.processed = 0
        self.counted: Counter[str] = Counter()
        self.preview: list[dict[str, Any]] = []
        self.set_aside = 0
        #: The events that no earlier drain has seen.
        self.new = 0
        self.restarted = ""
        self.offset = self._start()

    def forward_all(self) -> None:
        """Appends each new event to the log."""
        for line in self._lines():
            event = self._take(line)
            if event is not None:
                self._show(event, None)
            self._advance(line)

    def deliver_all(self, sender: Sender) -> None:
        """Appends each new event to the log, and sends it. Raises `Stopped` if no more can be sent now."""
        delivery = Delivery(sender, self._journal)
        for line in self._lines():
            event = self._take(line)
            if event is not None:
                name = digest(line)
                outcome = delivery.deliver(event, name)
                status = str(outcome["status"])
                if status in ("refused", "unknown"):
                    self._put_aside(event, str(outcome.get("reason", "")), _delivery=outcome)
                if status != "already_done":
                    self._journal.note(name, "done", why=status)
                self.counted[status] += 1
                self._show(event, outcome)
            self._advance(line)
            if delivery.stopped is not None:
                raise delivery.stopped

    def skip_all(self, why: str) -> None:
        """Appends each new event to the log, and leaves it in the inbox: it can't be sent before that is set up."""
        waits = False
        for line in self._lines():
            event = self._take(line)
            if event is not None:
                name = digest(line)
                done = self._journal.is_done(name)
                outcome: dict[str, Any] = {"status": "skipped", "reason": why}
                if done:
                    outcome = {"status": "already_done", "was": self._journal.outcome(name)}
                waits = waits or not done
                self.counted[str(outcome["status"])] += 1
                self._show(event, outcome)
            if waits:
                self.processed += 1
            else:
                self._advance(line)
        if waits:
            self._remember_why(why)

    def pending(self) -> int:
        """The number of complete lines that are not processed yet."""
        try:
            with open(self._root / INBOX, "rb") as file:
                file.seek(self.offset)
                return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
        except FileNotFoundError:
            return 0

    # --- where to start ---

    def _start(self) -> int:
        offset, known = self._offset(), read_object(self._root / STATE)
        size = os.stat(self._root / INBOX).st_size
        if offset > size:
            self.restarted = f"the inbox has {size} bytes, but {offset} were read: it was truncated or replaced"
        elif offset and known.get("offset") == offset and known.get("before") != self._before(offset):
            self.restarted = "the inbox is another file than the one that was read: it was replaced"
        if self.restarted:
            # Reported once: the next drain finds a matching offset.
            self._remember(0)
            return 0
        return self._line_start(offset)

    def _offset(self) -> int:
        found = read_object(self._root / OFFSETS).get(INBOX)
        return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else 0

    def _line_start(self, offset: int) -> int:
        """The start of the line that contains the offset. The journal knows which parts of that line were sent."""
        with open(self._root / INBOX, "rb") as file:
            while offset:
                file.seek(max(0, offset - _CHUNK))
                end = file.read(min(offset, _CHUNK)).rfind(b"\n")
                offset = max(0, offset - _CHUNK)
                if end >= 0:
                    return offset + end + 1
        return 0

    def _before(self, offset: int) -> str:
        with open(self._root / INBOX, "rb") as file:
            file.seek(max(0, offset - _KNOWN_BYTES))
            return hashlib.sha256(file.read(min(offset, _KNOWN_BYTES))).hexdigest()

    # --- lines ---

    def _lines(self) -> Iterator[bytes]:
        """Complete new lines, at most `limit`; a last line without its newline is left for the next drain."""
        with open(self._root / INBOX, "rb") as file:
            file.seek(self.offset)
            while self.processed < self._limit:
                line = file.readline(_LONGEST_LINE)
                while line and not line.endswith(b"\n") and len(line) % _LONGEST_LINE == 0:
                    piece = file.readline(_LONGEST_LINE)
                    line += piece
                    if not piece:
                        break
                if not line.endswith(b"\n"):
                    return
                yield line

    def _take(self, line: bytes) -> dict[str, Any] | None:
        """The event of a line, after it was appended to the log; None if the line is not an event."""
        if not line.strip():
            return None
        name = digest(line)
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            if not self._journal.is_done(name):
                self._put_aside({"line": line.decode("utf-8", "replace")[:4096]}, "it is not a JSON object")
                self._journal.note(name, "done", why="no_event")
            return None
        if not self._journal.is_forwarded(name):
            if not self._is_last_in_log(line):
                append(self._root / FORWARDED, line.strip() + b"\n")
            self._journal.note(name, "forwarded")
            self.new += 1
        return event

    def _is_last_in_log(self, line: bytes) -> bool:
        """Whether the log has the line already, because a drain died between writing the log and the journal."""
        entry = line.strip() + b"\n"
        try:
            with open(self._root / FORWARDED, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                if size < len(entry):
                    return False
                file.seek(size - len(entry))
                return file.read() == entry
        except FileNotFoundError:
            return False

    def _advance(self, line: bytes) -> None:
        self.offset += len(line)
        self.processed += 1
        self._remember(self.offset)

    def _remember(self, offset: int) -> None:
        replace(self._root / STATE, {"offset": offset, "before": self._before(offset)})
        replace(self._root / OFFSETS, {**read_object(self._root / OFFSETS), INBOX: offset})

    def _remember_why(self, why: str) -> None:
        """Stores why the events wait, for puruto-cron's `doctor`. The next drain that reads on removes it."""
        state = {"offset": self.offset, "before": self._before(self.offset), "skipped_why": why}
        if read_object(self._root / STATE) != state:
            replace(self._root / STATE, state)

    # --- reporting ---

    def _show(self, event: dict[str, Any], outcome: dict[str, Any] | None) -> None:
        fields = {key: event.get(key) for key in ("job_id", "run_id", "ts")}
        shown: dict[str, Any] = {key: value if isinstance(value, str | int) else None for key, value in fields.items()}
        if outcome is not None:
            shown["_delivery"] = outcome
        if len(self.preview) < PREVIEWED:
            self.preview.append(shown)

    def _put_aside(self, event: dict[str, Any], reason: str, **more: Any) -> None:
        entry = {"reason": reason, "event": event, **more}
        try:
            text = json.dumps(entry, ensure_ascii=False)
        except RecursionError:
            text = json.dumps({**entry, "event": f"nested too deep to be copied here; see {FORWARDED}"})
        append(self._root / SET_ASIDE, well_formed(text).encode() + b"\n")
        self.set_aside += 1
