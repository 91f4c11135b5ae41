"""Starts a run's processes, waits for them, and has every one of them ended. POSIX only."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from core import crash_points
from core.clock import Clock
from core.invocation_errors import IpcError
from core.run import ProcessId
from system import process_table
from system.awaitables import run_blocking, wait, wait_readable
from system.process_table import Table, boot_id, identify, is_alive
from system.process_tree import Ended, Family
from system.self_pipe import SelfPipe
from system.subreaper import OURS

__all__ = ["Child", "Ended", "Stop", "boot_id", "end_tree", "find_marked", "identify", "is_alive", "start", "sweep"]

#: The environment variables that mark the processes of a run. The id alone is not enough: two installations with a job
#: of the same name start runs of the same name in the same second. Source: docs/decisions/0005-process-marks.md.
RUN_ID = "PURUTO_CRON_RUN_ID"
RUN_FOLDER = "PURUTO_CRON_RUN_FOLDER"
#: Of a run that was started within another: the folders of those around it, a line each.
RUN_FOLDERS = "PURUTO_CRON_RUN_FOLDERS"
_POLL_SEC = 0.05


class Stop:
    """A request to stop, made by a signal handler or another thread, that a wait for something else can see.

    It can't be taken back. Its descriptors are readable from then on, for as many waits as there are. One with a
    `parent` is asked also when that is: a run's own, below that of the whole process.
    """

    def __init__(self, parent: Stop | None = None) -> None:
        self._parent = parent
        self._reason: str | None = None
        # A signal may come at any moment; what is asked below it is asked in the thread that waits.
        self._pipe = SelfPipe() if parent is None else None

    def set(self, reason: str) -> None:
        """Asks to stop; the first reason stays. Safe in a signal handler."""
        if self._reason is None:
            self._reason = reason
            if self._pipe is not None:
                self._pipe.wake()

    def is_set(self) -> bool:
        """Whether anybody asked."""
        return self._reason is not None or (self._parent is not None and self._parent.is_set())

    def wait(self, seconds: float) -> bool:
        """Waits until somebody asks, at most `seconds` (and at most an hour); whether anybody asked."""
        if not self.is_set():
            wait_readable(self.descriptors(), seconds)
        return self.is_set()

    def for_run(self) -> Stop:
        """A stop of a run's own, below this one; whoever runs it closes it."""
        return Stop(self)

    @property
    def reason(self) -> str:
        """Why, or "" as long as nobody asked."""
        return self._reason or (self._parent.reason if self._parent is not None else "")

    def descriptors(self) -> list[int]:
        """What to poll for reading; never to be read from."""
        if self._pipe is None:
            self._pipe = SelfPipe()
            if self._reason is not None:
                self._pipe.wake()
        return [self._pipe.descriptor, *(self._parent.descriptors() if self._parent is not None else [])]

    def close(self) -> None:
        """Gives the descriptors back, once; nobody may wait for it any more."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.close()


class Child:
    """A process that we started. It stays a zombie until `close`, so that its pid and session stay its own."""

    def __init__(self, process: subprocess.Popen[bytes], identity: ProcessId, outputs: tuple[str | Path, ...]) -> None:
        """`outputs` are the files that only its family prints into."""
        self._process = process
        self.identity = identity
        self.outputs = outputs
        self._pidfd: int | None = None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self._pidfd = os.pidfd_open(process.pid)

    def wait(self, timeout: float, stop: Stop | None = None) -> int | None:
        """`ended`, for who has nothing else to do meanwhile."""
        return run_blocking(self.ended(timeout, stop))

    async def ended(self, timeout: float, stop: Stop | None = None) -> int | None:
        """The exit code (negative: the signal), or None after `timeout` seconds or when `stop` is set, maybe earlier.

        Raises IpcError when the exit code was lost because somebody else waited for the process.
        """
        code = self.exit_code()
        if code is not None or timeout <= 0 or (stop is not None and stop.is_set()):
            return code
        await wait(timeout if self._pidfd is not None else min(timeout, _POLL_SEC), self._pidfd, stop)
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
        if self._process.poll() is not None:
            OURS.reaped(self._process.pid)


def start(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin_path: str | Path | None,
    stdout_path: str | Path,
    stderr_path: str | Path,
) -> Child:
    """Starts a program in a session of its own, with its output in new files.

    `argv` reaches it byte for byte (UTF-8), `env` is all it sees; the program is looked up in the PATH of `env`.
    Without `stdin_path` its input is empty. Raises IpcError, in words, when an output file exists or the program can't
    be started.
    """
    _keep_exit_codes()
    with ExitStack() as files:
        stdin = _open(files, stdin_path or os.devnull, os.O_RDONLY)
        # O_APPEND: a child that opens /dev/stdout anew truncates the file, and must not leave a hole of NULs in it.
        fresh = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        stdout = _open(files, stdout_path, fresh)
        stderr = _open(files, stderr_path, fresh)
        try:
            crash_points.point("start.before")
            with OURS.starting(process_table.system_table()):
                process = subprocess.Popen(
                    [argument.encode("utf-8", "surrogateescape") for argument in argv],
                    cwd=cwd,
                    env=dict(env),
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                )
                crash_points.point("start.after")
                return _adopt(process, (stdout_path, stderr_path))
        except (OSError, ValueError) as error:
            from system import start_errors

            raise start_errors.explain(error, list(argv), cwd, env) from None


class BackgroundProcess:
    """A process of our own that is no run's: in our session, so that it is nobody's orphan. Its output is kept."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Raises OSError when it can't be started."""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has been read
        try:
            self._process = subprocess.Popen(
                list(argv), env=dict(env), stdin=subprocess.DEVNULL, stdout=self._said, stderr=subprocess.DEVNULL
            )
        except BaseException:
            self._said.close()
            raise
        self.descriptor: int | None = None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self.descriptor = os.pidfd_open(self._process.pid)

    def said(self) -> bytes | None:
        """What it printed, once, when it has ended; None as long as it goes on."""
        if self._process.poll() is None:
            return None
        with self._said:
            self._said.seek(0)
            data = self._said.read()
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
        return data

    def end(self) -> None:
        """Kills it, if it goes on."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self.said()


def lineage(environ: Mapping[str, str]) -> str:
    """The folders of the runs that a process stands in, its own last, as what it starts is to carry them."""
    above = environ.get(RUN_FOLDERS, "")
    own = environ.get(RUN_FOLDER, "")
    return "\n".join(part for part in (above, own) if part)


def marks(run_id: str, run_folder: str) -> dict[str, str]:
    """The variables that every process of a run carries, unless it clears its environment."""
    return {RUN_ID: run_id, RUN_FOLDER: run_folder}


async def end_tree(
    child: Child, marks: Mapping[str, str], grace_sec: float, clock: Clock, on_wait: Callable[[], None] | None = None
) -> Ended:
    """Ends a child and all that came from it: TERM, up to `grace_sec` to obey, then KILL; with 0, KILL at once.

    `on_wait` is called every now and then during the grace; if it raises, what is left is killed first.
    """
    OURS.ending(child.identity)
    table = process_table.system_table()
    if child.exit_code() is not None and OURS.is_alone(table):
        return Ended((), (), ())
    family = Family(marks, child.identity, table, lambda: OURS.orphans(table, child.outputs))
    return await family.end(grace_sec, clock, on_wait)


def reap_orphans() -> None:
    """Reaps what runs have left and what has died since. Called now and then while runs go on, else pids run out."""
    OURS.orphans(process_table.system_table())


def sweep(
    marks: Mapping[str, str],
    grace_sec: float,
    clock: Clock,
    *,
    root: ProcessId | None = None,
    table: Table | None = None,
) -> Ended:
    """Ends whatever carries all these marks, and the family of `root` if that very process is still there."""
    return run_blocking(Family(marks, root, table or process_table.system_table()).end(grace_sec, clock, None))


def find_marked(marks: Mapping[str, str], *, table: Table | None = None) -> list[ProcessId]:
    """The living processes that carry all these marks, and their descendants; never we or our ancestors."""
    family = Family(marks, None, table or process_table.system_table())
    return [ProcessId(row.pid, row.started, boot_id()) for row in family.alive()]


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


def _open(files: ExitStack, path: str | Path, flags: int) -> int:
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise IpcError(f"{path} can't be opened: {error.strerror}", hint="See to that file or folder.") from None
    files.callback(os.close, descriptor)
    return descriptor


def _adopt(process: subprocess.Popen[bytes], outputs: tuple[str | Path, ...]) -> Child:
    identity = identify(process.pid)
    if identity is None:
        process.kill()
        process.wait()
        raise IpcError(f"process {process.pid} can't be seen in the system's table", hint="Is /proc restricted?")
    OURS.started(identity)
    return Child(process, identity, outputs)
