"""The crontab's block and systemd's units for this copy: making, finding and replacing them in a text. No disk here."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

BEGIN = "# >>> puruto-cron {root}"
END = "# <<< puruto-cron {root}"


@dataclass(frozen=True)
class Place:
    """This copy: its folder, the interpreter that runs it, and the file that takes what a tick says."""

    root: str
    python: str
    log: str


def crontab_line(place: Place) -> str:
    """`* * * * * …`: quoted for the shell, and with the percent sign that cron would take for itself."""
    python, main, log = (shlex.quote(path) for path in (place.python, f"{place.root}/main.py", place.log))
    return "* * * * * " + f"{python} {main} tick --quiet >> {log} 2>&1".replace("%", "\\%")


def block(place: Place) -> str:
    """The marked block, with its end of line."""
    lines = (BEGIN.format(root=place.root), crontab_line(place), END.format(root=place.root))
    return "".join(f"{line}\n" for line in lines)


def without_block(text: str, root: str) -> str:
    """The crontab without the block of this copy; every other line stays as it is."""
    begin, end = BEGIN.format(root=root), END.format(root=root)
    kept, inside = [], False
    lines = text.splitlines(keepends=True)
    # A block without its end is not ours to cut: what stands below it may be anything.
    whole = any(line.rstrip("\r\n") == end for line in lines)
    for line in lines:
        bare = line.rstrip("\r\n")
        if whole and bare == begin:
            inside = True
        elif whole and inside and bare == end:
            inside = False
        elif not inside:
            kept.append(line)
    return "".join(kept)


def with_block(text: str, place: Place) -> str:
    """The crontab with the block at its end, in place of an older one."""
    rest = without_block(text, place.root)
    if rest and not rest.endswith("\n"):
        rest += "\n"
    return rest + block(place)


def units(place: Place) -> dict[str, str]:
    """`puruto-cron.service` and `puruto-cron.timer` for `systemctl --user`. Source: systemd.service(5), .timer(5).

    A timer starts nothing while its service runs, and a tick may run for hours: each gets a unit of its own.
    """
    run = ("/usr/bin/systemd-run", "--user", "--collect", "--quiet", f"--working-directory={place.root}")
    # A tick ends its runs in order when it is asked to; systemd must not kill them first.
    patient = ("--property=KillMode=mixed", "--property=TimeoutStopSec=60", "--property=SyslogIdentifier=puruto-cron")
    words = (*run, *patient, "--", place.python, f"{place.root}/main.py", "tick", "--quiet")
    command = " ".join(map(_systemd, words))
    service = f"""[Unit]
Description=puruto-cron: one tick

[Service]
Type=oneshot
ExecStart={command}
"""
    timer = """[Unit]
Description=puruto-cron: a tick each minute

[Timer]
OnCalendar=*-*-* *:*:00
AccuracySec=1s
# A tick that the machine slept through is made up for by the next one itself.
Persistent=false

[Install]
WantedBy=timers.target
"""
    return {"puruto-cron.service": service, "puruto-cron.timer": timer}


def _systemd(word: str) -> str:
    """A word of ExecStart=: quoted, and with the specifiers and variables that systemd would take for itself."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"'
