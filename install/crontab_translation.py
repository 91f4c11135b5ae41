"""One line of a crontab → the fields of a job that does the same. Source: crontab(5), and what Debian's cron does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.redact import secrets_of
from install.crontab_lines import Entry, Variable

#: What cron gives where the crontab says nothing. Source: crontab(5).
SHELL, PATH = "/bin/sh", "/usr/bin:/bin"
#: cron ends no run; a job must have a limit. A day, so that one that hangs does not stop its job for ever.
TIMEOUT_SEC = 86_400
#: After a jump of the clock of less than three hours Debian's cron makes up for the jobs in between.
MAX_LATENESS_SEC = 10_800

#: The command is "$1" and its input "$2", so that nothing in them means anything here. "$0" is the crontab's SHELL.
_HERE = 'exec "$0" -c "$1"'
_INPUT = f"{_HERE} <<END\n$2\nEND"
_SCRIPTS = {(False, True): _INPUT, (True, False): f"cd && {_HERE}", (True, True): f"cd && {_INPUT}"}

_WORDS = {"@every_minute": "* * * * *"}
_CRON_WORDS = "@hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually"
_MAIL = frozenset({"MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING"})
_SAME = re.compile(r"(?<![^,])([0-9]{1,4}|[A-Za-z]{3})-(\1)(?:/[0-9]+)?(?![^,])", re.IGNORECASE)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OURS = "PURUTO_CRON_"
#: A bare & (no &&, >&, &> or <&), or a program that is there to leave something behind.
_BACKGROUND = re.compile(r"(?<![&<>|\\])&(?![&>])|\b(?:nohup|setsid|disown|daemonize|start-stop-daemon)\b")
_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)


@dataclass(frozen=True)
class Refused:
    """Why a line becomes no job: a stable code, a sentence, and what to do."""

    code: str
    reason: str
    hint: str = ""


@dataclass(frozen=True)
class Terms:
    """How the jobs of one import are made.

    `timezone` is for lines without CRON_TZ, None where the default is cron's own zone. `in_home` starts commands in
    HOME, as cron does, and not in the target's folder. `account` is the one under which the scheduler runs.
    """

    target: str
    in_home: bool
    account: str
    timezone: str | None = None
    enabled: bool = False


@dataclass(frozen=True)
class Translated:
    """The fields of a job but its name, and what its owner should know."""

    fields: Mapping[str, object]
    notes: tuple[str, ...]


def translated(entry: Entry, terms: Terms) -> Translated | Refused:
    """The job that does what a line did; refused where there is none. Whether its fields are good is not looked at."""
    if entry.user and entry.user != terms.account:
        hint = f"Import it with the puruto-cron of {entry.user}, or leave it to cron."
        return Refused("OTHER_USER", f"It runs as {entry.user}; jobs here run as {terms.account}", hint)
    schedule = _schedule(entry.when)
    if isinstance(schedule, Refused):
        return schedule
    environ = {"SHELL": SHELL, "PATH": PATH, **{k: v for k, v in entry.environ.items() if _goes_to_env(k, entry)}}
    zone = entry.environ.get("CRON_TZ") or terms.timezone
    fields: dict[str, object] = {
        "enabled": terms.enabled,
        "puruto_target": terms.target,
        "schedule": schedule,
        **({"timezone": zone} if zone else {}),
        "prompt": "A line of a crontab",
        "command": arguments(entry, environ["SHELL"], in_home=terms.in_home),
        "env": environ,
        "timeout_sec": TIMEOUT_SEC,
        "max_lateness_sec": MAX_LATENESS_SEC,
        "notify_channel": "none",
    }
    return Translated(fields, tuple(_notes(entry, schedule, environ)))


def arguments(entry: Entry, shell: str, *, in_home: bool) -> list[str]:
    """The `command` of the job: the crontab's shell runs the line; a first shell goes home and gives the input."""
    if not in_home and entry.stdin is None:
        return [shell, "-c", entry.command]
    # The here-document ends the last line itself.
    given = [] if entry.stdin is None else [entry.stdin.removesuffix("\n")]
    return [SHELL, "-c", _SCRIPTS[in_home, entry.stdin is not None], shell, entry.command, *given]


def essence(command: object) -> tuple[str, ...] | None:
    """Shell, line and input of a job's `command` that `arguments` could have made, wherever it starts; else None."""
    if not isinstance(command, Sequence) or not all(isinstance(word, str) for word in command) or len(command) < 3:
        return None
    if command[1] != "-c":
        return None
    if len(command) == 3:
        return (command[0], command[2])
    return tuple(command[3:]) if command[2] in _SCRIPTS.values() else None


def use_of(variable: Variable) -> tuple[str, str]:
    """What becomes of a variable, `env`, `shell`, `timezone` or `not_taken_over`, and a sentence about it or ""."""
    name = variable.name
    if name == "SHELL":
        return "shell", "The commands below it are run by it"
    if name == "CRON_TZ":
        return "timezone", "The zone of the schedules below it. Debian's cron ignores it; cronie does as we do"
    if name in _MAIL:
        return "not_taken_over", (
            "Nothing is mailed: notifications/events.jsonl tells of each run, and `edit-job JOB_ID --notify-channel "
            "telegram` mirrors it. A command that names the variable gets it"
        )
    if name == "RANDOM_DELAY":
        return "not_taken_over", "No slot is delayed at random"
    if name == "LOGNAME":
        return "not_taken_over", "cron sets it itself, and so do we"
    if name.startswith(_OURS):
        return "not_taken_over", f"{_OURS}… is kept for the scheduler: set it in .env"
    if not _ENV_NAME.fullmatch(name):
        return "not_taken_over", "No shell can read a variable of this name"
    if name == "TZ":
        return "env", "It is the clock of the commands; schedules stay in the machine's zone, as under cron"
    return "env", ""


def _goes_to_env(name: str, entry: Entry) -> bool:
    if name in _MAIL:
        return name in entry.command
    return use_of(Variable(0, "", name, ""))[0] in ("env", "shell")


def _schedule(when: str) -> str | Refused:
    if not when.startswith("@"):
        if "~" in when:
            hint = "Write the number that you want, like 17."
            return Refused("RANDOM_TIME", f"`{when}`: with ~ cron picks the time at random", hint)
        # `5-5`: cron takes it for 5; others take it for the whole field.
        return " ".join(_SAME.sub(r"\1", field) for field in when.split(" "))
    if when == "@reboot":
        hint = "Leave the line to cron; if it is to be recorded here: @reboot … main.py run-now JOB_ID."
        return Refused("REBOOT", "A start of the machine is no instant: it has no slot", hint)
    if when.removeprefix("@").isdecimal() or when.lower() in ("@every_second", "@every", "@at"):
        hint = f"Write it with register-job: `@every 15m` is a grid. cron's words are {_CRON_WORDS}."
        return Refused("UNKNOWN_WORD", f"{when} is no word of cron's that means the same here", hint)
    return _WORDS.get(when, when)


def _notes(entry: Entry, schedule: str, environ: Mapping[str, str]) -> list[str]:
    notes = []
    if schedule != entry.when:
        notes.append(f"`{entry.when}` is written as `{schedule}`, which means the same")
    if entry.stdin is not None:
        notes.append("What stands behind % goes to its stdin, as under cron")
    if _BACKGROUND.search(_QUOTED.sub("", entry.command)):
        notes.append("What it leaves in the background is ended with the run; under cron it goes on")
    if "CRON_TZ" in entry.environ:
        notes.append("Its schedule is in the zone of CRON_TZ, which Debian's cron ignores")
    if lost := [name for name in entry.environ if _lost(name)]:
        notes.append(f"It does not get {', '.join(sorted(lost))} from the crontab")
    if hidden := [name for name, value in environ.items() if any(secrets_of({name: value}, ()))]:
        names = ", ".join(sorted(hidden))
        notes.append(f"{names} looks like a secret and stands in .jobs.json now: put it into .env, and name it in "
                     "allow_env instead")  # fmt: skip
    return notes


def _lost(name: str) -> bool:
    return use_of(Variable(0, "", name, ""))[0] == "not_taken_over" and name not in (*_MAIL, "LOGNAME", "RANDOM_DELAY")


# --- secrets ---

_VALUE = r"""(?=("[^"]{0,2000}"|'[^']{0,2000}'|[^\s"';|&<>]{1,2000}))"""
#: `NAME=value`, `--name=value`, `Name: value` of a header, `name=value` in an address; and `--name value`.
_NAMED = re.compile(rf"(?<![\w-])-{{0,2}}([A-Za-z_][\w-]*)(?:=|:[ ]*(?!//)){_VALUE}")
_OPTION = re.compile(rf"(?<!\S)--?([A-Za-z][\w-]*)[ \t]+(?!-){_VALUE}")
#: Those that no name gives away: of a header, of curl's `-u name:password`, of mysql's `-p`.
_KNOWN = (
    re.compile(r"(?i)\b(?:bearer|basic)[ ]+([A-Za-z0-9+/_.=~-]{8,})"),
    re.compile(r"\s(?:-u|--user)[ =]*[^\s:'\"]+:([^\s'\"]+)"),
    re.compile(r"\bmysql\w*\b[^;|&]{0,400}?\s-p([^\s'\"]+)"),
)
#: Source: `Argument` of model/job.py.
_LONGEST = 32_768
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]{0,30}://[^\s\"'<>]+", re.IGNORECASE)


def secrets_in(text: str) -> list[str]:
    """What looks like a secret in a line: `TOKEN=…`, `--password …`, `Bearer …`, `://name:password@`."""
    found: list[str] = []
    # A longer line becomes no job, and only its beginning is shown.
    text = text[:_LONGEST]
    for match in (*_NAMED.finditer(text), *_OPTION.finditer(text)):
        found += secrets_of({match[1]: match[2].strip("\"'")}, ())
    found += (secret for pattern in _KNOWN for secret in pattern.findall(text))
    found += (secret for address in _ADDRESS.findall(text) for secret in secrets_of({"": address}, ()))
    return found
