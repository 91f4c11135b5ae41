"""Stored events → lines of real files: each once, whole, in order, whatever breaks on the way."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from channels.jsonl import line
from channels.local import LocalChannel
from channels.telegram import TelegramChannel
from core.errors import DatabaseError, DatabaseFull, DatabaseLocked
from notifier import BATCH, Notifier
from tests.fakes import NOON
from tests.support_app import as_nobody, public_folder

LOCAL, TELEGRAM = LocalChannel.name, TelegramChannel.name


@dataclass(frozen=True)
class Event:
    """A stored event."""

    event_id: int
    payload: Mapping[str, object]
    ts: str = "2026-02-25T12:00:00+00:00"


@dataclass
class MemoryOutbox:
    """Events that wait, by channel. `refuse` holds errors that settling raises one after another."""

    queues: dict[str, list[Event]] = field(default_factory=lambda: {LOCAL: [], TELEGRAM: []})
    settled: list[tuple[str, int, str, str]] = field(default_factory=list)
    failures: list[tuple[str, int, str]] = field(default_factory=list)
    refuse: list[Exception] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    number: int = 0

    def add(self, count: int = 1, *, channels: Sequence[str] = (LOCAL, TELEGRAM), **payload: object) -> None:
        for _ in range(count):
            self.number += 1
            event = Event(self.number, {"job_id": "report", "run_id": f"report-{self.number}", **payload})
            for channel in channels:
                self.queues[channel].append(event)

    def waiting(self, channel: str, limit: int) -> Sequence[Any]:
        if channel in self.unreadable:
            raise DatabaseLocked("busy")
        return self.queues[channel][:limit]

    def settle(self, channel: str, events: Sequence[Any], state: str, now: str) -> None:
        if self.refuse:
            raise self.refuse.pop(0)
        for event in events:
            self.queues[channel].remove(event)
            self.settled.append((channel, event.event_id, state, now))

    def failed(self, channel: str, event: Any, error: str) -> None:
        self.failures.append((channel, event.event_id, error))


@dataclass
class Place:
    """A folder with both files, and the notifier over them."""

    root: Path
    outbox: MemoryOutbox = field(default_factory=MemoryOutbox)
    pause: Callable[[float], object] = time.sleep
    rotate_at: int = 1 << 40

    @property
    def local(self) -> Path:
        return self.root / "notifications" / "events.jsonl"

    @property
    def repo(self) -> Path:
        return self.root / "puruto-telegram"

    @property
    def mirror(self) -> Path:
        return self.repo / "inbox" / "cron-events.jsonl"

    def deliver(self) -> dict[str, tuple[int, str]]:
        local = LocalChannel(
            str(self.local), "events.jsonl", rotate_at=self.rotate_at, now=lambda: NOON, pause=self.pause
        )
        mirror = TelegramChannel(str(self.mirror), "cron-events.jsonl", repo=str(self.repo), pause=self.pause)
        notifier = Notifier([local, mirror], lambda: NOON)
        return {done.channel: (done.delivered, done.error) for done in notifier.deliver(self.outbox)}

    def ids(self, path: Path | None = None) -> list[str]:
        """The run ids of the lines, each of which must be whole."""
        text = (path or self.local).read_text(encoding="utf-8")
        assert text.endswith("\n")
        return [json.loads(row)["run_id"] for row in text.split("\n")[:-1]]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Both channels can be reached."""
    found = Place(tmp_path)
    found.repo.mkdir()
    return found


def _runs(count: int, start: int = 1) -> list[str]:
    return [f"report-{number}" for number in range(start, start + count)]


# --- the plain case ---


def test_an_event_is_one_line_in_both_files(place: Place) -> None:
    place.outbox.add(attempt=1, result={"status": "ok"})
    assert place.deliver() == {LOCAL: (1, ""), TELEGRAM: (1, "")}
    expected = (
        '{"ts": "2026-02-25T12:00:00+00:00", "job_id": "report", "run_id": "report-1", "attempt": 1,'
        ' "result": {"status": "ok"}}\n'
    )
    assert place.local.read_text() == expected
    assert place.mirror.read_text() == expected
    assert place.outbox.settled == [
        (LOCAL, 1, "delivered", "2026-02-25T12:00:00+00:00"),
        (TELEGRAM, 1, "delivered", "2026-02-25T12:00:00+00:00"),
    ]


def test_only_we_may_read_what_is_made(place: Place) -> None:
    place.outbox.add()
    place.deliver()
    for path in (place.local, place.mirror):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_events_arrive_in_order_behind_those_that_are_there(place: Place) -> None:
    for _ in range(3):
        place.outbox.add(4)
        place.deliver()
    assert place.ids() == place.ids(place.mirror) == _runs(12)


def test_nothing_waits_and_nothing_is_made(place: Place) -> None:
    assert place.deliver() == {LOCAL: (0, ""), TELEGRAM: (0, "")}
    assert not place.local.exists()
    assert not place.mirror.parent.exists()


@pytest.mark.parametrize("count", [BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 50])
def test_more_events_than_a_batch_arrive_in_one_round(place: Place, count: int) -> None:
    place.outbox.add(count)
    assert place.deliver()[LOCAL] == (count, "")
    assert place.ids() == place.ids(place.mirror) == _runs(count)


def test_text_of_any_language_stays_readable_and_on_its_line(place: Place) -> None:
    text = 'ñ “要約” 🎉 \x00\x1f\r\n\t"\\ \x7f'
    place.outbox.add(error={"message": text, text: 1})
    place.deliver()
    data = place.local.read_bytes()
    assert data.count(b"\n") == 1
    assert b"\r" not in data
    assert "要約".encode() in data
    assert json.loads(data)["error"] == {"message": text, text: 1}


def test_a_line_stays_one_line_for_readers_that_split_at_every_line_end_of_unicode(place: Place) -> None:
    place.outbox.add(error={"message": "a\u2028b\u2029c\u0085d"})
    place.deliver()
    (row,) = place.local.read_text(encoding="utf-8").splitlines()
    assert json.loads(row)["error"]["message"] == "a\u2028b\u2029c\u0085d"


def test_the_time_is_that_of_the_event_not_of_its_delivery(place: Place) -> None:
    place.outbox.queues[LOCAL].append(Event(1, {"run_id": "r"}, ts="2026-02-24T01:02:03+00:00"))
    place.deliver()
    assert json.loads(place.local.read_text())["ts"] == "2026-02-24T01:02:03+00:00"


# --- the sibling ---


def test_a_missing_sibling_is_no_failure_and_is_not_made(place: Place) -> None:
    place.repo.rmdir()
    place.outbox.add(BATCH + 3)
    assert place.deliver() == {LOCAL: (BATCH + 3, ""), TELEGRAM: (0, "")}
    assert not place.repo.exists()
    assert place.outbox.queues[TELEGRAM] == []
    assert {state for channel, _, state, _ in place.outbox.settled if channel == TELEGRAM} == {"not_applicable"}
    assert place.outbox.failures == []


def test_a_sibling_that_comes_later_gets_what_happens_from_then_on(place: Place) -> None:
    place.repo.rmdir()
    place.outbox.add(2)
    place.deliver()
    place.repo.mkdir()
    place.outbox.add(2)
    place.deliver()
    assert place.ids(place.mirror) == _runs(2, start=3)


def test_a_job_without_a_channel_is_not_mirrored(place: Place) -> None:
    place.outbox.add(channels=[LOCAL])
    assert place.deliver() == {LOCAL: (1, ""), TELEGRAM: (0, "")}
    assert not place.mirror.exists()


# --- crashes ---


def test_a_crash_between_append_and_mark_doubles_and_loses_nothing(place: Place) -> None:
    place.outbox.add(3)
    place.outbox.refuse = [DatabaseLocked("busy"), DatabaseLocked("busy")]
    assert [error for _, error in place.deliver().values()] == ["busy", "busy"]
    assert place.ids() == _runs(3)
    place.outbox.add(2)
    assert place.deliver() == {LOCAL: (5, ""), TELEGRAM: (5, "")}
    assert place.ids() == place.ids(place.mirror) == _runs(5)


def test_a_crash_in_the_second_batch_doubles_and_loses_nothing(place: Place) -> None:
    place.outbox.add(2 * BATCH + 7, channels=[LOCAL])
    settle = place.outbox.settle
    rounds = iter([None, DatabaseFull("full")])

    def once_then_full(*words: Any) -> None:
        error = next(rounds, None)
        if error is not None:
            raise error
        settle(*words)

    with mock.patch.object(place.outbox, "settle", once_then_full):
        place.deliver()
    assert len(place.ids()) == 2 * BATCH
    place.outbox.add(3, channels=[LOCAL])
    place.deliver()
    assert place.ids() == _runs(2 * BATCH + 10)


def test_every_place_at_which_a_write_can_break_off_is_mended(tmp_path: Path) -> None:
    whole = sum(
        len(line(Event(n, {"job_id": "report", "run_id": f"report-{n}", "text": "ñ要"})).encode()) for n in (2, 3)
    )
    for written in range(whole + 1):
        place = Place(tmp_path / str(written))
        place.outbox.add(1, channels=[LOCAL], text="ñ要")
        place.deliver()
        place.outbox.add(2, channels=[LOCAL], text="ñ要")
        with _room_for(place.local.stat().st_size + written):
            found = place.deliver()[LOCAL]
        assert (found == (2, "")) is (written == whole)
        place.outbox.add(1, channels=[LOCAL])
        place.deliver()
        assert place.ids() == _runs(4), f"after {written} bytes"


@contextmanager
def _room_for(size: int) -> Iterator[None]:
    """No file grows beyond this, as on a full disk: a write is cut short, the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_writes_that_take_a_few_bytes_each_make_whole_lines(place: Place) -> None:
    place.outbox.add(5, text="ñ要🎉")
    write = os.write
    with mock.patch("os.write", lambda descriptor, data: write(descriptor, bytes(data[:7]))):
        assert place.deliver()[LOCAL] == (5, "")
    assert place.ids() == place.ids(place.mirror) == _runs(5)


def test_a_torn_line_that_is_not_ours_is_closed_so_that_ours_stays_whole(place: Place) -> None:
    place.local.parent.mkdir()
    place.local.write_bytes(b'{"ts": "2025", "half')
    place.outbox.add(2)
    place.deliver()
    first, *rest = place.local.read_bytes().split(b"\n")
    assert first == b'{"ts": "2025", "half'
    assert [json.loads(row)["run_id"] for row in rest[:-1]] == _runs(2)


def test_bytes_that_are_no_text_before_ours_do_no_harm(place: Place) -> None:
    place.local.parent.mkdir()
    place.local.write_bytes(b"\xff\xfe\x00\n\n\n\xc3")
    place.outbox.add(2)
    assert place.deliver()[LOCAL] == (2, "")
    assert [json.loads(row)["run_id"] for row in place.local.read_bytes().split(b"\n")[4:-1]] == _runs(2)


def test_an_event_that_looks_like_the_last_line_but_is_another_is_not_swallowed(place: Place) -> None:
    place.outbox.queues[LOCAL] = [Event(1, {"run_id": "a", "x": 1}), Event(2, {"run_id": "a", "x": 12})]
    place.deliver()
    place.outbox.queues[LOCAL] = [Event(3, {"run_id": "a", "x": 123})]
    place.deliver()
    assert [json.loads(row)["x"] for row in place.local.read_text().splitlines()] == [1, 12, 123]


def test_what_is_marked_as_delivered_was_made_durable_before(place: Place) -> None:
    diary: list[str] = []
    place.outbox.add(2, channels=[LOCAL])
    settle, fsync = place.outbox.settle, os.fsync

    def marks(*words: Any) -> None:
        diary.append("mark")
        settle(*words)

    def flushes(descriptor: int) -> None:
        diary.append("flush")
        assert place.ids() == _runs(2)
        fsync(descriptor)

    with mock.patch("os.fsync", flushes), mock.patch.object(place.outbox, "settle", marks):
        place.deliver()
    assert diary == ["flush", "flush", "mark"], "the file, and the folder that it is new in"


def test_a_file_that_was_moved_away_begins_anew(place: Place) -> None:
    place.outbox.add(2)
    place.deliver()
    place.local.rename(place.root / "old.jsonl")
    place.outbox.add(2)
    place.deliver()
    assert place.ids() == _runs(2, start=3)
    assert place.ids(place.mirror) == _runs(4)


# --- what can't be written ---


def _blocked_by_symlink(place: Place) -> None:
    place.local.parent.mkdir()
    place.local.symlink_to("/dev/full")


def _blocked_by_link_to_a_file(place: Place) -> None:
    place.local.parent.mkdir()
    (place.root / "elsewhere").write_text("not ours")
    place.local.symlink_to(place.root / "elsewhere")


def _blocked_by_folder(place: Place) -> None:
    place.local.mkdir(parents=True)


def _blocked_by_file(place: Place) -> None:
    place.local.parent.write_text("in the way")


def _blocked_by_pipe(place: Place) -> None:
    place.local.parent.mkdir()
    os.mkfifo(place.local)


@pytest.mark.parametrize(
    "block", [_blocked_by_symlink, _blocked_by_link_to_a_file, _blocked_by_folder, _blocked_by_file, _blocked_by_pipe]
)
def test_a_channel_that_can_not_be_written_keeps_its_events_and_hurts_no_other(place: Place, block: Any) -> None:
    block(place)
    place.outbox.add(3)
    found = place.deliver()
    assert found[TELEGRAM] == (3, "")
    count, error = found[LOCAL]
    assert count == 0
    assert error.startswith(str(place.local))
    assert place.outbox.failures == [(LOCAL, 1, error)]
    assert len(place.outbox.queues[LOCAL]) == 3
    assert not (place.root / "elsewhere").exists() or (place.root / "elsewhere").read_text() == "not ours"


def test_the_mirror_that_can_not_be_written_does_not_hurt_the_local_file(place: Place) -> None:
    (place.repo / "inbox").write_text("in the way")
    place.outbox.add(3)
    found = place.deliver()
    assert found[LOCAL] == (3, "")
    assert str(place.mirror) in found[TELEGRAM][1]
    (place.repo / "inbox").unlink()
    place.outbox.add(1)
    place.deliver()
    assert place.ids(place.mirror) == place.ids() == _runs(4)


@pytest.mark.parametrize("channel", [LOCAL, TELEGRAM])
@pytest.mark.parametrize("sibling", [True, False])
def test_a_channel_whose_events_can_not_be_read_or_marked_is_no_error_of_the_round(
    place: Place, channel: str, sibling: bool
) -> None:
    if not sibling:
        place.repo.rmdir()
    place.outbox.add(2)
    place.outbox.unreadable = {channel}
    found = place.deliver()
    assert found[channel] == (0, "busy")
    assert found[TELEGRAM if channel == LOCAL else LOCAL][1] == ""
    place.outbox.unreadable = set()
    place.outbox.refuse = [DatabaseFull("full")]
    place.deliver()
    place.deliver()
    assert place.ids() == _runs(2)


def test_a_failure_that_can_not_even_be_noted_is_no_error_of_the_round(place: Place) -> None:
    _blocked_by_folder(place)
    place.outbox.add(1)

    def refuse(*_: object) -> None:
        raise DatabaseError("full")

    with mock.patch.object(place.outbox, "failed", refuse):
        assert place.deliver()[LOCAL][0] == 0


def test_a_folder_that_belongs_to_another_user_keeps_the_events_until_it_can_be_written() -> None:
    with public_folder() as folder:
        place = Place(folder)
        place.local.parent.mkdir(mode=0o755)
        place.outbox.add(2, channels=[LOCAL])
        with as_nobody():
            count, error = place.deliver()[LOCAL]
        assert (count, error) == (0, f"{place.local}: Permission denied")
        place.local.parent.chmod(0o777)
        with as_nobody():
            assert place.deliver()[LOCAL] == (2, "")
        assert place.ids() == _runs(2)


def test_a_full_disk_keeps_the_events_until_there_is_space(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    try:
        place = Place(disk)
        place.outbox.add(4, channels=[LOCAL], text="x" * 30_000)
        count, error = place.deliver()[LOCAL]
        assert (count, error) == (0, f"{place.local}: No space left on device")
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        assert place.deliver()[LOCAL] == (4, "")
        assert place.ids() == _runs(4)
    finally:
        subprocess.run(["umount", disk], check=True)


def _open_files() -> int:
    """How many descriptors this process holds, as far as the system tells."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_a_process_that_hangs_with_the_files_lock_does_not_hang_us(place: Place) -> None:
    place.outbox.add(2)
    place.local.parent.mkdir()
    pauses: list[float] = []
    place.pause = pauses.append
    before = _open_files()
    with place.local.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = place.deliver()
    assert found == {LOCAL: (0, f"{place.local}: locked by another process"), TELEGRAM: (2, "")}
    assert 1 < sum(pauses) < 30, "long enough for the others' turns, and not for ever"
    assert _open_files() == before
    assert place.outbox.failures == [(LOCAL, 1, f"{place.local}: locked by another process")]


def test_a_lock_that_is_given_back_after_a_while_is_waited_for(place: Place) -> None:
    place.outbox.add(2)
    place.local.parent.mkdir()
    pauses: list[float] = []
    with place.local.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 9:
                fcntl.flock(held, fcntl.LOCK_UN)

        place.pause = pause
        assert place.deliver()[LOCAL] == (2, "")
    assert len(pauses) == 9
    assert place.ids() == _runs(2)


# --- putting the local file aside ---


def test_a_local_file_that_has_grown_is_put_aside_and_the_mirror_never_is(place: Place) -> None:
    place.rotate_at = 1
    held = None
    for _ in range(3):
        place.outbox.add()
        assert place.deliver()[LOCAL] == (1, "")
        # A reader keeps the byte offset at which it stopped.
        data = place.mirror.read_bytes()
        assert held is None or data.startswith(held)
        held = data
    names = sorted(path.name for path in place.local.parent.iterdir())
    assert names == ["events-2026-02-25-2.jsonl", "events-2026-02-25-3.jsonl", "events-2026-02-25.jsonl"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in place.local.parent.iterdir())
    assert place.ids(place.mirror) == ["report-1", "report-2", "report-3"]
    assert place.ids(place.local.with_name("events-2026-02-25-3.jsonl")) == ["report-3"]


def test_a_file_with_a_line_that_is_not_marked_yet_is_not_put_aside(place: Place) -> None:
    """Its last line is how the next delivery recognises what has arrived."""
    place.rotate_at = 1
    place.outbox.add()
    place.outbox.refuse = [DatabaseLocked("busy")]
    place.deliver()
    assert [path.name for path in place.local.parent.iterdir()] == ["events.jsonl"]
    place.outbox.add()
    place.deliver()
    assert place.ids(place.local.with_name("events-2026-02-25.jsonl")) == ["report-1", "report-2"]


def test_a_file_that_can_not_be_put_aside_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "replace", refuse)
    place.rotate_at = 1
    for _ in range(2):
        place.outbox.add()
        assert place.deliver()[LOCAL] == (1, "")
    assert place.ids() == ["report-1", "report-2"]


def test_a_writer_that_waited_for_a_file_that_was_put_aside_writes_into_the_new_one(place: Place) -> None:
    place.outbox.add()
    place.deliver()
    aside = place.local.with_name("aside.jsonl")
    holder = os.open(place.local, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)

    def put_aside_meanwhile(_seconds: float) -> None:
        if not aside.exists():
            place.local.rename(aside)
            os.close(holder)

    place.pause = put_aside_meanwhile
    place.outbox.add()
    assert place.deliver()[LOCAL] == (1, "")
    assert (place.ids(aside), place.ids()) == (["report-1"], ["report-2"])
