"""Events, and their delivery to each channel. Oldest first: the key grows in the order of commits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.strict_json import encode
from db import Database, Row


@dataclass(frozen=True)
class StoredEvent:
    """A stored event: its `payload` from the scheduler, and when it was stored (`ts`, UTC text)."""

    event_id: int
    run_id: str
    job_id: str
    ts: str
    payload: Mapping[str, object]


@dataclass(frozen=True)
class Undelivered:
    """The undelivered events of a channel: their number, the oldest, and the error of the last attempt."""

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
        """Stores an event for `channels`, in the transaction that stores what it reports.

        It gets the zone of its job, so that whoever tells it to people can give the time as they know it.
        """
        zone = self._db.row("SELECT timezone FROM jobs WHERE job_id = ?", (job_id,))
        payload = payload if zone is None else {**payload, "timezone": zone["timezone"]}
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
        """The oldest `limit` events that are not delivered to `channel`."""
        # Without INDEXED BY, SQLite scans the primary key, past all delivered events.
        rows = self._db.rows(
            "SELECT e.* FROM deliveries d INDEXED BY deliveries_waiting JOIN events e USING (event_id)"
            " WHERE d.channel = ? AND d.state = 'waiting' ORDER BY d.event_id LIMIT ?",
            (channel, limit),
        )
        return [_event(row) for row in rows]

    def settle(self, channel: str, events: Sequence[StoredEvent], state: str, now: str) -> None:
        """Marks events, as returned by `waiting`, as `delivered` or `not_applicable`. `now` is UTC text."""
        with self._db.transaction("delivered"):
            # No other event waits between the first and the last, because keys grow in the order of commits.
            self._db.run(
                "UPDATE deliveries SET state = ?, settled_at = ?, last_error = NULL"
                " WHERE channel = ? AND event_id BETWEEN ? AND ? AND state = 'waiting'",
                (state, now, channel, events[0].event_id, events[-1].event_id),
            )

    def failed(self, channel: str, event: StoredEvent, error: str) -> None:
        """Counts a failed delivery of the oldest waiting event."""
        self._db.run(
            "UPDATE deliveries SET failures = failures + 1, last_error = ? WHERE channel = ? AND event_id = ?",
            (error, channel, event.event_id),
        )

    def undelivered_summary(self) -> list[Undelivered]:
        """One entry for each channel with undelivered events."""
        summary = []
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
                summary.append(
                    Undelivered(row["channel"], row["n"], first["ts"], first["failures"], first["last_error"] or "")
                )
        return summary

    def recent(self, limit: int, *, job_id: str = "", run_id: str = "") -> list[StoredEvent]:
        """The newest `limit` events, of one job or one run if named, the oldest of them first."""
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
            raise ValueError("it is not an object")
    except ValueError as error:
        # Changed by hand: it is delivered as an error, so that it does not block the events after it.
        payload = _unreadable(row, str(error))
    return StoredEvent(row["event_id"], row["run_id"], row["job_id"], row["ts"], payload)


def _unreadable(row: Row, reason: str) -> dict[str, object]:
    error = {"code": "EVENT_UNREADABLE", "message": f"The stored event can't be read: {reason}", "details": {}}
    return {"job_id": row["job_id"], "run_id": row["run_id"], "attempts": 0, "error": error}
