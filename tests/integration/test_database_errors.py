"""Errors of an unusable database: always one of ours, which names the file and a fix."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import db
from core.errors import (
    CronError,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseFull,
    DatabaseLocked,
    DatabaseMissing,
    DatabaseNewer,
    DatabaseNotOurs,
    DatabaseReadOnly,
    DatabaseUnreadable,
    SqliteTooOld,
)
from db import Database
from store.creation import create
from tests.support_app import as_nobody, public_folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The place of a possible database."""
    return tmp_path / "db" / "cron.db"


@pytest.fixture
def made(path: Path) -> Path:
    """A sound database, closed."""
    create(str(path))[0].close()
    return path


def _raised(error: type[CronError], path: Path, **options: Any) -> CronError:
    with pytest.raises(CronError) as caught:
        Database(str(path), **options).close()
    found = caught.value
    assert type(found) is error, found
    assert str(path) in found.message
    assert found.hint or error is DatabaseError
    assert found.details.get("path") == str(path)
    return found


# --- opening ---


@pytest.mark.parametrize("read_only", [False, True])
def test_a_missing_file_is_missing_and_is_not_made(path: Path, read_only: bool) -> None:
    error = _raised(DatabaseMissing, path, read_only=read_only)
    assert "init-db" in error.hint
    path.parent.mkdir()
    _raised(DatabaseMissing, path, read_only=read_only)
    assert not path.exists()


@pytest.mark.parametrize("read_only", [False, True])
def test_an_empty_file_is_a_database_that_was_never_made(path: Path, read_only: bool) -> None:
    path.parent.mkdir()
    path.touch()
    _raised(DatabaseMissing, path, read_only=read_only)
    assert path.stat().st_size == 0


@pytest.mark.parametrize("read_only", [False, True])
def test_a_folder_in_its_place(path: Path, read_only: bool) -> None:
    path.mkdir(parents=True)
    assert "is a folder" in _raised(DatabaseUnreadable, path, read_only=read_only).message


def _no_database(path: Path) -> None:
    path.write_bytes(b"these bytes are no database\n" * 300)


def _cut_in_the_first_page(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def _cut_in_the_middle(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 + 17])


def _overwritten_schema(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100:4096] = b"\xff" * 3996
    path.write_bytes(data)


def _read_jobs(path: Path, *, read_only: bool) -> None:
    opened = Database(str(path), read_only=read_only)
    try:
        opened.rows("SELECT * FROM jobs")
    finally:
        opened.close()


@pytest.mark.parametrize("damage", [_no_database, _cut_in_the_first_page, _cut_in_the_middle, _overwritten_schema])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_damaged_file_is_called_damaged(made: Path, damage: Callable[[Path], None], read_only: bool) -> None:
    damage(made)
    before = made.read_bytes()
    with pytest.raises(DatabaseCorrupt) as caught:
        _read_jobs(made, read_only=read_only)
    assert str(made) in caught.value.message
    assert made.read_bytes() == before


@pytest.mark.parametrize("read_only", [False, True])
def test_damage_after_the_first_page_is_reported_when_it_is_read(made: Path, read_only: bool) -> None:
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(made.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    made.write_bytes(data)
    with pytest.raises(DatabaseCorrupt):
        _read_jobs(made, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
def test_the_database_of_another_program_is_not_ours_and_stays_as_it_is(path: Path, read_only: bool) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE jobs (job_id)")
    before = path.read_bytes()
    _raised(DatabaseNotOurs, path, read_only=read_only)
    with pytest.raises(DatabaseNotOurs):
        create(str(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_schema_is_refused_and_stays_as_it_is(made: Path, read_only: bool) -> None:
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("PRAGMA user_version = 99")
    error = _raised(DatabaseNewer, made, read_only=read_only)
    assert (error.details["schema_version"], error.details["known"]) == (99, db.SCHEMA_VERSION)
    with pytest.raises(DatabaseNewer):
        create(str(made))
    assert not list(made.parent.glob("*.bak"))


def test_a_name_with_characters_that_mean_something_in_a_uri_is_just_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a?mode=memory&b#c%20d ñ.db"
    opened, fresh = create(str(path))
    opened.close()
    assert fresh
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    Database(str(path)).close()


def test_an_old_sqlite_is_named(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(SqliteTooOld, match=r"3\.37 is needed"):
        Database(str(made))


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_an_open_that_fails_leaves_no_connection_behind(made: Path) -> None:
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for _ in range(20):
        _raised(DatabaseNewer, made)
    folder = Path("/proc/self/fd")
    held = [os.readlink(entry) for entry in folder.iterdir() if entry.is_symlink()] if folder.is_dir() else []
    assert str(made) not in held


# --- another user ---


@contextmanager
def _database_of_root() -> Iterator[Path]:
    with public_folder() as folder:
        path = folder / "db" / "cron.db"
        create(str(path))[0].close()
        path.parent.chmod(0o755)
        yield path


def test_a_file_that_may_not_be_read_is_unreadable() -> None:
    with _database_of_root() as path, as_nobody():
        _raised(DatabaseUnreadable, path, read_only=True)


def test_a_file_and_folder_that_may_only_be_read_are_read_only() -> None:
    with _database_of_root() as path:
        path.chmod(0o644)
        with as_nobody(), pytest.raises(DatabaseReadOnly) as caught:
            Database(str(path)).close()
    assert str(path.parent) in caught.value.message


def test_a_file_that_may_only_be_read_in_a_folder_that_may_be_written_is_read_only_when_it_is_written() -> None:
    with _database_of_root() as path:
        path.chmod(0o644)
        path.parent.chmod(0o777)
        with as_nobody():
            opened = Database(str(path))
            try:
                with pytest.raises(DatabaseReadOnly), opened.transaction("test"):
                    opened.run("DELETE FROM jobs")
            finally:
                opened.close()


def test_a_database_in_a_folder_that_may_not_be_entered_is_not_called_missing() -> None:
    with _database_of_root() as path:
        path.parent.chmod(0o700)
        with as_nobody():
            _raised(DatabaseUnreadable, path)


def test_a_database_that_can_not_be_made_says_where_and_why() -> None:
    with public_folder() as folder, as_nobody():
        for path in (folder / "cron.db", folder / "db" / "cron.db"):
            with pytest.raises(DatabaseReadOnly) as caught:
                create(str(path))
            assert str(path) in caught.value.message
            assert " belongs to root (mode 755), and you are " in caught.value.message


# --- while it is open ---


@pytest.fixture
def opened(made: Path) -> Iterator[Database]:
    found = Database(str(made))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for locks is short."""
    monkeypatch.setattr(db, "BUSY_TIMEOUT_MS", 30)


@pytest.mark.usefixtures("impatient")
def test_a_write_lock_that_is_held_for_too_long_is_reported_and_reading_still_works(made: Path) -> None:
    with closing(sqlite3.connect(made, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        found = Database(str(made), busy_timeout_sec=0.5)
        try:
            with pytest.raises(DatabaseLocked) as caught, found.transaction("test"):
                raise AssertionError("the transaction was not to begin")
            assert str(made) in caught.value.message
            assert "fuser" in caught.value.hint
            with pytest.raises(DatabaseLocked):
                found.run("DELETE FROM state")
            with pytest.raises(DatabaseLocked):
                found.insert("INSERT INTO state (key, value) VALUES ('a', 'b')", ())
            with pytest.raises(DatabaseLocked):
                found.insert_new("INSERT INTO state (key, value) VALUES ('a', 'b')", ())
            assert found.rows("SELECT * FROM jobs") == []
            assert found.row("SELECT count(*) FROM runs") is not None
        finally:
            found.close()


def test_a_database_that_another_process_holds_for_itself_alone_is_locked(made: Path) -> None:
    with closing(sqlite3.connect(made, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        holder.execute("INSERT INTO state VALUES ('a', 'b')")
        _raised(DatabaseLocked, made, read_only=True, busy_timeout_sec=0.03)
        _raised(DatabaseLocked, made, busy_timeout_sec=0.03)


def test_a_full_disk_rolls_back_and_is_named(opened: Database) -> None:
    opened.run("PRAGMA max_page_count = 60")

    def two_rows() -> None:
        with opened.transaction("test"):
            opened.run("INSERT INTO state (key, value) VALUES ('small', 'x')")
            opened.run("INSERT INTO state (key, value) VALUES ('large', ?)", ("x" * 1_000_000,))

    with pytest.raises(DatabaseFull):
        two_rows()
    assert opened.rows("SELECT * FROM state") == []
    with opened.transaction("test"):
        opened.run("INSERT INTO state (key, value) VALUES ('small', 'x')")
    assert len(opened.rows("SELECT * FROM state")) == 1


def test_an_error_inside_a_transaction_rolls_it_back_and_goes_through(opened: Database) -> None:
    def breaks_off() -> None:
        with opened.transaction("test"):
            opened.run("INSERT INTO state (key, value) VALUES ('a', 'b')")
            raise LookupError

    with pytest.raises(LookupError):
        breaks_off()
    assert opened.rows("SELECT * FROM state") == []
    assert not opened.connection.in_transaction


def test_a_commit_that_fails_rolls_back(opened: Database) -> None:
    opened.run("PRAGMA foreign_keys = ON")

    def delivery_of_nothing() -> None:
        with opened.transaction("test"):
            opened.run("PRAGMA defer_foreign_keys = ON")
            opened.run("INSERT INTO deliveries (channel, event_id, state) VALUES ('local', 7, 'waiting')")

    with pytest.raises(DatabaseError):
        delivery_of_nothing()
    assert not opened.connection.in_transaction
    assert opened.rows("SELECT * FROM deliveries") == []


def test_a_statement_that_is_wrong_is_an_error_of_ours(opened: Database) -> None:
    for call in (opened.run, opened.rows, opened.row):
        with pytest.raises(DatabaseError, match="no such table"):
            call("SELECT * FROM nowhere")
    for insert in (opened.insert, opened.insert_new):
        with pytest.raises(DatabaseError, match="no such table"):
            insert("INSERT INTO nowhere VALUES (1)", ())


def test_an_existing_row_is_no_error_but_any_other_violation_is(opened: Database) -> None:
    sql = "INSERT INTO state (key, value) VALUES (?, ?)"
    assert opened.insert_new(sql, ("a", "b"))
    assert not opened.insert_new(sql, ("a", "c"))
    with pytest.raises(DatabaseError):
        opened.insert_new(sql, ("d", None))
    assert [tuple(row) for row in opened.rows("SELECT * FROM state")] == [("a", "b")]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (sqlite3.SQLITE_BUSY, DatabaseLocked),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, DatabaseLocked),
        (sqlite3.SQLITE_LOCKED, DatabaseLocked),
        (sqlite3.SQLITE_CORRUPT, DatabaseCorrupt),
        (sqlite3.SQLITE_NOTADB, DatabaseCorrupt),
        (sqlite3.SQLITE_FULL, DatabaseFull),
        (sqlite3.SQLITE_IOERR_WRITE, DatabaseFull),
        (sqlite3.SQLITE_IOERR_FSYNC, DatabaseFull),
        (sqlite3.SQLITE_READONLY, DatabaseReadOnly),
        (sqlite3.SQLITE_READONLY_DIRECTORY, DatabaseReadOnly),
        (sqlite3.SQLITE_CANTOPEN, DatabaseMissing),
        (sqlite3.SQLITE_CONSTRAINT_CHECK, DatabaseError),
        (None, DatabaseError),
    ],
)
def test_each_answer_of_sqlite_has_its_error(tmp_path: Path, code: int | None, error: type[CronError]) -> None:
    said: Any = sqlite3.OperationalError("what it said")
    if code is not None:
        said.sqlite_errorcode = code
    found = db.translate(said, str(tmp_path / "cron.db"))
    assert type(found) is error
    assert str(tmp_path / "cron.db") in found.message


def test_an_error_of_the_module_itself_is_an_error_of_ours_too(opened: Database) -> None:
    with pytest.raises(DatabaseError):
        opened.insert_new("INSERT INTO state (key, value) VALUES (?, ?)", ("too few",))
