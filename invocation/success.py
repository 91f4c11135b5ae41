"""Whether an attempt that ended did what its job calls success. Source: the job's field `success`."""

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

from core import strict_json
from core.invocation import Invocation
from core.invocation_errors import IpcError, SuccessCheckFailed
from core.job import Success
from invocation.runners.base import Ending, read_head, read_tail, signal_name
from invocation.supervision import Supervision
from system import processes

#: What the inspector may take: seconds of computing, and seconds altogether on a machine that is busy elsewhere.
CPU_SEC = 10
WALL_SEC = 30.0
_PROGRAM = Path(__file__).resolve().parent / "success_child.py"
_INSPECTED = ("stdout_matches", "stdout_not_matches", "json_schema")
_ANSWER_LIMIT = 1024 * 1024

Missed = dict[str, object]
#: Which version of a file stands at a path: device, inode, size, time of change. None when there is no regular file.
FileState = tuple[int, int, int, int] | None


@dataclass(frozen=True)
class Seen:
    """An attempt that has ended: in which folder, how, and what `file_changed` was before it.

    `result_key` is the key of the printed JSON object that holds the result, "" when all that is printed is the result.
    """

    invocation: Invocation
    folder: Path
    ending: Ending
    before: FileState
    result_key: str


def snapshot(spec: Success | None, folder: Path) -> FileState:
    """What stands at `file_changed` before the attempt."""
    if spec is None or spec.file_changed is None:
        return None
    try:
        return _state(os.stat(folder / spec.file_changed))
    except (OSError, ValueError):
        return None


async def check(spec: Success, seen: Seen, supervision: Supervision) -> bool:
    """Raises SuccessCheckFailed, with every check that was missed; False if a stop came before all was decided.

    Raises IpcError when the inspector can't be started.
    """
    missed = [*_exit_code(spec, seen.ending.exit_code), *_file(spec, seen)]
    asked = {name: wanted for name in _INSPECTED if (wanted := getattr(spec, name)) is not None}
    if asked:
        inspected = await _Inspection(seen, asked).run(supervision)
        if inspected is None:
            return False
        missed += inspected
    if missed:
        raise _error(seen, missed)
    return True


def _exit_code(spec: Success, code: int) -> Iterator[Missed]:
    if code not in spec.exit_codes:
        found = code if code >= 0 else f"killed by {signal_name(-code)}"
        yield {"check": "exit_codes", "expected": sorted(set(spec.exit_codes)), "found": found}


def _file(spec: Success, seen: Seen) -> Iterator[Missed]:
    if spec.file_changed is None:
        return
    try:
        now = os.stat(seen.folder / spec.file_changed)
    except (OSError, ValueError) as error:
        found = f"can't be seen: {error.strerror if isinstance(error, OSError) else error}"
    else:
        if _state(now) is None:
            found = "no regular file"
        elif _state(now) == seen.before:
            found = f"as before the attempt: {now.st_size} bytes, same time of change"
        else:
            return
    yield {"check": "file_changed", "expected": spec.file_changed, "found": found}


def _state(found: os.stat_result) -> FileState:
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _error(seen: Seen, missed: list[Missed]) -> SuccessCheckFailed:
    names = ", ".join(dict.fromkeys(str(entry["check"]) for entry in missed))
    details: dict[str, object] = {"failed": missed}
    if errors := read_tail(seen.ending.stderr):
        details["stderr"] = errors
    return SuccessCheckFailed(
        f"target {seen.invocation.request.target} did not do what success asks for: {names}",
        hint=f"details.failed says what was expected; see also {seen.ending.stdout}",
        details=details,
    )


class _Inspection:
    """A question to the inspector, in three files beside the attempt's own, which are gone when it is answered."""

    def __init__(self, seen: Seen, checks: dict[str, object]) -> None:
        self._invocation = seen.invocation
        self._checks = checks
        folder, stem = Path(seen.invocation.run_folder), f"{seen.invocation.stem}.success"
        self._question, self._answer, self._errors = (folder / f"{stem}.{end}" for end in ("json", "stdout", "stderr"))
        self._asked = {
            "stdout": str(seen.ending.stdout),
            "result_key": seen.result_key,
            "checks": checks,
            "cpu_sec": CPU_SEC,
            # The same libraries as ours, without the time that finding them takes.
            "path": [str(_PROGRAM.parents[1]), *map(os.path.abspath, sys.path)],
        }

    async def run(self, supervision: Supervision) -> list[Missed] | None:
        """What was missed; what the inspector could not decide is missed too. None when a stop came first."""
        try:
            self._ask()
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

    def _ask(self) -> None:
        try:
            fresh = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(self._question, fresh, 0o600), "wb") as file:
                file.write(strict_json.dump(self._asked))
        except OSError as error:
            raise IpcError(f"{self._question} can't be written: {error.strerror}") from None

    def _read(self, code: int | None) -> list[Missed]:
        data, _ = read_head(self._answer, _ANSWER_LIMIT)
        whole = data[: data.rfind(b"\n") + 1].splitlines()
        answers = {line["check"]: line["missed"] for line in map(json.loads, whole)}
        missed: list[Missed] = []
        for name, wanted in self._checks.items():
            if name not in answers:
                # Checks are made in this order, so this is the one that was too much; of the others nothing is known.
                expected = wanted if isinstance(wanted, str) else "a schema that can be checked"
                return [*missed, {"check": name, "expected": expected, "found": f"not decided: {self._why(code)}"}]
            missed += answers[name]
        return missed

    def _why(self, code: int | None) -> str:
        if code is None:
            return f"it took more than {WALL_SEC:.0f} s"
        if code == -signal.SIGXCPU:
            return f"it took more than {CPU_SEC} s of computing"
        if code < 0:
            return f"the inspector was killed by {signal_name(-code)}"
        return read_tail(self._errors, 200).rpartition("\n")[2] or f"the inspector ended with exit code {code}"
