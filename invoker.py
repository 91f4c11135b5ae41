"""One attempt: InvocationRequest → child process → InvocationResult. A program as well: see `invoker_program`.

Whatever happens in an attempt, nothing that it started is alive when it is over. Source: DESIGN promise 3.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import processes
import runners
import strict_json
import success
from errors import InvocationError, InvocationStopped, InvocationTimeout, IpcError
from folders import make_private
from models import AttemptOutcome, Clock, Failure, Invocation, InvocationRequest, InvocationResult, ProcessId
from processes import Child, Stop
from runners.base import Ending, read_tail

_INHERITED = ("HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TZ", "TMPDIR")
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
#: Names that start so are ours: no job can set them.
OURS = "PURUTO_CRON_"
_NAMED_PROCESSES = 20


class _Targets(Protocol):
    def resolve(self, name: str) -> Path: ...


class _Policy(Protocol):
    def check(self, request: InvocationRequest) -> None: ...


class Invoker:
    """Makes attempts. It may be used by several threads at once."""

    def __init__(
        self, targets: _Targets, policy: _Policy, variables: Mapping[str, str], kill_grace_sec: float, clock: Clock
    ) -> None:
        """`variables` are our environment merged over .env: what children inherit and `allow_env` picks from.

        `kill_grace_sec` is how long processes that are asked to end may take before they are killed.
        """
        self._targets = targets
        self._policy = policy
        self._variables = variables
        self._kill_grace_sec = kill_grace_sec
        self._clock = clock

    def invoke(
        self,
        invocation: Invocation,
        *,
        stop: Stop,
        on_start: Callable[[ProcessId], None],
        beat: Callable[[], None],
        beat_every: float,
    ) -> AttemptOutcome:
        """Makes one attempt and returns how it ended; failures of the target and of starting it are no exceptions.

        `on_start` hears who the child is; `beat` is called every `beat_every` seconds until all is over. What these two
        raise (LeaseLost) goes through, after all processes of the attempt were killed without grace.
        """
        began = self._clock.monotonic()
        course = _Course()
        answer: Mapping[str, object] | Failure
        try:
            pulse = _Pulse(self._clock, beat, beat_every)
            answer = self._attempt(invocation, course, stop, on_start, pulse)
            from_target = isinstance(answer, Failure)
        except InvocationError as error:
            answer, from_target = _failure(error, course), False
        response = InvocationResult(
            request_id=invocation.request.request_id,
            correlation_id=invocation.request.correlation_id,
            duration_ms=round((self._clock.monotonic() - began) * 1000),
            result=None if isinstance(answer, Failure) else answer,
            error=answer if isinstance(answer, Failure) else None,
        )
        return AttemptOutcome(response, course.exit_code, course.stopped, from_target, course.survivors)

    def _attempt(
        self,
        invocation: Invocation,
        course: _Course,
        stop: Stop,
        on_start: Callable[[ProcessId], None],
        pulse: _Pulse,
    ) -> Mapping[str, object] | Failure:
        request = invocation.request
        self._policy.check(request)
        folder = self._targets.resolve(request.target)
        runner = runners.choose(invocation, folder)
        launch = runner.launch(invocation, folder)
        files = _Files(Path(invocation.run_folder), invocation.attempt)
        files.prepare(request)
        if stop.is_set():
            raise _stopped(course, stop)
        before = success.snapshot(invocation.success, folder)
        child = processes.start(
            launch.argv,
            cwd=folder,
            env=child_environment(self._variables, invocation, files.request),
            stdin_path=files.request if launch.request_on_stdin else None,
            stdout_path=files.stdout,
            stderr_path=files.stderr,
        )
        code, ended = self._follow(child, invocation, course, stop, on_start, pulse)
        if code is None:
            raise _stopped(course, stop) if stop.is_set() else _timeout(request, ended, files)
        ending = Ending(code, files.stdout, files.stderr)
        answer = runner.read(invocation, ending)
        if invocation.success is None or isinstance(answer, Failure):
            return answer

        def watch(inspector: Child, seconds: float) -> int | None:
            return _watch(inspector, self._clock, seconds, stop, pulse)

        seen = success.Seen(invocation, folder, ending, before, runner.result_key)
        if not success.check(invocation.success, seen, self._clock, stop, watch):
            raise _stopped(course, stop)
        return answer

    def _follow(
        self,
        child: Child,
        invocation: Invocation,
        course: _Course,
        stop: Stop,
        on_start: Callable[[ProcessId], None],
        pulse: _Pulse,
    ) -> tuple[int | None, processes.Ended]:
        """The exit code, None when the child did not end by itself; and what had to be ended after or instead."""
        grace = 0.0
        try:
            on_start(child.identity)
            code = _watch(child, self._clock, invocation.request.timeout_sec, stop, pulse)
            grace = self._kill_grace_sec
        finally:
            try:
                marks = processes.marks(invocation.run_id, invocation.run_folder)
                ended = processes.end_tree(child, marks, grace, self._clock, pulse)
                course.survivors = ended.left
                course.exit_code = child.exit_code()
            finally:
                child.close()
        return code, ended


def child_environment(variables: Mapping[str, str], invocation: Invocation, request_file: Path) -> dict[str, str]:
    """All that a child sees. Source: DESIGN "A target".

    Later ones win: what is inherited, the job's `env`, the variables named by `allow_env` as far as they are set, ours.
    """
    found = {name: variables[name] for name in _INHERITED if name in variables}
    for name, value in _account().items():
        # Empty counts as missing: a HOME of "" sends programs to the current folder.
        found[name] = found.get(name) or value
    found.update(invocation.env)
    found.update({name: variables[name] for name in invocation.allow_env if name in variables})
    found = {name: value for name, value in found.items() if not name.startswith(OURS)}
    request = invocation.request
    found.update(processes.marks(invocation.run_id, invocation.run_folder))
    if around := processes.lineage(variables):
        found[processes.RUN_FOLDERS] = around
    found[OURS + "SLOT"] = invocation.scheduled_for
    found[OURS + "ATTEMPT"] = str(invocation.attempt)
    found[OURS + "REQUEST_ID"] = request.request_id
    found[OURS + "CORRELATION_ID"] = request.correlation_id
    found[OURS + "HOP"] = str(request.hop)
    found[OURS + "REQUEST_FILE"] = str(request_file)
    if invocation.job_id:
        found[OURS + "JOB_ID"] = invocation.job_id
    return found


def _account() -> dict[str, str]:
    """What a login would have set: cron leaves some of it out."""
    import pwd

    try:
        account = pwd.getpwuid(os.getuid())
    except KeyError:
        return {"HOME": "/", "SHELL": "/bin/sh", "PATH": _DEFAULT_PATH}
    return {
        "HOME": account.pw_dir or "/",
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell or "/bin/sh",
        "PATH": _DEFAULT_PATH,
    }


@dataclass
class _Course:
    """What is known of an attempt besides its answer."""

    exit_code: int | None = None
    stopped: bool = False
    survivors: tuple[str, ...] = ()


class _Pulse:
    """Calls `beat` when it is due."""

    def __init__(self, clock: Clock, beat: Callable[[], None], every: float) -> None:
        self._clock, self._beat, self._every = clock, beat, every
        self._due = clock.monotonic() + every

    def __call__(self) -> None:
        if self._clock.monotonic() >= self._due:
            self._beat()
            # From now, not from when it was due: after a long sleep one beat is enough.
            self._due = self._clock.monotonic() + self._every

    def seconds_left(self) -> float:
        return max(0.0, self._due - self._clock.monotonic())


def _watch(child: Child, clock: Clock, timeout_sec: float, stop: Stop, pulse: _Pulse) -> int | None:
    """The exit code; None when the time is over or a stop was asked for."""
    deadline = clock.monotonic() + timeout_sec
    while True:
        left = deadline - clock.monotonic()
        code = child.wait(max(0.0, min(left, pulse.seconds_left())), stop)
        if code is not None or left <= 0 or stop.is_set():
            return code
        pulse()
        processes.reap_orphans()


class _Files:
    """The files of one attempt: `attempt-1.request.json`, `attempt-1.stdout`, `attempt-1.stderr`."""

    def __init__(self, folder: Path, attempt: int) -> None:
        self._folder = folder
        self.request = folder / f"attempt-{attempt}.request.json"
        self.stdout = folder / f"attempt-{attempt}.stdout"
        self.stderr = folder / f"attempt-{attempt}.stderr"

    def prepare(self, request: InvocationRequest) -> None:
        """Makes the folder, for us alone, and writes the request. Raises IpcError."""
        try:
            data = strict_json.dump(request.as_dict())
        except (TypeError, ValueError) as error:
            raise IpcError(f"the request can't be written as JSON: {error}", hint="Correct its payload.") from None
        try:
            self._make_folder()
            fresh = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(self.request, fresh, 0o600), "wb") as file:
                file.write(data)
        except OSError as error:
            link = next((path for path in (self._folder.parent, self._folder) if path.is_symlink()), None)
            raise IpcError(
                f"the run's folder {self._folder} can't be used: "
                + (f"{link} is a link, and is not followed" if link else str(error.strerror)),
                hint="See to its owner, its mode and the space on the disk.",
                details={"path": str(error.filename or self._folder)},
            ) from None

    def _make_folder(self) -> None:
        make_private(str(self._folder.parent))
        # The folder of all runs may be a link, of one's own making; what targets can reach may not.
        os.close(os.open(self._folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
        try:
            os.mkdir(self._folder, 0o700)
        except FileExistsError:
            # A link in its place would lead our files elsewhere.
            os.close(os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))


def _failure(error: InvocationError, course: _Course) -> Failure:
    told = error.as_dict()["details"]
    details = dict(told) if isinstance(told, Mapping) else {}
    if course.survivors:
        details["not_ended"] = list(course.survivors[:_NAMED_PROCESSES])
    return Failure(error.code, error.message, details)


def _stopped(course: _Course, stop: Stop) -> InvocationStopped:
    course.stopped = True
    return InvocationStopped(f"the attempt was ended: {stop.reason}", details={"reason": stop.reason})


def _timeout(request: InvocationRequest, ended: processes.Ended, files: _Files) -> InvocationTimeout:
    details: dict[str, object] = {
        "timeout_sec": request.timeout_sec,
        "alive": list(ended.found[:_NAMED_PROCESSES]),
        "alive_count": len(ended.found),
    }
    if tail := read_tail(files.stderr):
        details["stderr"] = tail
    return InvocationTimeout(
        f"target {request.target} was not done after {request.timeout_sec} s; its processes were ended",
        hint="Raise timeout_sec if the work needs longer.",
        details=details,
    )


if __name__ == "__main__":
    from invoker_program import main

    sys.exit(main(sys.argv[1:]))
