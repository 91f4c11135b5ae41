"""Opens, migrates and transacts on the SQLite file. Nothing else imports sqlite3.

All other SQL is in `store/`. Imports almost nothing, because the idle tick imports this module.
"""

from __future__ import annotations

import os
import sqlite3
import stat

from core import crash_points
from core.errors import (
    DatabaseCorrupt,
    DatabaseError,
    DatabaseFull,
    DatabaseLocked,
    DatabaseLogReplaced,
    DatabaseMissing,
    DatabaseNewer,
    DatabaseNotOurs,
    DatabaseReadOnly,
    DatabaseReplaced,
    DatabaseStarved,
    DatabaseUnreadable,
    MachineExhausted,
    SqliteTooOld,
    machine_fault,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from core.permissions import Obstacle

#: "PCRN": tells our files from other SQLite files.
APPLICATION_ID = 0x5043524E
_REPAIR = "Run: python3 main.py doctor --repair. It keeps a copy, and the jobs come back from .jobs.json."
SCHEMA_VERSION = 6
BUSY_TIMEOUT_MS = 5000
_LEAST_ROOM = 65_536

SQL_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "store", "sql")

SQLITE_VERSION = sqlite3.sqlite_version_info
Connection = sqlite3.Connection
Row = sqlite3.Row
Value = str | int | float | bytes | None


def translate(error: sqlite3.Error, path: str) -> DatabaseError:
    """Our error for an error of SQLite: it says what it means for the user, and what to do."""
    from core.shell import quoted

    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    details: dict[str, object] = {"path": path, "sqlite": str(error)}
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DatabaseLocked(
            f"{path} is locked by another process",
            hint=f"It was not released within {BUSY_TIMEOUT_MS // 1000} s. See who holds it: fuser {quoted(path)}",
            details=details,
        )
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DatabaseCorrupt(f"{path} is damaged or not an SQLite database", hint=_REPAIR, details=details)
    if primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return DatabaseFull(
            f"{path} can't be written: the disk is full or failing",
            hint="Free some space; see: python3 main.py prune",
            details=details,
        )
    if primary == sqlite3.SQLITE_READONLY:
        return read_only(path, details)
    if primary == sqlite3.SQLITE_NOMEM:
        fault = machine_fault(MemoryError())
        return _starved(fault, details) if fault else DatabaseError(f"{path}: {error}", details=details)
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return cannot_open(path, details)
    return DatabaseError(f"{path}: {error}", details=details)


def cannot_open(path: str, details: dict[str, object]) -> DatabaseError:
    """The error for a file that can't be opened: the reason, and what to do."""
    from core.descriptors import require_descriptors
    from core.shell import quoted

    folder = os.path.dirname(path)
    try:
        # SQLite does not say why. It opens the file, its log, the index of that, and for a moment the folder.
        require_descriptors(4)
    except MachineExhausted as fault:
        return _starved(fault, details)
    except OSError:
        pass  # /dev/null is missing or closed to us, which says nothing about the database.
    if os.path.isdir(path):
        return DatabaseUnreadable(f"{path} is a folder", hint="DB_PATH must name a file.", details=details)
    if not os.path.exists(path) and (os.access(folder, os.X_OK) or not os.path.isdir(folder)):
        return DatabaseMissing(
            f"There is no database at {path}", hint="Run: python3 main.py init-db", details={"path": path}
        )
    if os.access(path, os.R_OK):
        return read_only(path, details)
    found = _obstacle(path)
    if found is None:
        hint = f"See: ls -ld {quoted(folder)} {quoted(path)}"
        return DatabaseUnreadable(f"{path} can't be opened", hint=hint, details=details)
    return DatabaseUnreadable(f"{path} can't be opened: {found.sentence}", hint=found.hint, details=details)


def read_only(path: str, details: dict[str, object]) -> DatabaseReadOnly:
    """The error for a database that can't be written: which file is in the way and whose it is, if that is why."""
    from core.shell import quoted

    found = _obstacle(path)
    if found is None:
        hint = f"Is the disk mounted read-only? See: ls -ld {quoted(os.path.dirname(path))} {quoted(path)}"
        return DatabaseReadOnly(f"{path} can't be written", hint=hint, details=details)
    return DatabaseReadOnly(f"{path} can't be written: {found.sentence}", hint=found.hint, details=details)


def _obstacle(path: str) -> Obstacle | None:
    from core.permissions import obstacle

    return obstacle(path, write=True, beside=(f"{path}-wal", f"{path}-shm"))


def _starved(fault: MachineExhausted, details: dict[str, object]) -> DatabaseStarved:
    return DatabaseStarved(fault.message, hint=fault.hint, details={**details, **fault.details})


class Transaction:
    """`with db.transaction("claim"):` takes the write lock at once, then commits, or rolls back on an exception.

    In a `db.group()` it is rolled back alone and committed with the others. Its crash points have this name.
    """

    def __init__(self, db: Database, name: str) -> None:
        self._db = db
        self._name = name

    def __enter__(self) -> None:
        if self._db.grouped is not None and not self._db.connection.in_transaction:
            raise DatabaseError(f"{self._db.path}: the group was rolled back, so this would be committed by itself")
        self._db.run("BEGIN IMMEDIATE" if self._db.grouped is None else "SAVEPOINT part")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return self._roll_back()
        crash_points.point(f"{self._name}.before_commit")
        if self._db.grouped is not None:
            self._db.run("RELEASE part")
            self._db.grouped.append(self._name)
        else:
            self._db.commit()
            crash_points.point(f"{self._name}.after_commit")
        return None

    def _roll_back(self) -> None:
        # After a full disk SQLite has already rolled back; a second ROLLBACK would hide the first error.
        if self._db.grouped is None:
            self._db.roll_back()
        elif self._db.connection.in_transaction:
            self._db.connection.execute("ROLLBACK TO part")
            self._db.connection.execute("RELEASE part")


class Group:
    """`with db.group():` commits all transactions in it at once, with one wait for the disk."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @property
    def broken(self) -> bool:
        """Whether SQLite has rolled back the whole group, as on a full disk. Check it after each transaction."""
        return not self._db.connection.in_transaction

    def __enter__(self) -> Group:
        self._db.run("BEGIN IMMEDIATE")
        self._db.grouped = []
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        names, self._db.grouped = self._db.grouped or [], None
        if kind is not None:
            self._db.roll_back()
            return
        self._db.commit()
        for name in names:
            crash_points.point(f"{name}.after_commit")


class Translated:
    """`with db.translated():` raises our errors instead of SQLite's."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.Error):
            raise translate(error, self._path) from error


class Database:
    """One connection to one file, for one thread.

    Opening raises `DatabaseMissing`, `DatabaseUnreadable`, `DatabaseCorrupt`, `DatabaseNotOurs`, `DatabaseNewer`,
    `DatabaseReadOnly` or `DatabaseLocked`. A database of an older schema is migrated first.
    """

    def __init__(self, path: str, *, read_only: bool = False, busy_timeout_sec: float = BUSY_TIMEOUT_MS / 1000) -> None:
        self.path = path
        #: Whether this is a copy in memory, because the disk is full.
        self.is_copy = False
        self.connection = (
            self._connected(path, busy_timeout_sec) if read_only else connect(path, "rw", busy_timeout_sec)
        )
        self._busy_timeout_sec = busy_timeout_sec
        self._identity = _identity(path)
        #: Of the -wal and the -shm file; None while they are not known to be there.
        self._logs: list[tuple[int, int] | None] = [None, None]
        #: In a group: the names of its finished transactions.
        self.grouped: list[str] | None = None
        try:
            version = self._check_version()
            self._log_is_replaced()
            if version < SCHEMA_VERSION and read_only:
                # Queries use columns of the current schema, and the first command after an update may be one that only
                # reads.
                Database(path).close()
            elif version < SCHEMA_VERSION:
                self._migrate_from(version)
        except BaseException:
            self.connection.close()
            raise

    def close(self) -> None:
        """Closes the connection; pending reads end."""
        if self._log_is_replaced():
            # SQLite would write its old log over what others have stored since, and delete their log. The end of the
            # process closes the files without that.
            import ctypes

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.connection))
            return
        self.connection.close()

    def _connected(self, path: str, busy_timeout_sec: float) -> Connection:
        """A connection that reads: to the file, or to a copy of it where the disk has no room for a lock file."""
        connection = None
        try:
            connection = connect(path, "ro", busy_timeout_sec)
            schema_version(connection, path)
            return connection
        except DatabaseError as error:
            if connection is not None:
                connection.close()
            if not (isinstance(error, DatabaseFull) or is_disk_full(path)):
                raise
            from core.database_copy import content_of

            try:
                connection = in_memory(content_of(path))
            except (OSError, ValueError):
                raise error from None
            self.is_copy = True
            return connection

    def reopen(self) -> None:
        """Closes the connection, and opens the files that are at the path now. Raises what opening raises.

        If the log was replaced, the caller has to hold `system.database_guard` meanwhile.
        """
        self.connection.close()
        self.connection = connect(self.path, "rw", self._busy_timeout_sec)
        self._identity, self._logs = _identity(self.path), [None, None]
        self._check_version()
        self._log_is_replaced()

    def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Executes one statement and returns the number of rows that it changed."""
        try:
            return self.connection.execute(sql, values).rowcount
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def insert_new(self, sql: str, values: Sequence[Value]) -> bool:
        """Executes an INSERT. False if a UNIQUE key shows that the row already exists."""
        try:
            self.connection.execute(sql, values)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) in (
                sqlite3.SQLITE_CONSTRAINT_UNIQUE,
                sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
            ):
                return False
            raise translate(error, self.path) from error
        return True

    def insert(self, sql: str, values: Sequence[Value]) -> int:
        """Executes an INSERT and returns the new row's integer key."""
        try:
            return self.connection.execute(sql, values).lastrowid or 0
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """All rows of a query."""
        try:
            return self.connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def row(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row of a query, or None."""
        try:
            found: Row | None = self.connection.execute(sql, values).fetchone()
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        return found

    def transaction(self, name: str) -> Transaction:
        """A write transaction. They must not be nested, except in a group."""
        return Transaction(self, name)

    def group(self) -> Group:
        """One commit for several transactions."""
        return Group(self)

    def commit(self) -> None:
        """Commits a transaction; rolls it back if that fails."""
        try:
            self.run("COMMIT")
        except DatabaseError:
            self.roll_back()
            raise

    def roll_back(self) -> None:
        """Rolls back a transaction, unless SQLite has already done so."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def _check_version(self) -> int:
        version = schema_version(self.connection, self.path)
        if version > SCHEMA_VERSION:
            details: dict[str, object] = {"path": self.path, "schema_version": version, "known": SCHEMA_VERSION}
            message = (
                f"{self.path} has schema {version} of a newer version; this version supports up to {SCHEMA_VERSION}"
            )
            raise DatabaseNewer(message, hint="Update the program, or name another file in DB_PATH.", details=details)
        return version

    def require_sound(self) -> None:
        """Checks the whole file. Raises `DatabaseCorrupt` with SQLite's list of the damage."""
        problems = damage(self.connection, self.path)
        if problems:
            details: dict[str, object] = {"path": self.path, "sqlite": "; ".join(problems)[:500]}
            raise DatabaseCorrupt(f"{self.path} is damaged", hint=_REPAIR, details=details)

    def require_in_place(self) -> None:
        """Raises `DatabaseReplaced` if the file at the path is not the open one; `DatabaseLogReplaced` for its log."""
        if _identity(self.path) != self._identity:
            raise DatabaseReplaced(
                f"{self.path} was removed or replaced while it was in use",
                hint="Restore it, or run: python3 main.py init-db. Stop ticks and the daemon before you move it.",
                details={"path": self.path},
            )
        if self._log_is_replaced():
            raise DatabaseLogReplaced(
                f"{self.path}-wal or -shm was removed or replaced while the database was in use",
                hint="What was stored since the last checkpoint may be lost. See: python3 main.py doctor",
                details={"path": self.path},
            )

    def _log_is_replaced(self) -> bool:
        """Whether another -wal or -shm file is at the path than the one in use, or none."""
        if self.is_copy:
            return False
        for number, suffix in enumerate(("-wal", "-shm")):
            found = _identity(self.path + suffix)
            if self._logs[number] is None:
                self._logs[number] = found
            elif found != self._logs[number]:
                return True
        return False

    def translated(self) -> Translated:
        """A context in which SQLite's errors become ours, for statements on the connection itself."""
        return Translated(self.path)

    def back_up(self, path: str) -> None:
        """Writes a copy of the committed data to `path`, mode 0600. Also works in a transaction."""
        from core.ownership import create

        try:
            os.close(create(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW))
        except OSError as error:
            hint = "The database is copied before it is migrated: free some space, and let this user write there."
            message = f"The copy {path} can't be made: {error.strerror}"
            raise DatabaseReadOnly(message, hint=hint, details={"path": path}) from error
        from core.durable import sync_folder

        # On a connection that is writing, SQLite's backup makes no progress, and Python would wait for ever.
        source, target = connect(self.path, "ro"), sqlite3.connect(path)
        try:
            source.backup(target)
        except sqlite3.Error as error:
            raise translate(error, path) from error
        finally:
            source.close()
            target.close()
        sync_folder(os.path.dirname(path))

    def _migrate_from(self, version: int) -> None:
        migrate(self, version, SCHEMA_VERSION, SQL_FOLDER)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_disk_full(path: str) -> bool:
    """Whether the disk of a file has no room for another transaction."""
    try:
        status = os.statvfs(os.path.dirname(path))
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < _LEAST_ROOM


def in_memory(content: bytes) -> Connection:
    """A connection that reads a copy of a database. Raises ValueError if it can't be made."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        connection.deserialize(content)
        connection.execute("PRAGMA query_only = ON")
    except (sqlite3.Error, AttributeError, OverflowError) as error:
        connection.close()
        raise ValueError(str(error)) from error
    return connection


def damage(connection: Connection, path: str) -> list[str]:
    """SQLite's list of the damage, five entries at most; empty if the file is sound. Raises `DatabaseError`s."""
    with Translated(path):
        lines = [str(row[0]) for row in connection.execute("PRAGMA quick_check(5)")]
    return [] if lines == ["ok"] else lines


def schema_version(connection: sqlite3.Connection, path: str) -> int:
    """The schema version of a database of ours. Raises `DatabaseError`s for an empty, foreign or damaged file."""
    try:
        # One statement, so one snapshot: another process may be creating the schema.
        version, application, tables = connection.execute(
            "SELECT (SELECT user_version FROM pragma_user_version),"
            " (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)"
        ).fetchone()
    except sqlite3.Error as error:
        raise translate(error, path) from error
    if application == APPLICATION_ID:
        return int(version)
    if tables or version:
        raise DatabaseNotOurs(
            f"{path} is an SQLite database of another program",
            hint="Name another file in DB_PATH, or move this one away.",
            details={"path": path},
        )
    raise DatabaseMissing(f"{path} is empty", hint="Run: python3 main.py init-db", details={"path": path})


def bare(path: str) -> Connection:
    """A read-only connection without checks and migrations, for a database that may be damaged.

    Raises what `Database` raises. Use it inside `Translated(path)`.
    """
    return connect(path, "ro")


def connect(path: str, mode: str, busy_timeout_sec: float = BUSY_TIMEOUT_MS / 1000) -> sqlite3.Connection:
    """A connection; `mode` is ro or rw. Raises what `Database` raises."""
    if sqlite3.sqlite_version_info < (3, 37):
        raise SqliteTooOld(
            f"SQLite {sqlite3.sqlite_version} is too old, 3.37 is needed",
            hint="Use a newer Python build or system library.",
        )
    _refuse_other_kinds(path)
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    try:
        connection = sqlite3.connect(
            f"file:{quoted}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=busy_timeout_sec,
            check_same_thread=True,
        )
    except sqlite3.Error as error:
        raise translate(error, path) from error
    connection.row_factory = sqlite3.Row
    if mode != "ro":
        try:
            # The first statement reads the file, so a damaged, locked or unreadable file is found here.
            connection.execute("PRAGMA synchronous = FULL")
            # 16 MiB, for the ends of all indexes of a full ledger: SQLite's default of 2 MB is too small.
            connection.execute("PRAGMA cache_size = -16384")
        except sqlite3.Error as error:
            connection.close()
            raise translate(error, path) from error
    return connection


def _refuse_other_kinds(path: str) -> None:
    """Refuses named pipes, on which SQLite would block, and folders, which it reports as a failing disk."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise DatabaseUnreadable(f"{path} is {kind}", hint="DB_PATH must name a file.", details={"path": path})


# --- migrations: one file per version in store/sql/, all in one transaction, after a copy of the old database ---


def scripts(folder: str, after: int, upto: int) -> list[tuple[int, str]]:
    """`(version, text)` of each migration with `after` < version <= `upto`, ascending. Raises if one is missing."""
    files = {int(name[:4]): name for name in os.listdir(folder) if name[:4].isdecimal() and name.endswith(".sql")}
    versions = range(after + 1, upto + 1)
    if missing := [version for version in versions if version not in files]:
        raise DatabaseError(f"{folder} lacks the migration {missing[0]:04d}", hint="Restore the folder store/sql/.")
    return [(version, _read(os.path.join(folder, files[version]))) for version in versions]


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def apply_migrations(connection: Connection, after: int, upto: int, folder: str) -> None:
    """Runs the migrations in the caller's transaction and sets `user_version`. Raises SQLite's own errors."""
    for _version, text in scripts(folder, after, upto):
        for statement in statements(text):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {upto:d}")


def statements(text: str) -> list[str]:
    """The statements of a script: `executescript` can't be used, as it commits the transaction first."""
    complete: list[str] = []
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            complete.append(pending)
            pending = ""
    if any(not line.lstrip().startswith("--") for line in pending.splitlines() if line.strip()):
        raise DatabaseError(
            f"A migration ends without a semicolon: {pending.strip()[:80]}", hint="Restore the folder store/sql/."
        )
    return complete


def migrate(db: Database, version: int, upto: int, folder: str) -> None:
    """Migrates a database from `version` to `upto`; a copy is kept at `<path>.v<version>.bak`.

    Raises `DatabaseError`s; then the old schema and its rows are unchanged.
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
            apply_migrations(db.connection, current, upto, folder)
