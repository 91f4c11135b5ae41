"""One tree of errors. Each class has a stable `code` and the exit code of a command that ends with it.

A message names the job, file, field or path, and `hint` says what to do. The command line prints `as_dict()`.
Imports almost nothing, because the idle tick imports this module.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from core.json_objects import ErrorObject


#: A message, or a hint, is never longer: it is for reading, whatever value it repeats.
LONGEST_TEXT = 4_000
#: Of a text that is too long, so many characters of its end are kept, because the end often says what is wrong.
_KEPT_END = 500


def bounded(text: str) -> str:
    """A text of at most `LONGEST_TEXT` characters: of a longer one the beginning and the end."""
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[: LONGEST_TEXT - _KEPT_END - 1]}…{text[-_KEPT_END:]}"


class CronError(Exception):
    """Root of all errors that we raise on purpose.

    `details` must be JSON-serialisable. `hint` is one sentence that says what to do, or "".
    """

    code = "INTERNAL_ERROR"
    exit_code = 1
    #: For docs/errors.md: the table that lists this error, and its text on what to do. The text on what it means is the
    #: first paragraph of the docstring.
    table = "commands"
    fix = ""

    def __init__(self, message: str, *, hint: str = "", details: dict[str, object] | None = None) -> None:
        self.message = bounded(message)
        super().__init__(self.message)
        self.hint = bounded(hint)
        self.details = details or {}

    def as_dict(self) -> ErrorObject:
        """The error as a JSON object; the hint is `details.hint`."""
        details = dict(self.details)
        if self.hint:
            details["hint"] = self.hint
        return {"code": self.code, "message": self.message, "details": details}


class InternalError(CronError):
    """A fault of puruto-cron."""

    table = "usage"
    fix = "[report it](#faults-of-puruto-cron)"


class UsageError(CronError):
    """The command line is wrong: an unknown command or option, a value out of bounds."""

    code = "USAGE"
    exit_code = 2
    table = "usage"
    fix = "`python3 main.py COMMAND --help`"


class MachineExhausted(CronError):
    """The machine refuses the scheduler itself what it needs: open files, processes, memory, space. No job is to blame:
    its slot stays due, and runs when that is over. `details.errno` is the system's code.
    """

    code = "MACHINE_EXHAUSTED"
    table = "usage"
    fix = "`details.hint` says which limit it is"


def machine_fault(error: BaseException) -> MachineExhausted | None:
    """The error to report if an exception means that the machine lacks something that any program needs; else None."""
    import errno

    if isinstance(error, MachineExhausted):
        return error
    # Source: errno(3), fork(2), open(2).
    hints = {
        errno.EMFILE: "Raise the limit of open files (ulimit -n) of what starts the scheduler.",
        errno.ENFILE: "All open files of this machine are in use: see /proc/sys/fs/file-nr.",
        errno.EAGAIN: "The limit of processes is reached: see ulimit -u, or pids.max of the cgroup.",
        errno.ENOMEM: "The memory of this machine, or of this program's cgroup, is used up.",
        errno.ENOSPC: "Free some space; see: python3 main.py prune --dry-run",
        errno.EDQUOT: "Free some space, or raise the quota of this user.",
        errno.EFBIG: "Raise the limit of the size of files (ulimit -f) of what starts the scheduler.",
    }
    number, reason, path = 0, str(error), None
    if isinstance(error, OSError):
        number, reason, path = error.errno or 0, error.strerror or reason, error.filename
    elif isinstance(error, MemoryError):
        number, reason = errno.ENOMEM, "not enough memory"
    elif isinstance(error, RuntimeError) and "start new thread" in reason:
        number = errno.EAGAIN
    if number not in hints:
        return None
    details: dict[str, object] = {"errno": errno.errorcode[number]}
    if isinstance(path, str):
        details["path"] = path
        reason += f" ({path})"
    message = f"This machine refuses the scheduler what it needs: {reason}"
    return MachineExhausted(message, hint=hints[number], details=details)


class Interrupted(CronError):
    """Ctrl-C during a command that runs no job."""

    code = "INTERRUPTED"
    exit_code = 130
    table = "usage"
    fix = "run it again"


class OutputUnwritable(CronError):
    """The answer could not be written to stdout; this is printed on stderr. If the terminal was closed, the exit code
    is 129.
    """

    code = "OUTPUT_UNWRITABLE"
    table = "usage"
    fix = "free some space where `>>` leads"


# --- configuration: exit code 2 -------------------------------------------------------------------------------


class ConfigurationError(CronError):
    """`init-db` can't create a folder.

    Also the base of all that is wrong in what people wrote down: nothing was changed.
    """

    code = "CONFIGURATION_INVALID"
    exit_code = 2
    table = "configuration"
    fix = "let this user write there"


class SettingsError(ConfigurationError):
    """A variable of the environment, or a line of `.env`, is wrong."""

    code = "SETTINGS_INVALID"
    fix = "`details.problems` lists [each fault](#faults-in-settings)"


class NotInPlaceError(ConfigurationError):
    """The program was copied into `site-packages` instead of running in its own folder."""

    code = "NOT_IN_PLACE"
    fix = "clone the repository and install it there: `pip install -e .`"


class CrontabUnusable(CronError):
    """The program `crontab` is not installed, or refuses."""

    code = "CRONTAB_UNUSABLE"
    fix = "install it (Debian: `apt-get install cron`), or `install-systemd`"


class PictureUnwritable(CronError):
    """`timeline --svg`: the file is a folder, a device or a pipe, belongs to this program, exists and is no SVG file,
    or can't be written.
    """

    code = "PICTURE_UNWRITABLE"
    fix = "name another one; `--force` replaces a file that is no SVG"


class CrontabUnreadable(ConfigurationError):
    """`import-crontab`: the file does not exist, is not a regular file, is larger than 1 MiB, or may not be read."""

    code = "CRONTAB_UNREADABLE"
    table = "commands"
    fix = "name another one"


class NothingImported(CronError):
    """`import-crontab`: none of its lines could become a job."""

    code = "NOTHING_IMPORTED"
    fix = "`details.not_imported` says why, line by line"


class NotSynced(CronError):
    """`.jobs.json` was edited, and the sync after the edit failed."""

    code = "NOT_SYNCED"
    fix = "`details.sync_error` says why; the next tick tries again"


class UnitsUnwritable(CronError):
    """systemd's units can't be written, or a unit of that name belongs to another copy: its first line is not `#
    puruto-cron: ` and this folder. `details.owner` is the copy that it belongs to, or null.
    """

    code = "UNITS_UNWRITABLE"
    fix = "name another folder with `--folder`; or disable and delete the unit, if nobody needs it"


class DependencyMissing(ConfigurationError):
    """This interpreter lacks a library."""

    code = "DEPENDENCY_MISSING"
    table = "usage"
    fix = "`make install` once, then `.venv/bin/python`; in the crontab that interpreter's full path"


class JobsFileMissing(ConfigurationError):
    """There is no `.jobs.json`, or it is a broken link."""

    code = "JOBS_FILE_MISSING"
    fix = 'write one; `{"jobs": []}` has no jobs'


class JobsFileUnreadable(ConfigurationError):
    """`.jobs.json` is a folder or a device, may not be read, or is larger than 256 MiB."""

    code = "JOBS_FILE_UNREADABLE"
    fix = "the hint names the command if permissions are the reason; else put a file with your jobs in its place"


class JobsFileUnwritable(ConfigurationError):
    """`.jobs.json` can't be replaced by the edited file."""

    code = "JOBS_FILE_UNWRITABLE"
    table = "commands"
    fix = "let this user write the file and its folder"


class JobsFileBusy(CronError):
    """Another edit of `.jobs.json` is running and does not end."""

    code = "JOBS_FILE_BUSY"
    fix = "wait for it; `.jobs.json.lock` is released when its process ends"


class JobsFileNotJson(ConfigurationError):
    """`.jobs.json` is not JSON in UTF-8; `details` has `line` and `column`."""

    code = "JOBS_FILE_NOT_JSON"
    fix = "correct that place; the hint names the usual cause"


class JobsFileInvalid(ConfigurationError):
    """`.jobs.json` is JSON, but not a list of valid jobs."""

    code = "JOBS_FILE_INVALID"
    fix = "`details.problems` lists [each fault](#faults-in-jobsjson)"


class RemovalsRefused(ConfigurationError):
    """Four or more of the jobs in use, and more than half of them, are missing from `.jobs.json`."""

    code = "REMOVALS_REFUSED"
    fix = "if that is intended: `sync-jobs --allow-removals`"


class ScheduleError(ConfigurationError):
    """A schedule is wrong or never fires; `details` has `field` and `text`."""

    code = "SCHEDULE_INVALID"
    fix = "[schedules.md](schedules.md#what-is-refused)"

    def __init__(self, message: str, *, field: str = "schedule", text: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint, details={"field": field, "text": text[:256]})
        self.field = field
        self.text = text


class TimezoneError(ScheduleError):
    """A zone is not an IANA name that this machine knows."""

    code = "TIMEZONE_INVALID"
    fix = "write it like `Europe/Madrid`"


# --- refusals of a command: exit code 1 -------------------------------------------------------------------------


class JobRefused(CronError):
    """A job can't be run now."""


class JobNotFound(JobRefused):
    """There is no such job."""

    code = "JOB_NOT_FOUND"
    fix = "`list` shows the names; a new job needs a sync"


class JobDisabled(JobRefused):
    """The job is disabled, or it is paused; then `details.paused_at` says since when."""

    code = "JOB_DISABLED"
    fix = "`resume-job`; or once, all the same: `run-now --force`"


class DuplicateJob(JobRefused):
    """`register-job`, `rename-job`: `.jobs.json` has a job of that name."""

    code = "DUPLICATE_JOB"
    fix = "another name, or `edit-job`"


class JobNameUsed(JobRefused):
    """`rename-job`: a job that was removed had this name, and its history is kept under it."""

    code = "JOB_NAME_USED"
    fix = "another name"


class GateClosed(JobRefused):
    """No run of the job may start now; `details.reason` says why, like `COST_LIMIT`."""

    code = "GATE_CLOSED"
    fix = "the message says until when; `run-now --force` starts it anyway"


class JobLocked(JobRefused):
    """The job is already running; `details` has the `run_id` and its owner."""

    code = "JOB_LOCKED"
    fix = (
        "wait, or `cancel` the run. If the owner is dead, the next tick closes the run when its lease has expired; "
        "`unlock` does it at once"
    )


class DaemonLockReplaced(CronError):
    """The daemon's lock file was removed or replaced. The daemon has made it again, and runs on."""

    code = "DAEMON_LOCK_REPLACED"
    fix = "nothing; never delete that file while a daemon runs"


class DaemonRunning(CronError):
    """A daemon already serves this database, perhaps one of another copy; `details` has its `pid`, `host`, `since` and
    the `database`.
    """

    code = "DAEMON_RUNNING"
    fix = "one is enough. To end it: `kill` and its pid, or `systemctl --user stop puruto-cron-daemon`"


class DaemonFileUnusable(CronError):
    """The daemon's lock or its pipe, `details.path` beside the database, can't be created, locked or opened; or a link,
    a folder or the like is in its place.
    """

    code = "DAEMON_FILE_UNUSABLE"
    fix = "look at it, and move it away"


class RunNotFound(CronError):
    """There is no such run."""

    code = "RUN_NOT_FOUND"
    fix = "`status` and `logs` show run ids"


class RunNotRunning(CronError):
    """`cancel`: the run has already ended; `details.run_status` says how."""

    code = "RUN_NOT_RUNNING"
    fix = "nothing to do"


class UnlockRefused(CronError):
    """`unlock`: the job's run is alive; `details` says which process runs it."""

    code = "UNLOCK_NEEDS_YES"
    fix = "`cancel` it, or `unlock JOB_ID --yes`"


# --- database -----------------------------------------------------------------------------------------------------


class DatabaseError(CronError):
    """Any other error of SQLite; `details.sqlite` has its message.

    Also the base of all that the database can't do.
    """

    code = "DATABASE_ERROR"
    table = "database"
    fix = "see that message"


class DatabaseMissing(DatabaseError):
    """There is no database, or the file is empty."""

    code = "DATABASE_MISSING"
    exit_code = 2
    fix = "`init-db`; `details.path` says where it was looked for"


class DatabaseUnreadable(DatabaseError):
    """The path is a folder, or may not be opened."""

    code = "DATABASE_UNREADABLE"
    exit_code = 2
    fix = "check `DB_PATH` and the file's owner"


class DatabaseReadOnly(DatabaseError):
    """The file or its folder can't be written."""

    code = "DATABASE_READ_ONLY"
    exit_code = 2
    fix = "let this user write both"


class DatabaseCorrupt(DatabaseError):
    """The file is damaged, or not an SQLite file."""

    code = "DATABASE_CORRUPT"
    fix = (
        "`doctor --repair` keeps a copy, and brings back the jobs and [whatever it can "
        "read](doctor.md#a-damaged-database)"
    )


class DatabaseNotOurs(DatabaseError):
    """An SQLite file of another program."""

    code = "DATABASE_NOT_OURS"
    exit_code = 2
    fix = "name another one in `DB_PATH`"


class DatabaseNewer(DatabaseError):
    """A newer version of this program made the database."""

    code = "DATABASE_NEWER"
    exit_code = 2
    fix = "update the program"


class DatabaseLocked(DatabaseError):
    """Another program held the database for more than five seconds."""

    code = "DATABASE_LOCKED"
    fix = "`fuser db/cron.db`"


class DatabaseReplaced(DatabaseError):
    """The file was removed or replaced while a run used it, so the end of the run is not recorded."""

    code = "DATABASE_REPLACED"
    fix = "put it back, or `init-db`; take the line out of the crontab before you touch the file"


class DatabaseStarved(MachineExhausted, DatabaseError):
    """SQLite got no open file or no memory."""


class DatabaseLogReplaced(DatabaseReplaced):
    """Its `-wal` or `-shm` file was removed or replaced while it was in use. What was stored since the last checkpoint
    may be lost. A daemon opens the database again, puts back what it knows, and says so.
    """

    code = "DATABASE_LOG_REPLACED"
    fix = "never delete these files by hand. `doctor` names runs that have no row"


class DatabaseFull(DatabaseError):
    """The disk is full or failing."""

    code = "DATABASE_FULL"
    fix = "free some space: `prune`, or [what a full disk means](guides/full-disk.md)"


class SqliteTooOld(DatabaseError):
    """This Python's SQLite is older than 3.37."""

    code = "SQLITE_TOO_OLD"
    exit_code = 2
    fix = "a newer Python"


class DefinitionUnreadable(CronError):
    """A stored job can't be read: its row was changed by hand."""

    code = "DEFINITION_UNREADABLE"
    table = "database"
    fix = "change the job in `.jobs.json` in any way, then run `python3 main.py sync-jobs`"


class VerdictNotStored(CronError):
    """The run has ended, and its end could not be written to the database; `details` says how it ended and why that
    failed.

    `store` tries again, and returns the run's result; None if that makes no sense.
    """

    code = "VERDICT_NOT_STORED"
    table = "results"
    fix = (
        "make the database writable: free its disk, or end what holds it. The daemon or tick that made the run then"
        " stores the end, if its lease has not expired; otherwise the next tick records the row as `interrupted`"
    )
    store: Callable[[], Any] | None = None


class LeaseLost(CronError):
    """Another process has recorded the end of this run meanwhile; what was left of it was ended, and nothing was
    written.
    """

    code = "LEASE_LOST"
    table = "results"
    fix = "its row says how it ended"
