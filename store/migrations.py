"""Schema changes: a file a version in `store/sql/`, all in one transaction, after a copy of the old database."""

from __future__ import annotations

from pathlib import Path

from core import crash_points
from core.errors import DatabaseError
from db import Connection, Database, complete_statement


def scripts(folder: str, after: int, upto: int) -> list[tuple[int, str]]:
    """`(version, text)` of each migration with `after` < version <= `upto`, ascending, without a gap."""
    found = {int(path.name[:4]): path for path in Path(folder).glob("[0-9][0-9][0-9][0-9]_*.sql")}
    wanted = range(after + 1, upto + 1)
    if missing := [version for version in wanted if version not in found]:
        raise DatabaseError(f"{folder} lacks the migration {missing[0]:04d}", hint="Restore the folder store/sql/.")
    return [(version, found[version].read_text(encoding="utf-8")) for version in wanted]


def apply(connection: Connection, after: int, upto: int, folder: str) -> None:
    """Runs the migrations inside the caller's transaction and sets `user_version`. Raises SQLite's own errors."""
    for _version, text in scripts(folder, after, upto):
        for statement in statements(text):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {upto:d}")


def statements(text: str) -> list[str]:
    """The single statements of a script: `executescript` would commit our transaction before it starts."""
    found: list[str] = []
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if complete_statement(pending):
            found.append(pending)
            pending = ""
    if any(not line.lstrip().startswith("--") for line in pending.splitlines() if line.strip()):
        raise DatabaseError(
            f"A migration ends without a semicolon: {pending.strip()[:80]}", hint="Restore the folder store/sql/."
        )
    return found


def migrate(db: Database, version: int, upto: int, folder: str) -> None:
    """Brings an existing database from `version` to `upto`; a copy stays at `<path>.v<version>.bak`.

    Raises `DatabaseError`s, and then the old schema and its rows are as they were.
    """
    with db.transaction("migration"):
        row = db.row("PRAGMA user_version")
        current = int(row[0]) if row is not None else version
        if current >= upto:
            # Another process has migrated while this one waited for the lock.
            return
        crash_points.point("migration.before_backup")
        db.back_up(f"{db.path}.v{current}.bak")
        crash_points.point("migration.after_backup")
        with db.translated():
            apply(db.connection, current, upto, folder)
