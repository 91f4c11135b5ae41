"""Copies the readable rows of a damaged database into a new one, so that no slot is lost or runs twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from core.clock import from_text
from core.errors import DatabaseError
from db import Connection, Database, Row, Translated, Value, bare

#: The columns without which a row is useless.
_NEEDED = ("run_id", "job_id", "started_at", "status", "target", "trigger")
_INSTANTS = ("started_at", "finished_at", "scheduled_for", "lease_expires_at")


def salvage_runs(damaged: str, db: Database) -> int:
    """Copies the readable runs of the file `damaged` into `db`, and returns their number.

    The table is read from both ends up to the damaged pages. Each row is checked: its instants here, its types, checks
    and keys by the new table. Running rows are copied as they are; the next tick settles them.
    """
    columns = [str(row["name"]) for row in db.rows("SELECT name FROM pragma_table_info('runs')")]

    def copy(connection: Connection) -> int:
        return sum(_copy_run(db, row, columns) for row in _readable(connection, damaged))

    return _in_one_transaction(damaged, db, copy)


def salvage_events(damaged: str, db: Database) -> int:
    """Copies the readable events and their deliveries, and returns the number of events.

    Undelivered events stay undelivered. An event without a readable delivery is copied, but not sent again.
    """

    def copy(connection: Connection) -> int:
        events = [row for row in _readable(connection, damaged, "events", "rowid") if _is_event(row)]
        count = sum(_copy(db, "events", dict(row)) for row in events)
        for row in _readable(connection, damaged, "deliveries", "event_id"):
            _copy(db, "deliveries", dict(row))
        return count

    return _in_one_transaction(damaged, db, copy)


def _in_one_transaction(damaged: str, db: Database, copy: Callable[[Connection], int]) -> int:
    """What `copy` returns; 0 if the damaged file can't be opened."""
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
    """1 if the row was copied, 0 if the types, keys or checks of the new table refuse it."""
    marks = ", ".join("?" * len(values))
    try:
        # The names are columns of our own tables.
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
            # A damaged page: the rows after it are read from the other end.
            continue


def _copy_run(db: Database, row: Row, columns: list[str]) -> int:
    values: dict[str, Value] = {name: row[name] for name in row.keys() if name in columns}  # noqa: SIM118 - a Row iterates its values
    return _copy(db, "runs", values) if _is_plausible(values) else 0


def _is_plausible(values: dict[str, Value]) -> bool:
    if not all(isinstance(values.get(name), str) and values[name] for name in _NEEDED):
        return False
    try:
        for name in _INSTANTS:
            if values.get(name) is not None:
                from_text(str(values[name]))
    except ValueError:
        return False
    return True
