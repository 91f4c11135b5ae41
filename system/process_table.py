"""The system's table of processes, and signals that reach exactly the process that is meant.

A pid is used again after its process has died, so everything here pairs it with the start time.
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
    """One process. `state` is Linux' letter: Z and X are dead, T is stopped."""

    pid: int
    started: str
    ppid: int
    session: int
    state: str
    threads: int
    name: str

    @property
    def alive(self) -> bool:
        """Whether any of its threads can still run. The first one may have ended (Z) before the others."""
        return self.state not in "ZXx" or self.threads > 1

    def __str__(self) -> str:
        return f"{self.name} ({self.pid})"


class Table(Protocol):
    """The table of a system. Every answer may be out of date at once; only `send` is sure to reach its process."""

    def pids(self) -> list[int]:
        """The pids of all visible processes."""

    def children(self, pid: int) -> list[int]:
        """The children that a process adopted or its first thread started; none on systems without adoption.

        Zombies are included. Children that its other threads started may be missing.
        """

    def outputs(self, pid: int) -> list[str]:
        """The paths of its stdout and stderr, without symbolic links; empty if they may not be read."""

    def row(self, pid: int) -> Row | None:
        """The row of a process, also of a zombie; None if there is no such process."""

    def session(self, pid: int) -> int:
        """The process's session, read cheaply; 0 if unknown."""

    def environ(self, pid: int) -> bytes:
        """The environment that it was started with, NUL-separated; empty if it may not be read."""

    def group(self, pid: int) -> str:
        """The path of its cgroup, version 2; "" if there is none, or if it may not be read."""

    def send(self, row: Row, number: int) -> None:
        """Sends the signal `number` to exactly this process; does nothing if it has gone or belongs to another user."""

    def send_group(self, leader: int, number: int) -> None:
        """Sends a signal to a process group. The caller has checked that its leader is still the right process."""

    def wait_gone(self, row: Row, seconds: float) -> None:
        """Returns when the process has died, or after `seconds`."""


class ProcTable:
    """Linux: /proc and pidfd."""

    def pids(self) -> list[int]:
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]

    def children(self, pid: int) -> list[int]:
        try:
            # The kernel gives orphans, and the children of threads that end, to the first thread of a process.
            with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
                return [int(child) for child in file.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            # A kernel without this file.
            rows = (self.row(other) for other in self.pids())
            return [row.pid for row in rows if row is not None and row.ppid == pid]

    def outputs(self, pid: int) -> list[str]:
        paths = []
        for number in (1, 2):
            with suppress(OSError):
                paths.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        return paths

    def row(self, pid: int) -> Row | None:
        data = _read(f"/proc/{pid}/stat")
        # The name is in parentheses, and may itself contain parentheses and spaces.
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

    def group(self, pid: int) -> str:
        lines = _read(f"/proc/{pid}/cgroup").decode("utf-8", "surrogateescape").splitlines()
        # Version 2 is the hierarchy with the number 0. Source: cgroups(7).
        return next((line[3:] for line in lines if line.startswith("0::")), "")

    def send(self, row: Row, number: int) -> None:
        try:
            descriptor = os.pidfd_open(row.pid)
        except ProcessLookupError:
            return
        except OSError:
            _checked_kill(self, row, number)  # an old kernel, a sandbox without pidfd, or no descriptors left
            return
        try:
            # The descriptor pins the process; only now does the start time certainly belong to it.
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
            variables = psutil.Process(pid).environ()
        except (psutil.Error, OSError):
            return b""
        return b"\0".join(os.fsencode(f"{name}={value}") for name, value in variables.items())

    def group(self, pid: int) -> str:  # noqa: ARG002 - the protocol's signature
        return ""

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
    """The process table of this machine."""
    return ProcTable() if os.path.exists("/proc/self/stat") else PsutilTable()


@functools.cache
def boot_id() -> str:
    """A text that is different after every boot."""
    if data := _read("/proc/sys/kernel/random/boot_id"):
        return data.decode().strip()
    if sys.platform == "darwin":
        completed = subprocess.run(["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, check=False)
        if text := completed.stdout.decode("ascii", "replace").strip():
            return text
    import psutil

    return str(int(psutil.boot_time()))


def identify(pid: int, table: Table | None = None) -> ProcessId | None:
    """The identity of the process that has this pid now, also of a zombie; None if there is none."""
    row = (table or system_table()).row(pid)
    return None if row is None else ProcessId(pid, row.started, boot_id())


def is_alive(process: ProcessId, table: Table | None = None) -> bool:
    """Whether this process still runs: same boot, same start time, and not a zombie."""
    if process.boot_id != boot_id():
        return False
    row = (table or system_table()).row(process.pid)
    return row is not None and row.started == process.started and row.alive


def _read(path: str) -> bytes:
    """The content of a file in /proc, empty if it can't be read. With plain system calls, as a sweep reads many."""
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


def _same(current: Row | None, row: Row) -> bool:
    return current is not None and current.started == row.started


def _checked_kill(table: Table, row: Row, number: int) -> None:
    if _same(table.row(row.pid), row):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(row.pid, number)
