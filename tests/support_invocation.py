"""Helpers for tests of invocations: requests, clocks, and children that tell who they are."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from core.invocation import AttemptOutcome, Invocation, InvocationRequest
from core.run import ProcessId
from invocation.policy import PolicyFile
from invocation.runners.base import Host
from invocation.targets import Targets
from invoker import Invoker
from system import processes
from system.processes import Stop
from tests.workspace import PATIENCE, PYTHON

#: For a child's script: `tell("name")` leaves its pid and start time in a file, written whole or not at all.
TELL = """
import os, signal, sys, time
def tell(name):
    started = open("/proc/self/stat", "rb").read().rpartition(b")")[2].split()[19].decode()
    with open(name + ".tmp", "w") as file:
        file.write(f"{os.getpid()} {started}")
    os.rename(name + ".tmp", name + ".pid")
def sleep():
    while True:
        time.sleep(60)
"""


class Clock:
    """The real clock, which a test can set forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def skip(self, seconds: float) -> None:
        self._ahead += seconds


def wait_for(condition: Callable[[], object], what: str = "the condition", seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.005)


def told(folder: Path, name: str) -> ProcessId:
    """The process that called `tell(name)` in `folder`."""
    path = folder / f"{name}.pid"
    wait_for(path.exists, str(path))
    pid, started = path.read_text().split()
    return ProcessId(int(pid), started, processes.boot_id())


def request(**changes: object) -> InvocationRequest:
    plain = InvocationRequest(
        request_id="req-1",
        correlation_id="corr-1",
        caller="puruto-cron",
        target="puruto-x",
        action="run",
        prompt="Haz algo",
        timeout_sec=120,
        hop=0,
        requested_at="2026-02-25T20:00:00+00:00",
        payload={},
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def script(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def python(text: str) -> tuple[str, ...]:
    """The argument list that runs a Python text without site, quickly."""
    return (sys.executable, "-I", "-S", "-c", TELL + text)


def invoke_file(target: Path, text: str) -> Path:
    """The target's executable `invoke`, in Python."""
    return script(target / "invoke", f"{PYTHON}{TELL}{text}")


@contextmanager
def when(condition: Callable[[], object], then: Callable[[], object]) -> Iterator[None]:
    """In another thread: waits for the condition, then acts. A failure of either fails the test."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            wait_for(condition)
            then()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not failures, failures


@dataclass
class Place:
    """A home with one target, and an invoker for it. Its run ids are its own, so that tests can't meet."""

    home: Path
    variables: dict[str, str] = field(default_factory=lambda: {"PATH": os.environ["PATH"], "HOME": "/home/us"})
    clock: Clock = field(default_factory=Clock)
    grace: float = 30.0
    watching: bool = False
    """Whether an attempt has come so far that its timeout runs."""

    def __post_init__(self) -> None:
        self.target.mkdir()
        self.run_id = f"job-{os.getpid()}-{self.home.parent.name}-{self.home.name}"

    @property
    def target(self) -> Path:
        return self.home / "puruto-x"

    @property
    def run_folder(self) -> Path:
        return self.home / "runs" / "job" / self.run_id

    def invocation(self, command: Sequence[str] = (), **changes: object) -> Invocation:
        asked = {key: changes.pop(key) for key in list(changes) if key in InvocationRequest.__dataclass_fields__}
        plain = Invocation(
            request(**asked),
            attempt=1,
            run_folder=str(self.run_folder),
            run_id=self.run_id,
            command=tuple(command),
        )
        return replace(plain, **changes)  # type: ignore[arg-type]

    def invoker(self) -> Invoker:
        return Invoker(
            Targets(self.home, self.home / "puruto-data", self.home / "own"),
            PolicyFile(self.home / ".puruto-ipc.json"),
            Host(self.variables),
            self.grace,
            self.clock,
        )

    def invoke(
        self,
        invocation: Invocation,
        *,
        stop: Stop | None = None,
        on_start: Callable[[ProcessId], None] = lambda _child: None,
        beat: Callable[[], None] = lambda: None,
        beat_every: float = 0.02,
    ) -> AttemptOutcome:
        flag = stop or Stop()

        def watched() -> None:
            self.watching = True
            beat()

        try:
            return self.invoker().invoke(invocation, stop=flag, on_start=on_start, beat=watched, beat_every=beat_every)
        finally:
            if stop is None:
                flag.close()

    @contextmanager
    def expiring(self, *names: str) -> Iterator[None]:
        """Meanwhile, as soon as these were told in the target's folder and the timeout runs, it is over."""
        paths = [self.target / f"{name}.pid" for name in names]
        with when(lambda: self.watching and all(path.exists() for path in paths), lambda: self.clock.skip(300)):
            yield

    def run(self, command: Sequence[str] = (), **changes: object) -> AttemptOutcome:
        return self.invoke(self.invocation(command, **changes))


def error_of(outcome: AttemptOutcome) -> tuple[str, str, dict[str, object]]:
    """Code, message and details of an outcome that must be a failure."""
    error = outcome.response.error
    assert error is not None, outcome
    assert outcome.response.status == "error"
    return error.code, error.message, dict(error.details)


def result_of(outcome: AttemptOutcome) -> dict[str, object]:
    assert outcome.response.error is None, outcome.response.error
    return dict(outcome.response.result or {})
