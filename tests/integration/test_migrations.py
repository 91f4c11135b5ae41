"""Schema changes: one file per version, all in one transaction, after a copy. Tested with a next version made here,
and on databases of the earlier versions that are kept as fixtures."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import db
from core.errors import CronError, DatabaseError, DatabaseReadOnly
from db import Database, migrate, scripts, statements
from store.creation import create
from tests.support_app import as_nobody, public_folder, python
from tests.workspace import PATIENCE, PROJECT, Workspace

#: The version of the program, and a made-up one that follows it.
NOW = db.SCHEMA_VERSION
NEXT = NOW + 1
NEXT_FILE = f"{NEXT:04d}_next.sql"

SCRIPT = """-- The next schema; with a semicolon in a comment.
ALTER TABLE state ADD COLUMN note TEXT;
CREATE TABLE extra (
    id INTEGER PRIMARY KEY, -- another; one
    text TEXT NOT NULL DEFAULT 'a;b'
) STRICT;
UPDATE state SET note = 'old; ' || value;
"""


_MIGRATE = """
    import sys
    import db
    from store.creation import create
    create(sys.argv[1])[0].close()
    db.SQL_FOLDER, db.SCHEMA_VERSION = sys.argv[2], db.SCHEMA_VERSION + 1
    db.Database(sys.argv[1]).close()
"""


@pytest.fixture(scope="module", autouse=True)
def _a_migration_ends(tmp_path_factory: pytest.TempPathFactory) -> None:
    """SQLite's backup never ends, and ignores signals, on a connection that is writing."""
    place = tmp_path_factory.mktemp("ends")
    (place / NEXT_FILE).write_text(SCRIPT)
    child = python(_MIGRATE, str(place / "cron.db"), str(place))
    try:
        out, err = child.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        pytest.fail("a migration did not end")
    assert (child.returncode, out, err) == (0, b"", b"")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of sql/ with a next version."""
    found = tmp_path / "sql"
    found.mkdir()
    for source in (PROJECT / "store" / "sql").glob("*.sql"):
        (found / source.name).write_text(source.read_text())
    (found / NEXT_FILE).write_text(SCRIPT)
    return found


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database of the previous version, with some rows."""
    path = tmp_path / "db" / "cron.db"
    opened, _ = create(str(path))
    opened.run("INSERT INTO state (key, value) VALUES ('a', 'b')")
    opened.close()
    return path


@pytest.fixture
def _next_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "SQL_FOLDER", str(folder))
    monkeypatch.setattr(db, "SCHEMA_VERSION", NEXT)


next_version = pytest.mark.usefixtures("_next_version")


def _look(path: Path) -> tuple[int, list[tuple[Any, ...]], list[str]]:
    """The version, the state and the names in the schema."""
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        state = connection.execute("SELECT * FROM state").fetchall()
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema ORDER BY name")]
    return version, state, names


def _backups(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.bak"))


@pytest.mark.usefixtures("old")
def test_an_old_database_is_brought_up_when_it_is_opened_for_writing(
    old: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _look(old)
    monkeypatch.setattr(db, "SQL_FOLDER", str(folder))
    monkeypatch.setattr(db, "SCHEMA_VERSION", NEXT)
    Database(str(old)).close()
    version, state, names = _look(old)
    assert version == NEXT
    assert state == [("a", "b", "old; b")]
    assert "extra" in names
    (backup,) = _backups(old)
    assert backup.name == f"cron.db.v{NOW}.bak"
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert _look(backup) == before


def test_init_db_brings_an_old_database_up_too(old: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "SQL_FOLDER", str(folder))
    monkeypatch.setattr(db, "SCHEMA_VERSION", NEXT)
    opened, fresh = create(str(old))
    opened.close()
    assert not fresh
    assert _look(old)[0] == NEXT


def test_an_old_database_is_brought_up_by_a_reader_too(
    old: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "SQL_FOLDER", str(folder))
    monkeypatch.setattr(db, "SCHEMA_VERSION", NEXT)
    reader = Database(str(old), read_only=True)
    assert reader.rows("SELECT note FROM state") != []
    reader.close()
    assert _look(old)[0] == NEXT
    assert len(_backups(old)) == 1


def test_a_fresh_schema_equals_a_migrated_one(
    old: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "SQL_FOLDER", str(folder))
    monkeypatch.setattr(db, "SCHEMA_VERSION", NEXT)
    Database(str(old)).close()
    create(str(tmp_path / "fresh" / "cron.db"))[0].close()
    schemas = []
    for path in (old, tmp_path / "fresh" / "cron.db"):
        with closing(sqlite3.connect(path)) as connection:
            schemas.append(connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall())
    assert schemas[0] == schemas[1]


@pytest.fixture
def broken(folder: Path) -> Path:
    """The second migration fails at its last statement."""
    (folder / NEXT_FILE).write_text(SCRIPT + "INSERT INTO nothing VALUES (1);\n")
    return folder


def test_an_interrupted_migration_leaves_the_old_schema_and_a_copy(
    old: Path, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _look(old)
    monkeypatch.setattr(db, "SQL_FOLDER", str(broken))
    monkeypatch.setattr(db, "SCHEMA_VERSION", NEXT)
    with pytest.raises((DatabaseError, sqlite3.Error)):
        Database(str(old))
    assert _look(old) == before
    assert _look(_backups(old)[0]) == before


def test_an_interrupted_migration_is_an_error_of_ours(old: Path, broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "SQL_FOLDER", str(broken))
    monkeypatch.setattr(db, "SCHEMA_VERSION", NEXT)
    with pytest.raises(DatabaseError) as caught:
        Database(str(old))
    assert str(old) in caught.value.message


@pytest.fixture
def pair(old: Path) -> Iterator[tuple[Database, Database]]:
    """Two processes that both found an old version."""
    both = Database(str(old)), Database(str(old))
    try:
        yield both
    finally:
        for one in both:
            one.close()


def test_of_two_that_find_an_old_database_one_migrates_it(
    pair: tuple[Database, Database], old: Path, folder: Path
) -> None:
    for one in pair:
        migrate(one, NOW, NEXT, str(folder))
    assert _look(old)[:2] == (NEXT, [("a", "b", "old; b")])


def test_the_copy_stays_one_of_the_old_database_when_two_find_it(
    pair: tuple[Database, Database], old: Path, folder: Path
) -> None:
    for one in pair:
        migrate(one, NOW, NEXT, str(folder))
    assert _look(_backups(old)[0])[0] == NOW


def test_a_copy_that_can_not_be_made_is_an_error_of_ours_and_nothing_changes(folder: Path) -> None:
    with public_folder() as place:
        path = place / "db" / "cron.db"
        opened, _ = create(str(path))
        opened.run("PRAGMA journal_mode = DELETE")
        opened.close()
        path.chmod(0o666)
        path.parent.chmod(0o755)
        with as_nobody():
            database = Database(str(path))
            try:
                with pytest.raises(DatabaseReadOnly):
                    migrate(database, NOW, NEXT, str(folder))
            finally:
                database.close()
        assert _look(path)[0] == NOW


# --- the files ---


def test_the_shipped_migrations_have_no_gap_and_end_at_the_version_of_the_program() -> None:
    numbers = sorted(int(path.name[:4]) for path in (PROJECT / "store" / "sql").glob("*.sql"))
    assert numbers == list(range(1, db.SCHEMA_VERSION + 1))


def test_a_gap_is_named(folder: Path) -> None:
    (folder / f"{NEXT + 2:04d}_later.sql").write_text("SELECT 1;")
    assert [version for version, _ in scripts(str(folder), 0, NEXT)] == list(range(1, NEXT + 1))
    with pytest.raises(CronError, match=f"{NEXT + 1:04d}"):
        scripts(str(folder), 1, NEXT + 2)


def test_a_script_is_cut_into_its_statements() -> None:
    found = statements(SCRIPT)
    assert len(found) == 3
    assert "'a;b'" in found[1]
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  UPDATE a SET b = 1;\n  UPDATE a SET c = 2;\nEND;\n"
    assert statements(trigger) == [trigger]
    assert statements("") == []
    assert "".join(statements(SCRIPT)) == SCRIPT


def test_a_statement_without_its_semicolon_is_not_dropped_in_silence() -> None:
    try:
        found = statements("CREATE TABLE a (b);\nCREATE TABLE c (d)\n")
    except CronError:
        return
    assert len(found) == 2


# --- databases of earlier versions ---


@pytest.fixture(params=sorted((PROJECT / "tests" / "fixtures").glob("schema-*.sql")), ids=lambda path: path.stem)
def kept(request: pytest.FixtureRequest, workspace: Workspace) -> Workspace:
    """A workspace with a database of an earlier version, with jobs."""
    workspace.database.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(workspace.database)) as connection:
        connection.executescript(request.param.read_text(encoding="utf-8"))
        connection.execute("PRAGMA journal_mode = WAL")
    workspace.environ["PURUTO_CRON_KEEP_DAYS"] = "36500"
    workspace.add_target("puruto-hello", invoke=None)
    workspace.write_jobs(
        {"job_id": "hello", "puruto_target": "puruto-hello", "schedule": "*/5 * * * *", "timezone": "Europe/Madrid",
         "prompt": "Say hello", "command": ["echo", "hello"]},
        {"job_id": "fails", "puruto_target": "puruto-hello", "schedule": "@every 15m", "prompt": "Fail",
         "command": ["false"], "max_retries": 1, "retry_backoff_sec": 0},
        {"job_id": "off", "puruto_target": "puruto-hello", "schedule": "0 9 * * 5", "enabled": False,
         "prompt": "Never", "command": ["true"]},
    )  # fmt: skip
    return workspace


def _tables(path: Path) -> list[str]:
    """The rows of all tables but `state`, which the program changes."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return sorted({str(row[0]) for row in names} - {"state"})


@pytest.mark.process
def test_a_database_of_an_earlier_version_keeps_working_with_all_that_is_in_it(kept: Workspace) -> None:
    before = {name: kept.sql(f"SELECT * FROM {name}") for name in _tables(kept.database)}
    assert kept.json("sync-jobs")["changed"] == []
    assert kept.sql("PRAGMA user_version") == [{"user_version": db.SCHEMA_VERSION}]
    for name, rows in before.items():
        now = kept.sql(f"SELECT * FROM {name}")
        assert [{key: row.get(key) for key in old} for row, old in zip(now, rows, strict=True)] == [
            {key: value if key in now[0] else None for key, value in old.items()} for old in rows
        ], name
    (backup,) = _backups(kept.database)
    assert _look(backup)[0] < db.SCHEMA_VERSION
    report = kept.json("tick")
    dead = [row["run_id"] for row in before["runs"] if row["status"] == "running"]
    assert [row["run_id"] for row in report["settled"]] == dead
    assert len(dead) == 1
    assert kept.json("run-now", "hello")["status"] == "ok"
    assert kept.json("doctor", "--json")["counts"]["error"] == 0
    assert {row["run_id"] for row in before["runs"]} <= {row["run_id"] for row in kept.runs()}


@pytest.mark.process
def test_what_was_told_of_a_refusal_stays_told_of_its_gate(kept: Workspace) -> None:
    """Up to schema 4 a day had one mark for all gates, and there was one gate."""
    columns = {row["name"] for row in kept.sql("SELECT name FROM pragma_table_info('spending')")}
    if "refusal_told" in columns:
        marked = kept.sql("SELECT job_id, day, 'COST_LIMIT' AS code FROM spending WHERE refusal_told = 1")
    else:
        marked = kept.sql("SELECT * FROM refusals_reported") if columns else []
    kept.json("sync-jobs")
    assert kept.sql("SELECT * FROM refusals_reported") == marked
    assert bool(marked) is bool(columns)


@pytest.mark.process
def test_a_reading_command_may_be_the_first_after_an_update(kept: Workspace) -> None:
    assert len(kept.json("list")["jobs"]) == 3
    assert len(kept.json("status")["recent_runs"]) > 3
