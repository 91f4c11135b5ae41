"""Translates a line of a crontab into the fields of a job that does the same. Source: crontab(5) and Debian's cron."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from core.redact import secrets_of
from install.crontab_fields import bare_step, spelled_out
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

#: Words of FreeBSD's cron and of systemd-cron.
_WORDS = {
    "@every_minute": "* * * * *",
    "@minutely": "* * * * *",
    "@quarterly": "0 0 1 1,4,7,10 *",
    **dict.fromkeys(("@semi-annually", "@semiannually", "@bi-annually", "@biannually"), "0 0 1 1,7 *"),
}
#: Variables that change when a line runs. Source: cronie, anacrontab(5), crontab(5) of systemd-cron.
_TIMING = frozenset({"RANDOM_DELAY", "START_HOURS_RANGE"})
#: Other variables that only cron itself reads.
_CRONS_OWN = frozenset({"MLS_LEVEL", "CRON_MAIL_SUCCESS", "CRON_MAIL_FORMAT"})
#: Variables of systemd-cron whose names other crontabs use for the command.
_SYSTEMD_CRONS = frozenset({"DELAY", "PERSISTENT", "BATCH"})
#: Options of dcron before a command; ID alone changes nothing.
_DCRONS = re.compile(r"ID=\S+[ \t]+(?:FREQ|AFTER|WAIT|ABORT)=")
_ON_BATTERY = "@AppleNotOnBattery"
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
    is_account: Callable[[str], bool] = lambda _: False
    """Whether a word is the name of an account: then it may be the user of a system crontab's line."""


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
    if refusal := _of_user(entry.user, terms.account) or _of_command(entry):
        return refusal
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
    return Translated(fields, tuple(_notes(entry, schedule, environ, terms)))


def _of_user(user: str, account: str) -> Refused | None:
    # FreeBSD: user:group/login-class.
    name, *more = re.split("[:/]", user)
    if user and name != account:
        hint = f"Import it with the puruto-cron of {user}, or leave it to cron."
        return Refused("OTHER_USER", f"It runs as {user}; jobs here run as {account}", hint)
    if more:
        return Refused("OTHER_USER", f"It runs as {user}, with another group or login class", "Leave it to cron.")
    return None


def _of_command(entry: Entry) -> Refused | None:
    command = entry.command
    if entry.doubled:
        # Source: do_command.c of Debian's cron and of cronie.
        reason = (
            "For two backslashes side by side Debian's cron and FreeBSD's give the shell one, and cronie gives it both"
        )
        hint = "Put the command into a script, and let the line run that. A single backslash is the same everywhere."
        return Refused("DOUBLE_BACKSLASH", reason, hint)
    if command.split(maxsplit=1)[0] == _ON_BATTERY:
        hint = f"Leave it to macOS, or remove {_ON_BATTERY} to run it on battery too."
        return Refused("NOT_ON_BATTERY", f"With {_ON_BATTERY} macOS runs it only on mains power", hint)
    if _DCRONS.match(command):
        hint = "Leave it to dcron, or write a schedule without them."
        return Refused("DCRON_OPTIONS", "FREQ, AFTER, WAIT and ABORT are options of dcron, not supported here", hint)
    return None


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
    if name in _TIMING:
        return "not_taken_over", "It changes when cronie, anacron or systemd-cron run a line; here it does nothing"
    if name in _CRONS_OWN:
        return "not_taken_over", "Only cron itself reads it"
    if name == "LOGNAME":
        return "not_taken_over", "The scheduler sets it, as cron does"
    if name.startswith(_OURS):
        return "not_taken_over", f"{_OURS}… variables are reserved for the scheduler: set it in .env"
    if not _ENV_NAME.fullmatch(name):
        return "not_taken_over", "A shell can't read a variable of this name"
    if name == "TZ":
        return "env", (
            "The time zone of the commands; schedules stay in the machine's zone, as under cron. In systemd-cron and "
            "supercronic it is the zone of the schedules too: there write CRON_TZ"
        )
    if name in _SYSTEMD_CRONS:
        return "env", "systemd-cron also changes with it when or how a line runs; here only the command gets it"
    if "$" in variable.value or variable.value.startswith("~"):
        return "env", "cron takes its value as it is: nothing in it is expanded"
    return "env", ""


def _goes_to_env(name: str, entry: Entry) -> bool:
    if name in _MAIL:
        return name in entry.command
    return use_of(Variable(0, "", name, ""))[0] in ("env", "shell")


def _schedule(when: str) -> str | Refused:
    if not when.startswith("@"):
        if "~" in when:
            hint = "Write a fixed number, such as 17."
            reason = f"`{when}`: with ~ cronie and OpenBSD pick a random time, which is not supported"
            return Refused("RANDOM_TIME", reason, hint)
        if step := next(filter(None, map(bare_step, when.split(" "))), ""):
            first, whole = step.partition("/")[0], spelled_out(when.split(" "))
            reason = f"`{step}` steps from a single value, which some crons refuse and others read in two ways"
            return Refused("AMBIGUOUS_STEP", reason, f"Write {first} alone, or the range with its end: `{whole}`.")
        # `5-5` means 5 for cron; other programs take it for the whole field.
        return " ".join(_SAME.sub(r"\1", field) for field in when.split(" "))
    if when in ("@reboot", "@boot"):
        hint = "Leave the line to cron. To record its runs here, let it start `python3 main.py run-now JOB_ID`."
        return Refused("REBOOT", f"{when} has no time, so it can't be a schedule here", hint)
    if when.removeprefix("@").isdecimal() or when.lower() in ("@every_second", "@every", "@at"):
        hint = f"Use register-job with a schedule such as `@every 15m`. cron's words are {_CRON_WORDS}."
        return Refused("UNKNOWN_WORD", f"{when} does not mean the same here as under cron", hint)
    return _WORDS.get(when, when)


def _notes(entry: Entry, schedule: str, environ: Mapping[str, str], terms: Terms) -> list[str]:
    notes = list(_notes_of_time(entry, schedule))
    if entry.stdin is not None:
        notes.append("The text after % goes to its stdin, as under cron. BusyBox, supercronic and systemd-cron leave % "
                     "as it is: if the line is theirs, write \\%")  # fmt: skip
    first, *others = entry.command.split(maxsplit=2)
    if not entry.user and others and terms.is_account(first):
        notes.append(f"{first} is also the name of an account: if the line names its user, import it with --system")
    if entry.command.startswith("-"):
        notes.append(f"Its command begins with {first}, which is no flag of a known cron: the shell gets it as it is")
    if _BACKGROUND.search(_QUOTED.sub("", entry.command)):
        notes.append("Processes that it leaves in the background are ended with the run; under cron they keep running")
    if entry.missing:
        notes.append(f"It does not get {', '.join(entry.missing)}: the line that sets it could not be read")
    if lost := [name for name in entry.environ if _lost(name)]:
        notes.append(f"It does not get {', '.join(sorted(lost))} from the crontab")
    if secrets := [name for name, value in environ.items() if any(secrets_of({name: value}, ()))]:
        names = ", ".join(sorted(secrets))
        notes.append(f"{names} looks like a secret and is now in .jobs.json: move it to .env, and name it in "
                     "allow_env")  # fmt: skip
    return notes


def _notes_of_time(entry: Entry, schedule: str) -> Iterator[str]:
    if schedule != entry.when:
        yield f"`{entry.when}` is written as `{schedule}`, which means the same"
    if entry.when == "@weekly":
        yield "It runs on Sunday, as under cron; systemd-cron runs @weekly on Monday"
    fields = entry.when.split(" ")
    if len(fields) == 5 and "*" not in (fields[2], fields[4]):
        if "*" in (fields[2][0], fields[4][0]):
            yield ("Day of month and day of week must both match, because one of them begins with *, as in Debian's "
                   "cron and cronie; in BusyBox and supercronic one is enough")  # fmt: skip
        else:
            yield "One of its two days is enough, as under cron; in systemd-cron both must match"
    if len(fields) == 5 and re.search(r"\*/(?!1(?![0-9]))", fields[2]):
        yield "Its days count from the 1st, as in Debian's cron and cronie; BusyBox counts from 0: */2 is 2, 4, 6 there"
    if entry.environ.get("CRON_TZ"):
        yield "Its schedule is in the time zone of CRON_TZ, which Debian's cron ignores"
    if "TZ" in entry.environ and not entry.environ.get("CRON_TZ"):
        yield "Its schedule is not in the time zone of TZ, as under cron; in systemd-cron and supercronic it is"
    if ignored := sorted(name for name in _TIMING & entry.environ.keys() if entry.environ[name] not in ("", "0")):
        yield f"It runs at its exact times: {', '.join(ignored)} has no effect here"


def _lost(name: str) -> bool:
    return use_of(Variable(0, "", name, ""))[0] == "not_taken_over" and name not in (
        *_MAIL, *_TIMING, *_CRONS_OWN, "LOGNAME",
    )  # fmt: skip


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
