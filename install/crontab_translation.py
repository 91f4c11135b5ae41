"""Translates a line of a crontab into the fields of a job that does the same. Source: crontab(5) and Debian's cron."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from core.redact import secrets_of
from install.crontab_lines import Entry, Variable

#: cron's defaults for variables that the crontab does not set. Source: crontab(5).
SHELL, PATH = "/bin/sh", "/usr/bin:/bin"
#: cron never ends a run, but a job must have a limit: a day, so that a run that hangs does not block its job for ever.
TIMEOUT_SEC = 86_400
#: After a forward jump of the clock of less than three hours Debian's cron runs the jobs that it skipped.
MAX_LATENESS_SEC = 10_800

#: The command is "$1" and its input "$2", so that this script does not interpret them. "$0" is the crontab's SHELL.
_HERE = 'exec "$0" -c "$1"'
_INPUT = f"{_HERE} <<END\n$2\nEND"
_SCRIPTS = {(False, True): _INPUT, (True, False): f"cd && {_HERE}", (True, True): f"cd && {_INPUT}"}

_WORDS = {"@every_minute": "* * * * *"}
_CRON_WORDS = "@hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually"
_MAIL = frozenset({"MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING"})
_SAME = re.compile(r"(?<![^,])([0-9]{1,4}|[A-Za-z]{3})-(\1)(?:/[0-9]+)?(?![^,])", re.IGNORECASE)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OURS = "PURUTO_CRON_"
#: A single & (not &&, >&, &> or <&), or a program that starts something in the background.
_BACKGROUND = re.compile(r"(?<![&<>|\\])&(?![&>])|\b(?:nohup|setsid|disown|daemonize|start-stop-daemon)\b")
_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)


@dataclass(frozen=True)
class Refused:
    """Why a line does not become a job: a stable code, a sentence without its full stop, and what to do."""

    code: str
    reason: str
    hint: str = ""


@dataclass(frozen=True)
class Terms:
    """The settings of one import.

    `timezone` is for lines without CRON_TZ; None means the default, if that is cron's own zone. With `in_home` commands
    start in HOME, as under cron, and not in the target's folder. `account` is the user that runs the scheduler.
    """

    target: str
    in_home: bool
    account: str
    timezone: str | None = None
    enabled: bool = False


class JobFields(TypedDict, total=False):
    """The fields of .jobs.json that an import sets; `timezone` only if the line has one."""

    enabled: bool
    puruto_target: str
    schedule: str
    timezone: str
    prompt: str
    command: list[str]
    env: dict[str, str]
    timeout_sec: int
    max_lateness_sec: int
    notify_channel: str


@dataclass(frozen=True)
class Translated:
    """The fields of a job without its name, and notes for its owner."""

    fields: JobFields
    notes: tuple[str, ...]


def translated(entry: Entry, terms: Terms) -> Translated | Refused:
    """The job that does the same as a line, or why there is none. The fields are not checked yet."""
    if entry.user and entry.user != terms.account:
        hint = f"Import it with the puruto-cron of {entry.user}, or leave it to cron."
        return Refused("OTHER_USER", f"It runs as {entry.user}; jobs here run as {terms.account}", hint)
    schedule = _schedule(entry.when)
    if isinstance(schedule, Refused):
        return schedule
    environ = {"SHELL": SHELL, "PATH": PATH, **{k: v for k, v in entry.environ.items() if _goes_to_env(k, entry)}}
    zone = entry.environ.get("CRON_TZ") or terms.timezone
    # The order of the fields is their order in .jobs.json.
    fields: JobFields = {"enabled": terms.enabled, "puruto_target": terms.target, "schedule": schedule}
    if zone:
        fields["timezone"] = zone
    fields |= {
        "prompt": "A line of a crontab",
        "command": arguments(entry, environ["SHELL"], in_home=terms.in_home),
        "env": environ,
        "timeout_sec": TIMEOUT_SEC,
        "max_lateness_sec": MAX_LATENESS_SEC,
        "notify_channel": "none",
    }
    return Translated(fields, tuple(_notes(entry, schedule, environ)))


def arguments(entry: Entry, shell: str, *, in_home: bool) -> list[str]:
    """The `command` of the job: the crontab's shell runs the line; if needed a first shell does `cd` and sets stdin."""
    if not in_home and entry.stdin is None:
        return [shell, "-c", entry.command]
    # The here-document adds the final newline itself.
    stdin = [] if entry.stdin is None else [entry.stdin.removesuffix("\n")]
    return [SHELL, "-c", _SCRIPTS[in_home, entry.stdin is not None], shell, entry.command, *stdin]


def essence(command: object) -> tuple[str, ...] | None:
    """Shell, line and input of a `command` that `arguments` made, in whichever folder it starts; None for others."""
    if not isinstance(command, Sequence) or not all(isinstance(word, str) for word in command) or len(command) < 3:
        return None
    if command[1] != "-c":
        return None
    if len(command) == 3:
        return (command[0], command[2])
    return tuple(command[3:]) if command[2] in _SCRIPTS.values() else None


def use_of(variable: Variable) -> tuple[str, str]:
    """What becomes of a variable (`env`, `shell`, `timezone` or `not_taken_over`), and a sentence about it or ""."""
    name = variable.name
    if name == "SHELL":
        return "shell", "It runs the commands below it"
    if name == "CRON_TZ":
        return "timezone", "The time zone of the schedules below it, as in cronie. Debian's cron ignores it"
    if name in _MAIL:
        return "not_taken_over", (
            "Nothing is mailed. Each run is reported in notifications/events.jsonl; with `edit-job JOB_ID "
            "--notify-channel telegram` also by Telegram. A command that uses the variable gets it"
        )
    if name == "RANDOM_DELAY":
        return "not_taken_over", "Random delays are not supported"
    if name == "LOGNAME":
        return "not_taken_over", "The scheduler sets it, as cron does"
    if name.startswith(_OURS):
        return "not_taken_over", f"{_OURS}… variables are reserved for the scheduler: set it in .env"
    if not _ENV_NAME.fullmatch(name):
        return "not_taken_over", "A shell can't read a variable of this name"
    if name == "TZ":
        return "env", "The time zone of the commands; schedules stay in the machine's zone, as under cron"
    return "env", ""


def _goes_to_env(name: str, entry: Entry) -> bool:
    if name in _MAIL:
        return name in entry.command
    return use_of(Variable(0, "", name, ""))[0] in ("env", "shell")


def _schedule(when: str) -> str | Refused:
    if not when.startswith("@"):
        if "~" in when:
            hint = "Write a fixed number, such as 17."
            return Refused("RANDOM_TIME", f"`{when}`: with ~ cron picks a random time, which is not supported", hint)
        # `5-5` means 5 for cron; other programs take it for the whole field.
        return " ".join(_SAME.sub(r"\1", field) for field in when.split(" "))
    if when == "@reboot":
        hint = "Leave the line to cron. To record its runs here, let it start: main.py run-now JOB_ID."
        return Refused("REBOOT", "@reboot has no time, so it can't be a schedule here", hint)
    if when.removeprefix("@").isdecimal() or when.lower() in ("@every_second", "@every", "@at"):
        hint = f"Use register-job with a schedule such as `@every 15m`. cron's words are {_CRON_WORDS}."
        return Refused("UNKNOWN_WORD", f"{when} does not mean the same here as under cron", hint)
    return _WORDS.get(when, when)


def _notes(entry: Entry, schedule: str, environ: Mapping[str, str]) -> list[str]:
    notes = []
    if schedule != entry.when:
        notes.append(f"`{entry.when}` is written as `{schedule}`, which means the same")
    if entry.stdin is not None:
        notes.append("The text after % goes to its stdin, as under cron")
    if _BACKGROUND.search(_QUOTED.sub("", entry.command)):
        notes.append("Processes that it leaves in the background are ended with the run; under cron they keep running")
    if "CRON_TZ" in entry.environ:
        notes.append("Its schedule is in the time zone of CRON_TZ, which Debian's cron ignores")
    if lost := [name for name in entry.environ if _lost(name)]:
        notes.append(f"It does not get {', '.join(sorted(lost))} from the crontab")
    if secrets := [name for name, value in environ.items() if any(secrets_of({name: value}, ()))]:
        names = ", ".join(sorted(secrets))
        notes.append(f"{names} looks like a secret and is now in .jobs.json: move it to .env, and name it in "
                     "allow_env")  # fmt: skip
    return notes


def _lost(name: str) -> bool:
    return use_of(Variable(0, "", name, ""))[0] == "not_taken_over" and name not in (*_MAIL, "LOGNAME", "RANDOM_DELAY")


# --- secrets ---

_VALUE = r"""(?=("[^"]{0,2000}"|'[^']{0,2000}'|[^\s"';|&<>]{1,2000}))"""
#: `NAME=value`, `--name=value`, `Name: value` of a header, `name=value` in an address; and `--name value`.
_NAMED = re.compile(rf"(?<![\w-])-{{0,2}}([A-Za-z_][\w-]*)(?:=|:[ ]*(?!//)){_VALUE}")
_OPTION = re.compile(rf"(?<!\S)--?([A-Za-z][\w-]*)[ \t]+(?!-){_VALUE}")
#: Secrets without a telling name: in a header, in curl's `-u name:password`, in mysql's `-p`.
_UNNAMED = (
    re.compile(r"(?i)\b(?:bearer|basic)[ ]+([A-Za-z0-9+/_.=~-]{8,})"),
    re.compile(r"\s(?:-u|--user)[ =]*[^\s:'\"]+:([^\s'\"]+)"),
    re.compile(r"\bmysql\w*\b[^;|&]{0,400}?\s-p([^\s'\"]+)"),
)
#: Source: `Argument` of model/job.py.
_LONGEST = 32_768
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]{0,30}://[^\s\"'<>]+", re.IGNORECASE)


def secrets_in(text: str) -> list[str]:
    """The parts of a line that look like secrets: `TOKEN=…`, `--password …`, `Bearer …`, `://name:password@`."""
    secrets: list[str] = []
    # A longer line does not become a job, and only its beginning is shown.
    text = text[:_LONGEST]
    for match in (*_NAMED.finditer(text), *_OPTION.finditer(text)):
        secrets += secrets_of({match[1]: match[2].strip("\"'")}, ())
    secrets += (secret for pattern in _UNNAMED for secret in pattern.findall(text))
    secrets += (secret for address in _ADDRESS.findall(text) for secret in secrets_of({"": address}, ()))
    return secrets
