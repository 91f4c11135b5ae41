"""One tree of errors. Each class has a stable `code` and the exit code of a command that ends with it.

A message names the job, file, field or path, and `hint` says what to do. The command line prints `as_dict()`.
It imports next to nothing, because the idle tick imports it.
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
    """A fault of ours: an exception that nobody expected."""


class UsageError(CronError):
    """The command line itself is wrong."""

    code = "USAGE"
    exit_code = 2


class Interrupted(CronError):
    """A person or the system asked this command to end (130 for Ctrl-C, 143 for TERM)."""

    code = "INTERRUPTED"
    exit_code = 130


class OutputUnwritable(CronError):
    """The answer could not be written to stdout: a full disk behind `>>`, a closed descriptor."""

    code = "OUTPUT_UNWRITABLE"


# --- configuration: exit code 2 -------------------------------------------------------------------------------


class ConfigurationError(CronError):
    """Something that a person wrote down is wrong; nothing was changed."""

    code = "CONFIGURATION_INVALID"
    exit_code = 2


class SettingsError(ConfigurationError):
    """An environment variable or a line of .env is wrong."""

    code = "SETTINGS_INVALID"


class NotInPlaceError(ConfigurationError):
    """The program was copied into site-packages; it is made to run in its own folder."""

    code = "NOT_IN_PLACE"


class CrontabUnusable(CronError):
    """The program `crontab` is not there, or refuses."""

    code = "CRONTAB_UNUSABLE"


class PictureUnwritable(CronError):
    """The SVG file of `timeline` can't be written."""

    code = "PICTURE_UNWRITABLE"


class CrontabUnreadable(ConfigurationError):
    """A crontab to import is not there, no regular file, too large, or may not be read."""

    code = "CRONTAB_UNREADABLE"


class NothingImported(CronError):
    """None of a crontab's lines could become a job; `details.not_imported` says why, line by line."""

    code = "NOTHING_IMPORTED"


class NotSynced(CronError):
    """An edit stands in .jobs.json, and the sync behind it failed; `details.sync_error` says why."""

    code = "NOT_SYNCED"


class UnitsUnwritable(CronError):
    """systemd's units can't be written."""

    code = "UNITS_UNWRITABLE"


class DependencyMissing(ConfigurationError):
    """A library is not installed for this interpreter: mostly the wrong interpreter."""

    code = "DEPENDENCY_MISSING"


class JobsFileMissing(ConfigurationError):
    """There is no .jobs.json."""

    code = "JOBS_FILE_MISSING"


class JobsFileUnreadable(ConfigurationError):
    """.jobs.json is a folder, a device, too large, or may not be read."""

    code = "JOBS_FILE_UNREADABLE"


class JobsFileUnwritable(ConfigurationError):
    """.jobs.json can't be replaced by an edited one."""

    code = "JOBS_FILE_UNWRITABLE"


class JobsFileBusy(CronError):
    """Another edit of .jobs.json goes on, and does not end."""

    code = "JOBS_FILE_BUSY"


class JobsFileNotJson(ConfigurationError):
    """.jobs.json is not JSON; details carry `line` and `column` where they are known."""

    code = "JOBS_FILE_NOT_JSON"


class JobsFileInvalid(ConfigurationError):
    """.jobs.json is JSON but not a list of good jobs; `details.problems` lists every fault with its path."""

    code = "JOBS_FILE_INVALID"


class RemovalsRefused(ConfigurationError):
    """A sync would remove more than half of the jobs at once."""

    code = "REMOVALS_REFUSED"


class ScheduleError(ConfigurationError):
    """A schedule is wrong. `field` is the name of the field (or "schedule", "timezone"), `text` what was there."""

    code = "SCHEDULE_INVALID"

    def __init__(self, message: str, *, field: str = "schedule", text: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint, details={"field": field, "text": text[:256]})
        self.field = field
        self.text = text


class TimezoneError(ScheduleError):
    """A timezone is no IANA name that this machine knows."""

    code = "TIMEZONE_INVALID"


# --- refusals of a command: exit code 1 -------------------------------------------------------------------------


class JobRefused(CronError):
    """A job can't be run now. The three codes are the contract's."""


class JobNotFound(JobRefused):
    """No such job."""

    code = "JOB_NOT_FOUND"


class JobDisabled(JobRefused):
    """The job is disabled, and --force was not given."""

    code = "JOB_DISABLED"


class DuplicateJob(JobRefused):
    """A job of that name stands in .jobs.json already."""

    code = "DUPLICATE_JOB"


class GateClosed(JobRefused):
    """A gate lets no run of the job start now; `details.reason` says which: `COST_LIMIT`."""

    code = "GATE_CLOSED"


class JobLocked(JobRefused):
    """The job is running already."""

    code = "JOB_LOCKED"


class DaemonRunning(CronError):
    """A daemon serves this database already; `details` say which: `pid`, `host`, `since`, `database`."""

    code = "DAEMON_RUNNING"


class DaemonFileUnusable(CronError):
    """Something else stands where the daemon has its lock or its bell, beside the database; `details.path`."""

    code = "DAEMON_FILE_UNUSABLE"


class RunNotFound(CronError):
    """No such run."""

    code = "RUN_NOT_FOUND"


class RunNotRunning(CronError):
    """The run has ended already, so there is nothing to cancel."""

    code = "RUN_NOT_RUNNING"


class UnlockRefused(CronError):
    """The job's run is alive: `unlock` ends it only with --yes."""

    code = "UNLOCK_NEEDS_YES"


# --- database -----------------------------------------------------------------------------------------------------


class DatabaseError(CronError):
    """The database can't do what was asked."""

    code = "DATABASE_ERROR"


class DatabaseMissing(DatabaseError):
    """There is no database yet."""

    code = "DATABASE_MISSING"
    exit_code = 2


class DatabaseUnreadable(DatabaseError):
    """The path is a folder or may not be opened."""

    code = "DATABASE_UNREADABLE"
    exit_code = 2


class DatabaseReadOnly(DatabaseError):
    """The file or its folder may not be written."""

    code = "DATABASE_READ_ONLY"
    exit_code = 2


class DatabaseCorrupt(DatabaseError):
    """The file is no SQLite database, or a damaged one."""

    code = "DATABASE_CORRUPT"


class DatabaseNotOurs(DatabaseError):
    """A sound SQLite file without our schema."""

    code = "DATABASE_NOT_OURS"
    exit_code = 2


class DatabaseNewer(DatabaseError):
    """A later version of this program made the database."""

    code = "DATABASE_NEWER"
    exit_code = 2


class DatabaseLocked(DatabaseError):
    """Another process held the write lock for longer than we wait (5 s)."""

    code = "DATABASE_LOCKED"


class DatabaseReplaced(DatabaseError):
    """The file was removed, or another put in its place, while it was in use."""

    code = "DATABASE_REPLACED"


class DatabaseFull(DatabaseError):
    """No space left, or a failing disk."""

    code = "DATABASE_FULL"


class SqliteTooOld(DatabaseError):
    """SQLite is older than 3.37, which knows no STRICT tables."""

    code = "SQLITE_TOO_OLD"
    exit_code = 2


class DefinitionUnreadable(CronError):
    """A stored definition is no job: it was changed by hand, or by a version that knew other fields."""

    code = "DEFINITION_UNREADABLE"


class VerdictNotStored(CronError):
    """A run has ended and the database takes no word of it. Its row stays running until it is settled."""

    code = "VERDICT_NOT_STORED"


class LeaseLost(CronError):
    """The run's token is no longer ours: somebody settled it. Nothing more may be written for it."""

    code = "LEASE_LOST"


# --- invocation: why an attempt has no good answer ------------------------------------------------------------------


def missing_library(error: ModuleNotFoundError) -> DependencyMissing:
    """What to say when an import fails: the interpreter, the library, and the cure."""
    return DependencyMissing(
        f"{sys.executable} has no library {error.name!r}, which puruto-cron needs",
        hint="Run `make install` once, then use .venv/bin/python (or `. .venv/bin/activate` in this shell).",
        details={"library": error.name, "interpreter": sys.executable},
    )
