"""The ledger of a damaged database: what can still be read goes into a new one, so that slots stay accounted for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from core.clock import from_text
from core.errors import DatabaseError
from db import Connection, Database, Row, Translated, Value, bare

#: All that a row must have to say which slot of which job became what.
_NEEDED = ("run_id", "job_id", "started_at", "status", "target", "trigger")
_INSTANTS = ("started_at", "finished_at", "scheduled_for", "lease_expires_at")


def salvage_runs(damaged: str, db: Database) -> int:
    """Copies each run that can be read in the file `damaged` into `db`, and returns how many there were.

    A damaged page hides what lies on it: the table is read from both ends up to it. Each row is checked anew: by its
    instants here, by the types, checks and keys of the new table there. Rows that still run are kept as they are; the
    next tick settles them.
    """
    columns = [str(row["name"]) for row in db.rows("SELECT name FROM pragma_table_info('runs')")]

    def copy(connection: Connection) -> int:
        return sum(_copy_run(db, row, columns) for row in _readable(connection, damaged))

    return _in_one_transaction(damaged, db, copy)


def salvage_events(damaged: str, db: Database) -> int:
    """Copies the events that can be read, and where each has arrived; returns how many events there were.

    Those that still wait for delivery wait in `db` too. One of which nobody can say where it has arrived is kept and
    not sent again.
    """

    def copy(connection: Connection) -> int:
        events = [row for row in _readable(connection, damaged, "events", "rowid") if _is_event(row)]
        count = sum(_copy(db, "events", dict(row)) for row in events)
        for row in _readable(connection, damaged, "deliveries", "event_id"):
            _copy(db, "deliveries", dict(row))
        return count

    return _in_one_transaction(damaged, db, copy)


def _in_one_transaction(damaged: str, db: Database, copy: Callable[[Connection], int]) -> int:
    """What `copy` counts; 0 when the damaged file can't even be opened."""
    try:
        connection = bare(damaged)
    except DatabaseError:
        return 0
    try:
        with db.transaction("salvage"):
            return copy(connection)
    finally:
        connection.close()


def _is_event(row: Row) -> bool:
    try:
        from_text(str(row["ts"]))
        return isinstance(json.loads(row["payload_json"]), dict)
    except (ValueError, TypeError, RecursionError):
        return False


def _copy(db: Database, table: str, values: dict[str, Value]) -> int:
    """1 when the row fits the new table, its keys and its checks; else 0."""
    marks = ", ".join("?" * len(values))
    try:
        # Names that are columns of a table of ours.
        return int(
            db.insert_new(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))  # noqa: S608
        )
    except DatabaseError:
        return 0


def _readable(connection: Connection, path: str, table: str = "runs", key: str = "rowid") -> Iterator[Row]:
    for order in ("", " DESC"):
        try:
            with Translated(path):
                yield from connection.execute(f"SELECT * FROM {table} NOT INDEXED ORDER BY {key}{order}")  # noqa: S608 - fixed texts
            return
        except DatabaseError:
            # The damaged page: what lies behind it is read from the other end.
            continue


def _copy_run(db: Database, row: Row, columns: list[str]) -> int:
    found: dict[str, Value] = {name: row[name] for name in row.keys() if name in columns}  # noqa: SIM118 - a Row iterates its values
    return _copy(db, "runs", found) if _makes_sense(found) else 0


def _makes_sense(found: dict[str, Value]) -> bool:
    if not all(isinstance(found.get(name), str) and found[name] for name in _NEEDED):
        return False
    try:
        for name in _INSTANTS:
            if found.get(name) is not None:
                from_text(str(found[name]))
    except ValueError:
        return False
    return True
