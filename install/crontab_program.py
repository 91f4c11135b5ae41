"""The program `crontab`: reads and replaces this user's crontab. Source: crontab(1)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping

from core.errors import CrontabUnusable

_SECONDS = 20
#: What the programs say when the user has no crontab: Debian, cronie, the BSDs, macOS, dcron and systemd-cron; toybox;
#: fcron; bcron; Solaris and HP-UX; AIX. BusyBox names the file, which is called like the user, as toybox may.
#: Source: their source code; AIX: its message 0481-103.
_NONE = re.compile(
    r"\bno crontab for\b"
    r"|\bhas no f?crontab\b"
    r"|\bcrontab does not exist\b"
    r"|can't open your crontab file"
    r"|0481-103"
    r"|can't open '(?:/\S*cron\S*/)?[^/\s']+': No such file or directory\s*$"
    r"|^crontab: /\S*cron\S*/[^/\s:]+: No such file or directory\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_MISSING = "There is no program crontab on this machine"
_NO_PROGRAM = "Install it (Debian: apt-get install cron), or use install-systemd."
_ELSE = "Until it works, install-systemd or the daemon can start the jobs."
#: What a message is about, and what to do. The first that matches counts.
_FIXES = (
    (r"not allowed|denied by|cron\.(?:allow|deny)", "Ask root to add this user to cron.allow, or to remove it from "
     f"cron.deny. {_ELSE}"),
    (r"change directory|spool|No such file or directory", "Make the folder that the message names, as root. "
     f"{_ELSE}"),
    (r"suid|setgid|privilege|Permission denied|Operation not permitted",
     f"The program crontab needs its set-user-ID or set-group-ID bit: reinstall cron, as root. {_ELSE}"),
    (r"PAM|authenticat|account (?:has )?expired|password", f"Have root correct this user's account. {_ELSE}"),
    (r"No space|quota|Read-only", f"Make room where the crontabs are stored, usually /var/spool/cron. {_ELSE}"),
    (r"connect to bcron", f"Start bcron, as root: it is not running. {_ELSE}"),
)  # fmt: skip


def read_crontab(environ: Mapping[str, str]) -> str:
    """The crontab of this user, "" if there is none. Bytes that are not UTF-8 become surrogates.

    Raises `CrontabUnusable`.
    """
    completed = _crontab(environ, "-l")
    if completed.returncode == 0:
        return completed.stdout.decode("utf-8", "surrogateescape")
    # Some programs say it on stdout.
    told = completed.stderr.strip() or completed.stdout.strip()
    if says_none(told.decode("utf-8", "replace")):
        return ""
    raise _unusable(told.decode("utf-8", "replace"))


def write_crontab(environ: Mapping[str, str], text: str) -> None:
    """Replaces the crontab of this user. Raises `CrontabUnusable`."""
    completed = _crontab(environ, "-", text.encode("utf-8", "surrogateescape"))
    if completed.returncode != 0:
        raise _unusable(completed.stderr.decode("utf-8", "replace"))


def says_none(message: str) -> bool:
    """Whether this message of a program `crontab` says that the user has no crontab. It is no error then."""
    return _NONE.search(message) is not None


def fix_for(message: str) -> str:
    """What to do about an error message of the program `crontab`."""
    fixes = (fix for pattern, fix in _FIXES if re.search(pattern, message, re.IGNORECASE))
    return next(fixes, f"Correct what the message names; see crontab(1). {_ELSE}")


def exists(environ: Mapping[str, str]) -> bool:
    """Whether this machine has a program `crontab`."""
    return shutil.which("crontab", path=_path(environ)) is not None


def in_english(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which `crontab` is run: its messages are read here, so they must be in English."""
    return {**environ, "PATH": _path(environ), "LC_ALL": "C"}


def _path(environ: Mapping[str, str]) -> str:
    return environ.get("PATH") or os.defpath


def _crontab(environ: Mapping[str, str], word: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["crontab", word], input=text, capture_output=True, timeout=_SECONDS, env=in_english(environ), check=False
        )
    except FileNotFoundError:
        raise CrontabUnusable(_MISSING, hint=_NO_PROGRAM) from None
    except subprocess.TimeoutExpired:
        raise _unusable(f"it did not end within {_SECONDS} s") from None
    except OSError as error:
        raise _unusable(str(error.strerror)) from None


def _unusable(message: str) -> CrontabUnusable:
    message = message.strip()[:300] or "it ended with an error and said nothing"
    return CrontabUnusable(f"The program crontab failed: {message}", hint=fix_for(message))
