"""One attempt: InvocationRequest → child process → InvocationResult. Also a program: see app/invoke_program.py.

However an attempt ends, all processes that it started are ended. Source: docs/design.md "Promises", 3.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, cast

from core.boundary import Failure
from core.clock import Clock, from_text
from core.descriptors import require_descriptors
from core.errors import CronError, MachineExhausted, machine_fault
from core.escape_codes import plain, without_codes
from core.invocation import Answer, AttemptOutcome, Invocation, InvocationRequest, InvocationResult, Prompt
from core.invocation_errors import (
    InvocationError,
    InvocationStopped,
    InvocationTimeout,
    StructuredOutputInvalid,
    SuccessCheckFailed,
)
from core.job import Success
from core.run import ProcessId
from invocation import prompt_file, runners, success
from invocation.child_environment import child_environment
from invocation.run_files import CallFiles
from invocation.runners.base import Ending, Host, read_tail
from invocation.supervision import Supervision
from system import processes
from system.awaitables import run_blocking
from system.processes import Child, Stop

_NAMED_PROCESSES = 20
#: Files that a call has open at the same time at most, while it is prepared and started.
_DESCRIPTORS = 10
#: An attempt is prepared at most this many seconds ahead; if the slot is later, the clock was set back meanwhile.
LONGEST_HOLD_SEC = 0.1


class _Targets(Protocol):
    def resolve(self, name: str) -> Path: ...


class _Policy(Protocol):
    def check(self, request: InvocationRequest) -> None: ...


class Invoker:
    """Makes attempts. Several threads may use it at once."""

    def __init__(self, targets: _Targets, policy: _Policy, host: Host, kill_grace_sec: float, clock: Clock) -> None:
        """`host.variables` are inherited by children, and `allow_env` selects from them.

        `kill_grace_sec` is the time in seconds between asking processes to end and killing them.
        """
        self._targets = targets
        self._policy = policy
        self._host = host
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
        """Blocking version of `call`."""

        async def on_child(child: ProcessId) -> None:
            on_start(child)

        return run_blocking(self.call(invocation, stop=stop, on_start=on_child, beat=beat, beat_every=beat_every))

    async def call(
        self,
        invocation: Invocation,
        *,
        stop: Stop,
        on_start: Callable[[ProcessId], Awaitable[None]],
        beat: Callable[[], None],
        beat_every: float,
    ) -> AttemptOutcome:
        """Makes one attempt. Failures of the target, and of starting it, are in the outcome and not raised.

        `on_start` gets the child's identity; `beat` is called every `beat_every` seconds until the attempt is over. If
        one of these raises (LeaseLost), all processes of the attempt are killed at once and the exception is passed on.
        Raises `MachineExhausted` if nothing could be started, and that is not the job's fault.
        """
        began = self._clock.monotonic()
        task = _InvocationTask()
        try:
            supervision = Supervision(
                self._clock,
                stop,
                beat=beat,
                beat_every_sec=beat_every,
                grace_sec=self._kill_grace_sec,
                marks=processes.marks(invocation.run_id, invocation.run_folder),
            )
            answer = await self._attempt(invocation, task, supervision, on_start)
        except InvocationError as error:
            answer = replace(task.answer, result=None, failure=_failure(error, task), from_target=False)
        except (MachineExhausted, OSError, MemoryError) as error:
            fault = machine_fault(error)
            if fault is None or task.left is None:
                raise fault or error from None
            answer = replace(task.answer, result=None, failure=_failure(fault, task), from_target=False)
        # Files keep what was printed; what is stored, sent and shown is plain text.
        result, failure, text = plain(answer.result), answer.failure, answer.text
        if failure is not None:
            details = cast("dict[str, object]", plain(failure.details))
            failure = Failure(failure.code, without_codes(failure.message), details)
        response = InvocationResult(
            request_id=invocation.request.request_id,
            correlation_id=invocation.request.correlation_id,
            duration_ms=round((self._clock.monotonic() - began) * 1000),
            result=cast("dict[str, object] | None", result) if failure is None else None,
            error=failure,
        )
        return AttemptOutcome(
            response,
            task.exit_code,
            task.stopped,
            answer.from_target,
            task.survivors,
            answer.usage,
            answer.session_id,
            answer.session_usage,
            without_codes(text if text is not None else task.printed),
            task.runner,
            left=task.left,
            prompt=task.prompt,
        )

    async def _attempt(
        self,
        invocation: Invocation,
        task: _InvocationTask,
        supervision: Supervision,
        on_start: Callable[[ProcessId], Awaitable[None]],
    ) -> Answer:
        request, stop = invocation.request, supervision.stop
        require_descriptors(_DESCRIPTORS)
        self._policy.check(request)
        folder = self._targets.resolve(request.target)
        invocation, task.prompt = prompt_file.filled(invocation, folder)
        request = invocation.request
        runner = runners.choose(invocation, folder, self._host)
        task.runner = runner.name
        launch = runner.launch(invocation, folder, self._host)
        files = CallFiles(invocation.run_folder, invocation.stem)
        try:
            files.prepare(request, launch)
            if stop.is_set():
                raise _stopped(task, stop)
            before = success.snapshot(invocation.success, folder)
            self._hold(invocation.scheduled_for)
            child = processes.start(
                launch.argv,
                cwd=folder,
                env=child_environment(self._host.variables, invocation, files.request, launch.env),
                stdin_path=files.stdin_of(launch),
                stdout_path=files.stdout,
                stderr_path=files.stderr,
            )
        except MachineExhausted:
            # The call is made again later, with new files of these names.
            files.discard(launch)
            raise
        code, ended = await self._follow(child, invocation, task, supervision, on_start)
        ending = Ending(code or 0, files.stdout, files.stderr, self._clock.now())
        late = None
        if code is None:
            with suppress(InvocationError):
                # What it had used until then counts; and all of its answer, if only its process did not end.
                late = None if stop.is_set() else runner.read_unended(invocation, ending)
                task.answer = runner.read_ended(invocation, ending)
            if late is None:
                raise _stopped(task, stop) if stop.is_set() else _timeout(request, ended, files)
        task.answer = answer = late or runner.read(invocation, ending)
        task.printed = read_tail(files.stdout) if answer.text is None else ""
        if answer.text is not None:
            # The answer of an agent is a part of its output. It gets its own file, for people and for `success`.
            ending = replace(ending, stdout=files.write_answer(answer.text))
        if answer.failure is not None:
            return answer

        async def check(spec: Success, ending: Ending, result_key: str) -> None:
            attempt = success.EndedAttempt(invocation, folder, ending, before, result_key)
            if not await success.check(spec, attempt, supervision):
                raise _stopped(task, stop)

        if invocation.agent.json_schema is not None and answer.text is not None:
            # The agent knew the schema, but may not have followed it.
            structured = files.write_structured((answer.result or {}).get("structured_output"))
            await _check_structured(invocation, check, replace(ending, stdout=structured))
        if invocation.success is not None:
            await check(invocation.success, ending, runner.result_key)
        return answer

    def _hold(self, slot: str) -> None:
        """Waits for the slot's instant, because the attempt is prepared a moment ahead. Blocks, to be exact."""
        left = (from_text(slot) - self._clock.now()).total_seconds() if slot else 0.0
        if 0 < left < LONGEST_HOLD_SEC:
            select.select([], [], [], left)

    async def _follow(
        self,
        child: Child,
        invocation: Invocation,
        task: _InvocationTask,
        supervision: Supervision,
        on_start: Callable[[ProcessId], Awaitable[None]],
    ) -> tuple[int | None, processes.EndedTree]:
        """The exit code (None if the child did not end by itself), and the processes that had to be ended."""
        # After a lost lease the child is killed at once: another run may be doing the same work.
        gently = False
        try:
            await on_start(child.identity)
            code = await supervision.watch(child, invocation.request.timeout_sec)
            gently = True
        finally:
            try:
                ended = await supervision.end(child, gently=gently)
                task.survivors = ended.survivors
                task.left = ended.left
                task.exit_code = child.exit_code()
            finally:
                child.close()
        return code, ended


@dataclass
class _InvocationTask:
    """The state of an attempt besides its answer."""

    exit_code: int | None = None
    stopped: bool = False
    survivors: tuple[str, ...] = ()
    left: tuple[str, ...] | None = None
    runner: str = ""
    answer: Answer = field(default_factory=Answer)
    printed: str = ""
    prompt: Prompt | None = None


async def _check_structured(
    invocation: Invocation, check: Callable[[Success, Ending, str], Awaitable[None]], structured: Ending
) -> None:
    """Raises StructuredOutputInvalid if the structured answer does not match the job's `json_schema`."""
    spec = Success(exit_codes=[structured.exit_code], json_schema=dict(invocation.agent.json_schema or {}))
    try:
        await check(spec, structured, "")
    except SuccessCheckFailed as error:
        raise StructuredOutputInvalid(
            "the structured answer does not match json_schema",
            hint=f"See {structured.stdout}",
            details={"failed": error.details.get("failed")},
        ) from None


def _failure(error: CronError, task: _InvocationTask) -> Failure:
    reported = error.as_dict()["details"]
    details = dict(reported) if isinstance(reported, Mapping) else {}
    if task.survivors:
        details["not_ended"] = list(task.survivors[:_NAMED_PROCESSES])
    return Failure(error.code, error.message, details)


def _stopped(task: _InvocationTask, stop: Stop) -> InvocationStopped:
    task.stopped = True
    return InvocationStopped(f"the attempt was ended: {stop.reason}", details={"reason": stop.reason})


def _timeout(request: InvocationRequest, ended: processes.EndedTree, files: CallFiles) -> InvocationTimeout:
    details: dict[str, object] = {
        "timeout_sec": request.timeout_sec,
        "alive": list(ended.alive[:_NAMED_PROCESSES]),
        "alive_count": len(ended.alive),
    }
    if tail := read_tail(files.stderr):
        details["stderr"] = tail
    return InvocationTimeout(
        f"target {request.target} had not finished after {request.timeout_sec} s; its processes were ended",
        hint="Raise timeout_sec if the work needs longer.",
        details=details,
    )


if __name__ == "__main__":
    from core import streams

    streams.open_missing()
    from app.invoke_program import main

    sys.exit(main(sys.argv[1:]))
