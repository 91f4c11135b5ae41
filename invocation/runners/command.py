"""`command`: runs the job's argument list in the target's folder, without a shell."""

from __future__ import annotations

from pathlib import Path
from typing import NotRequired, TypedDict

from core import strict_json
from core.invocation import Answer, Invocation
from core.invocation_errors import RunnerNotFound
from invocation.runners.base import (
    RESULT_LIMIT,
    Ending,
    Host,
    Launch,
    Runner,
    nonzero_exit,
    read_head,
    read_tail,
    to_text,
)


class CommandResult(TypedDict):
    """The result of a program: its exit code, the beginning of its output, and the end of stderr if there is any."""

    exit_code: int
    stdout: str
    stdout_bytes: int
    stdout_truncated: bool
    stderr: NotRequired[str]


class CommandRunner(Runner):
    """Success: exit code 0, or the job's `success`. The result is the output of the program."""

    name = "command"
    order = 10
    fits_when = "the job has a `command`"
    stdin = "empty"
    success = "exit code 0"

    def fits(self, invocation: Invocation, folder: Path) -> bool:  # noqa: ARG002 - a runner's form
        return bool(invocation.command)

    def launch(self, invocation: Invocation, folder: Path, host: Host) -> Launch:  # noqa: ARG002 - a runner's form
        if not invocation.command:
            raise RunnerNotFound(
                f"target {invocation.request.target}: the runner is command, but the job has no command",
                hint="Give the job a command: a list of arguments.",
                details={"folder": str(folder)},
            )
        return Launch(invocation.command)

    def read(self, invocation: Invocation, ending: Ending) -> Answer:
        if ending.exit_code != 0 and invocation.success is None:
            raise nonzero_exit(invocation.command[0], ending)
        data, size = read_head(ending.stdout, RESULT_LIMIT)
        text, complete = to_text(data, RESULT_LIMIT, whole=size <= RESULT_LIMIT)
        result: CommandResult = {
            "exit_code": ending.exit_code,
            "stdout": text,
            "stdout_bytes": size,
            "stdout_truncated": not complete,
        }
        if errors := read_tail(ending.stderr):
            result["stderr"] = errors
        return Answer(result, session_id=_session(data) if complete else "")


def _session(data: bytes) -> str:
    """The `session_id` in the output, if that is a JSON object with one; else ""."""
    if b'"session_id"' not in data:
        return ""
    try:
        output = strict_json.parse(data)
    except strict_json.BadJson:
        return ""
    session = output.get("session_id") if isinstance(output, dict) else None
    return session if isinstance(session, str) else ""


KIND = CommandRunner()
