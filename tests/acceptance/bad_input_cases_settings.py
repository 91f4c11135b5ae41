"""Environment variables and `.env` files that are wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.acceptance.bad_input_cases import Case, as_process
from tests.acceptance.bad_input_cases_stage import TAKE_BACK, Stage, Word

LIST = ("list",)

#: A variable, a bad value, the code of its fault, and what is said of it.
_VALUES: tuple[tuple[str, Word, str, str], ...] = (
    ("PURUTO_CRON_LEASE_SECONDS", "soon", "NOT_A_NUMBER", "from 5 to 86400"),
    ("PURUTO_CRON_LEASE_SECONDS", "120s", "NOT_A_NUMBER", '"120s"'),
    ("PURUTO_CRON_LEASE_SECONDS", "1.5", "NOT_A_NUMBER", '"1.5"'),
    ("PURUTO_CRON_LEASE_SECONDS", "1e3", "NOT_A_NUMBER", '"1e3"'),
    ("PURUTO_CRON_LEASE_SECONDS", "1_000", "NOT_A_NUMBER", '"1_000"'),
    ("PURUTO_CRON_LEASE_SECONDS", "0x78", "NOT_A_NUMBER", '"0x78"'),
    ("PURUTO_CRON_LEASE_SECONDS", "nan", "NOT_A_NUMBER", '"nan"'),
    ("PURUTO_CRON_LEASE_SECONDS", "١٢٠", "NOT_A_NUMBER", '"١٢٠"'),
    ("PURUTO_CRON_LEASE_SECONDS", "9" * 5000, "NOT_A_NUMBER", "from 5 to 86400"),
    ("PURUTO_CRON_LEASE_SECONDS", "4", "OUT_OF_RANGE", "from 5 to 86400"),
    ("PURUTO_CRON_LEASE_SECONDS", "-120", "OUT_OF_RANGE", "from 5 to 86400"),
    ("PURUTO_CRON_LEASE_SECONDS", "86401", "OUT_OF_RANGE", "the default is 120"),
    ("PURUTO_CRON_MAX_RUNNING", "0", "OUT_OF_RANGE", "from 1 to 1000"),
    ("PURUTO_CRON_MAX_RUNNING", "-1", "OUT_OF_RANGE", "from 1 to 1000"),
    ("PURUTO_CRON_MAX_RUNNING", "1001", "OUT_OF_RANGE", "the default is 4"),
    ("PURUTO_CRON_MAX_RUNNING", "all", "NOT_A_NUMBER", '"all"'),
    ("PURUTO_CRON_MAX_RUNNING", "unlimited", "NOT_A_NUMBER", "whole number"),
    ("PURUTO_CRON_KILL_GRACE_SECONDS", "-1", "OUT_OF_RANGE", "from 0 to 600"),
    ("PURUTO_CRON_KILL_GRACE_SECONDS", "601", "OUT_OF_RANGE", "from 0 to 600"),
    ("PURUTO_CRON_KILL_GRACE_SECONDS", "5 s", "NOT_A_NUMBER", '"5 s"'),
    ("PURUTO_CRON_STALE_SECONDS", "59", "OUT_OF_RANGE", "from 60 to"),
    ("PURUTO_CRON_STALE_SECONDS", "1" + "0" * 17, "OUT_OF_RANGE", "from 60 to"),
    ("PURUTO_CRON_STALE_SECONDS", "five", "NOT_A_NUMBER", '"five"'),
    ("PURUTO_CRON_AUTO_SYNC", "maybe", "NOT_A_SWITCH", "one of 1, true"),
    ("PURUTO_CRON_AUTO_SYNC", "2", "NOT_A_SWITCH", '"2"'),
    ("PURUTO_CRON_AUTO_SYNC", "sí", "NOT_A_SWITCH", '"sí"'),
    ("PURUTO_CRON_AGENTS", "claude,gpt", "UNKNOWN_AGENT", "some of claude, codex and gemini"),
    ("PURUTO_CRON_AGENTS", "Claude", "UNKNOWN_AGENT", '"Claude"'),
    ("PURUTO_CRON_AGENT_PATH", "bin", "BAD_PATH", "absolute"),
    ("PURUTO_CRON_AGENT_PATH", "/usr/bin:node_modules/.bin", "BAD_PATH", "absolute"),
    ("PURUTO_CRON_FORMAT", "xml", "UNKNOWN_FORMAT", "auto, json or text"),
    ("DB_PATH", "~nobody-of-this-name/cron.db", "BAD_PATH", "unknown user"),
    ("DB_PATH", "db/\x07cron.db", "BAD_TEXT", "control character"),
    ("DB_PATH", "db/cron.db\nother", "BAD_TEXT", "control character"),
    ("PURUTO_DATA_PATH", "~nobody-of-this-name", "BAD_PATH", "unknown user"),
    ("PURUTO_DATA_PATH", "../puruto\x1b[31m-data", "BAD_TEXT", "\\u001b"),
    ("PURUTO_HOME", "~nobody-of-this-name/..", "BAD_PATH", "unknown user"),
    ("PURUTO_HOME", "a\tb", "BAD_TEXT", "control character"),
    ("PURUTO_TELEGRAM_PATH", "~nobody-of-this-name", "BAD_PATH", "unknown user"),
    ("PURUTO_TELEGRAM_PATH", "a\x7fb", "BAD_TEXT", "control character"),
    ("PURUTO_TELEGRAM_OUTBOX_FILE", "/etc/passwd", "BAD_PATH", "is outside the folder"),
    ("PURUTO_TELEGRAM_OUTBOX_FILE", "../../outside.jsonl", "BAD_PATH", "is outside the folder"),
    ("PURUTO_TELEGRAM_OUTBOX_FILE", "inbox/../../outside.jsonl", "BAD_PATH", "is outside the folder"),
    ("PURUTO_TELEGRAM_OUTBOX_FILE", "~/outside.jsonl", "BAD_PATH", "is outside the folder"),
    ("PURUTO_TELEGRAM_OUTBOX_FILE", "inbox/", "BAD_PATH", "is a folder"),
    ("PURUTO_TELEGRAM_OUTBOX_FILE", ".", "BAD_PATH", "is a folder"),
    ("PURUTO_TELEGRAM_OUTBOX_FILE", "..", "BAD_PATH", "is outside the folder"),
    ("PURUTO_TELEGRAM_OUTBOX_FILE", "in\x01box", "BAD_TEXT", "control character"),
)
#: Values that only an environment can hold, because `.env` must be UTF-8.
_BYTES = tuple(
    (name, b"caf\xe9", "BAD_TEXT", "not UTF-8")
    for name in ("DB_PATH", "PURUTO_DATA_PATH", "PURUTO_HOME", "PURUTO_TELEGRAM_PATH", "PURUTO_TELEGRAM_OUTBOX_FILE",
                 "PURUTO_CRON_TIMEZONE")
)  # fmt: skip
_ZONES: tuple[tuple[str, str], ...] = (
    ("Mars/Olympus", "Mars/Olympus"),
    ("Madrid", "did you mean Europe/Madrid?"),
    ("+01:00", "+01:00"),
    ("../../etc/passwd", "etc/passwd"),
    ("CET-1CEST", "CET-1CEST"),
)


def _refused(name: str, names: Iterable[str], words: tuple[Word, ...] = LIST, **options: object) -> Case:
    return Case(name, words, "SETTINGS_INVALID", tuple(names), **options)  # type: ignore[arg-type]


def _in_environment(variable: str, value: Word, code: str, said: str) -> Case:
    names = (f"{variable} (environment)", f"code: {code}", f"variable: {variable}", said)
    return _refused(f"{variable} of {value[:20]!r}", names, env={variable: value})


def _dotenv(data: bytes) -> Callable[[Stage], object]:
    return lambda stage: stage.write(stage.env_file, data)


def _in_dotenv(variable: str, value: str, code: str, said: str) -> Case:
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    data = f'# Settings\n\nPURUTO_CRON_MAX_RUNNING=3\nexport {variable}="{escaped}"\n'.encode()
    line = 4
    names = (f"{variable} (.env line {line})", f"code: {code}", f"line: {line}", said.replace("\n", "\\u000a"))
    return _refused(f".env with {variable} of {value[:20]!r}", names, prepare=_dotenv(data))


def _instead(make: Callable[[Path], object]) -> Callable[[Stage], object]:
    return lambda stage: make(stage.env_file)


_VARIABLES = [_in_environment(*entry) for entry in (*_VALUES, *_BYTES)]
_LINES = [_in_dotenv(name, value, code, said) for name, value, code, said in _VALUES if isinstance(value, str)]
_ZONE_CASES = [
    *(
        _refused(
            f"PURUTO_CRON_TIMEZONE of {zone!r}", ("PURUTO_CRON_TIMEZONE", said), env={"PURUTO_CRON_TIMEZONE": zone}
        )
        for zone, said in _ZONES
    ),
    *(
        _refused(
            f".env with PURUTO_CRON_TIMEZONE of {zone!r}",
            ("PURUTO_CRON_TIMEZONE", said),
            prepare=_dotenv(f"PURUTO_CRON_TIMEZONE={zone}\n".encode()),
        )
        for zone, said in _ZONES
    ),
    _refused("PURUTO_CRON_TIMEZONE of two lines", ("PURUTO_CRON_TIMEZONE",), env={"PURUTO_CRON_TIMEZONE": "UTC\nCET"}),
]

_SYNTAX = [
    _refused(".env with an open quote", (".env line 2", "DOTENV_SYNTAX"), prepare=_dotenv(b'A=1\nB="open\n')),
    _refused(".env with an open single quote", (".env line 1", "DOTENV_SYNTAX"), prepare=_dotenv(b"TOKEN='open\n")),
    _refused(".env with text after a quote", (".env line 1", "DOTENV_SYNTAX"), prepare=_dotenv(b'A="1" 2\n')),
    _refused(".env without a name", (".env line 3", "DOTENV_SYNTAX"), prepare=_dotenv(b"A=1\n\n=value\n")),
    _refused(".env with a NUL", ("line 2 contains a NUL",), prepare=_dotenv(b"A=1\nB=a\0b\n")),
    _refused(".env of NULs", ("line 1 contains a NUL",), prepare=_dotenv(bytes(512))),
    _refused(".env not UTF-8", ("line 2 is not UTF-8",), prepare=_dotenv(b"A=1\nB=caf\xe9\n")),
    _refused(".env in UTF-16", (".env", "line 1"), prepare=_dotenv("A=1\n".encode("utf-16"))),
    _refused(
        ".env with two faults",
        ("2 faults", "PURUTO_CRON_MAX_RUNNING (.env line 1)", "PURUTO_CRON_AUTO_SYNC (.env line 2)"),
        prepare=_dotenv(b"PURUTO_CRON_MAX_RUNNING=0\nPURUTO_CRON_AUTO_SYNC=perhaps\n"),
    ),
    _refused(
        ".env with a bad value from another variable",
        ("PURUTO_CRON_MAX_RUNNING (.env line 2)", "${MANY}"),
        prepare=_dotenv(b"MANY=many\nPURUTO_CRON_MAX_RUNNING=${MANY}\n"),
    ),
    _refused(
        ".env overruled by a bad environment",
        ("PURUTO_CRON_MAX_RUNNING (environment)", '"none"'),
        prepare=_dotenv(b"PURUTO_CRON_MAX_RUNNING=3\n"),
        env={"PURUTO_CRON_MAX_RUNNING": "none"},
    ),
]

_PLACE = as_process(
    _refused(".env a folder", (".env", "is a folder"), prepare=_instead(lambda path: path.mkdir())),
    _refused(".env a FIFO", (".env", "is not a regular file"), prepare=_instead(os.mkfifo)),
    _refused(
        ".env a device", (".env", "is not a regular file"), prepare=_instead(lambda path: path.symlink_to("/dev/zero"))
    ),
    _refused(
        ".env a link to nothing", (".env", "No such file"), prepare=_instead(lambda path: path.symlink_to("gone"))
    ),
    _refused(
        ".env of another user",
        (".env can't be read: it belongs to ", "and you are ", TAKE_BACK),
        prepare=lambda stage: (stage.write(stage.env_file, b"A=1\n"), stage.give_away(stage.env_file, 0)),
        plain_user=True,
    ),
    _refused("tick: .env a folder", (".env", "is a folder"), ("tick",), prepare=_instead(lambda path: path.mkdir())),
    _refused(
        "tick: .env a FIFO",
        (".env", "is not a regular file"),
        ("tick",),
        prepare=_instead(os.mkfifo),
    ),
    _refused("tick: .env with a NUL", ("line 1 contains a NUL",), ("tick", "--quiet"), prepare=_dotenv(b"A=\0\n")),
    _refused(
        "tick: .env with a bad value",
        ("PURUTO_CRON_LEASE_SECONDS (.env line 1)",),
        ("tick", "--quiet"),
        prepare=_dotenv(b"PURUTO_CRON_LEASE_SECONDS=0\n"),
    ),
)

_COMMANDS = [
    _refused(
        f"{words[0]}: bad PURUTO_CRON_MAX_RUNNING",
        ("PURUTO_CRON_MAX_RUNNING (environment)",),
        words,
        env={"PURUTO_CRON_MAX_RUNNING": "many"},
    )
    for words in (("init-db",), ("sync-jobs",), ("tick",), ("run-now", "backup"), ("status",), ("logs",), ("next",))
]


def _file_for(folder: str) -> Callable[[Stage], None]:
    def prepare(stage: Stage) -> None:
        shutil.rmtree(stage.root / folder)
        (stage.root / folder).write_bytes(b"")

    return prepare


_FOLDERS = [
    Case(
        f"init-db: {folder} is a file",
        ("init-db",),
        "CONFIGURATION_INVALID",
        (f"/{folder} can't be made", "File exists"),
        prepare=_file_for(folder),
    )
    for folder in ("notifications", "runs")
]

CASES = [
    *_VARIABLES, *_LINES, *_ZONE_CASES, *_SYNTAX, *_PLACE, *_COMMANDS, *_FOLDERS,
    *as_process(
        _VARIABLES[0], _VARIABLES[-1], _LINES[30], _ZONE_CASES[0], _SYNTAX[0], _SYNTAX[6], _COMMANDS[2], _FOLDERS[0]
    ),
]  # fmt: skip
