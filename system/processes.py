"""Starts a run's processes, waits for them, and ends all of them. POSIX only."""

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
from core.errors import machine_fault
from core.invocation_errors import IpcError
from core.ownership import create
from core.run import ProcessId
from system import process_table
from system.awaitables import run_blocking, wait, wait_readable
from system.process_table import Table, boot_id, identify, is_alive
from system.process_tree import EndedTree, ProcessTree
from system.self_pipe import SelfPipe
from system.subreaper import RUN_FOLDER, SUBREAPER

__all__ = ["Child", "EndedTree", "Stop", "boot_id", "end_tree", "find_marked", "identify", "is_alive", "start", "sweep"]

#: The environment variables that mark the processes of a run. The id alone is not enough: two installations with a job
#: of the same name start runs of the same name in the same second. Source: docs/decisions/0005-process-marks.md.
RUN_ID = "PURUTO_CRON_RUN_ID"
#: For a run that was started inside another one: the folders of the runs around it, one per line.
RUN_FOLDERS = "PURUTO_CRON_RUN_FOLDERS"
_POLL_SEC = 0.05


class Stop:
    """A request to stop, set by a signal handler or another thread, which also ends waits for other things.

    It can't be unset. From then on its descriptors are readable, for any number of waits. With a `parent` it is also
    set when the parent is: each run has its own, below the one of the process.
    """

    def __init__(self, parent: Stop | None = None) -> None:
        self._parent = parent
        self._reason: str | None = None
        # A signal handler can't open the pipe. One with a parent is set by its own thread, and opens it on demand.
        self._pipe = SelfPipe() if parent is None else None

    def set(self, reason: str) -> None:
        """Requests the stop; the first reason is kept. Safe in a signal handler."""
        if self._reason is None:
            self._reason = reason
            if self._pipe is not None:
                self._pipe.wake()

    def is_set(self) -> bool:
        """Whether the stop is requested."""
        return self._reason is not None or (self._parent is not None and self._parent.is_set())

    def wait(self, seconds: float) -> bool:
        """Waits until the stop is requested, `seconds` or an hour at most. Returns whether it is."""
        if not self.is_set():
            wait_readable(self.descriptors(), seconds)
        return self.is_set()

    def for_run(self) -> Stop:
        """A new stop for one run, below this one. The caller closes it."""
        return Stop(self)

    @property
    def reason(self) -> str:
        """The reason of the stop; "" before it is requested."""
        return self._reason or (self._parent.reason if self._parent is not None else "")

    def descriptors(self) -> list[int]:
        """The descriptors to poll for reading. Never read from them."""
        if self._pipe is None:
            self._pipe = SelfPipe()
            if self._reason is not None:
                self._pipe.wake()
        return [self._pipe.descriptor, *(self._parent.descriptors() if self._parent is not None else [])]

    def close(self) -> None:
        """Closes the descriptors. No wait may use it afterwards."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.close()


class Child:
    """A process that we started. It stays a zombie until `close`, so that its pid and session are not used again."""

    def __init__(self, process: subprocess.Popen[bytes], identity: ProcessId, outputs: tuple[str | Path, ...]) -> None:
        """`outputs` are the files into which only its process tree writes."""
        self._process = process
        self.identity = identity
        self.outputs = outputs
        self._pidfd: int | None = None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self._pidfd = os.pidfd_open(process.pid)

    def wait(self, timeout: float, stop: Stop | None = None) -> int | None:
        """Blocking version of `ended`."""
        return run_blocking(self.ended(timeout, stop))

    async def ended(self, timeout: float, stop: Stop | None = None) -> int | None:
        """Waits for the exit code (negative: the signal). None after `timeout` seconds, if `stop` is set, or earlier.

        Raises IpcError if the exit code is lost because something else has waited for the process.
        """
        code = self.exit_code()
        if code is not None or timeout <= 0 or (stop is not None and stop.is_set()):
            return code
        await wait(timeout if self._pidfd is not None else min(timeout, _POLL_SEC), self._pidfd, stop)
        return self.exit_code()

    def exit_code(self) -> int | None:
        """The exit code (negative: the signal), or None if the process still runs. Raises IpcError like `ended`."""
        if self._process.returncode is not None or not hasattr(os, "waitid"):
            return self._process.poll()
        try:
            info = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            raise IpcError(
                f"the exit code of process {self._process.pid} is lost",
                hint="Something else in this program waited for it, or SIGCHLD is ignored.",
            ) from None
        if info is None:
            return None
        return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status

    def close(self) -> None:
        """Reaps the process and closes its descriptor. Call it after its process tree has ended."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        if self._process.poll() is not None:
            SUBREAPER.reaped(self._process.pid)


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

    `argv` is passed on byte for byte (UTF-8), `env` is its whole environment, and PATH of `env` is searched for it.
    Without `stdin_path` its input is empty. Raises IpcError, with the reason, if an output file exists or the program
    can't be started; `MachineExhausted` if that is the machine's fault.
    """
    _keep_exit_codes()
    with ExitStack() as files:
        stdin = _open(files, stdin_path or os.devnull, os.O_RDONLY)
        # O_APPEND: a child that opens /dev/stdout truncates the file; without O_APPEND that would leave a hole of NULs.
        fresh = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        stdout = _open(files, stdout_path, fresh)
        stderr = _open(files, stderr_path, fresh)
        try:
            crash_points.point("start.before")
            with SUBREAPER.starting(process_table.system_table()):
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
                return _child_of(process, (stdout_path, stderr_path))
        except MemoryError as error:
            raise (machine_fault(error) or error) from None
        except (OSError, ValueError) as error:
            if (fault := machine_fault(error)) is not None:
                raise fault from None
            from system import start_errors

            raise start_errors.explain(error, list(argv), cwd, env) from None


class BackgroundProcess:
    """A helper process that belongs to no run. It stays in our session, so it is never taken for a run's orphan."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Raises OSError if it can't be started."""
        self._stdout = tempfile.TemporaryFile()  # noqa: SIM115 - closed after it was read
        try:
            with SUBREAPER.starting(process_table.system_table()):
                self._process = subprocess.Popen(
                    list(argv), env=dict(env), stdin=subprocess.DEVNULL, stdout=self._stdout, stderr=subprocess.DEVNULL
                )
                SUBREAPER.started_helper(self._process.pid)
        except BaseException:
            self._stdout.close()
            raise
        self.descriptor: int | None = None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self.descriptor = os.pidfd_open(self._process.pid)

    def take_output(self) -> bytes | None:
        """Its stdout, once, after it has ended; None while it runs."""
        if self._process.poll() is None:
            return None
        SUBREAPER.reaped(self._process.pid)
        with self._stdout:
            self._stdout.seek(0)
            data = self._stdout.read()
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
        return data

    def end(self) -> None:
        """Kills it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self.take_output()


def lineage(environ: Mapping[str, str]) -> str:
    """The folders of the runs in which this process runs, innermost last: RUN_FOLDERS for its children."""
    outer = environ.get(RUN_FOLDERS, "")
    own = environ.get(RUN_FOLDER, "")
    return "\n".join(part for part in (outer, own) if part)


def marks(run_id: str, run_folder: str) -> dict[str, str]:
    """The environment variables that mark every process of a run, unless it clears its environment."""
    return {RUN_ID: run_id, RUN_FOLDER: run_folder}


async def end_tree(
    child: Child, marks: Mapping[str, str], grace_sec: float, clock: Clock, on_wait: Callable[[], None] | None = None
) -> EndedTree:
    """Ends a child and its process tree: TERM, up to `grace_sec` seconds to obey, then KILL; with 0, KILL at once.

    `on_wait` is called repeatedly during the grace period. If it raises, the processes are killed first.
    """
    SUBREAPER.ending(child.identity)
    table = process_table.system_table()
    if child.exit_code() is not None and SUBREAPER.has_only_own_children(table):
        return EndedTree()
    tree = ProcessTree(marks, child.identity, table, lambda: SUBREAPER.find_orphans(table, child.outputs))
    return await tree.end(grace_sec, clock, on_wait)


async def reap_orphans() -> None:
    """Reaps dead orphans of runs. Called from time to time while runs are running, else pids run out."""
    await SUBREAPER.find_orphans(process_table.system_table())


def adopt_orphans(group: str = "") -> bool:
    """Makes this process the parent of orphans from now on. Call it in a program that starts all its children here.

    `group` is the name of the cgroup that only this process and what it starts are in; "" without one.

    Returns whether orphans of somebody else may be among them, of which nothing tells when they die but SIGCHLD.
    """
    SUBREAPER.group = group
    SUBREAPER.prepare(process_table.system_table(), reaps_all=True)
    return SUBREAPER.adopts_others


def reap_children() -> None:
    """Reaps dead children that nobody waits for, as process 1 of a container must."""
    SUBREAPER.reap(process_table.system_table())


def other_children() -> list[tuple[ProcessId, str]]:
    """Our living children that belong to no run, or of which that is unknown, with their names. They are left alone."""
    rows = SUBREAPER.others(process_table.system_table())
    return [(ProcessId(row.pid, row.started, boot_id()), row.name) for row in rows]


def sweep(
    marks: Mapping[str, str],
    grace_sec: float,
    clock: Clock,
    *,
    root: ProcessId | None = None,
    table: Table | None = None,
    group: str = "",
) -> EndedTree:
    """Ends all processes with these marks, and the process tree of `root` if that process still exists. Blocks.

    Also ends what is in the cgroup `group` and carries no marks: it must be that of a scheduler that is gone.
    """
    tree = ProcessTree(marks, root, table or process_table.system_table(), group=group)
    return run_blocking(tree.end(grace_sec, clock, None))


def find_marked(marks: Mapping[str, str], *, table: Table | None = None) -> list[ProcessId]:
    """The living processes with all these marks, and their descendants; never this process or its ancestors."""
    tree = ProcessTree(marks, None, table or process_table.system_table())
    return [ProcessId(row.pid, row.started, boot_id()) for row in run_blocking(tree.alive())]


def _keep_exit_codes() -> None:
    """Undoes an inherited SIG_IGN for SIGCHLD: with it exit codes are lost, and failures would read as 0."""
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        except ValueError:
            raise IpcError(
                "SIGCHLD is ignored in this program, so exit codes can't be read",
                hint="Start it from a parent that does not ignore SIGCHLD.",
            ) from None


def _open(files: ExitStack, path: str | Path, flags: int) -> int:
    try:
        opener = create if flags & os.O_CREAT else os.open
        descriptor = opener(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        unusable = IpcError(f"{path} can't be opened: {error.strerror}", hint="Check that file or folder.")
        raise (machine_fault(error) or unusable) from None
    files.callback(os.close, descriptor)
    return descriptor


def _child_of(process: subprocess.Popen[bytes], outputs: tuple[str | Path, ...]) -> Child:
    identity = identify(process.pid)
    if identity is None:
        process.kill()
        process.wait()
        raise IpcError(f"process {process.pid} is not in the system's process table", hint="Is /proc restricted?")
    SUBREAPER.started(identity)
    return Child(process, identity, outputs)
