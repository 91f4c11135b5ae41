"""Lines of crontabs in the dialects of the crons there are, and what an import makes of each.

`tests/unit/test_crontab_dialects.py` imports each; the table in docs/guides/import-crontab.md is made from this list.
Source: the manuals of the crons, and where they are silent their source code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.errors import ScheduleError
from install.crontab_lines import parse
from install.crontab_plan import Plan, plan
from install.crontab_translation import Refused, Terms
from schedules import language

Verdict = Literal["understood", "noted", "refused"]
TERMS = Terms("puruto-target", in_home=True, account="ana")


@dataclass(frozen=True)
class Case:
    """Lines in one form of some dialects: the verdict, and what becomes of them or what to do, for people.

    `told` is part of the note, of the reason or of the hint; `code` that of a refusal. `schedule` and `command` are
    those of the job, `env` a part of its variables.
    """

    dialects: str
    form: str
    text: str
    verdict: Verdict
    means: str
    told: str = ""
    code: str = ""
    schedule: str = ""
    command: str = ""
    env: tuple[tuple[str, str], ...] = ()
    timezone: str = ""
    system: bool = False


ALL = "all"
BSD = "OpenBSD, FreeBSD"
CASES: Sequence[Case] = (
    Case(
        ALL,
        "five fields: numbers, lists, ranges, steps",
        "*/15 9-17 1,15 * * x",
        "understood",
        "the same schedule",
        schedule="*/15 9-17 1,15 * *",
        command="x",
    ),
    Case(
        ALL,
        "names of months and days",
        "0 9 * Jan-Mar MON,wed x",
        "understood",
        "the same schedule",
        schedule="0 9 * Jan-Mar MON,wed",
    ),
    Case(ALL, "Sunday as 7", "0 9 * * 5-7 x", "understood", "the same schedule", schedule="0 9 * * 5-7"),
    Case(
        ALL,
        "names written out",
        "0 9 * * monday x",
        "refused",
        "cron takes three letters: write `mon`",
        told="write mon",
        code="SCHEDULE_INVALID",
    ),
    Case(
        ALL,
        "a range that runs backwards",
        "0 22-3 * * * x",
        "refused",
        "BusyBox goes on after midnight, others refuse it: write `22-23,0-3`",
        told="22-23,0-3",
        code="SCHEDULE_INVALID",
    ),
    Case(ALL, "a range of one value", "5-5 9 * * * x", "noted", "the value alone", schedule="5 9 * * *"),
    Case(
        ALL,
        "a step from a single value",
        "5/15 * * * * x",
        "refused",
        "Quartz reads 5-59/15, BusyBox 5 alone, and Debian's cron refuses it: write one of them",
        told="5-59/15",
        code="AMBIGUOUS_STEP",
    ),
    Case(
        ALL,
        "both days, none with *",
        "0 9 1 * 5 x",
        "noted",
        "one of the two is enough; in systemd-cron both must match",
        told="One of its two days",
        schedule="0 9 1 * 5",
    ),
    Case(
        ALL,
        "both days, one with * and a step",
        "0 9 */2 * 1 x",
        "noted",
        "both must match; in BusyBox and supercronic one is enough",
        told="both match",
        schedule="0 9 */2 * 1",
    ),
    Case(
        ALL,
        "a step of the day of month",
        "0 9 */2 * * x",
        "noted",
        "the 1st, 3rd, 5th, as in Debian's cron and cronie; BusyBox takes the 2nd, 4th, 6th",
        told="BusyBox counts from 0",
        schedule="0 9 */2 * *",
    ),
    Case(
        ALL,
        "a day that no month has",
        "0 9 30 2 * x",
        "refused",
        "it never runs",
        told="never fires",
        code="SCHEDULE_INVALID",
    ),
    Case(
        ALL,
        "`@hourly`, `@daily`, `@midnight`, `@monthly`, `@yearly`, `@annually`",
        "@daily x",
        "understood",
        "the same word",
        schedule="@daily",
    ),
    Case(
        ALL,
        "`@weekly`",
        "@weekly x",
        "noted",
        "Sunday; systemd-cron runs it on Monday",
        told="Monday",
        schedule="@weekly",
    ),
    Case(
        ALL,
        "`@reboot`",
        "@reboot x",
        "refused",
        "leave it to cron, or let it start `run-now`",
        told="run-now",
        code="REBOOT",
    ),
    Case(
        ALL,
        "variables, with or without quotes",
        "GREETING = \"good  day\"\nB='x'\n@daily x",
        "understood",
        "`env` of the jobs below it; BusyBox ignores all but `MAILTO` and `SHELL`",
        env=(("GREETING", "good  day"), ("B", "x")),
    ),
    Case(
        ALL,
        "quotes that are not closed",
        'A="x\n@daily x',
        "refused",
        "write `NAME='text'`; a job below it has a note",
        told="not closed",
        code="UNREADABLE",
    ),
    Case(
        ALL,
        "`$` in a value",
        "PATH=$HOME/bin\n@daily x",
        "understood",
        "taken as it is, as cron does",
        env=(("PATH", "$HOME/bin"),),
    ),
    Case(
        ALL,
        "`SHELL`, `PATH`, `HOME`",
        "SHELL=/bin/bash\n@daily x",
        "understood",
        "used for the commands below it",
        env=(("SHELL", "/bin/bash"),),
    ),
    Case(
        ALL,
        "`MAILTO`, `MAILFROM`",
        "MAILTO=ana\n@daily x",
        "understood",
        "nothing is mailed; each run is reported as an event",
    ),
    Case(
        ALL,
        "`%` in a command",
        "@daily mail ana%Hello",
        "noted",
        "what follows is its stdin, except in BusyBox, supercronic and systemd-cron",
        told="write \\%",
        command="mail ana",
    ),
    Case(ALL, "`\\%` in a command", "@daily date +\\%F", "understood", "a percent sign", command="date +%F"),
    Case(
        ALL,
        "a single backslash in a command",
        "@daily grep '\\.log$' x",
        "understood",
        "the same",
        command="grep '\\.log$' x",
    ),
    Case(
        ALL,
        "two backslashes side by side in a command",
        "@daily sed 's/\\\\/X/g' x",
        "refused",
        "Debian's cron makes them one, cronie leaves them: put the command into a script",
        told="script",
        code="DOUBLE_BACKSLASH",
    ),
    Case(
        ALL,
        "two backslashes side by side after `%`",
        "@daily cat%a\\\\b",
        "noted",
        "they stay, as in all crons that know `%`",
        told="goes to its stdin",
    ),
    Case(
        ALL,
        "a backslash at the end of a line",
        "@daily a && \\\n  b",
        "refused",
        "cron does not continue lines: write it on one line",
        told="backslash",
        code="CONTINUED",
    ),
    Case(
        ALL,
        "a process that stays in the background",
        "@daily nohup x &",
        "noted",
        "it is ended with the run",
        told="background",
    ),
    Case(
        ALL,
        "a command that begins with `-`",
        "@daily -x /usr/bin/y",
        "noted",
        "the shell gets it as it is",
        told="begins with -x",
        command="-x /usr/bin/y",
    ),
    Case("system crontabs", "this user's line", "17 * * * * ana x", "understood", "a job", command="x", system=True),
    Case(
        "system crontabs",
        "another user's line",
        "17 * * * * root x",
        "refused",
        "import it as that user",
        told="runs as root",
        code="OTHER_USER",
        system=True,
    ),
    Case(
        "system crontabs",
        "no user",
        "17 * * * * /usr/bin/x",
        "refused",
        "name the user, or use `--user-form`",
        told="--user-form",
        code="NO_USER",
        system=True,
    ),
    Case(
        "system crontabs of FreeBSD",
        "a group or login class",
        "17 * * * * ana:staff x",
        "refused",
        "leave it to cron",
        told="group",
        code="OTHER_USER",
        system=True,
    ),
    Case(
        "Go (robfig/cron)",
        "`CRON_TZ` before the fields",
        "CRON_TZ=Asia/Tokyo 0 9 * * * x",
        "refused",
        "write the variable on a line of its own",
        told="line of its own",
        code="UNREADABLE",
    ),
    Case(
        "Debian, OpenBSD, BusyBox",
        "`TZ`",
        "TZ=Asia/Tokyo\n@daily x",
        "noted",
        "for the command; in systemd-cron and supercronic for the schedule too",
        told="time zone of TZ",
        env=(("TZ", "Asia/Tokyo"),),
    ),
    Case(
        "cronie, SUSE, supercronic, systemd-cron",
        "`CRON_TZ`",
        "CRON_TZ=Asia/Tokyo\n@daily x",
        "noted",
        "the job's `timezone`; Debian's cron ignores it",
        told="CRON_TZ",
        timezone="Asia/Tokyo",
    ),
    Case(
        "cronie, SUSE",
        "`CRON_TZ` with a zone that does not exist",
        "CRON_TZ=Nonsense/Zone\n@daily x",
        "refused",
        "correct the zone",
        told="Nonsense/Zone",
        code="TIMEZONE_INVALID",
    ),
    Case(
        "cronie, SUSE",
        "a dash before the minute",
        "-*/5 * * * * x",
        "understood",
        "it only keeps the log shorter",
        schedule="*/5 * * * *",
        command="x",
    ),
    Case(
        "cronie, anacron, systemd-cron",
        "`RANDOM_DELAY`, `START_HOURS_RANGE`",
        "RANDOM_DELAY=45\n@daily x",
        "noted",
        "the job runs at its exact times",
        told="RANDOM_DELAY",
    ),
    Case(
        "cronie, OpenBSD, systemd-cron",
        "`~`: a random time",
        "~ 0~5 * * * x",
        "refused",
        "write a fixed number",
        told="fixed number",
        code="RANDOM_TIME",
    ),
    Case(
        f"{BSD}, cronie",
        "flags `-n`, `-q`",
        "@daily -n -q x",
        "understood",
        "nothing is mailed or logged by cron here",
        command="x",
    ),
    Case(
        "OpenBSD",
        "flag `-s`, and flags together",
        "0 3 * * * -ns x",
        "understood",
        "a job never runs twice at a time",
        command="x",
    ),
    Case("FreeBSD, macOS", "`@every_minute`", "@every_minute x", "noted", "`* * * * *`", schedule="* * * * *"),
    Case(
        "FreeBSD",
        "`@every_second`, `@120`: seconds after the last run",
        "@120 x",
        "refused",
        "`register-job` with `@every 2m`",
        told="@every",
        code="UNKNOWN_WORD",
    ),
    Case(
        "macOS",
        "`@AppleNotOnBattery`",
        "0 3 * * * @AppleNotOnBattery x",
        "refused",
        "leave it to macOS, or remove it",
        told="battery",
        code="NOT_ON_BATTERY",
    ),
    Case(
        "systemd-cron",
        "`@minutely`, `@quarterly`, `@semi-annually`",
        "@quarterly x",
        "noted",
        "five fields that mean the same",
        schedule="0 0 1 1,4,7,10 *",
    ),
    Case(
        "systemd-cron",
        "`PERSISTENT`, `DELAY`, `BATCH`",
        "DELAY=5\n@daily x",
        "understood",
        "a variable of the command, and nothing else",
        env=(("DELAY", "5"),),
    ),
    Case("dcron", "`ID=`", "@daily ID=x y", "understood", "the shell sets a variable", command="ID=x y"),
    Case(
        "dcron",
        "`FREQ=`, `AFTER=`, `WAIT=`, `ABORT=`",
        "@daily ID=x FREQ=2d y",
        "refused",
        "leave it to dcron, or write a schedule",
        told="dcron",
        code="DCRON_OPTIONS",
    ),
    Case(
        "anacron",
        "the whole table",
        "@monthly 15 cron.monthly run-parts /x\n7 25 cron.weekly run-parts /y",
        "refused",
        "register each by hand with `--catch-up latest`, or leave it to anacron",
        told="anacrontab",
        code="ANACRONTAB",
    ),
    Case(
        "fcron",
        "`!options`",
        "!serial(true)\n0 3 * * * x",
        "refused",
        "the whole table: register each by hand",
        told="fcron",
        code="FCRONTAB",
    ),
    Case("fcron", "`&options`", "&bootrun,nice(5) 0 3 * * * x", "refused", "the same", told="fcron", code="FCRONTAB"),
    Case("fcron", "`%keyword`", "%nightly,mail(no) * 21-23 x", "refused", "the same", told="fcron", code="FCRONTAB"),
    Case("fcron", "`@options`, up time", "@mailto(ana) 2d x", "refused", "the same", told="fcron", code="FCRONTAB"),
    Case(
        "supercronic, Quartz, Spring",
        "six fields, seconds first",
        "30 5 4 * * MON x",
        "refused",
        "the message has the five fields",
        told="write `5 4 * * MON`",
        code="TOO_MANY_FIELDS",
    ),
    Case(
        "supercronic, Quartz",
        "seven fields",
        "*/10 * * * * * * x",
        "refused",
        "`register-job` with `@every 10s`",
        told="@every 10s",
        code="TOO_MANY_FIELDS",
    ),
    Case(
        "supercronic, AWS",
        "six fields, year last",
        "0 12 1 * * 2027 x",
        "refused",
        "the message has the five fields",
        told="write `0 12 1 * *`",
        code="TOO_MANY_FIELDS",
    ),
    Case(
        "Quartz, AWS",
        "`?` with a sixth field",
        "0 0 12 ? * 2-6 x",
        "refused",
        "there day 1 is Sunday: write names",
        told="day 1 is Sunday",
        code="TOO_MANY_FIELDS",
    ),
    Case(
        "AWS",
        "`cron(…)`, `rate(…)`",
        "cron(0 12 * * ? *) x",
        "refused",
        "write five fields",
        told="AWS",
        code="UNREADABLE",
    ),
    Case("Quartz, supercronic", "`?`", "0 12 ? * 1 x", "refused", "write `*`", told="write *", code="SCHEDULE_INVALID"),
    Case(
        "Quartz, supercronic",
        "`L`, `W`, `#`",
        "0 12 L * * x",
        "refused",
        "list the days",
        told="character L",
        code="SCHEDULE_INVALID",
    ),
    Case(
        "Jenkins", "`H`", "H 3 * * * x", "refused", "write a fixed number", told="character H", code="SCHEDULE_INVALID"
    ),
    Case(
        "Go (robfig/cron), supercronic",
        "`@every 5m`",
        "@every 5m x",
        "refused",
        "`register-job` has the same word",
        told="register-job",
        code="UNKNOWN_WORD",
    ),
)


def planned(text: str, *jobs: dict[str, Any], system: bool = False, terms: Terms = TERMS, ours: str = "\0") -> Plan:
    """The plan of an import by `ana`, in the zone UTC; lines whose command contains `ours` start our tick."""

    def check(entry: dict[str, Any]) -> Refused | None:
        try:
            language.check(entry["schedule"], entry.get("timezone") or "UTC")
        except ScheduleError as error:
            return Refused(error.code, error.message, error.hint)
        return None

    lines = parse(text, system=system)
    return plan(lines, jobs, terms, own_tick=lambda line: ours in line.command, check=check, default_zone="UTC")


def verdict(made: Plan) -> Verdict:
    """What became of the lines, judged by the worst of them."""
    if made.refused:
        return "refused"
    return "noted" if any(new.notes for new in made.new) else "understood"


def table() -> str:
    """The table of the guide."""
    rows = ["| cron | form | for example | what becomes of it | |", "|---|---|---|---|---|"]
    for case in CASES:
        example = " ⏎ ".join(case.text.split("\n"))
        rows.append(f"| {case.dialects} | {case.form} | `{example}` | {case.verdict} | {case.means} |")
    return "\n".join(rows) + "\n"
