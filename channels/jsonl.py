"""Channels that are a file: an event is a line of JSON, and the file is append-only and never rewritten.

Delivery is in order and by one process at a time, so a line that a crash left half-written, or written but not marked,
is always the last one of the file: it is completed or recognised, never doubled.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from channels.base import Channel, Event, Send
from core import crash_points, log
from core.durable import put_in_place, sync_folder
from core.private_files import make_private_folder
from core.strict_json import encode, escape_hidden

#: How long the lock of a file is waited for: some 4 s in all, more often at first.
LOCK_PAUSES_SEC = (0.002, 0.005, 0.01, 0.02, *([0.05] * 80))


class FileChannel(Channel):
    """A channel that is a file at the absolute `path`."""

    def __init__(self, path: str, shown: str, pause: Callable[[float], object]) -> None:
        """`shown` is the path as people configured it."""
        self._path = path
        self._shown = shown
        self._pause = pause

    @contextmanager
    def open(self) -> Iterator[Send]:
        with AppendOnly(self._path, self._pause) as file:

            def send(events: Sequence[Event]) -> None:
                file.append("".join(line(event) for event in events).encode())

            yield send
            # Here nothing of the channel waits: no line of the file can be one that is still to be recognised.
            self.after_all(file)

    def after_all(self, file: AppendOnly) -> None:
        """What is done with the file, still locked, after all waiting lines were written to it."""

    def shown_path(self) -> str:
        return self._shown

    def explain(self, error: OSError) -> str:
        is_link = error.errno == errno.ELOOP and os.path.islink(self._path)
        return f"{self._path}: {'it is a link, and is not followed' if is_link else error.strerror or error}"


def line(event: Event) -> str:
    """The event's one line: `ts` first, then what the scheduler said. The same bytes at every attempt."""
    return escape_hidden(encode({"ts": event.ts, **event.payload})) + "\n"


class AppendOnly:
    """A locked JSONL file, its folder made if missing (0700, the file 0600). `append` skips what is there already."""

    def __init__(self, path: str, pause: Callable[[float], object]) -> None:
        self._path = path
        self._pause = pause
        self._fd = -1
        self._is_new = False

    def __enter__(self) -> AppendOnly:
        make_private_folder(os.path.dirname(self._path))
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            self._fd = os.open(self._path, flags, 0o600)
            try:
                self._lock()
                if self._is_current():
                    self._is_new = os.fstat(self._fd).st_size == 0
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
            put_in_place(self._path, aside)

    def _lock(self) -> None:
        """Waits a while for other writers: one that hangs must not block every later tick. Raises OSError."""
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
        if self._is_new:
            # Else a loss of power could take the whole file.
            sync_folder(os.path.dirname(self._path))
            self._is_new = False
        crash_points.point("append.after")

    def _already_there(self, data: bytes) -> int:
        """How many of the first bytes of `data` are the end of the file.

        A torn line that is not ours is closed with a newline, so that ours stays whole.
        """
        size = os.fstat(self._fd).st_size
        tail = os.pread(self._fd, min(size, len(data) + 1), max(0, size - len(data) - 1))
        # A line starts at the file's start, or after a newline.
        start = 0 if size <= len(data) else tail.find(b"\n") + 1 or len(tail)
        while start < len(tail):
            if data.startswith(tail[start:]):
                return len(tail) - start
            start = tail.find(b"\n", start) + 1 or len(tail)
        if tail and not tail.endswith(b"\n"):
            os.write(self._fd, b"\n")
        return 0
