"""The database: there, ours, whole, of this version, on a disk of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from core.errors import DatabaseCorrupt, DatabaseError, DatabaseLocked
from db import SCHEMA_VERSION, Translated, bare, damage, schema_version
from doctor.findings import Finding, error, fine, of_error, warning
from doctor.mounts import is_network, mount_of, mounts
from doctor.scene import Scene

SUBJECT = "database"
REPAIR = "Run: python3 main.py doctor --repair"


def check(scene: Scene) -> Iterator[Finding]:
    """All about the file; opens `scene.session` when it is sound and of this version. It changes nothing."""
    path = str(scene.need_settings.db_path)
    yield from place(path, scene.mountinfo)
    try:
        version, journal, damaged = look(path)
    except DatabaseError as wrong:
        yield of_error(SUBJECT, wrong)
        return
    if damaged:
        text = f"{path} is damaged: {'; '.join(damaged)}"
        yield error(DatabaseCorrupt.code, SUBJECT, text, REPAIR)
        return
    if journal != "wal":
        text = f"{path} has the journal mode {journal}, so that readers and runs wait for each other"
        yield warning("JOURNAL_NOT_WAL", SUBJECT, text, f"Run: sqlite3 {path} 'pragma journal_mode = wal'")
    if version > SCHEMA_VERSION:
        text = f"{path} has schema {version}, made by a newer version; this one knows {SCHEMA_VERSION}"
        yield error("DATABASE_NEWER", SUBJECT, text, "Update the program, or name another file in DB_PATH.")
        return
    if version < SCHEMA_VERSION:
        text = f"{path} has schema {version}; the next command brings it to {SCHEMA_VERSION}, after a copy"
        yield warning("DATABASE_OLDER", SUBJECT, text, "Run: python3 main.py init-db")
        return
    with suppress(DatabaseError):
        # What else forbids to write is told by other checks.
        yield from locked(scene, path)
    scene.session = scene.app.open_session(read_only=True)
    yield fine(SUBJECT, f"{path} is whole, schema {version}")


def locked(scene: Scene, path: str) -> Iterator[Finding]:
    """Somebody keeps others from writing: no tick and no run can go on. A write lock is taken, and nothing written."""
    session = scene.app.open_session()
    try:
        session.store.db.run("BEGIN IMMEDIATE")
        session.store.db.run("ROLLBACK")
    except DatabaseLocked:
        text = f"Another program holds {path} for longer than anything here waits: nothing can start or end"
        yield error("DATABASE_LOCKED", SUBJECT, text, f"See who it is: fuser {path}")
    finally:
        session.close()


def look(path: str) -> tuple[int, str, list[str]]:
    """`(schema version, journal mode, what is damaged)` of a database of ours, which stays as it is.

    Raises `DatabaseError`s, for a file that can't be read as SQLite `DatabaseCorrupt`.
    """
    connection = bare(path)
    try:
        version = schema_version(connection, path)
        with Translated(path):
            journal = str(connection.execute("PRAGMA journal_mode").fetchone()[0])
        told = damage(connection, path)
    finally:
        connection.close()
    return version, journal, [" ".join(text.split()) for text in told]


def place(path: str, mountinfo: str) -> Iterator[Finding]:
    """Whose file it is, and on which kind of file system."""
    try:
        with open(mountinfo, encoding="utf-8", errors="surrogateescape") as file:
            table = mounts(file.read())
    except OSError:
        table = []
    mount = mount_of(os.path.realpath(path), table)
    if mount is not None and is_network(mount):
        text = f"{path} lies on {mount.point}, a file system of the kind {mount.kind}: locks there can't be trusted"
        yield warning("NETWORK_FILE_SYSTEM", SUBJECT, text, "Name a file on a disk of this machine in DB_PATH.")
    try:
        owner = os.stat(path).st_uid
    except OSError:
        return
    if owner != os.geteuid():
        text = f"{path} belongs to the user {owner}, and this is the user {os.geteuid()}"
        fix = f"Let one user do all: the crontab's, and you. chown it with what is beside it: {path}*"
        yield warning("DATABASE_OTHER_OWNER", SUBJECT, text, fix)
