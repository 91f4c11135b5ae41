"""New lines of the inbox, from a byte offset, each whole; what stands in the log; and what could not be dealt with."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from inbox_journal import Journal, digest

INBOX = "inbox/cron-events.jsonl"
OFFSETS = "db/inbox_offsets.json"
STATE = "db/inbox_state.json"
FORWARDED = "db/cron-forwarded.jsonl"
SET_ASIDE = "db/cron-set-aside.jsonl"
PREVIEWED = 20
#: The bytes before the offset by which the inbox is known again.
_KNOWN_BYTES = 256
_LONGEST_LINE = 16 * 1024 * 1024


class Stopped(Exception):
    """The drain can't go on now; the event that it was at stays for the next one."""

    def __init__(self, code: str, message: str, **details: object) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


class Sender(Protocol):
    """Sends an event's parts."""

    def parts(self, event: dict[str, Any]) -> list[str]:
        """The event as messages."""

    def send(self, part: str) -> dict[str, Any]:
        """Sends one: {"status": "delivered" | "skipped" | "refused" | "unknown", …}. Raises `Stopped`."""


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
        """The same, and sends each. Raises `Stopped` when no more can be sent now."""
        for line in self._lines():
            event = self._take(line)
            if event is not None:
                outcome = self._deliver(sender, event, digest(line))
                self.counted[str(outcome["status"])] += 1
                self._show(event, outcome)
            self._advance(line)

    def pending(self) -> int:
        """Whole lines that are still to be processed."""
        try:
            with open(self._root / INBOX, "rb") as file:
                file.seek(self.offset)
                return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
        except FileNotFoundError:
            return 0

    # --- where to begin ---

    def _start(self) -> int:
        offset, known = self._offset(), self._json(STATE)
        size = os.stat(self._root / INBOX).st_size
        if offset > size:
            self.restarted = f"the inbox has {size} bytes, and {offset} were read: it was cut or replaced"
            return 0
        if offset and known.get("offset") == offset and known.get("before") != self._before(offset):
            self.restarted = "the inbox is another file than the one that was read: it was replaced"
            return 0
        return offset

    def _offset(self) -> int:
        found = self._json(OFFSETS).get(INBOX)
        return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else 0

    def _json(self, name: str) -> dict[str, Any]:
        """An unreadable file counts as {}. Source: the contract."""
        try:
            found = json.loads((self._root / name).read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _before(self, offset: int) -> str:
        with open(self._root / INBOX, "rb") as file:
            file.seek(max(0, offset - _KNOWN_BYTES))
            return hashlib.sha256(file.read(min(offset, _KNOWN_BYTES))).hexdigest()

    # --- lines ---

    def _lines(self) -> Iterator[bytes]:
        """New lines that are whole, at most `limit`; a last one without its end is left for the next drain."""
        with open(self._root / INBOX, "rb") as file:
            file.seek(self.offset)
            while self.processed < self._limit:
                line = file.readline(_LONGEST_LINE)
                while line and not line.endswith(b"\n") and len(line) % _LONGEST_LINE == 0:
                    more = file.readline(_LONGEST_LINE)
                    line += more
                    if not more:
                        break
                if not line.endswith(b"\n"):
                    return
                yield line

    def _take(self, line: bytes) -> dict[str, Any] | None:
        """The event of a line, which then stands in the log; None for a line that is none, or that is done with."""
        if not line.strip():
            return None
        name = digest(line)
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            if not self._journal.is_done(name):
                self._put_aside({"line": line.decode("utf-8", "replace")[:4096]}, "it is no JSON object")
                self._journal.note(name, "done")
            return None
        if not self._journal.is_forwarded(name):
            if not self._stands_last_in_log(line):
                self._append(FORWARDED, line.strip() + b"\n")
            self._journal.note(name, "forwarded")
        return event

    def _stands_last_in_log(self, line: bytes) -> bool:
        """Whether a drain died between the log and the journal."""
        wanted = line.strip() + b"\n"
        try:
            with open(self._root / FORWARDED, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                if size < len(wanted):
                    return False
                file.seek(size - len(wanted))
                return file.read() == wanted
        except FileNotFoundError:
            return False

    def _advance(self, line: bytes) -> None:
        self.offset += len(line)
        self.processed += 1
        known = {"offset": self.offset, "before": self._before(self.offset)}
        self._replace(STATE, known)
        self._replace(OFFSETS, {**self._json(OFFSETS), INBOX: self.offset})

    # --- sending ---

    def _deliver(self, sender: Sender, event: dict[str, Any], name: str) -> dict[str, Any]:
        if self._journal.is_done(name):
            return {"status": "already_delivered"}
        if self._journal.in_doubt(name):
            # Telegram knows no key by which a message could be told from its repetition.
            reason = "a drain died while it sent this; whether it arrived is not known, and it is not sent again"
            return self._give_up(event, name, {"status": "unknown", "reason": reason})
        parts = sender.parts(event)
        outcome: dict[str, Any] = {"status": "delivered"}
        for number, part in enumerate(parts, 1):
            if number <= self._journal.sent_parts(name):
                continue
            self._journal.note(name, "sending", number)
            try:
                outcome = sender.send(part)
            except Stopped:
                # It is known that it did not arrive.
                self._journal.note(name, "unsent", number)
                raise
            if outcome["status"] in ("refused", "unknown"):
                return self._give_up(event, name, outcome)
            if outcome["status"] == "skipped":
                break
            self._journal.note(name, "sent", number)
        self._journal.note(name, "done")
        return {**outcome, "parts": len(parts)}

    def _give_up(self, event: dict[str, Any], name: str, outcome: dict[str, Any]) -> dict[str, Any]:
        self._put_aside(event, str(outcome.get("reason", "")), _delivery=outcome)
        self._journal.note(name, "done")
        return outcome

    def _show(self, event: dict[str, Any], outcome: dict[str, Any] | None) -> None:
        shown = {key: event.get(key) for key in ("job_id", "run_id", "ts")}
        if outcome is not None:
            shown["_delivery"] = outcome
        if len(self.preview) < PREVIEWED:
            self.preview.append(shown)

    # --- files ---

    def _put_aside(self, event: dict[str, Any], reason: str, **more: Any) -> None:
        entry = {"reason": reason, "event": event, **more}
        self._append(SET_ASIDE, json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        self.set_aside += 1

    def _append(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(self._root / name, flags, 0o600), "ab", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())

    def _replace(self, name: str, value: dict[str, Any]) -> None:
        fresh = self._root / f"{name}.new"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(json.dumps(value).encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self._root / name)
