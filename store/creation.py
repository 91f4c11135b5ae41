"""Creates the database: its folder, its file and its schema."""

from __future__ import annotations

import os

import db
from core.durable import sync_folder
from core.errors import DatabaseMissing, DatabaseReadOnly
from core.private_files import locked_folder, make_private_folder
from db import Connection, Database, Translated, apply_migrations, cannot_open, connect, schema_version


def create(path: str) -> tuple[Database, bool]:
    """Opens the database at `path` for writing, and creates or migrates it first. The second value: was it created?

    The folder gets mode 0700 and the file 0600. Running it again changes nothing. Raises `DatabaseError`s.
    """
    folder = os.path.dirname(path)
    try:
        make_private_folder(folder)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        details: dict[str, object] = {"path": path, "reason": error.strerror or str(error)}
        if isinstance(error, IsADirectoryError):
            raise cannot_open(path, details) from error
        raise DatabaseReadOnly(
            f"{path} can't be made: {error.strerror}", hint=f"Let this user write to {folder}.", details=details
        ) from error
    connection = connect(path, "rw")
    try:
        # SQLite refuses some of several processes that set the journal mode at the same time, without waiting.
        with locked_folder(folder), Translated(path):
            fresh = _make_schema(connection, path)
    finally:
        connection.close()
    if fresh:
        sync_folder(folder)
    return Database(path), fresh


def _make_schema(connection: Connection, path: str) -> bool:
    try:
        schema_version(connection, path)
    except DatabaseMissing:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        # Another process may have created the schema while this one waited for the lock.
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            connection.execute("ROLLBACK")
            return False
        apply_migrations(connection, 0, db.SCHEMA_VERSION, db.SQL_FOLDER)
        connection.execute(f"PRAGMA application_id = {db.APPLICATION_ID}")
        connection.execute("COMMIT")
        return True
    return False
