"""Starts a run's processes, waits for them, and ends every one of them. POSIX only.

A run's processes are its *family*: the child in a session of its own, all that descend from it, and whatever carries
the run's marks in its environment. The marks find those that left the session and lost their parents.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import process_table
from errors import IpcError
from models import Clock, ProcessId
from process_table import Row, Table, boot_id, identify, is_alive

__all__ = ["Child", "Ended", "Stop", "boot_id", "end_tree", "find_marked", "identify", "is_alive", "start", "sweep"]

#: The environment variables that mark the processes of a run. Source: DESIGN "The life of a slot". The id alone is not
#: enough: two installations with a job of the same name start runs of the same name in the same second.
RUN_ID = "PURUTO_CRON_RUN_ID"
RUN_FOLDER = "PURUTO_CRON_RUN_FOLDER"
_ROUND_SEC = 0.05
_KILL_ROUNDS = 100
_POLL_SEC = 0.05


class Stop:
    """A request to stop, made by a signal handler or another thread, that a wait for something else can see.

    It can't be taken back. `fileno()` is readable from then on, for as many waits as there are.
    """

    def __init__(self) -> None:
        self._reason: str | None = None
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def set(self, reason: str) -> None:
        """Asks to stop; the first reason stays. Safe in a signal handler."""
        if self._reason is None:
            self._reason = reason
            with suppress(OSError):
                os.write(self._write, b"x")

    def is_set(self) -> bool:
        """Whether anybody asked."""
        return self._reason is not None

    def wait(self, seconds: float) -> bool:
        """Waits until somebody asks, at most `seconds` (and at most an hour); whether anybody asked."""
        if not self.is_set():
            process_table.wait_readable([self._read], seconds)
        return self.is_set()

    @property
    def reason(self) -> str:
        """Why, or "" as long as nobody asked."""
        return self._reason or ""

    def fileno(self) -> int:
        """A descriptor to poll for reading; never read from it."""
        return self._read

    def close(self) -> None:
        """Gives the descriptors back; nobody may wait for it any more."""
        os.close(self._read)
        os.close(self._write)


class Child:
    """A process that we started. It stays a zombie until `close`, so that its pid and session stay its own."""

    def __init__(self, process: subprocess.Popen[bytes], identity: ProcessId) -> None:
        self._process = process
        self.identity = identity
        self._pidfd: int | None = None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self._pidfd = os.pidfd_open(process.pid)

    def wait(self, timeout: float, stop: Stop | None = None) -> int | None:
        """The exit code (negative: the signal), or None after `timeout` seconds or when `stop` is set, maybe earlier.

        Raises IpcError when the exit code was lost because somebody else waited for the process.
        """
        code = self.exit_code()
        if code is not None or timeout <= 0 or (stop is not None and stop.is_set()):
            return code
        descriptors = [] if stop is None else [stop.fileno()]
        if self._pidfd is None:
            timeout = min(timeout, _POLL_SEC)
        else:
            descriptors.append(self._pidfd)
        process_table.wait_readable(descriptors, timeout)
        return self.exit_code()

    def exit_code(self) -> int | None:
        """The exit code (negative: the signal) if the process has ended, without waiting. Raises IpcError as `wait`."""
        if self._process.returncode is not None or not hasattr(os, "waitid"):
            return self._process.poll()
        try:
            info = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            raise IpcError(
                f"the exit code of process {self._process.pid} was lost",
                hint="Something in this program, or SIGCHLD being ignored, took it away.",
            ) from None
        if info is None:
            return None
        return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status

    def close(self) -> None:
        """Gives back what the process still holds. To be called when its family is ended."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        self._process.poll()


class Ended(NamedTuple):
    """What an end came upon: the processes that were alive and those that could not be ended, as `name (pid)`."""

    found: tuple[str, ...]
    left: tuple[str, ...]
    pids: tuple[int, ...]
    """Of those that were alive."""


def start(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin_path: Path | None,
    stdout_path: Path,
    stderr_path: Path,
) -> Child:
    """Starts a program in a session of its own, with its output in new files.

    `argv` reaches it byte for byte (UTF-8), `env` is all it sees; the program is looked up in the PATH of `env`.
    Without `stdin_path` its input is empty. Raises IpcError, in words, when an output file exists or the program can't
    be started.
    """
    _keep_exit_codes()
    with ExitStack() as files:
        stdin = _open(files, stdin_path or Path(os.devnull), os.O_RDONLY)
        # O_APPEND: a child that opens /dev/stdout anew truncates the file, and must not leave a hole of NULs in it.
        fresh = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        stdout = _open(files, stdout_path, fresh)
        stderr = _open(files, stderr_path, fresh)
        try:
            process = subprocess.Popen(
                [argument.encode("utf-8", "surrogateescape") for argument in argv],
                cwd=cwd,
                env=dict(env),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            import start_errors

            raise start_errors.explain(error, list(argv), cwd, env) from None
    return _adopt(process)


def marks(run_id: str, run_folder: str) -> dict[str, str]:
    """The variables that every process of a run carries, unless it clears its environment."""
    return {RUN_ID: run_id, RUN_FOLDER: run_folder}


def end_tree(
    child: Child, marks: Mapping[str, str], grace_sec: float, clock: Clock, on_wait: Callable[[], None] | None = None
) -> Ended:
    """Ends a child and all that came from it: TERM, up to `grace_sec` to obey, then KILL; with 0, KILL at once.

    `on_wait` is called every now and then during the grace; if it raises, what is left is killed first.
    """
    return _Family(marks, child.identity, process_table.system_table()).end(grace_sec, clock, on_wait)


def sweep(
    marks: Mapping[str, str],
    grace_sec: float,
    clock: Clock,
    *,
    root: ProcessId | None = None,
    table: Table | None = None,
) -> Ended:
    """Ends whatever carries all these marks, and the family of `root` if that very process is still there."""
    return _Family(marks, root, table or process_table.system_table()).end(grace_sec, clock, None)


def find_marked(marks: Mapping[str, str], *, table: Table | None = None) -> list[ProcessId]:
    """The living processes that carry all these marks, and their descendants; never we or our ancestors."""
    family = _Family(marks, None, table or process_table.system_table())
    return [ProcessId(row.pid, row.started, boot_id()) for row in family.alive()]


class _Family:
    """The processes of one run. Whoever was once seen in it stays in it, also when its parent dies."""

    def __init__(self, marks: Mapping[str, str], root: ProcessId | None, table: Table) -> None:
        self._table = table
        self._marks = [b"\0" + os.fsencode(f"{name}={value}") + b"\0" for name, value in marks.items()]
        self._root = root.pid if root is not None and root.boot_id == boot_id() else 0
        self._seen: dict[int, str] = {}
        self._sessions: set[int] = set()
        if root is not None and self._root:
            self._seen[root.pid] = root.started
            if self._is_seen(root.pid):
                self._sessions.add(root.pid)

    def alive(self) -> list[Row]:
        """All that can still run, newest finds included. Cheap when there is none."""
        pids = self._table.pids()
        certain = [pid for pid in pids if self._belongs(pid)]
        # The dead have no children any more, and whoever is left of their session is certain by itself.
        if not any(row.alive for pid in certain if (row := self._table.row(pid)) is not None):
            return []
        rows = {pid: row for pid in pids if (row := self._table.row(pid)) is not None}
        members = self._descent(certain, rows, _ancestors(os.getpid(), rows))
        for row in members:
            self._seen[row.pid] = row.started
            if row.session == row.pid:
                self._sessions.add(row.pid)
        return [row for row in members if row.alive]

    def _belongs(self, pid: int) -> bool:
        if pid == os.getpid():
            return False
        if pid in self._seen and self._is_seen(pid):
            return True
        session = self._table.session(pid)
        if session in self._sessions and not self._is_taken(session):
            return True
        # Session 0: a kernel thread, or a process that is older than this container.
        return session != 0 and self._is_marked(b"\0" + self._table.environ(pid) + b"\0")

    def _is_marked(self, environ: bytes) -> bool:
        return all(mark in environ for mark in self._marks)

    def _is_seen(self, pid: int) -> bool:
        row = self._table.row(pid)
        return row is not None and row.started == self._seen.get(pid)

    def _is_taken(self, pid: int) -> bool:
        """Whether a stranger has this pid now, and so the session of that number."""
        return self._table.row(pid) is not None and not self._is_seen(pid)

    def _descent(self, certain: list[int], rows: dict[int, Row], protected: set[int]) -> list[Row]:
        """The certain ones, all below them, and all in the sessions that one of them leads."""
        children: dict[int, list[int]] = {}
        sessions: dict[int, list[int]] = {}
        for row in rows.values():
            children.setdefault(row.ppid, []).append(row.pid)
            sessions.setdefault(row.session, []).append(row.pid)
        members: dict[int, Row] = {}
        waiting = [pid for pid in certain if pid in rows]
        while waiting:
            pid = waiting.pop()
            if pid not in members and pid not in protected:
                members[pid] = rows[pid]
                waiting += children.get(pid, [])
                if rows[pid].session == pid:
                    waiting += sessions[pid]
        return list(members.values())

    def end(self, grace_sec: float, clock: Clock, on_wait: Callable[[], None] | None) -> Ended:
        """Ends all of it, in a bounded time."""
        found = self.alive()
        try:
            if found:
                self._ask(grace_sec, clock, on_wait)
        finally:
            left = self._kill(clean=not found)
        return Ended(tuple(map(str, found)), tuple(map(str, left)), tuple(row.pid for row in found))

    def _ask(self, grace_sec: float, clock: Clock, on_wait: Callable[[], None] | None) -> None:
        asked: set[tuple[int, str]] = set()
        deadline = clock.monotonic() + grace_sec
        while (remaining := deadline - clock.monotonic()) > 0 and (rows := self.alive()):
            for row in rows:
                if (row.pid, row.started) not in asked:
                    asked.add((row.pid, row.started))
                    self._table.send(row, signal.SIGTERM)
                if row.state == "T":
                    self._table.send(row, signal.SIGCONT)  # a stopped process sees no TERM before it goes on
            self._table.wait_gone(rows[0], min(_ROUND_SEC, remaining))
            if on_wait is not None:
                on_wait()

    def _kill(self, *, clean: bool) -> list[Row]:
        """Kills until two looks in a row find nobody; `clean` says that one did. Returns who is left at last.

        One look is not enough: a process may be born behind it, and its parent die before it.
        """
        rows: list[Row] = []
        for _ in range(_KILL_ROUNDS):
            if self._root and self._is_seen(self._root):
                # All at once: the links of a chain of forks are gone before they can be looked at one by one.
                self._table.send_group(self._root, signal.SIGKILL)
            rows = self.alive()
            if not rows and clean:
                break
            clean = not rows
            for row in rows:
                self._table.send(row, signal.SIGKILL)
            if rows:
                self._table.wait_gone(rows[0], _ROUND_SEC)
        return rows


def _ancestors(pid: int, rows: Mapping[int, Row]) -> set[int]:
    """The process, its parents up to the first, and nobody's pids, which must never be signalled."""
    found = {0, 1}
    while pid not in found:
        found.add(pid)
        pid = rows[pid].ppid if pid in rows else 0
    return found


def _keep_exit_codes() -> None:
    """A parent that ignores SIGCHLD hands that down, and then no exit code can be had: failures would read as 0."""
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        except ValueError:
            raise IpcError(
                "SIGCHLD is ignored in this program, so that no exit code could be read",
                hint="Start it from a parent that does not ignore SIGCHLD.",
            ) from None


def _open(files: ExitStack, path: Path, flags: int) -> int:
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise IpcError(f"{path} can't be opened: {error.strerror}", hint="See to that file or folder.") from None
    files.callback(os.close, descriptor)
    return descriptor


def _adopt(process: subprocess.Popen[bytes]) -> Child:
    identity = identify(process.pid)
    if identity is None:
        process.kill()
        process.wait()
        raise IpcError(f"process {process.pid} can't be seen in the system's table", hint="Is /proc restricted?")
    return Child(process, identity)
