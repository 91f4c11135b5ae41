"""Stored events and where each still has to arrive. Oldest first: the key grows in the order of commits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.strict_json import encode
from db import Database, Row


@dataclass(frozen=True)
class StoredEvent:
    """An event as stored: `payload` is what the scheduler said, `ts` when (UTC text)."""

    event_id: int
    run_id: str
    job_id: str
    ts: str
    payload: Mapping[str, object]


@dataclass(frozen=True)
class Waiting:
    """How many events have not arrived at a channel, since when, and what the last attempt said."""

    channel: str
    count: int
    oldest_ts: str
    failures: int
    last_error: str


class Events:
    """Rows of `events` and `deliveries`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, run_id: str, job_id: str, ts: str, payload: Mapping[str, object], channels: Sequence[str]) -> None:
        """Stores an event for `channels`; the caller's transaction is the one that makes it true."""
        event_id = self._db.insert(
            "INSERT INTO events (run_id, job_id, ts, payload_json) VALUES (?, ?, ?, ?)",
            (run_id, job_id, ts, encode(payload)),
        )
        if not channels:
            return
        rows = ", ".join(["(?, ?, 'waiting')"] * len(channels))
        values = [value for channel in channels for value in (channel, event_id)]
        self._db.run(f"INSERT INTO deliveries (channel, event_id, state) VALUES {rows}", values)  # noqa: S608 - fixed text

    def waiting(self, channel: str, limit: int) -> list[StoredEvent]:
        """The oldest events that have not arrived at `channel`."""
        # Left to itself SQLite goes through the primary key, past all that has ever arrived.
        rows = self._db.rows(
            "SELECT e.* FROM deliveries d INDEXED BY deliveries_waiting JOIN events e USING (event_id)"
            " WHERE d.channel = ? AND d.state = 'waiting' ORDER BY d.event_id LIMIT ?",
            (channel, limit),
        )
        return [_event(row) for row in rows]

    def settle(self, channel: str, events: Sequence[StoredEvent], state: str, now: str) -> None:
        """Marks events of `channel`, which came from `waiting` in its order, as `delivered` or `not_applicable`."""
        with self._db.transaction("delivered"):
            # Between the first and the last of them nothing else waits: keys grow in the order of commits.
            self._db.run(
                "UPDATE deliveries SET state = ?, settled_at = ?, last_error = NULL"
                " WHERE channel = ? AND event_id BETWEEN ? AND ? AND state = 'waiting'",
                (state, now, channel, events[0].event_id, events[-1].event_id),
            )

    def failed(self, channel: str, event: StoredEvent, error: str) -> None:
        """Counts a failed delivery on the event that stands first in line."""
        self._db.run(
            "UPDATE deliveries SET failures = failures + 1, last_error = ? WHERE channel = ? AND event_id = ?",
            (error, channel, event.event_id),
        )

    def waiting_summary(self) -> list[Waiting]:
        """One entry a channel that has waiting events."""
        found = []
        for row in self._db.rows(
            "SELECT channel, count(*) AS n, min(event_id) AS oldest FROM deliveries WHERE state = 'waiting'"
            " GROUP BY channel"
        ):
            first = self._db.row(
                "SELECT e.ts, d.failures, d.last_error FROM deliveries d JOIN events e USING (event_id)"
                " WHERE d.channel = ? AND d.event_id = ?",
                (row["channel"], row["oldest"]),
            )
            if first is not None:
                found.append(
                    Waiting(row["channel"], row["n"], first["ts"], first["failures"], first["last_error"] or "")
                )
        return found

    def recent(self, limit: int, *, job_id: str = "", run_id: str = "") -> list[StoredEvent]:
        """The newest events, oldest of them first; of one job or one run if named."""
        where, values = "", []
        if run_id:
            where, values = "WHERE run_id = ?", [run_id]
        elif job_id:
            where, values = "WHERE job_id = ?", [job_id]
        rows = self._db.rows(f"SELECT * FROM events {where} ORDER BY event_id DESC LIMIT ?", (*values, limit))  # noqa: S608 - fixed texts
        return [_event(row) for row in reversed(rows)]


def _event(row: Row) -> StoredEvent:
    try:
        payload = json.loads(row["payload_json"])
        if not isinstance(payload, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        # Changed by hand: what is left of it is told, so that it does not hold up those behind it.
        payload = _unreadable(row, str(error))
    return StoredEvent(row["event_id"], row["run_id"], row["job_id"], row["ts"], payload)


def _unreadable(row: Row, reason: str) -> dict[str, object]:
    error = {"code": "EVENT_UNREADABLE", "message": f"The stored event can't be read: {reason}", "details": {}}
    return {"job_id": row["job_id"], "run_id": row["run_id"], "attempts": 0, "error": error}
