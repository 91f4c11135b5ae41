"""The system's table of processes: who is there, since when, whose child, with which mark; and signals that can't miss.

A pid alone names nobody: it is used again after its process died. So everything here pairs it with the start time.
Linux is read from /proc, other systems through psutil. macOS is untried.
"""

from __future__ import annotations

import functools
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from typing import NamedTuple, Protocol

from core.run import ProcessId
from system.awaitables import wait_readable


class Row(NamedTuple):
    """One process. `state` is the letter that Linux uses: Z and X are dead, T is stopped."""

    pid: int
    started: str
    ppid: int
    session: int
    state: str
    threads: int
    name: str

    @property
    def alive(self) -> bool:
        """Whether any of its code can still run. The first thread may be gone (Z) while others go on."""
        return self.state not in "ZXx" or self.threads > 1

    def __str__(self) -> str:
        return f"{self.name} ({self.pid})"


class Table(Protocol):
    """What is asked of a system. Every answer may be out of date; only `send` is sure whom it meets."""

    def pids(self) -> list[int]:
        """All processes that can be seen."""

    def children(self, pid: int) -> list[int]:
        """What a process has adopted, and what its first thread has started; none where nobody can adopt.

        Dead ones are included. What its other threads have started may be missing.
        """

    def outputs(self, pid: int) -> list[str]:
        """The files that are its stdout and stderr, without symbolic links; empty when that may not be known."""

    def row(self, pid: int) -> Row | None:
        """What is known of a process, dead ones that nobody has waited for included; None when there is none."""

    def session(self, pid: int) -> int:
        """The process's session, cheaply; 0 when unknown."""

    def environ(self, pid: int) -> bytes:
        """The environment it was started with, NUL-separated; empty when it may not be read."""

    def send(self, row: Row, number: int) -> None:
        """Signals exactly this process; nothing happens when it is gone or not ours to signal."""

    def send_group(self, leader: int, number: int) -> None:
        """Signals a process group; the caller has made sure that its leader, dead or alive, is still the one meant."""

    def wait_gone(self, row: Row, seconds: float) -> None:
        """Returns when the process has died, or after `seconds`."""


class ProcTable:
    """Linux: /proc and pidfd."""

    def pids(self) -> list[int]:
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]

    def children(self, pid: int) -> list[int]:
        try:
            # The kernel gives a process's orphans to its first thread, and to that the children of threads that end.
            with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
                return [int(child) for child in file.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            # A kernel without this file.
            rows = (self.row(other) for other in self.pids())
            return [row.pid for row in rows if row is not None and row.ppid == pid]

    def outputs(self, pid: int) -> list[str]:
        found = []
        for number in (1, 2):
            with suppress(OSError):
                found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        return found

    def row(self, pid: int) -> Row | None:
        data = _read(f"/proc/{pid}/stat")
        # The name stands in parentheses and may hold parentheses and spaces itself.
        before, _, after = data.rpartition(b")")
        fields = after.split()
        if len(fields) < 20:
            return None
        return Row(
            pid=pid,
            started=fields[19].decode(),
            ppid=int(fields[1]),
            session=int(fields[3]),
            state=fields[0].decode(),
            threads=int(fields[17]),
            name=before.partition(b"(")[2].decode("utf-8", "replace"),
        )

    def session(self, pid: int) -> int:
        return _session(pid)

    def environ(self, pid: int) -> bytes:
        return _read(f"/proc/{pid}/environ")

    def send(self, row: Row, number: int) -> None:
        try:
            descriptor = os.pidfd_open(row.pid)
        except ProcessLookupError:
            return
        except OSError:
            _checked_kill(self, row, number)  # an old kernel, a sandbox without pidfd, or no descriptors left
            return
        try:
            # The descriptor holds the process; only then is it sure that the start time is this process's.
            if _same(self.row(row.pid), row):
                signal.pidfd_send_signal(descriptor, number)
        except (ProcessLookupError, PermissionError):
            return
        finally:
            os.close(descriptor)

    def send_group(self, leader: int, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, number)

    def wait_gone(self, row: Row, seconds: float) -> None:
        try:
            descriptor = os.pidfd_open(row.pid)
        except ProcessLookupError:
            return
        except OSError:
            select.select([], [], [], min(seconds, 0.02))
            return
        try:
            wait_readable([descriptor], seconds)
        finally:
            os.close(descriptor)


class PsutilTable:
    """Systems without /proc, through psutil."""

    def pids(self) -> list[int]:
        import psutil

        return psutil.pids()

    def children(self, pid: int) -> list[int]:  # noqa: ARG002 - the protocol's signature
        # Orphans are adopted on Linux alone.
        return []

    def outputs(self, pid: int) -> list[str]:  # noqa: ARG002 - the protocol's signature
        return []

    def row(self, pid: int) -> Row | None:
        import psutil

        states = {psutil.STATUS_ZOMBIE: "Z", psutil.STATUS_DEAD: "X", psutil.STATUS_STOPPED: "T"}
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                started = repr(process.create_time())
                state = states.get(process.status(), "S")
                return Row(pid, started, process.ppid(), _session(pid), state, 1, process.name())
        except psutil.Error:
            return None

    def session(self, pid: int) -> int:
        return _session(pid)

    def environ(self, pid: int) -> bytes:
        import psutil

        try:
            found = psutil.Process(pid).environ()
        except (psutil.Error, OSError):
            return b""
        return b"\0".join(os.fsencode(f"{name}={value}") for name, value in found.items())

    def send(self, row: Row, number: int) -> None:
        _checked_kill(self, row, number)

    def send_group(self, leader: int, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, number)

    def wait_gone(self, row: Row, seconds: float) -> None:
        if _same(self.row(row.pid), row):
            select.select([], [], [], min(seconds, 0.02))


@functools.cache
def system_table() -> Table:
    """The table of the machine that we run on."""
    return ProcTable() if os.path.exists("/proc/self/stat") else PsutilTable()


@functools.cache
def boot_id() -> str:
    """A text that changes with every start of the machine."""
    if data := _read("/proc/sys/kernel/random/boot_id"):
        return data.decode().strip()
    if sys.platform == "darwin":
        asked = subprocess.run(["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, check=False)
        if text := asked.stdout.decode("ascii", "replace").strip():
            return text
    import psutil

    return str(int(psutil.boot_time()))


def identify(pid: int, table: Table | None = None) -> ProcessId | None:
    """The identity of the process that has this pid now, also of a dead one that nobody has waited for."""
    row = (table or system_table()).row(pid)
    return None if row is None else ProcessId(pid, row.started, boot_id())


def is_alive(process: ProcessId, table: Table | None = None) -> bool:
    """Whether this very process still runs: same boot, same start time, and not merely waiting to be reaped."""
    if process.boot_id != boot_id():
        return False
    row = (table or system_table()).row(process.pid)
    return row is not None and row.started == process.started and row.alive


def _read(path: str) -> bytes:
    """The whole of a file in /proc, empty when it is gone or not for us; plain calls, because a sweep makes many."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    parts = []
    try:
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
    return b"".join(parts)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _same(found: Row | None, row: Row) -> bool:
    return found is not None and found.started == row.started


def _checked_kill(table: Table, row: Row, number: int) -> None:
    if _same(table.row(row.pid), row):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(row.pid, number)
