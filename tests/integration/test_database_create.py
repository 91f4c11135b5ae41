"""`init-db`: the file, its modes and settings; created once, however many processes ask for it."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import db
from core.errors import DatabaseError, DatabaseMissing
from db import Database, schema_version
from store.creation import create
from tests.support_app import python
from tests.workspace import PATIENCE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The place of a new database."""
    return tmp_path / "db" / "cron.db"


def _schema(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall()


def test_it_is_made_once_and_asking_again_changes_nothing(path: Path) -> None:
    opened, fresh = create(str(path))
    opened.run("INSERT INTO state (key, value) VALUES ('a', 'b')")
    opened.close()
    assert fresh
    before = (_schema(path), path.stat().st_ino)
    for _ in range(3):
        opened, fresh = create(str(path))
        assert not fresh
        assert [tuple(row) for row in opened.rows("SELECT * FROM state")] == [("a", "b")]
        opened.close()
    assert (_schema(path), path.stat().st_ino) == before


def test_only_we_may_enter_the_folder_and_read_the_files(path: Path) -> None:
    mask = os.umask(0)
    try:
        opened, _ = create(str(path))
        opened.run("INSERT INTO state (key, value) VALUES ('a', 'b')")
        modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
        opened.close()
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes == {"cron.db": 0o600, "cron.db-wal": 0o600, "cron.db-shm": 0o600}


def test_every_table_is_strict(path: Path) -> None:
    create(str(path))[0].close()
    tables = [sql for kind, name, _, sql in _schema(path) if kind == "table" and not name.startswith("sqlite_")]
    assert len(tables) == 8
    assert all("STRICT" in sql.rsplit(")", 1)[1] for sql in tables)


def test_it_is_durable_and_readers_never_wait(path: Path) -> None:
    opened, _ = create(str(path))
    try:
        assert opened.rows("PRAGMA journal_mode")[0][0] == "wal"
        assert opened.rows("PRAGMA synchronous")[0][0] == 2
        assert opened.rows("PRAGMA busy_timeout")[0][0] == 5000
        assert opened.rows("PRAGMA application_id")[0][0] == db.APPLICATION_ID
        assert opened.rows("PRAGMA user_version")[0][0] == db.SCHEMA_VERSION
    finally:
        opened.close()


def test_the_contracts_columns_are_there(path: Path) -> None:
    opened, _ = create(str(path))
    jobs = [row["name"] for row in opened.rows("PRAGMA table_info(jobs)")]
    runs = [row["name"] for row in opened.rows("PRAGMA table_info(runs)")]
    key = [row["name"] for row in opened.rows("PRAGMA table_info(runs)") if row["pk"]]
    opened.close()
    assert jobs[:13] == [
        "job_id", "enabled", "puruto_target", "schedule", "prompt", "notify_channel", "timeout_sec", "max_retries",
        "retry_backoff_sec", "next_run_at", "last_run_at", "lease_owner", "lease_expires_at",
    ]  # fmt: skip
    assert runs[:7] == ["run_id", "job_id", "started_at", "finished_at", "status", "result_json", "error_json"]
    assert key == ["run_id"]


def test_two_fresh_ones_are_equal(tmp_path: Path) -> None:
    schemas = []
    for name in ("one", "two"):
        create(str(tmp_path / name / "cron.db"))[0].close()
        schemas.append(_schema(tmp_path / name / "cron.db"))
    assert schemas[0] == schemas[1]
    assert len(schemas[0]) > 10


def test_an_empty_file_is_filled(path: Path) -> None:
    path.parent.mkdir()
    path.touch(mode=0o600)
    opened, fresh = create(str(path))
    opened.close()
    assert fresh


def test_an_interrupted_creation_leaves_an_empty_file_that_the_next_one_fills(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sql"
    folder.mkdir()
    (folder / "0001_initial.sql").write_text("CREATE TABLE a (b) STRICT;\nCREATE TABLE x (y TEXT) STRICT;\n")
    with monkeypatch.context() as patch:
        patch.setattr(db, "SQL_FOLDER", str(folder))
        with pytest.raises(DatabaseError):
            create(str(path))
    opened, fresh = create(str(path))
    opened.close()
    assert fresh
    assert "a" not in {name for _, name, _, _ in _schema(path)}


_CREATE = """
    import sys
    from store.creation import create
    print("ready", flush=True)
    sys.stdin.readline()
    opened, fresh = create(sys.argv[1])
    assert opened.rows("SELECT count(*) FROM jobs")[0][0] == 0
    opened.close()
    print("fresh" if fresh else "there", flush=True)
"""


@pytest.mark.process
def test_of_eight_processes_one_creates_it_and_the_others_find_it(tmp_path: Path) -> None:
    for number in range(4):
        path = tmp_path / str(number) / "cron.db"
        makers = [python(_CREATE, str(path), stdin=-1) for _ in range(8)]
        for maker in makers:
            assert maker.stdout is not None
            assert maker.stdout.readline() == b"ready\n"
        for maker in makers:
            assert maker.stdin is not None
            maker.stdin.write(b"go\n")
            maker.stdin.flush()
        outputs = [maker.communicate(timeout=PATIENCE) for maker in makers]
        assert [err for _, err in outputs] == [b""] * 8
        assert sorted(out for out, _ in outputs) == [b"fresh\n"] + [b"there\n"] * 7
        assert sorted(entry.name for entry in path.parent.iterdir()) == ["cron.db"]


class _Interrupted:
    """A connection; between its queries another process creates the database."""

    def __init__(self, connection: sqlite3.Connection, path: Path, before: int) -> None:
        self.connection, self.path, self.left = connection, path, before

    def execute(self, sql: str) -> sqlite3.Cursor:
        if self.left == 0:
            create(str(self.path))[0].close()
        self.left -= 1
        return self.connection.execute(sql)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_database_that_is_made_while_it_is_looked_at_is_missing_or_ours(path: Path, before: int) -> None:
    path.parent.mkdir()
    path.touch()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        interrupted: Any = _Interrupted(connection, path, before)
        try:
            found = schema_version(interrupted, str(path))
        except DatabaseMissing:
            found = db.SCHEMA_VERSION
    assert found == db.SCHEMA_VERSION


def test_a_database_is_not_made_by_opening_it(path: Path) -> None:
    path.parent.mkdir()
    with pytest.raises(DatabaseMissing):
        Database(str(path))
    assert list(path.parent.iterdir()) == []
