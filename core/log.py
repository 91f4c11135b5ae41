"""The program's log, for finding faults: `log.warning("…", job=…, run_id=…, code=…)`.

Nothing is written before `opened`. If a line can't be written, the program continues. `core/log_file.py` and `logging`
are imported with the first line, so a command that logs nothing does not pay for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core import streams

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
#: Seconds in which the same warning is not written again: it may be repeated a thousand times.
REPEATED_SEC = 60
_MOST_REMEMBERED = 1_000


@dataclass(frozen=True)
class Log:
    """The file, the level and the masking of the log."""

    path: str | None
    """The path of the file; None if the settings that name it can't be read."""
    level: int
    now: Callable[[], datetime]
    mask_of: Callable[[Job | None], Callable[[str], str]]
    """Given a job or None, returns the function that masks the secrets which a run of that job may have seen."""
    written: dict[object, datetime] = field(default_factory=dict)
    """When each warning was last written."""

    def is_repeated(self, entry: object) -> bool:
        """Whether the same warning was written less than `REPEATED_SEC` seconds ago."""
        last = self.written.get(entry)
        return last is not None and 0 <= (self.now() - last).total_seconds() < REPEATED_SEC

    def remember(self, entry: object) -> None:
        """Records that the warning was written now."""
        if len(self.written) >= _MOST_REMEMBERED:
            self.written.clear()
        self.written[entry] = self.now()


class _State:
    """The log of this process."""

    make: Callable[[], Log] | None = None
    log: Log | None = None
    #: Created with the first line.
    logger: logging.Logger | None = None
    #: Whether it was reported that lines can't be written.
    is_refused = False
    #: Whether tracebacks are also printed to stderr.
    debug = False


@contextmanager
def opened(make: Callable[[], Log]) -> Iterator[None]:
    """While the context is open, lines go to the log that `make` returns. `make` is called with the first line."""
    before = _State.make, _State.debug
    _begin(make)
    _State.debug = False
    try:
        yield
    finally:
        _begin(before[0])
        _State.debug = before[1]


def reopen(make: Callable[[], Log]) -> None:
    """Replaces the open log, because the settings have changed. Does nothing if no log is open."""
    if _State.make is not None:
        _begin(make)


def print_tracebacks() -> None:
    """Also prints tracebacks to stderr from now on."""
    _State.debug, _State.logger = True, None


def _begin(make: Callable[[], Log] | None) -> None:
    _State.make, _State.log, _State.logger, _State.is_refused = make, None, None, False


def debug(message: str, *, job: Job | str = "", run_id: str = "", code: str = "") -> None:
    """Logs a detail for debugging."""
    write(DEBUG, message, job=job, run_id=run_id, code=code)


def info(message: str, *, job: Job | str = "", run_id: str = "", code: str = "") -> None:
    """Logs a normal event."""
    write(INFO, message, job=job, run_id=run_id, code=code)


def warning(message: str, *, job: Job | str = "", run_id: str = "", code: str = "") -> None:
    """Logs a problem that does no further harm. The same warning is not written again within a minute."""
    write(WARNING, message, job=job, run_id=run_id, code=code)


def fault(message: str, error: BaseException, *, job: Job | str = "", run_id: str = "", code: str) -> dict[str, object]:
    """Logs a bug with its traceback. Returns `{"reference", "log"}` to find it by; {} if it was not written.

    The same exception from the same lines of code always has the same reference.
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
    """Writes one line, with the traceback of `error` below it. Returns whether it is in the file. Never raises.

    If `job` is a `Job`, its own secrets are masked too.
    """
    try:
        if _State.log is None and _State.make is not None:
            _State.log = _State.make()
        log = _State.log
        if log is None or level < log.level:
            return False
        names = {"job": job if isinstance(job, str) else job.job_id, "run": run_id, "code": code, "ref": reference}
        entry = (level, message, *names.values())
        if level >= WARNING and log.is_repeated(entry):
            return log.path is not None
        if _State.logger is None:
            from core import log_file

            _State.logger = log_file.logger(log, with_stderr=_State.debug)
        mask = log.mask_of(None if isinstance(job, str) else job)
        _State.logger.log(level, "%s", message, exc_info=error, extra={"names": names, "mask": mask, "at": log.now()})
        if level >= WARNING:
            log.remember(entry)
        return log.path is not None
    except Exception as problem:  # noqa: BLE001 - a fault of the log must not harm a run
        _report_refusal(problem, level)
        return False


def _report_refusal(problem: Exception, level: int) -> None:
    """Reports once, on stderr, that a warning or error can't be written; the journal or the crontab's log keeps it."""
    if level < WARNING or _State.is_refused:
        return
    _State.is_refused = True
    where = _State.log.path if _State.log is not None else FILE
    # For other exceptions only the type: the text may contain a secret.
    reason = (isinstance(problem, OSError) and problem.strerror) or type(problem).__name__
    streams.say(f"The log {where} can't be written: {reason}")


def _reference_of(error: BaseException) -> str:
    """`err-` and eight hexadecimal digits, computed from the exception's type and its traceback."""
    import zlib

    parts, trace = [type(error).__qualname__], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        parts.append(f"{os.path.basename(code.co_filename)}:{trace.tb_lineno}:{code.co_name}")
        trace = trace.tb_next
    return f"err-{zlib.crc32(' '.join(parts).encode('utf-8', 'backslashreplace')):08x}"


class tolerated:  # noqa: N801 - named like `contextlib.suppress`, which it replaces
    """Like `suppress`, but logged: `with tolerated(DatabaseError, "The lease was not renewed", job=run.job):`.

    The exception's text and code are added to the message. Other exceptions are not suppressed.
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
    """The stable code of a `CronError`; the name of a system error, like `ENOSPC`."""
    import errno

    if isinstance(error, OSError):
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    return str(getattr(error, "code", type(error).__name__))


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
