"""The crontab block and the systemd units of this copy: made, found and replaced in a text."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Control characters, which would end a line or a unit, and bytes of a path that are not UTF-8.
_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\udc80-\udcff]")
BEGIN = "# >>> puruto-cron {root}"
END = "# <<< puruto-cron {root}"
#: A comment inside the block: the ID of the database follows.
DATABASE = "# database: "
#: The first line of each unit begins with this; the copy's folder follows.
UNIT_MARK = "# puruto-cron: "
_DRAIN = "--deliver --quiet"
#: In bytes. Source: MAX_COMMAND in Debian's cron, less its last byte.
_LONGEST_COMMAND = 998
TIMER = "puruto-cron.timer"
DAEMON_SERVICE = "puruto-cron-daemon.service"
#: systemd restarts the daemon if it sends no sign of life for so many seconds; the sync of a huge file takes minutes.
_WATCHDOG_SEC = 300
#: Seconds that the daemon needs to stop besides its runs: with a busy database a verdict is tried for 10 seconds.
_STOP_MARGIN_SEC = 30


@dataclass(frozen=True)
class Copy:
    """This copy: its folder, the interpreter that runs it, and the folder of the log files.

    `telegram` is the folder of the sibling whose inbox is drained too; "" for none. `database` is the ID of the
    database, by which the block is recognised after the folder was moved; "" if there is none yet.
    """

    root: str
    python: str
    logs: str
    telegram: str = ""
    database: str = ""


def user_folder(environ: Mapping[str, str]) -> str:
    """The folder of this user's units. Source: systemd.unit(5), "User Unit Search Path"."""
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or "~", ".config")
    return os.path.join(os.path.expanduser(config), "systemd", "user")


def copy_in(root: Path, logs: Path) -> Copy:
    """The copy in the folder `root`, as a crontab must name it."""
    python = root / ".venv" / "bin" / "python"
    # Without `make install` in that folder the interpreter that is running now is used.
    return Copy(str(root), str(python) if os.path.exists(python) else sys.executable, str(logs))


def crontab_line(copy: Copy) -> str:
    """The crontab line that starts a tick each minute."""
    return _each_minute(copy, f"{copy.root}/main.py", "tick --quiet", "tick.log")


def drain_line(copy: Copy) -> str:
    """The crontab line that drains the sibling's inbox each minute."""
    return _each_minute(copy, f"{copy.telegram}/inbox.py", _DRAIN, "telegram.log")


def _each_minute(copy: Copy, program: str, words: str, log: str) -> str:
    python, program, log = (shlex.quote(path) for path in (copy.python, program, f"{copy.logs}/{log}"))
    line = f"{python} {program} {words} >> {log} 2>&1"
    # The shell's own "not found" does not say what to do. The exit code stays that of the program.
    gone = shlex.quote(
        f"{copy.python} is gone, as after an upgrade of the system: run make install in {copy.root} again"
    )
    explained = f"test -x {python} || echo {gone} >> {log}; {line}"
    # For cron an unescaped percent sign ends the command.
    line, explained = (text.replace("%", "\\%") for text in (line, explained))
    return "* * * * * " + (explained if len(os.fsencode(explained)) <= _LONGEST_COMMAND else line)


def lines_of(copy: Copy) -> list[str]:
    """The lines inside the block."""
    return [crontab_line(copy), *([drain_line(copy)] if copy.telegram else [])]


def block(copy: Copy) -> str:
    """The marked block, with a final newline."""
    mark = [DATABASE + copy.database] if copy.database else []
    lines = (BEGIN.format(root=copy.root), *mark, *lines_of(copy), END.format(root=copy.root))
    return "".join(f"{line}\n" for line in lines)


def drains(text: str, copy: Copy) -> bool:
    """Whether the crontab has a block of this copy that drains an inbox."""
    other_lines = without_block(text, copy.root).splitlines()
    block_lines = (line.replace("'", "") for line in text.splitlines() if line not in other_lines)
    return any(f"/inbox.py {_DRAIN}" in line for line in block_lines)


def without_block(text: str, root: str) -> str:
    """The crontab without the blocks of this copy; all other lines stay as they are.

    A block without its end line is kept: the lines below it may belong to somebody else.
    """
    begin, end = BEGIN.format(root=root), END.format(root=root)
    kept: list[str] = []
    block: list[str] = []
    for line in text.splitlines(keepends=True):
        bare = line.rstrip()
        if bare == begin:
            # The block that began before this one has no end.
            kept += block
            block = [line]
        elif not block:
            kept.append(line)
        elif bare == end:
            block = []
        else:
            block.append(line)
    return "".join([*kept, *block])


def stray_marks(text: str, root: str) -> list[int]:
    """Numbers of the lines that begin or end a block of this copy without a counterpart."""
    marks = {BEGIN.format(root=root), END.format(root=root)}
    lines = without_block(text, root).splitlines()
    return [number for number, line in enumerate(lines, 1) if line.rstrip() in marks]


def with_block(text: str, copy: Copy) -> str:
    """The crontab with the block at its end; older blocks of this copy are removed."""
    others = without_block(text, copy.root)
    if others and not others.endswith("\n"):
        others += "\n"
    return others + block(copy)


@dataclass(frozen=True)
class DaemonTerms:
    """Times of the daemon in seconds: between two polls, for its runs to end, and before a run is killed."""

    poll_sec: int
    stop_sec: int
    kill_grace_sec: int


def units(copy: Copy, daemon: DaemonTerms | None = None) -> dict[str, str]:
    """Names and texts of the units for `systemctl --user`: a tick each minute, or with `daemon` the daemon.

    Source: systemd.service(5), systemd.timer(5).
    """
    # A timer starts nothing while its service is running, and a tick may run for hours: each tick gets its own unit.
    run = ("/usr/bin/systemd-run", "--user", "--collect", "--quiet", f"--working-directory={copy.root}")
    # A tick that is asked to stop ends its runs in order; systemd must not kill them first.
    stop = ("--property=KillMode=mixed", "--property=TimeoutStopSec=60", "--property=SyslogIdentifier=puruto-cron")
    tick = (*run, *stop, "--", copy.python, f"{copy.root}/main.py", "tick", "--quiet")
    texts = _pair("puruto-cron", "one tick", tick) if daemon is None else _daemon(copy, daemon)
    if copy.telegram:
        drain = (copy.python, f"{copy.telegram}/inbox.py", *_DRAIN.split())
        texts |= _pair("puruto-cron-telegram", "one drain of puruto-telegram", drain)
    return {name: f"{UNIT_MARK}{_one_line(copy.root)}\n{text}" for name, text in texts.items()}


def is_foreign(existing: str, unit: str) -> bool:
    """Whether the existing text of a unit's file was not written by the copy that would write `unit` there."""
    mark, _, body = unit.partition("\n")
    # Units of earlier versions have no mark; they are ours if the text is the same.
    return existing.partition("\n")[0] != mark and existing != body


def owner_of(unit: str) -> str:
    """The root folder of the copy that wrote a unit's text, on one line; "" if it has no mark."""
    first = unit.partition("\n")[0]
    return first.removeprefix(UNIT_MARK) if first.startswith(UNIT_MARK) else ""


def _one_line(path: str) -> str:
    """A path on one line of UTF-8: characters that are not printable are escaped, and so is the backslash."""
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode() for char in path
    )


def _pair(name: str, what: str, words: Sequence[str]) -> dict[str, str]:
    service = f"""[Unit]
Description=puruto-cron: {what}

[Service]
Type=oneshot
ExecStart={" ".join(map(_systemd, words))}
"""
    timer = f"""[Unit]
Description=puruto-cron: {what} each minute

[Timer]
OnCalendar=*-*-* *:*:00
AccuracySec=1s
# After the machine has slept, the next tick runs the missed slots itself.
Persistent=false

[Install]
WantedBy=timers.target
"""
    return {f"{name}.service": service, f"{name}.timer": timer}


def _daemon(copy: Copy, terms: DaemonTerms) -> dict[str, str]:
    words = (copy.python, f"{copy.root}/main.py", "daemon")
    service = f"""[Unit]
Description=puruto-cron: the daemon

[Service]
Type=notify
ExecStart={" ".join(map(_systemd, words))}
ExecReload=/bin/kill -HUP $MAINPID
SyslogIdentifier=puruto-cron
# The database of an earlier version is migrated before the daemon is ready.
TimeoutStartSec=600
# It sends a sign of life each time it wakes.
WatchdogSec={max(_WATCHDOG_SEC, 4 * terms.poll_sec)}
Restart=on-failure
RestartSec=10
# Exit status 2 is a wrong setting: a restart would not help.
RestartPreventExitStatus=2
SuccessExitStatus=130 143
# The daemon ends its runs in order when it is asked to stop; systemd must not kill them first.
KillMode=mixed
TimeoutStopSec={terms.stop_sec + terms.kill_grace_sec + _STOP_MARGIN_SEC}
# If a job uses too much memory, only that job is killed.
OOMPolicy=continue
# The daemon makes a cgroup of its own, to find all that its runs have left after a crash.
Delegate=yes

[Install]
WantedBy=default.target
"""
    return {DAEMON_SERVICE: service}


def _systemd(word: str) -> str:
    """A word of ExecStart=: quoted, with systemd's specifiers and variables escaped."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    # systemd uses the escapes of C. Source: systemd.syntax(7), "Quoting".
    return f'"{_UNWRITABLE.sub(lambda match: _as_bytes(match[0]), escaped)}"'


def _as_bytes(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
