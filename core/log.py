"""The program's own log, for whoever looks for a fault: `log.warning("…", job=…, run_id=…, code=…)`.

Nothing is written until `opened` has said where to. A line that can't be written hurts nothing. `logging` itself is
imported with the first line (`core/log_file.py`): a command that writes none does not pay for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from datetime import datetime
    from types import TracebackType

    from core.job import Job

#: The levels of `logging`.
DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40
LEVELS = {"error": ERROR, "warning": WARNING, "info": INFO, "debug": DEBUG}
#: The file's name, in the folder of the database.
FILE = "puruto-cron.log"
#: The same warning is written once in so many seconds, not at each of a thousand attempts.
REPEATED_SEC = 60
_MOST_REMEMBERED = 1_000


@dataclass(frozen=True)
class Log:
    """Where lines go, from which level on, and what is masked in them."""

    path: str | None
    """None: there is no file, because the settings that name it can't be read."""
    level: int
    now: Callable[[], datetime]
    mask_of: Callable[[Job | None], Callable[[str], str]]
    """Takes out of a text what a run of this job may have seen of our secrets; None: of no job."""
    written: dict[object, datetime] = field(default_factory=dict)
    """Warnings, and when they were last written."""

    def is_repeated(self, what: object) -> bool:
        """Whether the same was written less than a minute ago."""
        last = self.written.get(what)
        return last is not None and 0 <= (self.now() - last).total_seconds() < REPEATED_SEC

    def remember(self, what: object) -> None:
        """It has been written now."""
        if len(self.written) >= _MOST_REMEMBERED:
            self.written.clear()
        self.written[what] = self.now()


class _State:
    """One process has one log."""

    make: Callable[[], Log] | None = None
    log: Log | None = None
    #: Made with the first line.
    logger: logging.Logger | None = None
    #: Whether it was said that lines can't be written.
    is_refused = False
    #: Whether tracebacks go to stderr too.
    debug = False


@contextmanager
def opened(make: Callable[[], Log]) -> Iterator[None]:
    """For the length of a `with` lines go where `make` says, which is asked when the first one comes."""
    before = _State.make, _State.debug
    _begin(make)
    _State.debug = False
    try:
        yield
    finally:
        _begin(before[0])
        _State.debug = before[1]


def reopen(make: Callable[[], Log]) -> None:
    """From now on lines go where `make` says: the settings have changed. Does nothing while no log is open."""
    if _State.make is not None:
        _begin(make)


def print_tracebacks() -> None:
    """From now on tracebacks go to stderr too."""
    _State.debug, _State.logger = True, None


def _begin(make: Callable[[], Log] | None) -> None:
    _State.make, _State.log, _State.logger, _State.is_refused = make, None, None, False


def debug(message: str, *, job: Job | str = "", run_id: str = "", code: str = "") -> None:
    """A step, for whoever follows them all."""
    write(DEBUG, message, job=job, run_id=run_id, code=code)


def info(message: str, *, job: Job | str = "", run_id: str = "", code: str = "") -> None:
    """Something happened that is as it should be."""
    write(INFO, message, job=job, run_id=run_id, code=code)


def warning(message: str, *, job: Job | str = "", run_id: str = "", code: str = "") -> None:
    """Something is wrong that hurts nothing else. Repeated within a minute it is not written again."""
    write(WARNING, message, job=job, run_id=run_id, code=code)


def fault(message: str, error: BaseException, *, job: Job | str = "", run_id: str = "", code: str) -> dict[str, object]:
    """A fault of ours, with its traceback: `{"reference", "log"}` by which it is found; empty if it was not written.

    The same fault, which is the same exception from the same lines of code, has the same reference each time.
    """
    reference = _reference_of(error)
    if not write(ERROR, message, job=job, run_id=run_id, code=code, reference=reference, error=error):
        return {}
    return {"reference": reference, "log": _State.log.path if _State.log else None}


def write(
    level: int,
    message: str,
    *,
    job: Job | str = "",
    run_id: str = "",
    code: str = "",
    reference: str = "",
    error: BaseException | None = None,
) -> bool:
    """One line, and the traceback of `error` below it; whether it stands in the file. Never raises.

    A job that is given whole has its own secrets masked too.
    """
    try:
        if _State.log is None and _State.make is not None:
            _State.log = _State.make()
        log = _State.log
        if log is None or level < log.level:
            return False
        names = {"job": job if isinstance(job, str) else job.job_id, "run": run_id, "code": code, "ref": reference}
        what = (level, message, *names.values())
        if level >= WARNING and log.is_repeated(what):
            return log.path is not None
        if _State.logger is None:
            from core import log_file

            _State.logger = log_file.logger(log, with_stderr=_State.debug)
        mask = log.mask_of(None if isinstance(job, str) else job)
        _State.logger.log(level, "%s", message, exc_info=error, extra={"names": names, "mask": mask, "at": log.now()})
        if level >= WARNING:
            log.remember(what)
        return log.path is not None
    except Exception as problem:  # noqa: BLE001 - whatever is wrong with the log must not become wrong with a run
        _say_refused(problem, level)
        return False


def _say_refused(problem: Exception, level: int) -> None:
    """Once, on stderr, where the systemd journal or the crontab's log has it; of lines that nobody may miss."""
    if level < WARNING or _State.is_refused or sys.stderr is None:
        return
    _State.is_refused = True
    where = _State.log.path if _State.log is not None else FILE
    # Of a fault in here only the type: its text may hold what should have been masked.
    reason = (isinstance(problem, OSError) and problem.strerror) or type(problem).__name__
    sys.stderr.write(f"The log {where} can't be written: {reason}\n")


def _reference_of(error: BaseException) -> str:
    """`err-` and eight digits: of the kind of exception, and the places in the code that it came through."""
    import zlib

    parts, trace = [type(error).__qualname__], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        parts.append(f"{os.path.basename(code.co_filename)}:{trace.tb_lineno}:{code.co_name}")
        trace = trace.tb_next
    return f"err-{zlib.crc32(' '.join(parts).encode('utf-8', 'backslashreplace')):08x}"


class tolerated:  # noqa: N801 - read like `contextlib.suppress`, which it stands in for
    """`suppress` that leaves a trace: `with tolerated(DatabaseError, "The lease was not renewed", job=run.job):`.

    What is wrong follows the message, with its code. Any other exception passes.
    """

    def __init__(
        self,
        kind: type[Exception],
        message: str,
        *,
        job: Job | str = "",
        run_id: str = "",
        level: int = WARNING,
    ) -> None:
        self._kind = kind
        self._message = message
        self._job = job
        self._run_id = run_id
        self._level = level

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, self._kind):
            return False
        write(
            self._level, f"{self._message}: {_sentence(error)}", job=self._job, run_id=self._run_id, code=_code(error)
        )
        return True


def _code(error: Exception) -> str:
    """The stable code of an error of ours; of the system's its name, like `ENOSPC`."""
    import errno

    if isinstance(error, OSError):
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    return str(getattr(error, "code", type(error).__name__))


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
