"""Many processes that tell at once, over one database and one file; and processes that die in the middle of it."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from store.bundle import Store
from store.creation import create
from tests.support_app import python
from tests.workspace import PATIENCE

pytestmark = pytest.mark.process

WRITERS = 20
EACH = 12

_WRITER = """
    import os, sys, time
    from datetime import UTC, datetime
    from db import Database
    from channels.local import LocalChannel
    from channels.telegram import TelegramChannel
    from notifier import Notifier
    from store.bundle import Store
    root, name, count, dies, rotate_at = sys.argv[1:]
    store = Store(Database(root + "/cron.db"))
    now = lambda: datetime(2026, 1, 1, tzinfo=UTC)
    mirror = root + "/puruto-telegram/inbox/cron-events.jsonl"
    notifier = Notifier([
        LocalChannel(root + "/notifications/events.jsonl", "", rotate_at=int(rotate_at), now=now, pause=time.sleep),
        TelegramChannel(mirror, "", repo=root + "/puruto-telegram", pause=time.sleep),
    ], now)
    if dies == "after the append":
        store.events.settle = lambda *_: os.kill(os.getpid(), 9)
    if dies == "within a line":
        write = os.write
        os.write = lambda fd, data: (write(fd, bytes(data[:33])), os.kill(os.getpid(), 9))[0]
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(count)):
        with store.db.transaction("test"):
            store.events.add(f"{name}-{number}", name, "2026-01-01T00:00:00+00:00",
                             {"job_id": name, "run_id": f"{name}-{number}", "text": "ñ" * 3000}, ["local", "telegram"])
        notifier.deliver(store.events)
"""


def _writer(root: Path, name: str, count: int, dies: str = "", *, rotate_at: int = 1 << 40) -> subprocess.Popen[bytes]:
    return python(_WRITER, str(root), name, str(count), dies, str(rotate_at), stdin=subprocess.PIPE)


def _stored(root: Path) -> list[str]:
    db, _ = create(str(root / "cron.db"))
    try:
        return [row["run_id"] for row in db.rows("SELECT run_id FROM events ORDER BY event_id")]
    finally:
        db.close()


def _waiting(root: Path) -> int:
    db, _ = create(str(root / "cron.db"))
    try:
        return sum(waiting.count for waiting in Store(db).events.undelivered_summary())
    finally:
        db.close()


def _told(path: Path) -> list[str]:
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    return [json.loads(line)["run_id"] for line in lines]


def _local_files(folder: Path) -> list[Path]:
    """Those that were put aside in their order, and the present one."""
    aside = sorted(folder.glob("events-*.jsonl"), key=lambda path: (len(path.name), path.name))
    current = folder / "events.jsonl"
    return [*aside, *([current] if current.exists() else [])]


@pytest.mark.parametrize("rotate_at", [1 << 40, 20_000], ids=["one file", "put aside all the time"])
def test_twenty_writers_at_once_make_whole_lines_each_event_once_in_order(tmp_path: Path, rotate_at: int) -> None:
    (tmp_path / "puruto-telegram").mkdir()
    create(str(tmp_path / "cron.db"))[0].close()
    writers = [_writer(tmp_path, f"writer{number}", EACH, rotate_at=rotate_at) for number in range(WRITERS)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    outputs = [writer.communicate(b"go\n", timeout=PATIENCE) for writer in writers]
    assert [(writer.returncode, err) for writer, (_, err) in zip(writers, outputs, strict=True)] == [(0, b"")] * WRITERS
    # Who waits too long for the lock leaves the events to the next one; behind the last one, that is us.
    last = _writer(tmp_path, "last", 1, rotate_at=rotate_at)
    assert last.communicate(b"go\n", timeout=PATIENCE) == (b"ready\n", b"")
    stored = _stored(tmp_path)
    assert len(set(stored)) == WRITERS * EACH + 1
    assert _waiting(tmp_path) == 0
    files = _local_files(tmp_path / "notifications")
    assert (len(files) > 5) == (rotate_at == 20_000)
    assert [run_id for path in files for run_id in _told(path)] == stored
    assert _told(tmp_path / "puruto-telegram" / "inbox" / "cron-events.jsonl") == stored


def test_writers_that_are_killed_in_mid_delivery_leave_no_gap_no_double_and_no_lock(tmp_path: Path) -> None:
    create(str(tmp_path / "cron.db"))[0].close()
    for number, dies in enumerate(["within a line", "after the append", "within a line", "", "after the append", ""]):
        writer = _writer(tmp_path, f"writer{number}", 2, dies)
        _, err = writer.communicate(b"go\n", timeout=PATIENCE)
        assert (writer.returncode, err) == (-signal.SIGKILL if dies else 0, b"")
    stored = _stored(tmp_path)
    assert len(stored) == 1 + 1 + 1 + 2 + 1 + 2
    assert _told(tmp_path / "notifications" / "events.jsonl") == stored
    assert _waiting(tmp_path) == 0
