"""One tree of errors. Each class has a stable `code` and the exit code of a command that ends with it.

A message names the job, file, field or path, and `hint` says what to do. The command line prints `as_dict()`.
Imports almost nothing, because the idle tick imports this module.
"""

from __future__ import annotations

import sys


class CronError(Exception):
    """Root of all errors that we raise on purpose.

    `details` must be JSON-serialisable. `hint` is one sentence that says what to do, or "".
    """

    code = "INTERNAL_ERROR"
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", details: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details or {}

    def as_dict(self) -> dict[str, object]:
        """`{"code", "message", "details"}`; the hint is `details.hint`."""
        details = dict(self.details)
        if self.hint:
            details["hint"] = self.hint
        return {"code": self.code, "message": self.message, "details": details}


class InternalError(CronError):
    """A bug in this program: an exception that no code expected."""


class UsageError(CronError):
    """The command line is wrong: an unknown command or option, or a missing argument."""

    code = "USAGE"
    exit_code = 2


class Interrupted(CronError):
    """A signal ended this command. Exit code 130 for Ctrl-C, 143 for TERM."""

    code = "INTERRUPTED"
    exit_code = 130


class OutputUnwritable(CronError):
    """The answer could not be written to stdout: the disk is full, or the descriptor is closed."""

    code = "OUTPUT_UNWRITABLE"


# --- configuration: exit code 2 -------------------------------------------------------------------------------


class ConfigurationError(CronError):
    """A file or setting that a person wrote is wrong; nothing was changed."""

    code = "CONFIGURATION_INVALID"
    exit_code = 2


class SettingsError(ConfigurationError):
    """An environment variable or a line of .env is wrong."""

    code = "SETTINGS_INVALID"


class NotInPlaceError(ConfigurationError):
    """The program was copied into site-packages, but it must run in its own folder."""

    code = "NOT_IN_PLACE"


class CrontabUnusable(CronError):
    """The program `crontab` is missing, or it refused."""

    code = "CRONTAB_UNUSABLE"


class PictureUnwritable(CronError):
    """The SVG file of `timeline` can't be written."""

    code = "PICTURE_UNWRITABLE"


class CrontabUnreadable(ConfigurationError):
    """The crontab to import is missing, not a regular file, too large, or not readable."""

    code = "CRONTAB_UNREADABLE"


class NothingImported(CronError):
    """No line of a crontab could be turned into a job; `details.not_imported` gives the reason for each line."""

    code = "NOTHING_IMPORTED"


class NotSynced(CronError):
    """.jobs.json was edited, but the sync after it failed; `details.sync_error` says why."""

    code = "NOT_SYNCED"


class UnitsUnwritable(CronError):
    """systemd's units can't be written."""

    code = "UNITS_UNWRITABLE"


class DependencyMissing(ConfigurationError):
    """A library is not installed for this interpreter; usually it is the wrong interpreter."""

    code = "DEPENDENCY_MISSING"


class JobsFileMissing(ConfigurationError):
    """There is no .jobs.json."""

    code = "JOBS_FILE_MISSING"


class JobsFileUnreadable(ConfigurationError):
    """.jobs.json is a folder, a device, too large, or not readable."""

    code = "JOBS_FILE_UNREADABLE"


class JobsFileUnwritable(ConfigurationError):
    """The edited .jobs.json can't be written."""

    code = "JOBS_FILE_UNWRITABLE"


class JobsFileBusy(CronError):
    """Another edit of .jobs.json holds its lock for too long."""

    code = "JOBS_FILE_BUSY"


class JobsFileNotJson(ConfigurationError):
    """.jobs.json is not JSON; details carry `line` and `column` where they are known."""

    code = "JOBS_FILE_NOT_JSON"


class JobsFileInvalid(ConfigurationError):
    """.jobs.json is JSON, but its jobs are not valid; `details.problems` lists every fault with its path."""

    code = "JOBS_FILE_INVALID"


class RemovalsRefused(ConfigurationError):
    """A sync would remove more than half of the jobs."""

    code = "REMOVALS_REFUSED"


class ScheduleError(ConfigurationError):
    """A schedule is wrong. `field` is the name of the field (or "schedule", "timezone"), `text` its value."""

    code = "SCHEDULE_INVALID"

    def __init__(self, message: str, *, field: str = "schedule", text: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint, details={"field": field, "text": text[:256]})
        self.field = field
        self.text = text


class TimezoneError(ScheduleError):
    """A timezone is not an IANA name that this machine knows."""

    code = "TIMEZONE_INVALID"


# --- refusals of a command: exit code 1 -------------------------------------------------------------------------


class JobRefused(CronError):
    """A job can't be run now."""


class JobNotFound(JobRefused):
    """No such job."""

    code = "JOB_NOT_FOUND"


class JobDisabled(JobRefused):
    """The job is disabled, and --force was not given."""

    code = "JOB_DISABLED"


class DuplicateJob(JobRefused):
    """.jobs.json already has a job of that name."""

    code = "DUPLICATE_JOB"


class GateClosed(JobRefused):
    """A gate does not let the job start now; `details.reason` is the gate's code, like `COST_LIMIT`."""

    code = "GATE_CLOSED"


class JobLocked(JobRefused):
    """The job is already running."""

    code = "JOB_LOCKED"


class DaemonRunning(CronError):
    """A daemon already serves this database. `details` identify it: `pid`, `host`, `since`, `database`."""

    code = "DAEMON_RUNNING"


class DaemonFileUnusable(CronError):
    """The path of the daemon's lock or of its wake-up pipe is taken by something else; it is in `details.path`."""

    code = "DAEMON_FILE_UNUSABLE"


class RunNotFound(CronError):
    """No such run."""

    code = "RUN_NOT_FOUND"


class RunNotRunning(CronError):
    """The run has already ended, so there is nothing to cancel."""

    code = "RUN_NOT_RUNNING"


class UnlockRefused(CronError):
    """The process of the job's run is alive: `unlock` kills it only with --yes."""

    code = "UNLOCK_NEEDS_YES"


# --- database -----------------------------------------------------------------------------------------------------


class DatabaseError(CronError):
    """The database could not carry out an operation."""

    code = "DATABASE_ERROR"


class DatabaseMissing(DatabaseError):
    """There is no database yet."""

    code = "DATABASE_MISSING"
    exit_code = 2


class DatabaseUnreadable(DatabaseError):
    """The path is a folder, or the file can't be opened."""

    code = "DATABASE_UNREADABLE"
    exit_code = 2


class DatabaseReadOnly(DatabaseError):
    """The file or its folder is not writable."""

    code = "DATABASE_READ_ONLY"
    exit_code = 2


class DatabaseCorrupt(DatabaseError):
    """The file is not an SQLite database, or it is damaged."""

    code = "DATABASE_CORRUPT"


class DatabaseNotOurs(DatabaseError):
    """An SQLite database of another program."""

    code = "DATABASE_NOT_OURS"
    exit_code = 2


class DatabaseNewer(DatabaseError):
    """A newer version of this program made the database."""

    code = "DATABASE_NEWER"
    exit_code = 2


class DatabaseLocked(DatabaseError):
    """Another process held the write lock for longer than we wait (5 s)."""

    code = "DATABASE_LOCKED"


class DatabaseReplaced(DatabaseError):
    """The file was removed or replaced while it was in use."""

    code = "DATABASE_REPLACED"


class DatabaseFull(DatabaseError):
    """No space left, or a failing disk."""

    code = "DATABASE_FULL"


class SqliteTooOld(DatabaseError):
    """SQLite is older than 3.37, the first version with STRICT tables."""

    code = "SQLITE_TOO_OLD"
    exit_code = 2


class DefinitionUnreadable(CronError):
    """The stored definition of a job can't be read: it was changed by hand, or by a version with other fields."""

    code = "DEFINITION_UNREADABLE"


class VerdictNotStored(CronError):
    """A run has ended, but its verdict could not be stored. Its row says running until the reaper settles it."""

    code = "VERDICT_NOT_STORED"


class LeaseLost(CronError):
    """The run's token is no longer ours: another process has settled the run. Nothing more may be written for it."""

    code = "LEASE_LOST"


# --- invocation: why an attempt has no good answer ------------------------------------------------------------------


def missing_library(error: ModuleNotFoundError) -> DependencyMissing:
    """The error for a failed import: it names the interpreter, the library and the fix."""
    return DependencyMissing(
        f"{sys.executable} has no library {error.name!r}, which puruto-cron needs",
        hint="Run `make install` once, then use .venv/bin/python (or `. .venv/bin/activate` in this shell).",
        details={"library": error.name, "interpreter": sys.executable},
    )
