"""Databases that can't be used: missing, foreign, newer, damaged, locked, of another user, read-only."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import db
from tests.acceptance.bad_input_cases import Case, as_process, nothing
from tests.acceptance.bad_input_cases_stage import TAKE_BACK, Stage, Word

Prepare = Callable[[Stage], object]

#: Each command with the words that need the database.
_ALL: tuple[tuple[Word, ...], ...] = (
    ("sync-jobs",),
    ("tick",),
    ("run-now", "backup"),
    ("status",),
    ("list",),
    ("logs",),
    ("next", "backup"),
)
_WRITERS, _READERS = _ALL[:3], _ALL[3:]
_LOOKERS: tuple[tuple[Word, ...], ...] = (("sync-jobs",), ("status",), ("list",), ("next",))
_INIT: tuple[tuple[Word, ...], ...] = (("init-db",),)


def _each(
    commands: tuple[tuple[Word, ...], ...],
    name: str,
    code: str,
    names: tuple[str, ...],
    prepare: Prepare = nothing,
    exit_code: int = 2,
) -> list[Case]:
    return [
        Case(
            f"{words[0]!s}: database {name}",
            words,
            code,
            ("cron.db", *names),
            exit_code,
            prepare,
        )
        for words in commands
    ]


def _without(stage: Stage) -> None:
    stage.database.unlink()


def _instead(make: Callable[[Path], object]) -> Prepare:
    def prepare(stage: Stage) -> None:
        _without(stage)
        make(stage.database)

    return prepare


def _holding(data: bytes) -> Prepare:
    return _instead(lambda path: path.write_bytes(data))


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE jobs (name TEXT)")
        connection.execute("INSERT INTO jobs VALUES ('precious')")


def _pragma(text: str) -> Prepare:
    return lambda stage: stage.sql(f"PRAGMA {text}")


def _overwritten(start: int, data: bytes) -> Prepare:
    """Damages the file behind `start`; negative counts from its end."""

    def prepare(stage: Stage) -> None:
        content = bytearray(stage.database.read_bytes())
        at = start % len(content)
        content[at : at + len(data)] = data
        stage.write(stage.database, bytes(content[: len(content)]))

    return prepare


def _cut(size: int) -> Prepare:
    return lambda stage: stage.write(stage.database, stage.database.read_bytes()[:size])


def _dropped(table: str) -> Prepare:
    return lambda stage: stage.sql(f"DROP TABLE {table}")


def _file_for_folder(stage: Stage) -> None:
    shutil.rmtree(stage.database.parent)
    stage.database.parent.write_bytes(b"")


def _rows(column: str, value: object) -> Prepare:
    return lambda stage: stage.sql(f"UPDATE jobs SET {column} = ? WHERE job_id = 'backup'", (value,))


_MISSING = [
    *_each(_ALL, "missing", "DATABASE_MISSING", ("There is no database", "init-db"), _without),
    *_each(
        _ALL,
        "without its folder",
        "DATABASE_MISSING",
        ("There is no database",),
        lambda stage: shutil.rmtree(stage.database.parent),
    ),
    *_each(_ALL, "empty", "DATABASE_MISSING", ("is empty", "init-db"), _holding(b"")),
]
_NO_FILE = [
    *_each(
        _ALL + _INIT,
        "a folder",
        "DATABASE_UNREADABLE",
        ("is a folder",),
        _instead(lambda path: path.mkdir()),
    ),
    *as_process(
        *_each(
            (*_INIT, ("sync-jobs",), ("list",)),
            "a FIFO",
            "DATABASE_UNREADABLE",
            ("is not a regular file",),
            _instead(os.mkfifo),
        )
    ),
    *_each(_INIT, "in a folder that is a file", "DATABASE_READ_ONLY", ("can't be made",), _file_for_folder),
    *_each(_WRITERS[:1] + _READERS[:1], "in a folder that is a file", "DATABASE_MISSING", (), _file_for_folder),
]


def _damaged(commands: tuple[tuple[Word, ...], ...], name: str, prepare: Prepare) -> list[Case]:
    return _each(commands, name, "DATABASE_CORRUPT", ("damaged",), prepare, 1)


_GARBAGE = [
    *_damaged(_ALL + _INIT, "of text", _holding(b"jobs\n" * 999)),
    *_damaged(_ALL + _INIT, "of NULs", _holding(bytes(8192))),
    *_damaged(_ALL + _INIT, "with a spoilt header", _overwritten(0, b"SQLite format 4\0")),
    *_damaged(_ALL, "cut after 100 bytes", _cut(100)),
    *_damaged(_ALL, "cut after a page", _cut(4096)),
    *_damaged(_ALL, "with spoilt pages", _overwritten(4096, b"\xa5" * 4096 * 40)),
]
_OTHERS = [
    *_each(
        _ALL + _INIT, "of another program", "DATABASE_NOT_OURS", ("of another program", "DB_PATH"), _instead(_foreign)
    ),
    *_each(_ALL, "with another mark", "DATABASE_NOT_OURS", ("another program",), _pragma("application_id = 7")),
    *_each(
        _ALL + _INIT,
        "of a newer schema",
        "DATABASE_NEWER",
        ("has schema 99", "schema_version: 99", "known: "),
        _pragma("user_version = 99"),
    ),
    *_each(_ALL[:4], "of the last schema", "DATABASE_NEWER", ("2147483647",), _pragma("user_version = 2147483647")),
    *_each(_LOOKERS, "without the table jobs", "DATABASE_ERROR", ("no such table: jobs",), _dropped("jobs"), 1),
]
_ROWS = [
    Case(f"{words[0]!s}: {name}", words, "DEFINITION_UNREADABLE", ("backup",), 1, _rows(column, value))
    for name, column, value in (
        ("definition that is no JSON", "definition_json", "{"),
        ("definition that is no object", "definition_json", "[]"),
        ("definition without a target", "definition_json", '{"job_id": "backup", "schedule": "@daily", "prompt": "p"}'),
        ("cursor that is no time", "next_run_at", "soon"),
        ("anchor that is no time", "anchor_at", ""),
    )
    for words in (("next", "backup"), ("run-now", "backup"))
]


# --- locked ---


@contextmanager
def _write_locked(stage: Stage) -> Iterator[None]:
    with closing(sqlite3.connect(stage.database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with mock.patch.object(db, "BUSY_TIMEOUT_MS", 50):
            yield
        connection.execute("ROLLBACK")


@contextmanager
def _wholly_locked(stage: Stage) -> Iterator[None]:
    with closing(sqlite3.connect(stage.database, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        with mock.patch.object(db, "BUSY_TIMEOUT_MS", 50):
            yield
        connection.execute("ROLLBACK")


def _locked(cases: list[Case], meanwhile: Callable[[Stage], AbstractContextManager[object]]) -> list[Case]:
    return [replace(case, meanwhile=meanwhile) for case in cases]


_LOCKED = [
    *_locked(
        _each(_WRITERS, "locked for writing", "DATABASE_LOCKED", ("locked by another", "fuser"), exit_code=1),
        _write_locked,
    ),
    *_locked(
        _each(
            _ALL + _INIT,
            "locked wholly",
            "DATABASE_LOCKED",
            ("locked by another",),
            exit_code=1,
        ),
        _wholly_locked,
    ),
]

# --- what modes forbid ---


def _of_another_user(digit: int) -> Prepare:
    return lambda stage: stage.give_away(stage.database, digit)


def _in_folder_of_another_user(digit: int) -> Prepare:
    return lambda stage: stage.give_away(stage.database.parent, digit)


def _folder_not_ours_and_no_file(stage: Stage) -> None:
    _without(stage)
    stage.give_away(stage.database.parent, 5)


def _forbidden(cases: list[Case]) -> list[Case]:
    return [replace(case, process=True, plain_user=True) for case in cases]


_FORBIDDEN = _forbidden(
    [
        *_each(
            _ALL,
            "that may not be read",
            "DATABASE_UNREADABLE",
            ("can't be opened: it belongs to ", "and you are ", TAKE_BACK),
            _of_another_user(0),
        ),
        *_each(
            _INIT,
            "that may not be read",
            "DATABASE_READ_ONLY",
            ("can't be written: it belongs to ", "and you are ", TAKE_BACK),
            _of_another_user(0),
        ),
        *_each(
            _WRITERS,
            "that may only be read",
            "DATABASE_READ_ONLY",
            ("can't be written: it belongs to ", "and you are ", TAKE_BACK),
            _of_another_user(4),
        ),
        *_each(
            _WRITERS,
            "in a read-only folder",
            "DATABASE_READ_ONLY",
            ("can't be written: ", "db belongs to ", TAKE_BACK),
            _in_folder_of_another_user(5),
        ),
        *_each(
            _INIT,
            "in a read-only folder",
            "DATABASE_READ_ONLY",
            ("can't be written: ", "db belongs to "),
            _folder_not_ours_and_no_file,
        ),
        *_each(
            _ALL[:4],
            "in a folder that may not be entered",
            "DATABASE_UNREADABLE",
            ("can't be opened: ", "db belongs to ", TAKE_BACK),
            _in_folder_of_another_user(0),
        ),
    ]
)

CASES = [
    *_MISSING, *_NO_FILE, *_GARBAGE, *_OTHERS, *_ROWS, *_LOCKED, *_FORBIDDEN,
    *as_process(*_MISSING[:7], *_NO_FILE[:3], *_GARBAGE[:3], *_GARBAGE[7:9], *_OTHERS[:2], *_OTHERS[15:17], _LOCKED[0]),
]  # fmt: skip
