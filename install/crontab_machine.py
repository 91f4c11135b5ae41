"""Who starts this copy's ticks on this machine: crontabs of this user and of the system, and whether cron is running.

Source: crontab(5), cron(8).
"""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

from core.bounded_file import read_bounded
from install.crontab_starts import Start, read

#: Names of cron's process: Debian and FreeBSD, cronie and BusyBox, fcron, bcron, dcron.
_NAMES = frozenset({"cron", "crond", "fcron", "bcron-start", "bcron-sched", "dcron"})
#: A longer crontab is not read.
_MOST_BYTES = 1 << 20


def account() -> tuple[str, str]:
    """Name and home folder of this user, from the system's database and not from variables."""
    try:
        entry = pwd.getpwuid(os.geteuid())
    except KeyError:
        return str(os.geteuid()), "/"
    return entry.pw_name, entry.pw_dir or "/"


def cron_environment() -> dict[str, str]:
    """The environment that cron gives to a command. Source: crontab(5); PATH is Debian's."""
    name, home = account()
    return {"HOME": home, "LOGNAME": name, "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}


def of_user(text: str) -> list[Start]:
    """The lines of this user's crontab that start a copy of this program."""
    return read(text, "the crontab of this user", cron_environment(), system=False)


def of_system(etc: str) -> list[Start]:
    """The lines of the system's crontabs, below the folder `etc`, that start a copy of this program."""
    environ = cron_environment()
    return [start for path in _system_files(etc) for start in read(_text(path), str(path), environ, system=True)]


def is_here(line: Start, root: Path) -> bool:
    """Whether a line starts this copy: its main.py, or the command that is installed in its folder."""
    if os.path.basename(line.program) == "main.py":
        return os.path.realpath(line.program) == os.path.realpath(root / "main.py")
    return os.path.realpath(line.program).startswith(f"{os.path.realpath(root)}{os.sep}")


def cron_processes(proc: str = "/proc") -> list[int] | None:
    """The process IDs of what looks like a cron on this machine; None if processes can't be listed."""
    try:
        numbers = [int(name) for name in os.listdir(proc) if name.isdecimal()]
    except OSError:
        return None
    return sorted(pid for pid in numbers if _text(Path(proc, str(pid), "comm")).strip() in _NAMES) if numbers else None


def _text(path: Path) -> str:
    """The text of a file; "" if this user may not read it, or it is gone."""
    try:
        return read_bounded(path, _MOST_BYTES)[0].decode("utf-8", "replace")
    except OSError:
        return ""


def _system_files(etc: str) -> list[Path]:
    """The system crontabs that cron reads; in cron.d it ignores names with a dot."""
    folder = Path(etc) / "cron.d"
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        names = []
    return [Path(etc) / "crontab", *(folder / name for name in names if re.fullmatch(r"[A-Za-z0-9_-]+", name))]
