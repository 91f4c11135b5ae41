"""The look that a tick takes before anything is imported: is there anything to do at all?

A machine takes it 1,440 times a day, so it costs barely more than starting Python: this module and `db` import nothing
but sqlite3. Whatever is unusual is left to the whole tick, which says what is wrong.
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

#: When a variable changes that begins so, or is one of these, the whole tick looks: it may govern it.
_OURS = "PURUTO_"
_OTHERS = ("DB_PATH", "TZ")
#: Parts and whole words of names whose values are not stored. More than `redact` masks: it needs the module re.
_SECRET_PARTS = ("key", "credential", "auth", "pass", "pwd", "token", "secret")
_SECRET_WORDS = ("pat", "pats")
#: Names variables that hold secrets, whatever they are called.
REDACT_VARIABLE = "PURUTO_CRON_REDACT"
#: With it each tick sends a ping, for which it needs much more than this.
PING_VARIABLE = "PURUTO_CRON_PING_URL"
JOBS_FILE = ".jobs.json"
ENV_FILE = ".env"
DEFAULT_DB = "db/cron.db"

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/")
#: A lease that ends later than this from now is no lease of now; the whole tick decides.
_FAR_SEC = 3_600


def nothing_due(
    root: str, environ: Mapping[str, str], options: Sequence[str], now: datetime, monotonic: float
) -> str | None:
    """What an idle tick prints (its time is left), or None when the whole tick has to look.

    `options` are the words behind `tick`; `now` is UTC, `monotonic` in seconds. Never raises for a state of the files:
    None says it all.
    """
    if list(options) not in ([], ["--quiet"]):
        return None
    if environ.get(PING_VARIABLE):
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


def _is_idle(db_path: str, seen: str, text: str, now: datetime, monotonic: float) -> bool:
    from datetime import timedelta

    far = (now + timedelta(seconds=_FAR_SEC)).replace(microsecond=0).isoformat()
    db = Database(db_path)
    try:
        return is_idle(db, seen, text, far, monotonic)
    finally:
        db.close()


def fingerprint(root: str, environ: Mapping[str, str]) -> str:
    """Which configuration a tick sees: the files' identities and the variables that govern it. Holds no secret."""
    parts = [f"schema={SCHEMA_VERSION}"]
    parts += [f"{name}={identity(os.path.join(root, name))}" for name in (JOBS_FILE, ENV_FILE)]
    # `ascii`: bytes that are no UTF-8 could not be stored.
    named = environ.get(REDACT_VARIABLE, "").replace(" ", "").split(",")
    parts += [
        f"{name}={'set' if name in named or _may_be_secret(name, environ[name]) else ascii(environ[name])}"
        for name in sorted(environ)
        if name.startswith(_OURS) or name in _OTHERS
    ]
    return "\n".join(parts)


def _may_be_secret(name: str, value: str) -> bool:
    """An address may hold a password, and a name that is not all capitals may hide a word."""
    small = name.lower()
    if "://" in value or not name.isupper() or any(part in small for part in _SECRET_PARTS):
        return True
    return any(word.rstrip("0123456789") in _SECRET_WORDS for word in small.split("_"))


def identity(path: str) -> str:
    """Which version of a file stands at `path`; it changes with every edit."""
    try:
        found = os.stat(path)
    except OSError:
        return "none"
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"


def _db_path(root: str, environ: Mapping[str, str]) -> str | None:
    """The database's path, or None when only the whole parser of .env can tell, or a ping is wanted."""
    plain = _plain_db_path(os.path.join(root, ENV_FILE))
    text = plain and (environ.get("DB_PATH") or plain)
    if text is None or text.startswith("~"):
        return None
    return os.path.join(root, text)


def _plain_db_path(env_file: str) -> str | None:
    """DB_PATH as a plain line of .env says it; the default when no line does; None when the file is not that plain."""
    try:
        # A named pipe without a writer would hold up an ordinary open for ever.
        fd = os.open(env_file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, encoding="utf-8") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            lines = file.read().split("\n")
    except FileNotFoundError:
        return DEFAULT_DB
    except (OSError, ValueError):
        return None
    found = DEFAULT_DB
    for line in lines:
        name, _, value = line.partition("=")
        if PING_VARIABLE in line and not line.startswith("#"):
            return None
        if "DB_PATH" not in line or line.startswith("#"):
            continue
        if name != "DB_PATH" or not value or not _PLAIN.issuperset(value):
            return None
        found = value
    return found
