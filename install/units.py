"""The crontab's block and systemd's units for this copy: making, finding and replacing them in a text."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Control characters, which end a line or a unit, and bytes of a path that are no UTF-8.
_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\udc80-\udcff]")
BEGIN = "# >>> puruto-cron {root}"
END = "# <<< puruto-cron {root}"
#: Begins the first line of each unit, before the copy's folder.
UNIT_MARK = "# puruto-cron: "
_DRAIN = "--deliver --quiet"
TIMER = "puruto-cron.timer"
DAEMON_SERVICE = "puruto-cron-daemon.service"
#: So long, in seconds, the daemon may say nothing before systemd starts it anew; a sync of a huge file takes minutes.
_WATCHDOG_SEC = 300
#: What the end of the daemon takes besides its runs: a verdict that meets a busy database is tried for 10 seconds.
_STOP_MARGIN_SEC = 30


@dataclass(frozen=True)
class Place:
    """This copy: its folder, the interpreter that runs it, and the folder that takes what a tick says.

    `telegram` is the folder of the sibling whose inbox is drained too; "" for none.
    """

    root: str
    python: str
    logs: str
    telegram: str = ""


def place_of(root: Path, logs: Path) -> Place:
    """The copy in `root`, as a crontab must name it."""
    own = root / ".venv" / "bin" / "python"
    # Without a `make install` in that folder there is only the interpreter that runs just now.
    return Place(str(root), str(own) if own.exists() else sys.executable, str(logs))


def crontab_line(place: Place) -> str:
    """`* * * * * …`: starts a tick."""
    return _each_minute(place, f"{place.root}/main.py", "tick --quiet", "tick.log")


def drain_line(place: Place) -> str:
    """The same for the sibling's inbox."""
    return _each_minute(place, f"{place.telegram}/inbox.py", _DRAIN, "telegram.log")


def _each_minute(place: Place, program: str, words: str, log: str) -> str:
    python, program, log = (shlex.quote(path) for path in (place.python, program, f"{place.logs}/{log}"))
    # To cron a bare percent sign is the end of the command.
    return "* * * * * " + f"{python} {program} {words} >> {log} 2>&1".replace("%", "\\%")


def lines_of(place: Place) -> list[str]:
    """What stands in the block."""
    return [crontab_line(place), *([drain_line(place)] if place.telegram else [])]


def block(place: Place) -> str:
    """The marked block, with its end of line."""
    lines = (BEGIN.format(root=place.root), *lines_of(place), END.format(root=place.root))
    return "".join(f"{line}\n" for line in lines)


def drains(text: str, place: Place) -> bool:
    """Whether the crontab has a block of this copy that drains an inbox."""
    without = without_block(text, place.root).splitlines()
    ours = (line.replace("'", "") for line in text.splitlines() if line not in without)
    return any(f"/inbox.py {_DRAIN}" in line for line in ours)


def without_block(text: str, root: str) -> str:
    """The crontab without the blocks of this copy; every other line stays as it is.

    A block without its end is not ours to cut: what stands below it may be anything.
    """
    begin, end = BEGIN.format(root=root), END.format(root=root)
    kept: list[str] = []
    block: list[str] = []
    for line in text.splitlines(keepends=True):
        bare = line.rstrip()
        if bare == begin:
            # One that began before has no end.
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
    """Numbers of the lines that begin or end a block of this copy which has no other end."""
    marks = {BEGIN.format(root=root), END.format(root=root)}
    rest = without_block(text, root).splitlines()
    return [number for number, line in enumerate(rest, 1) if line.rstrip() in marks]


def with_block(text: str, place: Place) -> str:
    """The crontab with the block at its end, in place of an older one."""
    rest = without_block(text, place.root)
    if rest and not rest.endswith("\n"):
        rest += "\n"
    return rest + block(place)


@dataclass(frozen=True)
class DaemonTerms:
    """How long the daemon may take, in seconds: to sleep, to let its runs end, and to kill one."""

    poll_sec: int
    stop_sec: int
    kill_grace_sec: int


def units(place: Place, daemon: DaemonTerms | None = None) -> dict[str, str]:
    """Names and texts of the units for `systemctl --user`; with `daemon` that instead of a tick each minute.

    Source: systemd.service(5), .timer(5).
    """
    # A timer starts nothing while its service runs, and a tick may run for hours: each gets a unit of its own.
    run = ("/usr/bin/systemd-run", "--user", "--collect", "--quiet", f"--working-directory={place.root}")
    # A tick ends its runs in order when it is asked to; systemd must not kill them first.
    patient = ("--property=KillMode=mixed", "--property=TimeoutStopSec=60", "--property=SyslogIdentifier=puruto-cron")
    tick = (*run, *patient, "--", place.python, f"{place.root}/main.py", "tick", "--quiet")
    found = _pair("puruto-cron", "one tick", tick) if daemon is None else _daemon(place, daemon)
    if place.telegram:
        drain = (place.python, f"{place.telegram}/inbox.py", *_DRAIN.split())
        found |= _pair("puruto-cron-telegram", "one drain of puruto-telegram", drain)
    return {name: f"{UNIT_MARK}{_one_line(place.root)}\n{text}" for name, text in found.items()}


def is_foreign(there: str, unit: str) -> bool:
    """Whether the text of a unit's file is another's than the copy's that would write `unit` there."""
    mark, _, rest = unit.partition("\n")
    # Units of a copy that did not mark them yet are known by being the same.
    return there.partition("\n")[0] != mark and there != rest


def owner_of(there: str) -> str:
    """The root of the copy that a unit's text belongs to, in one line; "" for none."""
    first = there.partition("\n")[0]
    return first.removeprefix(UNIT_MARK) if first.startswith(UNIT_MARK) else ""


def _one_line(path: str) -> str:
    """A path in one line of UTF-8: what can't stand there is escaped, and so is the backslash."""
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
# A tick that the machine slept through is made up for by the next one itself.
Persistent=false

[Install]
WantedBy=timers.target
"""
    return {f"{name}.service": service, f"{name}.timer": timer}


def _daemon(place: Place, terms: DaemonTerms) -> dict[str, str]:
    words = (place.python, f"{place.root}/main.py", "daemon")
    service = f"""[Unit]
Description=puruto-cron: the daemon

[Service]
Type=notify
ExecStart={" ".join(map(_systemd, words))}
ExecReload=/bin/kill -HUP $MAINPID
SyslogIdentifier=puruto-cron
# A database of an earlier version is migrated before it is ready.
TimeoutStartSec=600
# It says that it is alive each time that it wakes.
WatchdogSec={max(_WATCHDOG_SEC, 4 * terms.poll_sec)}
Restart=on-failure
RestartSec=10
# A wrong setting is there after a restart too.
RestartPreventExitStatus=2
SuccessExitStatus=130 143
# It ends its runs in order when it is told to; systemd must not kill them first.
KillMode=mixed
TimeoutStopSec={terms.stop_sec + terms.kill_grace_sec + _STOP_MARGIN_SEC}
# A job that eats the memory ends alone.
OOMPolicy=continue

[Install]
WantedBy=default.target
"""
    return {DAEMON_SERVICE: service}


def _systemd(word: str) -> str:
    """A word of ExecStart=: quoted, and with the specifiers and variables that systemd would take for itself."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    # Its escapes are C's. Source: systemd.syntax(7), "Quoting".
    return f'"{_UNWRITABLE.sub(lambda found: _as_bytes(found[0]), plain)}"'


def _as_bytes(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
