"""Whether an attempt met the conditions of its job's field `success`. Source: docs/jobs-file.md "success"."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from core import strict_json
from core.invocation import Invocation
from core.invocation_errors import IpcError, SuccessCheckFailed
from core.job import Success
from core.ownership import create
from invocation.runners.base import Ending, read_head, read_tail, signal_name
from invocation.supervision import Supervision
from system import processes

#: Limits of the checking child in seconds: of processor time, and of elapsed time on a busy machine.
CPU_SEC = 10
WALL_SEC = 30.0
_PROGRAM = Path(__file__).resolve().parent / "success_child.py"
_IN_CHILD = ("stdout_matches", "stdout_not_matches", "json_schema")
_ANSWER_LIMIT = 1024 * 1024


class Missed(TypedDict):
    """A condition that was not met: its name, what was expected, and what was found instead."""

    check: str
    expected: object
    found: object
    stdout_bytes: NotRequired[int]
    path: NotRequired[str]


#: Identifies the version of a file: device, inode, size, time of change. None if there is no regular file.
FileState = tuple[int, int, int, int] | None


@dataclass(frozen=True)
class EndedAttempt:
    """An attempt that has ended: its folder, how it ended, and the state of `file_changed` before it.

    `result_key` is the key of the printed JSON object that holds the result; "" if all that is printed is the result.
    """

    invocation: Invocation
    folder: Path
    ending: Ending
    before: FileState
    result_key: str


def snapshot(spec: Success | None, folder: Path) -> FileState:
    """The state of the file `file_changed` before the attempt; None if the job names none or there is none."""
    if spec is None or spec.file_changed is None:
        return None
    try:
        return _state(os.stat(folder / spec.file_changed))
    except (OSError, ValueError):
        return None


async def check(spec: Success, attempt: EndedAttempt, supervision: Supervision) -> bool:
    """Checks all conditions: True if they are met, False if a stop came before all were decided.

    Raises SuccessCheckFailed, with every condition that was missed; IpcError if the checking child can't be started.
    """
    missed = [*_exit_code(spec, attempt.ending.exit_code), *_file(spec, attempt)]
    conditions = {name: value for name in _IN_CHILD if (value := getattr(spec, name)) is not None}
    if conditions:
        missed_in_child = await _ChildCheck(attempt, conditions).run(supervision)
        if missed_in_child is None:
            return False
        missed += missed_in_child
    if missed:
        raise _error(attempt, missed)
    return True


def _exit_code(spec: Success, code: int) -> Iterator[Missed]:
    if code not in spec.exit_codes:
        found = code if code >= 0 else f"killed by {signal_name(-code)}"
        yield {"check": "exit_codes", "expected": sorted(set(spec.exit_codes)), "found": found}


def _file(spec: Success, attempt: EndedAttempt) -> Iterator[Missed]:
    if spec.file_changed is None:
        return
    try:
        now = os.stat(attempt.folder / spec.file_changed)
    except (OSError, ValueError) as error:
        found = f"it can't be accessed: {error.strerror if isinstance(error, OSError) else error}"
    else:
        if _state(now) is None:
            found = "not a regular file"
        elif _state(now) == attempt.before:
            found = f"unchanged by the attempt: {now.st_size} bytes, same time of change"
        else:
            return
    yield {"check": "file_changed", "expected": spec.file_changed, "found": found}


def _state(status: os.stat_result) -> FileState:
    if not stat.S_ISREG(status.st_mode):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _error(attempt: EndedAttempt, missed: list[Missed]) -> SuccessCheckFailed:
    names = ", ".join(dict.fromkeys(str(entry["check"]) for entry in missed))
    details: dict[str, object] = {"failed": missed}
    if errors := read_tail(attempt.ending.stderr):
        details["stderr"] = errors
    return SuccessCheckFailed(
        f"target {attempt.invocation.request.target} did not meet the conditions of success: {names}",
        hint=f"Its output is in {attempt.ending.stdout}",
        details=details,
    )


class _ChildCheck:
    """One start of `success_child.py`. Its three files are next to the attempt's own, and are removed at the end."""

    def __init__(self, attempt: EndedAttempt, checks: dict[str, object]) -> None:
        self._invocation = attempt.invocation
        self._checks = checks
        folder, stem = Path(attempt.invocation.run_folder), f"{attempt.invocation.stem}.success"
        self._question, self._answer, self._errors = (folder / f"{stem}.{end}" for end in ("json", "stdout", "stderr"))
        self._input = {
            "stdout": str(attempt.ending.stdout),
            "result_key": attempt.result_key,
            "checks": checks,
            "cpu_sec": CPU_SEC,
            # The child uses our libraries without searching for them itself.
            "path": [str(_PROGRAM.parents[1]), *map(os.path.abspath, sys.path)],
        }

    async def run(self, supervision: Supervision) -> list[Missed] | None:
        """The conditions that were missed, or that the child could not decide. None if a stop came first."""
        try:
            self._write_input()
            child = processes.start(
                (sys.executable, "-I", "-S", str(_PROGRAM)),
                cwd=self._question.parent,
                env=supervision.marks,
                stdin_path=self._question,
                stdout_path=self._answer,
                stderr_path=self._errors,
            )
            try:
                code = await supervision.watch(child, WALL_SEC)
            finally:
                await supervision.end(child, gently=False)
                child.close()
            return None if code is None and supervision.stop.is_set() else self._read(code)
        finally:
            for path in (self._question, self._answer, self._errors):
                with suppress(OSError):
                    path.unlink()

    def _write_input(self) -> None:
        try:
            fresh = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(create(self._question, fresh), "wb") as file:
                file.write(strict_json.dump(self._input))
        except OSError as error:
            raise IpcError(f"{self._question} can't be written: {error.strerror}") from None

    def _read(self, code: int | None) -> list[Missed]:
        data, _ = read_head(self._answer, _ANSWER_LIMIT)
        whole = data[: data.rfind(b"\n") + 1].splitlines()
        answers = {line["check"]: line["missed"] for line in map(json.loads, whole)}
        missed: list[Missed] = []
        for name, condition in self._checks.items():
            if name not in answers:
                # Checks are made in this order: this one ended the child, and the ones after it were not made.
                expected = condition if isinstance(condition, str) else "a schema that can be checked"
                return [*missed, {"check": name, "expected": expected, "found": f"not decided: {self._why(code)}"}]
            missed += answers[name]
        return missed

    def _why(self, code: int | None) -> str:
        if code is None:
            return f"it took more than {WALL_SEC:.0f} s"
        if code == -signal.SIGXCPU:
            return f"it took more than {CPU_SEC} s of processor time"
        if code < 0:
            return f"the checking process was killed by {signal_name(-code)}"
        return read_tail(self._errors, 200).rpartition("\n")[2] or f"the checking process ended with exit code {code}"
