"""Command lines that are wrong: commands, options, values, and names of jobs and runs that there are not."""

from __future__ import annotations

import os

from commands import listing
from system.processes import identify
from tests.acceptance.bad_input_cases import Case, as_process
from tests.acceptance.bad_input_cases_stage import Stage, Word


def _usage(name: str, words: tuple[Word, ...], *names: str) -> Case:
    return Case(f"usage: {name}", words, "USAGE", names)


def _not_found(name: str, words: tuple[Word, ...], *names: str) -> Case:
    return Case(f"no such job: {name}", words, "JOB_NOT_FOUND", ("There is no job", *names), 1)


_COMMANDS = [
    _usage("unknown command", ("frobnicate",), "no command 'frobnicate'", "sync-jobs"),
    _usage("near command", ("run_now", "backup"), "'run_now'", "Did you mean run-now?"),
    _usage("command in capitals", ("TICK",), "no command 'TICK'"),
    _usage("empty command", ("",), "no command ''"),
    _usage("command with a newline", ("list\n",), "no command 'list\\n'", "Did you mean list?"),
    _usage("command with quotes", ("\"list'",), "list"),
    _usage("command of bytes", (b"li\xffst",), "li\\udcffst"),
    _usage("command of 100000 characters", ("x" * 100_000,), "There is no command"),
    _usage("unknown option before the command", ("--verbose", "list"), "--verbose"),
    _usage("unknown short option", ("-x",), "-x"),
    _usage("option of another program", ("--config=/etc/passwd", "tick"), "--config"),
]
_OPTIONS = [
    *(
        _usage(f"unknown option of {name}", (name, "--no-such-option"), "--no-such-option", f"main.py {name}")
        for name in listing.names()
    ),
    *(
        _usage(f"surplus word for {words[0]}", (*words, "surplus"), "surplus")
        for words in (
            ("init-db",), ("sync-jobs",), ("tick",), ("run-now", "backup"), ("status",), ("list",), ("logs",),
            ("next", "backup"),
        )
    ),
    _usage("tick with a misspelt --quiet", ("tick", "--quite"), "--quite", "--quiet"),
    _usage("tick with a value for --quiet", ("tick", "--quiet=yes"), "--quiet"),
    _usage("sync-jobs with a value for its flag", ("sync-jobs", "--allow-removals=1"), "--allow-removals"),
    _usage("option of bytes", ("tick", b"--qu\xffiet"), "--qu"),
    _usage("run-now without a job", ("run-now",), "JOB_ID"),
    _usage("run-now with nothing but --force", ("run-now", "--force"), "JOB_ID"),
    _usage("run-now with two jobs", ("run-now", "backup", "report"), "report"),
    _usage("next with two jobs", ("next", "backup", "report"), "report"),
    _usage("next with a job and a schedule", ("next", "backup", "--schedule=@daily"), "JOB_ID or --schedule"),
    _usage("next with a job and a zone", ("next", "backup", "--timezone=UTC"), "--timezone needs --schedule"),
    _usage("next with a zone alone", ("next", "--timezone=UTC"), "--timezone needs --schedule"),
    _usage("next without a value for --schedule", ("next", "--schedule"), "--schedule"),
    _usage("next without a value for --after", ("next", "--after"), "--after"),
    _usage("next with an unquoted schedule", ("next", "--schedule", "0", "9", "*", "*", "1"), "*"),
    _usage("logs without a value for --job", ("logs", "--job"), "--job"),
    _usage("logs without a value for --run", ("logs", "--run"), "--run"),
    _usage("logs with a word for --job", ("logs", "backup"), "backup"),
    _usage("register-job without a name", ("register-job", "--prompt", "x"), "has no name"),
    _usage("register-job with a word for a number", ("register-job", "x", "--timeout-sec", "ten"), "'ten'"),
    _usage("register-job from no JSON", ("register-job", "x", "--from-json", "{,}"), "--from-json is not valid JSON"),
    _usage("register-job from a list", ("register-job", "x", "--from-json", "/dev/null"), "/dev/null"),
    _usage("register-job with half a variable", ("register-job", "x", "--env", "NAME"), "NAME=VALUE"),
    _usage("edit-job without a change", ("edit-job", "backup"), "No change was given"),
    _usage("edit-job to another name", ("edit-job", "backup", "--from-json", '{"job_id": "b"}'), "changes no names"),
    _usage("pause-job until yesterday", ("pause-job", "backup", "--until", "2020-01-01T00:00"), "is in the past"),
    _usage("pause-job until some day", ("pause-job", "backup", "--until", "some day"), "is not a date and time"),
    _usage("sessions with three words", ("sessions", "reset", "backup", "report"), "reset and a JOB_ID"),
    _usage("history before no run", ("history", "--before", "nobody"), "there is no such run"),
    _usage("history since some day", ("history", "--since", "some day"), "is not a date and time"),
    _usage("history of an unknown status", ("history", "--status", "good"), "'good'"),
    _usage("timeline of no hours", ("timeline", "--hours", "0"), "1<=x<=336"),
    _usage("watch without a rest", ("watch", "--interval", "0"), "0.2<=x<=3600"),
    _usage("watch at no number", ("watch", "--interval", "nan"), "--interval"),
    _usage("simulate without a span", ("simulate",), "--from"),
    _usage("simulate backwards", ("simulate", "--from", "2026-03-02", "--to", "2026-03-01"), "--to must be later"),
    _usage("completion for another shell", ("completion", "ksh"), "'ksh'"),
    _not_found("edit-job", ("edit-job", "nobody", "--prompt", "x"), "nobody"),
    _not_found("pause-job", ("pause-job", "nobody"), "nobody"),
    _not_found("resume-job", ("resume-job", "nobody"), "nobody"),
    _not_found("remove-job", ("remove-job", "nobody"), "nobody"),
    _not_found("dry-run", ("dry-run", "nobody"), "nobody"),
    _not_found("history", ("history", "nobody"), "nobody"),
    _not_found("sessions reset", ("sessions", "reset", "nobody"), "nobody"),
    _not_found("timeline", ("timeline", "--job", "nobody"), "nobody"),
]  # fmt: skip
_COUNTS = [
    _usage(f"{option} of {value[:20]!r}", (command, f"{option}={value}"), option, said)
    for command, option, low, high in (
        ("next", "--count", 1, 1000),
        ("logs", "--limit", 1, 10_000),
        ("status", "--limit", 0, 1000),
    )
    for value, said in (
        ("-1", f"{low}<=x<={high}"),
        (str(low - 1), f"{low}<=x<={high}"),
        (str(high + 1), f"{low}<=x<={high}"),
        ("9" * 30, f"{low}<=x<={high}"),
        ("9" * 5000, option),
        ("", "''"),
        ("ten", "'ten'"),
        ("1.5", "'1.5'"),
        ("1e3", "'1e3'"),
        ("0x10", "'0x10'"),
        ("NaN", "'NaN'"),
        ("Infinity", "'Infinity'"),
        ("5\n6", "5"),
    )
]
_AFTERS = [
    _usage(f"--after of {value!r}", ("next", "--schedule=@daily", f"--after={value}"), "--after", said)
    for value, said in (
        ("yesterday", "'yesterday'"),
        ("", "''"),
        ("2026-02-30", "day is out of range"),
        ("2026-13-01T00:00", "month"),
        ("2026-02-28T25:00", "hour"),
        ("28/02/2026", "'28/02/2026'"),
        ("2026-02-28T10:00+99:00", "+99:00"),
        ("1772000000", "'1772000000'"),
        ("10000-01-01T00:00", "'10000"),
        ("0001-01-01T00:00+14:00", "'0001"),
        ("2026-02-28T10:00\n", "2026-02-28T10:00"),
        ("now", "'now'"),
        ("NaN", "'NaN'"),
        ("2026-02-28T10:00 Europe/Madrid", "Europe/Madrid"),
    )
]
_AFTERS += [
    _usage("--after of bytes", ("next", "--schedule=@daily", b"--after=\xff"), "--after"),
    _usage("--after for a job", ("next", "backup", "--after=soon"), "--after", "'soon'"),
    _usage("--after for all jobs", ("next", "--after=soon"), "--after", "'soon'"),
    _usage("--count of bytes", ("next", b"--count=\xff"), "--count"),
    _usage("--schedule of bytes", ("next", b"--schedule=\xff * * * *"), "--schedule is not UTF-8"),
    _usage("--timezone of bytes", ("next", "--schedule=@daily", b"--timezone=M\xe1laga"), "--timezone is not UTF-8"),
]

_STRANGE_IDS: tuple[tuple[str, str], ...] = (
    ("unknown", "nobody"),
    ("empty", ""),
    ("with quotes", "back'up\""),
    ("with SQL", "x' OR '1'='1"),
    ("with a wildcard", "%"),
    ("with path parts", "../../etc/passwd"),
    ("in capitals", "BACKUP"),
    ("with a blank at its end", "backup "),
    ("with a letter of Greek", "bαckup"),
    ("of 4000 characters", "b" * 4_000),
)
#: What no name can be, and what each option with a text refuses alike.
_NO_WORDS: tuple[tuple[str, Word, str], ...] = (
    ("with a newline", "backup\nreport", "U+000A"),
    ("with a newline at its end", "backup\n", "U+000A"),
    ("with an escape character", "\x1b[31mbackup", "U+001B"),
    ("with a control character of C1", "backup\x9b", "U+009B"),
    ("of bytes", b"back\xffup", "is not UTF-8: 'back\\udcffup'"),
    ("of an encoded surrogate", b"\xed\xa0\x80", "is not UTF-8"),
    ("of 100000 characters", "b" * 100_000, "has 100000 characters: 'bbb"),
)
_TEXTS: tuple[tuple[str, ...], ...] = (
    ("run-now",), ("next",), ("logs", "--job"), ("logs", "--run"), ("list", "--after"), ("history",),
    ("history", "--before"), ("history", "--since"), ("next", "--after"), ("show",), ("cancel",), ("unlock",),
    ("dry-run",), ("sessions",), ("sessions", "reset"), ("timeline", "--job"), ("timeline", "--svg"),
    ("simulate", "--from"), ("simulate", "--job"), ("pause-job",), ("pause-job", "backup", "--until"), ("resume-job",),
    ("remove-job",), ("import-crontab",), ("install-systemd", "--folder"), ("tick",), ("doctor",), ("init-db",),
)  # fmt: skip
_IDS = [
    _not_found(f"{command[0]}, {name}", (*command, job_id), job_id[:50])
    for command in (("run-now",), ("next",), ("logs", "--job"))
    for name, job_id in _STRANGE_IDS
]
_IDS += [
    *(
        _usage(f"{' '.join(command)}, {name}", (*command, word), said)
        for command in _TEXTS
        for name, word, said in _NO_WORDS
    ),
    *(
        _usage(f"{' '.join(command)} of bytes", (*command, b"\xff\xfe"), f"{command[-1]} is not UTF-8")
        for command in (
            ("register-job", "x", "--prompt"),
            ("register-job", "x", "--command"),
            ("edit-job", "backup", "--env"),
            ("edit-job", "backup", "--unset"),
            ("register-job", "x", "--from-json"),
        )
    ),
    _not_found("run-now with --force", ("run-now", "nobody", "--force"), "nobody", "list"),
    _not_found("a dash taken for a name", ("run-now", "--", "--force"), "--force"),
]


def _unknown_run(name: str, run_id: Word, said: str) -> Case:
    return Case(f"no such run: {name}", ("logs", "--run", run_id), "RUN_NOT_FOUND", (said,), 1)


_RUNS = [
    _unknown_run("unknown", "backup-20260101T000000", "backup-20260101T000000"),
    _unknown_run("empty", "", "There is no run"),
    _unknown_run("with path parts", "../../etc", "../../etc"),
    _unknown_run("with SQL", "' OR 1 --", "' OR 1 --"),
    Case(
        "no such run: with a job that is known",
        ("logs", "--job", "backup", "--run", "nothing"),
        "RUN_NOT_FOUND",
        ("nothing",),
        1,
    ),
]


def _removed(stage: Stage) -> None:
    stage.sql("UPDATE jobs SET removed_at = ?, enabled = 0, next_run_at = NULL WHERE job_id = 'report'", (_THEN,))


_THEN = "2026-02-25T20:00:00+00:00"
_RUNNING = """
INSERT INTO runs (run_id, job_id, started_at, status, target, trigger, lease_token, lease_owner, lease_expires_at,
                  ceiling_monotonic, owner_pid, owner_started, boot_id)
VALUES ('backup-20260225T195900', 'backup', ?, 'running', 'puruto-data', 'manual', 'token', 'host:1',
        '2999-01-01T00:00:00+00:00', 1e12, ?, ?, ?)
"""


def _running(stage: Stage) -> None:
    me = identify(os.getpid())
    assert me is not None
    stage.sql(_RUNNING, (_THEN, me.pid, me.started, me.boot_id))


_REFUSALS = [
    Case("run-now of a disabled job", ("run-now", "off"), "JOB_DISABLED", ("The job off is disabled", "--force"), 1),
    Case("run-now of a removed job", ("run-now", "report"), "JOB_NOT_FOUND", ("no job report",), 1, _removed),
    Case(
        "run-now --force of a removed job", ("run-now", "report", "--force"), "JOB_NOT_FOUND", ("report",), 1, _removed
    ),
    Case("next of a removed job", ("next", "report"), "JOB_NOT_FOUND", ("no job report",), 1, _removed),
    Case(
        "run-now of a running job",
        ("run-now", "backup"),
        "JOB_LOCKED",
        ("backup is already running as backup-20260225T195900",),
        1,
        _running,
    ),
    Case(
        "run-now --force of a running job",
        ("run-now", "backup", "--force"),
        "JOB_LOCKED",
        ("backup is already running",),
        1,
        _running,
    ),
]

CASES = [
    *_COMMANDS, *_OPTIONS, *_COUNTS, *_AFTERS, *_IDS, *_RUNS, *_REFUSALS,
    *as_process(
        _COMMANDS[0], _COMMANDS[6], _OPTIONS[2], _OPTIONS[16], _COUNTS[5], _AFTERS[0], _AFTERS[-2], _IDS[0], _IDS[2],
        _IDS[4], _IDS[-5], _RUNS[0], _RUNS[3], *_REFUSALS[:1], _REFUSALS[4]
    ),
]  # fmt: skip
