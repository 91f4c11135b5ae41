"""The base of all runners, and bounded reading of the output of processes."""

from __future__ import annotations

import codecs
import os
import signal
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from core import strict_json
from core.invocation import Answer, Invocation
from core.invocation_errors import IpcError, NonzeroExit

#: The most bytes of an answer that go into a result. Source: docs/design.md "A target".
RESULT_LIMIT = 64 * 1024
TAIL_LIMIT = 4 * 1024


#: The hint if an agent's program is not found.
INSTALL_HINT = "If it is installed, name its folder in PURUTO_CRON_AGENT_PATH."


@dataclass(frozen=True)
class Host:
    """The machine on which a runner works.

    `variables` are our environment, which overrides .env; `agents` are the agents to try, in order; `agent_path` are
    folders in which agents are searched before PATH.
    """

    variables: Mapping[str, str]
    agents: tuple[str, ...] = ()
    agent_path: tuple[str, ...] = ()


@dataclass(frozen=True)
class Launch:
    """What to start: the argument list, and its standard input (the request, or the text `stdin`, or nothing).

    `env` has variables that this runner needs in addition to those of every process. `files` maps paths to texts that
    are written before the start, for the process to read.
    """

    argv: tuple[str, ...]
    request_on_stdin: bool = False
    stdin: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ending:
    """How a process ended: its exit code (negative: the number of the signal), the files with its output, and when."""

    exit_code: int
    stdout: str
    stderr: str
    at: datetime


class Runner(ABC):
    """A way to run a target.

    A runner judges the exit code only if the job has no `success`; else the exit code is one of its conditions.
    """

    #: The name in a job's field `runner`, which is also the name of its file.
    name = ""
    #: Of the runners that fit a target, the one with the lowest order is used. Agents come last, in the order of the
    #: settings.
    order = 100
    #: For the table of runners in the documents: when it fits, what is on standard input, what counts as a success.
    fits_when = ""
    stdin = ""
    success = ""
    #: How to install the program that it needs; "" if it needs none.
    install = ""
    #: The key of the printed JSON object that holds the result; "" if all that is printed is the result.
    result_key = ""

    @abstractmethod
    def fits(self, invocation: Invocation, folder: Path) -> bool:
        """Whether this runner fits the target or the invocation; asked if the invocation names no runner."""

    def lacks(self, host: Host) -> str:  # noqa: ARG002 - a runner's form
        """What this machine lacks for this runner, as a sentence; "" if nothing."""
        return ""

    @abstractmethod
    def launch(self, invocation: Invocation, folder: Path, host: Host) -> Launch:
        """What to start in the target's folder. Raises InvocationError if it can't be started."""

    @abstractmethod
    def read(self, invocation: Invocation, ending: Ending) -> Answer:
        """The result, or the failure that the target reported. Raises InvocationError for anything else."""

    def read_unended(self, invocation: Invocation, ending: Ending) -> Answer | None:  # noqa: ARG002 - a runner's form
        """The answer of a process that had given all of it when its time was over; None if it had not."""
        return None

    def read_ended(self, invocation: Invocation, ending: Ending) -> Answer:  # noqa: ARG002 - a runner's form
        """Usage and session of a process that was ended before it was done; nothing else of the answer is used."""
        return Answer()


def read_head(path: str | Path, limit: int) -> tuple[bytes, int]:
    """The first `limit` bytes of an output file, and its size in bytes. Raises IpcError if the file is gone."""
    with _output(path) as (descriptor, size):
        return _read(descriptor, 0, limit), size


def read_end(path: str | Path, start: int, limit: int) -> bytes:
    """The last `limit` bytes of an output file, but none before `start`. Raises IpcError if the file is gone."""
    with _output(path) as (descriptor, size):
        return _read(descriptor, max(start, size - limit), limit)


def read_tail(path: str | Path, limit: int = TAIL_LIMIT) -> str:
    """The last `limit` bytes of an output file as text, in whole lines if possible; "" if the file is gone."""
    try:
        with _output(path) as (descriptor, size):
            data = _read(descriptor, max(0, size - limit), limit)
    except IpcError:
        return ""
    text = data.decode("utf-8", "replace")
    if size > limit:
        # The text may begin inside a line or a character: leave that part out.
        text = text.partition("\n")[2] or text.lstrip("\ufffd")
    return strict_json.plain_text(text).strip("\n")


def to_text(data: bytes, limit: int, *, whole: bool) -> tuple[str, bool]:
    """Output as text of at most `limit` bytes of UTF-8, and whether it is complete.

    `whole` says whether `data` is the complete output. NULs and bytes that are not UTF-8 become U+FFFD; a character
    that is cut in two is left out.
    """
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(data, final=whole)
    text = strict_json.plain_text(text)
    encoded = text.encode("utf-8")
    if len(encoded) <= limit:
        return text, whole
    return encoded[:limit].decode("utf-8", "ignore"), False


def nonzero_exit(program: str, ending: Ending, **extra: object) -> NonzeroExit:
    """The error for a process with an exit code other than 0, with the end of its output."""
    details: dict[str, object] = {"exit_code": ending.exit_code, **extra}
    if ending.exit_code < 0:
        details["signal"] = signal_name(-ending.exit_code)
    for stream, path in (("stderr", ending.stderr), ("stdout", ending.stdout)):
        if tail := read_tail(path):
            details[stream] = tail
            break
    stream = next((name for name in ("stderr", "stdout") if name in details), "")
    shown = {"stderr": f"See {ending.stderr}", "stdout": f"See {ending.stdout}"}
    hint = shown.get(stream, "It printed nothing on stdout and stderr.")
    return NonzeroExit(f"{strict_json.plain_text(program)[:256]} {how_it_ended(ending)}", hint=hint, details=details)


def how_it_ended(ending: Ending) -> str:
    """The end of a process as part of a sentence: `ended with exit code 1`, `was killed by SIGKILL (9)`."""
    if ending.exit_code < 0:
        return f"was killed by {signal_name(-ending.exit_code)}"
    return f"ended with exit code {ending.exit_code}"


def signal_name(number: int) -> str:
    """The name and number of a signal: `SIGKILL (9)`."""
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return f"signal {number}"


@contextmanager
def _output(path: str | Path) -> Iterator[tuple[int, int]]:
    """Yields descriptor and size of an output file. Raises IpcError if the child replaced it by something else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise IpcError(f"the output in {path} can't be read: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise IpcError(f"the output in {path} can't be read: it is no longer a regular file")
        yield descriptor, status.st_size
    finally:
        os.close(descriptor)


def _read(descriptor: int, start: int, limit: int) -> bytes:
    """At most `limit` bytes from offset `start`."""
    parts = []
    while limit and (part := os.pread(descriptor, limit, start)):
        parts.append(part)
        start, limit = start + len(part), limit - len(part)
    return b"".join(parts)
