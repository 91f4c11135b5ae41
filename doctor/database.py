"""Checks of the database: is it there, undamaged, of this version, of this user, and on a local disk?"""

from __future__ import annotations

import os
from collections.abc import Iterator

from core import log
from core.errors import DatabaseCorrupt, DatabaseError, DatabaseFull, DatabaseLocked
from core.permissions import name_of
from core.shell import quoted
from db import SCHEMA_VERSION, Translated, bare, damage, schema_version
from doctor.findings import Finding, error, fine, of_error, warning
from doctor.mounts import is_network, mount_of, mounts
from doctor.scene import Scene

SUBJECT = "database"
REPAIR = "Run: python3 main.py doctor --repair"


def check(scene: Scene) -> Iterator[Finding]:
    """Checks the file without changing it; opens `scene.session` if it is undamaged and of this version."""
    path = str(scene.need_settings.db_path)
    yield from owner_and_file_system(path, scene.mountinfo)
    try:
        version, journal, damaged = inspect(path)
    except DatabaseError as failure:
        yield of_error(SUBJECT, failure)
        if isinstance(failure, DatabaseFull):
            with log.tolerated(DatabaseError, "The database can't be read from its full disk"):
                scene.session = scene.app.open_session(read_only=True)
        return
    if damaged:
        text = f"{path} is damaged: {'; '.join(damaged)}"
        yield error(DatabaseCorrupt.code, SUBJECT, text, REPAIR)
        return
    if journal != "wal":
        text = f"{path} has the journal mode {journal}: readers and writers block each other"
        yield warning("JOURNAL_NOT_WAL", SUBJECT, text, f"Run: sqlite3 {quoted(path)} 'pragma journal_mode = wal'")
    if version > SCHEMA_VERSION:
        text = f"{path} has schema {version} of a newer version; this version supports {SCHEMA_VERSION}"
        yield error("DATABASE_NEWER", SUBJECT, text, "Update the program, or set DB_PATH to another file.")
        return
    if version < SCHEMA_VERSION:
        text = f"{path} has schema {version}; the next command copies it and migrates it to {SCHEMA_VERSION}"
        yield warning("DATABASE_OLDER", SUBJECT, text, "Run: python3 main.py init-db")
        return
    with log.tolerated(DatabaseError, "Whether the database is locked was not checked"):
        # Other reasons why it can't be written to are reported by other checks.
        yield from locked(scene, path)
    scene.session = scene.app.open_session(read_only=True)
    yield fine(SUBJECT, f"{path} is undamaged, schema {version}")


def locked(scene: Scene, path: str) -> Iterator[Finding]:
    """Whether another program keeps the database locked. Takes the write lock and releases it without a change."""
    session = scene.app.open_session()
    try:
        session.store.db.run("BEGIN IMMEDIATE")
        session.store.db.run("ROLLBACK")
    except DatabaseLocked:
        text = f"Another program keeps {path} locked for too long: no run can start or end"
        yield error("DATABASE_LOCKED", SUBJECT, text, f"Find that program: fuser {quoted(path)}")
    finally:
        session.close()


def inspect(path: str) -> tuple[int, str, list[str]]:
    """`(schema version, journal mode, damages)` of a database of this program, without changing it.

    Raises a `DatabaseError`; `DatabaseCorrupt` if SQLite can't read the file.
    """
    connection = bare(path)
    try:
        version = schema_version(connection, path)
        with Translated(path):
            journal = str(connection.execute("PRAGMA journal_mode").fetchone()[0])
        damages = damage(connection, path)
    finally:
        connection.close()
    return version, journal, [" ".join(text.split()) for text in damages]


def owner_and_file_system(path: str, mountinfo: str) -> Iterator[Finding]:
    """Whether the file belongs to this user and is on a local file system."""
    try:
        with open(mountinfo, encoding="utf-8", errors="surrogateescape") as file:
            table = mounts(file.read())
    except OSError:
        table = []
    mount = mount_of(os.path.realpath(path), table)
    if mount is not None and is_network(mount):
        text = f"{path} is on {mount.point}, a file system of type {mount.kind}: its locks are not reliable"
        yield warning("NETWORK_FILE_SYSTEM", SUBJECT, text, "Set DB_PATH to a file on a disk of this machine.")
    try:
        owner = os.stat(path).st_uid
    except OSError:
        return
    if owner != os.geteuid():
        me = name_of(os.geteuid())
        text = f"{path} belongs to {name_of(owner)}, but you are {me}"
        fix = f"Use one user for the crontab and for commands. If that is you: sudo chown {quoted(me)} {quoted(path)}*"
        yield warning("DATABASE_OTHER_OWNER", SUBJECT, text, fix)
