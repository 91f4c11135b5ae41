"""What a runner is, and how runners read what a process left behind without reading more than they need."""

from __future__ import annotations

import codecs
import os
import signal
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core import strict_json
from core.invocation import Answer, Invocation
from core.invocation_errors import IpcError, NonzeroExit

#: Of an answer at most so many bytes go into a result. Source: docs/design.md "A target".
RESULT_LIMIT = 64 * 1024
TAIL_LIMIT = 4 * 1024


#: What helps when an agent's program is not found.
INSTALL_HINT = "If it is installed, name its folder in PURUTO_CRON_AGENT_PATH."


@dataclass(frozen=True)
class Host:
    """What a runner may know of where it runs.

    `variables` are our environment merged over .env; `agents` the agents to try, in order; `agent_path` folders in
    which agents are looked for before PATH.
    """

    variables: Mapping[str, str]
    agents: tuple[str, ...] = ()
    agent_path: tuple[str, ...] = ()


@dataclass(frozen=True)
class Launch:
    """What to start: the argument list, and what is on its standard input: the request file, or `stdin`, or nothing.

    `env` are variables that this way to run a target needs besides those that every process gets; `files` are written
    before the start, path and text, for the process to read.
    """

    argv: tuple[str, ...]
    request_on_stdin: bool = False
    stdin: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ending:
    """How the process ended: the exit code (negative: the signal) and the files that hold its output."""

    exit_code: int
    stdout: str
    stderr: str


class Runner(ABC):
    """One way to run a target.

    A runner judges the exit code only of a job without `success`; else that is one of the things asked for there.
    """

    #: As a job's `runner` names it; that of its file.
    name = ""
    #: Of those that fit a target the one with the lowest is taken. Agents come after all others, as the settings say.
    order = 100
    #: For the table of runners in the documents: when it fits, what is on standard input, what counts as a success.
    fits_when = ""
    stdin = ""
    success = ""
    #: How the program is installed that it needs; "" where it needs none.
    install = ""
    #: The key of the printed JSON object that holds the result; "" where all that is printed is the result.
    result_key = ""

    @abstractmethod
    def fits(self, invocation: Invocation, folder: Path) -> bool:
        """Whether the target, or the invocation, is made for this runner; asked when the invocation names none."""

    def lacks(self, host: Host) -> str:  # noqa: ARG002 - a runner's form
        """What this machine lacks for this runner, as a sentence; "" when nothing."""
        return ""

    @abstractmethod
    def launch(self, invocation: Invocation, folder: Path, host: Host) -> Launch:
        """What to start in the target's folder. Raises InvocationError when that can't work."""

    @abstractmethod
    def read(self, invocation: Invocation, ending: Ending) -> Answer:
        """The result, or the failure that the target told. Raises InvocationError for anything else."""


def read_head(path: str | Path, limit: int) -> tuple[bytes, int]:
    """The first `limit` bytes of an output file, and its size. Raises IpcError if the file is gone."""
    with _output(path) as (descriptor, size):
        return _read(descriptor, 0, limit), size


def read_tail(path: str | Path, limit: int = TAIL_LIMIT) -> str:
    """The last `limit` bytes of an output file as text, whole lines if there are any; "" if it is gone."""
    try:
        with _output(path) as (descriptor, size):
            data = _read(descriptor, max(0, size - limit), limit)
    except IpcError:
        return ""
    text = data.decode("utf-8", "replace")
    if size > limit:
        # Cut inside a character or a line: leave out what is not whole.
        text = text.partition("\n")[2] or text.lstrip("\ufffd")
    return strict_json.plain_text(text).strip("\n")


def to_text(data: bytes, limit: int, *, whole: bool) -> tuple[str, bool]:
    """Output as text that takes at most `limit` bytes of UTF-8, and whether all of it is there.

    `whole` says that `data` is all there is. Bytes that are not UTF-8 and NULs become U+FFFD; a character that the cut
    went through is left out.
    """
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(data, final=whole)
    text = strict_json.plain_text(text)
    encoded = text.encode("utf-8")
    if len(encoded) <= limit:
        return text, whole
    return encoded[:limit].decode("utf-8", "ignore"), False


def nonzero_exit(program: str, ending: Ending, **more: object) -> NonzeroExit:
    """The error for a process that did not end with exit code 0, with the end of what it said."""
    details: dict[str, object] = {"exit_code": ending.exit_code, **more}
    how = f"ended with exit code {ending.exit_code}"
    if ending.exit_code < 0:
        name = signal_name(-ending.exit_code)
        details["signal"] = name
        how = f"was killed by {name}"
    for stream, path in (("stderr", ending.stderr), ("stdout", ending.stdout)):
        if tail := read_tail(path):
            details[stream] = tail
            break
    stream = next((name for name in ("stderr", "stdout") if name in details), "")
    shown = {"stderr": f"See {ending.stderr}", "stdout": f"See {ending.stdout}"}
    hint = shown.get(stream, "It printed nothing, neither on stdout nor on stderr.")
    return NonzeroExit(f"{strict_json.plain_text(program)[:256]} {how}", hint=hint, details=details)


def signal_name(number: int) -> str:
    """`SIGKILL (9)`."""
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return f"signal {number}"


@contextmanager
def _output(path: str | Path) -> Iterator[tuple[int, int]]:
    """The file's descriptor and its size, unless the child put something else in its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise IpcError(f"the output in {path} can't be read: {error.strerror}") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise IpcError(f"the output in {path} can't be read: not a regular file any more")
        yield descriptor, found.st_size
    finally:
        os.close(descriptor)


def _read(descriptor: int, start: int, limit: int) -> bytes:
    """At most `limit` bytes from `start` on."""
    parts = []
    while limit and (part := os.pread(descriptor, limit, start)):
        parts.append(part)
        start, limit = start + len(part), limit - len(part)
    return b"".join(parts)
