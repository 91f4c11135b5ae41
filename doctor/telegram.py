"""The sibling that sends what is told: does anything drain its inbox? Without an `inbox.py` there is no answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core import strict_json
from core.clock import from_text
from doctor.findings import Finding, fine, warning
from doctor.scene import Scene

SUBJECT = "puruto-telegram"
#: A drain comes each minute.
LATE = timedelta(minutes=10)
#: What was put aside longer ago has been seen, or never will be.
LATELY = timedelta(days=7)
_LONGEST_LINE = 1 << 20


def check(scene: Scene) -> Iterator[Finding]:
    """Its inbox is drained, and what it put aside is known."""
    settings = scene.need_settings
    sibling, inbox = settings.telegram_path, settings.telegram_outbox
    if not (sibling / "inbox.py").is_file():
        return
    oldest, waiting = _oldest_waiting(sibling / "db" / "inbox_offsets.json", inbox, settings.telegram_outbox_file)
    if oldest is not None and scene.now - oldest > LATE:
        text = f"{waiting} bytes of events wait in {inbox}, the oldest since {oldest.isoformat(timespec='seconds')}"
        log = settings.db_path.parent / "telegram.log"
        fix = f"Have it drained: python3 main.py install-crontab --telegram. What it says: {log}"
        yield warning("INBOX_NOT_DRAINED", SUBJECT, text, fix)
    aside = sibling / "db" / "cron-set-aside.jsonl"
    if _changed_since(aside, scene.now - LATELY):
        text = (
            f"Events were put aside lately, because they could not be sent, or nobody knows whether they were: {aside}"
        )
        yield warning(
            "EVENTS_SET_ASIDE", SUBJECT, text, "Each line there says why. Delete the file when you have read it."
        )
    yield fine(SUBJECT, f"Looked at {inbox}")


def _oldest_waiting(offsets: Path, inbox: Path, key: str) -> tuple[datetime | None, int]:
    """When the first event that waits became true, and how many bytes wait. An unreadable offset counts as 0."""
    try:
        known = strict_json.parse(offsets.read_bytes())
    except (OSError, strict_json.BadJson):
        known = {}
    offset = known.get(key) if isinstance(known, dict) else 0
    try:
        with inbox.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(offset if isinstance(offset, int) and 0 <= offset <= size else 0)
            waiting = size - file.tell()
            event = strict_json.parse(file.readline(_LONGEST_LINE)) if waiting else None
        return (from_text(str(event["ts"])), waiting) if isinstance(event, dict) and "ts" in event else (None, waiting)
    except (OSError, ValueError, strict_json.BadJson):
        return None, 0


def _changed_since(path: Path, instant: datetime) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return found.st_size > 0 and datetime.fromtimestamp(found.st_mtime, UTC) > instant
