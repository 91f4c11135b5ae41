"""A stored event → a line of events.jsonl and of the telegram mirror. Each file is append-only and never rewritten.

Delivery is in order and by one process at a time, so a line that a crash left half-written, or written but not marked,
is always the last one of the file: it is completed or recognised, never doubled.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from core import crash_points, log
from core.clock import utc_text
from core.errors import CronError
from core.private_files import make_private
from core.strict_json import encode, escape_line_ends

LOCAL = "local"
TELEGRAM = "telegram"
#: Events appended with one write and marked in one transaction.
BATCH = 200
#: How long the lock of a file is waited for: some 4 s in all, more often at first.
LOCK_PAUSES_SEC = (0.002, 0.005, 0.01, 0.02, *([0.05] * 80))


class Event(Protocol):
    """A stored event: `payload` is what the scheduler said, `ts` when it became true (UTC text)."""

    @property
    def ts(self) -> str: ...

    @property
    def payload(self) -> Mapping[str, object]: ...


class Outbox(Protocol):
    """What the notifier asks of the store: the oldest waiting events of a channel, and what became of them."""

    def waiting(self, channel: str, limit: int) -> Sequence[Any]: ...

    def settle(self, channel: str, events: Sequence[Any], state: str, now: str) -> None: ...

    def failed(self, channel: str, event: Any, error: str) -> None: ...


@dataclass(frozen=True)
class Delivery:
    """What one round brought to a channel; `error` is "" when all that waited has arrived, else why some may not."""

    channel: str
    delivered: int
    error: str


class Notifier:
    """Delivers what waits. `local_file` and `telegram_file` are absolute paths; the sibling is `telegram_repo`.

    `pause` waits for some seconds, between two attempts to lock a file. `rotate_at` is the size in bytes at which the
    local file is put aside; the mirror never is, because its reader keeps a byte offset.
    """

    def __init__(
        self,
        *,
        local_file: str,
        telegram_repo: str,
        telegram_file: str,
        rotate_at: int,
        now: Callable[[], datetime],
        pause: Callable[[float], object],
    ) -> None:
        self._local_file = local_file
        self._telegram_repo = telegram_repo
        self._telegram_file = telegram_file
        self._rotate_at = rotate_at
        self._now = now
        self._pause = pause

    def telegram_exists(self) -> bool:
        """Whether the sibling repository is there. A missing one is no failure."""
        return os.path.isdir(self._telegram_repo)

    def deliver(self, outbox: Outbox) -> list[Delivery]:
        """Appends every waiting event to its files. A channel that fails keeps its events and hurts no other."""
        mirror = self._append_all if self.telegram_exists() else self._drop_all
        return [
            self._guarded(LOCAL, self._local_file, outbox, self._append_all),
            self._guarded(TELEGRAM, self._telegram_file, outbox, mirror),
        ]

    def _guarded(self, channel: str, path: str, outbox: Outbox, bring: Callable[[str, str, Outbox], int]) -> Delivery:
        try:
            return Delivery(channel, bring(channel, path, outbox), "")
        except OSError as error:
            is_link = error.errno == errno.ELOOP and os.path.islink(path)
            reason = f"{path}: {'it is a link, and is not followed' if is_link else error.strerror or error}"
            log.warning(f"Events for {channel} wait: {reason}", code="EVENTS_WAITING")
            self._note_failure(channel, outbox, reason)
            return Delivery(channel, 0, reason)
        except CronError as error:
            log.warning(f"Events for {channel} wait: {error.message}", code=error.code)
            return Delivery(channel, 0, error.message)

    def _append_all(self, channel: str, path: str, outbox: Outbox) -> int:
        delivered = 0
        if not outbox.waiting(channel, 1):
            return delivered
        with AppendOnly(path, self._pause) as file:
            # Only now, under the lock, is it certain what waits.
            while events := outbox.waiting(channel, BATCH):
                file.append("".join(line(event) for event in events).encode())
                outbox.settle(channel, events, "delivered", utc_text(self._now()))
                delivered += len(events)
            # Here nothing of the channel waits: no line of the file can be one that is still to be recognised.
            if channel == LOCAL:
                file.rotate(self._rotate_at, self._now().date().isoformat())
        return delivered

    def _drop_all(self, channel: str, _path: str, outbox: Outbox) -> int:
        while events := outbox.waiting(channel, BATCH):
            outbox.settle(channel, events, "not_applicable", utc_text(self._now()))
        return 0

    def _note_failure(self, channel: str, outbox: Outbox, reason: str) -> None:
        # The same full disk may refuse the note; the event itself is stored and stays first in line.
        with log.tolerated(CronError, f"Why events for {channel} wait was not noted"):
            for event in outbox.waiting(channel, 1):
                outbox.failed(channel, event, reason)


def line(event: Event) -> str:
    """The event's one line: `ts` first, then what the scheduler said. The same bytes at every attempt."""
    return escape_line_ends(encode({"ts": event.ts, **event.payload})) + "\n"


class AppendOnly:
    """A locked JSONL file, its folder made if missing (0700, the file 0600). `append` skips what is there already."""

    def __init__(self, path: str, pause: Callable[[float], object]) -> None:
        self._path = path
        self._pause = pause
        self._fd = -1

    def __enter__(self) -> AppendOnly:
        make_private(os.path.dirname(self._path))
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            self._fd = os.open(self._path, flags, 0o600)
            try:
                self._lock()
                if self._is_current():
                    return self
            except OSError:
                os.close(self._fd)
                raise
            # Another process has put the file aside while this one waited for its lock.
            os.close(self._fd)

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), os.lstat(self._path))
        except FileNotFoundError:
            return False

    def rotate(self, size: int, day: str) -> None:
        """Puts the file aside as `<name>-<day><ending>` when it has reached `size` bytes; the next append makes anew.

        A folder that refuses leaves it in its place: a long file is better than a lost line.
        """
        if os.fstat(self._fd).st_size < size:
            return
        stem, ending = os.path.splitext(self._path)
        aside, number = f"{stem}-{day}{ending}", 1
        while os.path.lexists(aside):
            number += 1
            aside = f"{stem}-{day}-{number}{ending}"
        with log.tolerated(OSError, f"{self._path} was not put aside"):
            os.rename(self._path, aside)

    def _lock(self) -> None:
        """Waits for others a while: one that hangs must not hold up every tick behind it. Raises OSError."""
        for seconds in LOCK_PAUSES_SEC:
            try:
                return fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._pause(seconds)
        raise OSError(errno.EAGAIN, "locked by another process")

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        self._fd = -1

    def append(self, data: bytes) -> None:
        """Writes whole lines and makes them durable; what an earlier attempt left of them is not written again."""
        crash_points.point("append.before")
        rest = memoryview(data)[self._already_there(data) :]
        if crash_points.hook is not None:
            # Only a test tears a write in two.
            rest = rest[os.write(self._fd, rest[: len(rest) // 2]) :]
            crash_points.point("append.half")
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        os.fsync(self._fd)
        crash_points.point("append.after")

    def _already_there(self, data: bytes) -> int:
        """How many of the first bytes of `data` are the end of the file.

        A torn line that is not ours is closed with a newline, so that ours stays whole.
        """
        size = os.fstat(self._fd).st_size
        tail = os.pread(self._fd, min(size, len(data) + 1), max(0, size - len(data) - 1))
        # A line starts at the file's start, or behind a newline.
        start = 0 if size <= len(data) else tail.find(b"\n") + 1 or len(tail)
        while start < len(tail):
            if data.startswith(tail[start:]):
                return len(tail) - start
            start = tail.find(b"\n", start) + 1 or len(tail)
        if tail and not tail.endswith(b"\n"):
            os.write(self._fd, b"\n")
        return 0
