"""The fast idle tick: checks whether there is anything to do, before the rest of the program is imported.

It runs 1,440 times a day, so it must cost little more than starting Python: this module and `db` import almost nothing
but sqlite3. If anything is unusual, the full tick runs, and reports what is wrong.
"""

from __future__ import annotations

import os
import stat

from core.errors import CronError
from db import SCHEMA_VERSION, Database
from store import last_tick
from store.idle_check import is_idle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

#: A change of a variable with this prefix, or of one of these, needs a full tick: it may be a setting.
_PREFIX = "PURUTO_"
_OTHERS = ("DB_PATH", "TZ")
#: Parts and whole words of the names of variables whose values are not stored. `core.redact` is more exact, but it
#: imports `re`, which takes too long here.
_SECRET_PARTS = ("key", "credential", "auth", "pass", "pwd", "token", "secret")
_SECRET_WORDS = ("pat", "pats")
#: The names in this variable are those of secrets.
REDACT_VARIABLE = "PURUTO_CRON_REDACT"
#: If it is set, each tick sends a ping, so there is no fast tick.
PING_VARIABLE = "PURUTO_CRON_PING_URL"
#: What is printed; the fast tick knows JSON only.
FORMAT_VARIABLE = "PURUTO_CRON_FORMAT"
#: Lines of .env that change nothing where stdout is no terminal.
_JSON_LINES = (f"{FORMAT_VARIABLE}=json", f"{FORMAT_VARIABLE}=auto")
JOBS_FILE = ".jobs.json"
ENV_FILE = ".env"
DEFAULT_DB = "db/cron.db"

#: A longer .env needs a full tick, which refuses one that is far too long.
_MOST_BYTES = 65_536
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/")
#: A lease that ends later than this was taken while the clock was wrong: that needs a full tick.
_FAR_SEC = 3_600


def nothing_due(
    root: str, environ: Mapping[str, str], options: Sequence[str], now: datetime, monotonic: float
) -> str | None:
    """The report of an idle tick, after storing its time; None if a full tick is needed.

    `options` are the words after `tick`; `now` is UTC, `monotonic` in seconds. Never raises for the state of a file:
    the result is None then.
    """
    if list(options) not in ([], ["--quiet"]):
        return None
    if environ.get(PING_VARIABLE) or not (options or _prints_json(environ)):
        return None
    db_path = _db_path(root, environ)
    text = now.replace(microsecond=0).isoformat()
    host = os.uname().nodename
    if db_path is None or not _PLAIN.issuperset(host) or last_tick.read(db_path) > text:
        return None
    try:
        if not _is_idle(db_path, fingerprint(root, environ), text, now, monotonic):
            return None
        last_tick.touch(db_path, text)
    except (CronError, OSError):
        return None
    return "" if options else _IDLE % (text, host, os.getpid())


_IDLE = (
    '{"status": "ok", "now": "%s", "lease_owner": "%s:%d", "due_jobs": [], "results": [], "written_off": [],'
    ' "settled": [], "left_due": [], "taken_elsewhere": 0, "problems": [], "pruned": null, "clock_anomaly": null,'
    ' "sync": null, "events": {"delivered": 0, "waiting": []}, "warnings": []}\n'
)


def _prints_json(environ: Mapping[str, str]) -> bool:
    """Whether the report is for a program; `_plain_db_path` looks into .env."""
    wish = environ.get(FORMAT_VARIABLE)
    return wish == "json" or (wish in (None, "", "auto") and not os.isatty(1))


def _is_idle(db_path: str, seen: str, text: str, now: datetime, monotonic: float) -> bool:
    from datetime import timedelta

    far = (now + timedelta(seconds=_FAR_SEC)).replace(microsecond=0).isoformat()
    db = Database(db_path)
    try:
        return is_idle(db, seen, text, far, monotonic)
    finally:
        db.close()


def fingerprint(root: str, environ: Mapping[str, str]) -> str:
    """A text that changes with .jobs.json, .env, the variables that are settings, and the schema. Holds no secret."""
    parts = [f"schema={SCHEMA_VERSION}"]
    parts += [f"{name}={identity(os.path.join(root, name))}" for name in (JOBS_FILE, ENV_FILE)]
    # `ascii`, because bytes that are not UTF-8 could not be stored.
    named = environ.get(REDACT_VARIABLE, "").replace(" ", "").split(",")
    parts += [
        f"{name}={'set' if name in named or _may_be_secret(name, environ[name]) else ascii(environ[name])}"
        for name in sorted(environ)
        if name.startswith(_PREFIX) or name in _OTHERS
    ]
    return "\n".join(parts)


def _may_be_secret(name: str, value: str) -> bool:
    """Whether the value may be a secret: by its name, or as an address, which may contain a password.

    In a name that is not all capitals, words are not found reliably, so it counts too.
    """
    lower_name = name.lower()
    if "://" in value or not name.isupper() or any(part in lower_name for part in _SECRET_PARTS):
        return True
    return any(word.rstrip("0123456789") in _SECRET_WORDS for word in lower_name.split("_"))


def identity(path: str) -> str:
    """The version of the file at `path`: a text that changes with every edit; "none" without a file."""
    try:
        status = os.stat(path)
    except OSError:
        return "none"
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"


def _db_path(root: str, environ: Mapping[str, str]) -> str | None:
    """The database's path; None if it needs the full parser of .env, or if .env sets the ping or the format."""
    plain = _plain_db_path(os.path.join(root, ENV_FILE))
    text = plain and (environ.get("DB_PATH") or plain)
    if text is None or text.startswith("~"):
        return None
    return os.path.join(root, text)


def _plain_db_path(env_file: str) -> str | None:
    """DB_PATH from a plain line of .env, or its default. None if it needs the full parser, or a full tick."""
    try:
        # An ordinary open of a named pipe without a writer would block for ever.
        fd = os.open(env_file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, encoding="utf-8") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
                return None
            lines = file.read(_MOST_BYTES).split("\n")
    except FileNotFoundError:
        return DEFAULT_DB
    except (OSError, ValueError):
        return None
    db_path = DEFAULT_DB
    for line in lines:
        name, _, value = line.partition("=")
        is_unusual = PING_VARIABLE in line or FORMAT_VARIABLE in line
        if is_unusual and not line.startswith("#") and line not in _JSON_LINES:
            return None
        if "DB_PATH" not in line or line.startswith("#"):
            continue
        if name != "DB_PATH" or not value or not _PLAIN.issuperset(value):
            return None
        db_path = value
    return db_path
