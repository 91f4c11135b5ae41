"""Starts a script as a process of its own without the cost of a new interpreter: as a fork of one that is warm.

Each pytest worker has one server for `main.py`, which has imported the whole program. For each command the server
forks. The child takes the caller's arguments, environment and descriptors, resets its signals, and runs the workspace's
`main.py` as `__main__`. So it has a pid, signals, descriptors, an exit code and a death of its own, like any process.

It differs from a started interpreter in this: modules are loaded already, `/proc/PID/cmdline` and `environ` are the
server's, and at the end modules are not taken down. A test to which that matters says `workspace.start(fresh=True)`.
With PURUTO_TEST_FRESH=1 every command is started afresh.

Run as a script, this file is the server; the rest is for the tests.
"""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

PROJECT = Path(__file__).resolve().parent.parent
_LARGEST_READ = 65_536
#: What the server answers: a pid, and when that has ended its wait status.
_NUMBER = struct.Struct("!i")


# --- the server ---


def serve(listener: socket.socket, tests: int) -> dict[str, Any]:
    """Forks for each request. Returns in children only, with what that one is to run.

    `tests` is a pipe that closes when the tests have ended; then the server ends too.
    """
    gc.collect()
    # What is loaded now stays. Collections in the children pass it by, and so do not copy its memory.
    gc.freeze()
    ended, child_ended = os.pipe()
    os.set_blocking(ended, False)
    os.set_blocking(child_ended, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(child_ended, warn_on_full_buffer=False)
    callers: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select((listener.fileno(), ended, tests), (), ())
        if tests in ready:
            os._exit(0)
        if ended in ready:
            with suppress(BlockingIOError):
                os.read(ended, 4096)
            _tell_ends(callers)
        if listener.fileno() in ready:
            caller, _ = listener.accept()
            request, streams = _receive(caller)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for connection in (listener, caller, *callers.values()):
                    connection.close()
                for number in (ended, child_ended, tests):
                    os.close(number)
                _become(request, streams)
                return request
            for number in streams:
                os.close(number)
            callers[pid] = caller
            caller.sendall(_NUMBER.pack(pid))


def _tell_ends(callers: dict[int, socket.socket]) -> None:
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = found
            with callers.pop(pid) as caller, suppress(OSError):
                caller.sendall(_NUMBER.pack(status))


def _receive(caller: socket.socket) -> tuple[dict[str, Any], list[int]]:
    numbers = array.array("i")
    data, ancillary, _, _ = caller.recvmsg(_LARGEST_READ, socket.CMSG_LEN(3 * numbers.itemsize))
    for _, _, payload in ancillary:
        numbers.frombytes(payload)
    while not data.endswith(b"\n"):
        more = caller.recv(_LARGEST_READ)
        if not more:
            # The tests were killed in the middle of a request.
            os._exit(1)
        data += more
    request: dict[str, Any] = json.loads(data)
    return request, list(numbers)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Turns the fork into what a started interpreter is."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with suppress(OSError):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Python ignores these from its start.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for standard, stream in enumerate(streams):
        os.dup2(stream, standard)
        os.close(stream)
    if request["session"]:
        os.setsid()
    os.chdir("/")
    os.environ.clear()
    os.environ.update(request["environ"])
    time.tzset()
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False, buffering=1 if os.isatty(1) else -1)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1, errors="backslashreplace")  # noqa: SIM115
    sys.argv = request["argv"]
    # As for a script that the interpreter is started with.
    sys.path[0] = os.path.dirname(os.path.realpath(sys.argv[0]))


def finish(run: Callable[[], object]) -> NoReturn:
    """Runs the program and ends the process as the interpreter does, except that modules are not taken down.

    Their memory is shared with the server: to take it down would copy all of it first.
    """
    code = 0
    try:
        run()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    # What was left open is told now, as a warning.
    gc.collect()
    try:
        sys.stdout.flush()
    except OSError:
        code = 120
    os._exit(code & 0xFF)


# --- the tests' side ---


class ForkServer:
    """Starts its process on first use. That loads these modules, and ends with this one."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = modules
        self._path = ""
        self._lock = threading.Lock()

    def _started(self) -> str:
        if not self._path:
            folder = tempfile.mkdtemp(prefix="puruto-cron-server-")
            path = os.path.join(folder, "socket")
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen(64)
                tests, alive = os.pipe()
                given = (listener.fileno(), tests)
                command = [sys.executable, "-W", "error", __file__, *map(str, given), *self._modules]
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=given)
                os.close(tests)
            atexit.register(_end, process, alive, folder)
            self._path = path
        return self._path

    def start(self, request: Mapping[str, object], streams: Sequence[int]) -> tuple[int, socket.socket]:
        """The pid of a new child, and the connection on which its wait status will come."""
        # First, because the server waits for the whole of a request that has begun.
        data = json.dumps(request).encode() + b"\n"
        caller = socket.socket(socket.AF_UNIX)
        with self._lock:
            path = self._started()
        caller.connect(path)
        caller.sendall(data[socket.send_fds(caller, [data], list(streams)) :])
        answer = caller.recv(_NUMBER.size)
        if not answer:
            raise RuntimeError("The fork server has ended; its stderr says why")
        return _NUMBER.unpack(answer)[0], caller


def _end(process: subprocess.Popen[bytes], alive: int, folder: str) -> None:
    os.close(alive)
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)


class Forked(subprocess.Popen[bytes]):
    """A `Popen` whose child comes from a fork server, which tells how it ended."""

    def __init__(
        self,
        server: ForkServer,
        argv: Sequence[str | bytes],
        environ: Mapping[str, str],
        *,
        before: str = "",
        session: bool = False,
        **streams: Any,
    ) -> None:
        # A word that is no UTF-8 arrives as it does in a started interpreter.
        words = [os.fsdecode(word) for word in argv]
        self._server = server
        self._request = {"argv": words, "environ": dict(environ), "before": before, "session": session}
        self._caller: socket.socket | None = None
        super().__init__(words, **streams)

    def _execute_child(self, *arguments: Any) -> None:
        """Stands in for fork and exec."""
        # Popen's own and the child's end of stdin, stdout and stderr; -1 where one is inherited.
        pipes = arguments[10:16]
        streams = [end if end != -1 else number for number, end in enumerate((pipes[0], pipes[3], pipes[5]))]
        self.pid, self._caller = self._server.start(self._request, streams)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _try_wait(self, flags: int) -> tuple[int, int]:
        """Stands in for waitpid."""
        if self._caller is None or (flags & os.WNOHANG and not select.select([self._caller], [], [], 0)[0]):
            return 0, 0
        with self._caller as caller:
            answer = caller.recv(_NUMBER.size)
        self._caller = None
        if not answer:
            raise RuntimeError(f"The fork server is gone, and with it the end of process {self.pid}")
        return self.pid, _NUMBER.unpack(answer)[0]

    def _internal_poll(self, _deadstate: int | None = None, **_: Any) -> int | None:
        lock = self._waitpid_lock  # type: ignore[attr-defined]
        if self.returncode is None and lock.acquire(blocking=False):
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
            finally:
                lock.release()
        return self.returncode


def program_modules() -> list[str]:
    """Every module of the program but `main`, which each command runs anew."""
    packages = sorted(path.parent.name for path in PROJECT.glob("*/__init__.py"))
    files = [*PROJECT.glob("*.py"), *(path for name in packages for path in (PROJECT / name).rglob("*.py"))]
    names = (".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__") for path in files)
    return sorted(name for name in names if name.split(".")[0] not in ("main", "tests", "bench", "tools", "examples"))


def _hide_agents() -> None:
    from tests.support_path import hide_agents

    hide_agents()


def _main() -> NoReturn:
    listener, tests, *modules = sys.argv[1:]
    sys.path[0] = str(PROJECT)
    for name in modules:
        importlib.import_module(name)
    _hide_agents()
    request = serve(socket.socket(fileno=int(listener)), int(tests))

    def run() -> None:
        exec(request["before"], {})
        runpy.run_path(request["argv"][0], run_name="__main__")

    finish(run)


if __name__ == "__main__":
    _main()
