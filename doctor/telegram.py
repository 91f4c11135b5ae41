"""Checks of the sibling puruto-telegram: is its inbox drained? Nothing is checked if it has no `inbox.py`."""

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
#: The inbox is drained each minute; an event that has waited for longer than this is late.
LATE = timedelta(minutes=10)
#: Events that were set aside longer ago are not reported any more.
LATELY = timedelta(days=7)
_LONGEST_LINE = 1 << 20
#: A longer file of offsets is not read.
_MOST_BYTES = 1 << 20


def check(scene: Scene) -> Iterator[Finding]:
    """Whether events wait in its inbox, whether it can send them, and whether it has set any aside."""
    settings = scene.need_settings
    sibling, inbox = settings.telegram_path, settings.telegram_outbox
    if not os.path.isfile(sibling / "inbox.py"):
        return
    oldest, waiting = _oldest_waiting(sibling / "db" / "inbox_offsets.json", inbox, settings.telegram_outbox_file)
    why = _why_skipped(sibling / "db" / "inbox_state.json") if waiting else ""
    if why:
        text = f"{waiting} bytes of events wait in {inbox}, because inbox.py can't send them: {why}"
        fix = f"Set it in {sibling / '.env'} (docs/guides/telegram.md); the next inbox.py --deliver sends all of them."
        yield warning("TELEGRAM_NOT_SET_UP", SUBJECT, text, fix)
    elif oldest is not None and scene.now - oldest > LATE:
        text = f"{waiting} bytes of events wait in {inbox}, since {oldest.isoformat(timespec='seconds')}"
        log = settings.db_path.parent / "telegram.log"
        fix = f"Have it drained: python3 main.py install-crontab --telegram. Its log: {log}"
        yield warning("INBOX_NOT_DRAINED", SUBJECT, text, fix)
    aside = sibling / "db" / "cron-set-aside.jsonl"
    if _changed_since(aside, scene.now - LATELY):
        text = f"Some events could not be sent, or it is unknown whether they were; they were set aside in {aside}"
        fix = "Each line there says why. Delete the file when you have read it."
        yield warning("EVENTS_SET_ASIDE", SUBJECT, text, fix)
    yield fine(SUBJECT, f"Checked {inbox}")


def _oldest_waiting(offsets: Path, inbox: Path, key: str) -> tuple[datetime | None, int]:
    """The time of the first waiting event, and how many bytes wait. An offset that can't be read counts as 0."""
    try:
        stored = strict_json.read_object(offsets, _MOST_BYTES)
    except (OSError, strict_json.BadJson):
        stored = {}
    offset = stored.get(key)
    try:
        # Without O_NONBLOCK, opening a named pipe would block for ever.
        with open(inbox, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(offset if isinstance(offset, int) and 0 <= offset <= size else 0)
            waiting = size - file.tell()
            event = strict_json.parse(file.readline(_LONGEST_LINE)) if waiting else None
        return (from_text(str(event["ts"])), waiting) if isinstance(event, dict) and "ts" in event else (None, waiting)
    except (OSError, ValueError, strict_json.BadJson):
        return None, 0


def _why_skipped(state: Path) -> str:
    """What the last `inbox.py --deliver` lacked to send what waits; "" if nothing, or if that is not known."""
    try:
        stored = strict_json.parse(state.read_bytes())
    except (OSError, strict_json.BadJson):
        return ""
    why = stored.get("skipped_why") if isinstance(stored, dict) else ""
    return strict_json.plain_text(why)[:200] if isinstance(why, str) else ""


def _changed_since(path: Path, instant: datetime) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_size > 0 and datetime.fromtimestamp(status.st_mtime, UTC) > instant
