"""`command`: an argument list of the job, run in the target's folder without a shell."""

from __future__ import annotations

from pathlib import Path

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


class CommandRunner(Runner):
    """Success is exit code 0, or what the job says; the result is what the program printed."""

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
                f"target {invocation.request.target}: the runner is command, but there is no command",
                hint="Give the job a command, an argument list.",
                details={"folder": str(folder)},
            )
        return Launch(invocation.command)

    def read(self, invocation: Invocation, ending: Ending) -> Answer:
        if ending.exit_code != 0 and invocation.success is None:
            raise nonzero_exit(invocation.command[0], ending)
        data, size = read_head(ending.stdout, RESULT_LIMIT)
        text, complete = to_text(data, RESULT_LIMIT, whole=size <= RESULT_LIMIT)
        result: dict[str, object] = {
            "exit_code": ending.exit_code,
            "stdout": text,
            "stdout_bytes": size,
            "stdout_truncated": not complete,
        }
        if errors := read_tail(ending.stderr):
            result["stderr"] = errors
        return Answer(result, session_id=_session(data) if complete else "")


def _session(data: bytes) -> str:
    """The `session_id` of what was printed, if that is one JSON object which has one."""
    if b'"session_id"' not in data:
        return ""
    try:
        told = strict_json.parse(data)
    except strict_json.BadJson:
        return ""
    session = told.get("session_id") if isinstance(told, dict) else None
    return session if isinstance(session, str) else ""


KIND = CommandRunner()
