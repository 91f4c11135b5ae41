"""Keeps what a connection still sees of a log that was removed, and puts it back into the database that is left.

Source: docs/files.md "db/cron.db".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from core.clock import utc_text
from db import Database, Value

#: A checkpoint comes after a thousand pages, so no more than this can be missing.
_MOST_RUNS = 5_000
_MOST_AGE = timedelta(days=1)
_Rows = list[dict[str, Value]]


@dataclass
class Rescued:
    """Rows of the last day: runs, and the events of each with their deliveries."""

    runs: _Rows = field(default_factory=list)
    events: dict[Value, list[tuple[dict[str, Value], _Rows]]] = field(default_factory=dict)


@dataclass(frozen=True)
class PutBack:
    """The runs whose rows were put back, and those for which there was no room: another run has their slot."""

    restored: list[str]
    lost: list[str]


def rescue(db: Database, now: datetime) -> Rescued:
    """What the connection sees of the newest runs. Raises `DatabaseError`."""
    found = Rescued()
    since = utc_text(now - _MOST_AGE)
    found.runs = [
        dict(row)
        for row in db.rows(
            "SELECT * FROM runs WHERE started_at >= ? ORDER BY started_at DESC, run_id DESC LIMIT ?",
            (since, _MOST_RUNS),
        )
    ]
    for run in found.runs:
        events = [dict(row) for row in db.rows("SELECT * FROM events WHERE run_id = ?", (run["run_id"],))]
        found.events[run["run_id"]] = [
            (event, [dict(row) for row in db.rows(_DELIVERIES, (event["event_id"],))]) for event in events
        ]
    return found


_DELIVERIES = "SELECT channel, state, settled_at, failures, last_error FROM deliveries WHERE event_id = ?"


def put_back(db: Database, rescued: Rescued) -> PutBack:
    """Stores the rows that are missing, and the ends of runs that count as running, in one transaction."""
    restored, lost = [], []
    with db.transaction("salvage"):
        for run in reversed(rescued.runs):
            there = db.row("SELECT status, scheduled_for, owner_pid FROM runs WHERE run_id = ?", (run["run_id"],))
            if there is not None and (there[1], there[2]) != (run["scheduled_for"], run["owner_pid"]):
                # Who did not see this row has given its name to another run of the same second.
                lost.append(str(run["run_id"]))
                continue
            if there is not None and (there["status"] != "running" or run["status"] == "running"):
                continue
            if there is not None:
                _update(db, run)
            elif not _insert(db, "runs", run):
                lost.append(str(run["run_id"]))
                continue
            restored.append(str(run["run_id"]))
            if db.row("SELECT 1 FROM events WHERE run_id = ?", (run["run_id"],)) is None:
                _put_events(db, rescued.events.get(run["run_id"], []))
    return PutBack(restored, lost)


def _update(db: Database, run: dict[str, Value]) -> None:
    names = ", ".join(f"{name} = ?" for name in run)
    db.run(f"UPDATE runs SET {names} WHERE run_id = ?", [*run.values(), run["run_id"]])  # noqa: S608 - our own columns


def _put_events(db: Database, events: list[tuple[dict[str, Value], _Rows]]) -> None:
    for event, deliveries in events:
        values = [event[name] for name in ("run_id", "job_id", "ts", "payload_json")]
        key = db.insert("INSERT INTO events (run_id, job_id, ts, payload_json) VALUES (?, ?, ?, ?)", values)
        for delivery in deliveries:
            _insert(db, "deliveries", {**delivery, "event_id": key})


def _insert(db: Database, table: str, values: dict[str, Value]) -> bool:
    marks = ", ".join("?" * len(values))
    return db.insert_new(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))  # noqa: S608
