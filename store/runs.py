"""The ledger of runs: what a run notes while it lives, its verdict, and reading it. Claims stand in `claims.py`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from core.clock import utc_text
from core.errors import LeaseLost
from core.invocation import Usage
from core.job import Job
from core.run import ClaimedRun, ProcessId, Verdict
from core.strict_json import encode
from db import Database, Row
from store import spending
from store.events import Events
from store.pauses import Pauses, Slots
from store.sessions import remember


@dataclass(frozen=True)
class RunningRun:
    """A run that the ledger says is running; `owner` is the process that holds its lease."""

    run_id: str
    job_id: str
    token: str
    lease_owner: str
    lease_expires_at: str
    ceiling: float | None
    started_at: str
    attempt: int
    owner: ProcessId
    child: ProcessId | None
    output_dir: str
    notify_channel: str
    retry_of: str


class Unattended(NamedTuple):
    """A running row that this process does not see to; `lease` is when its lease is over, as UTC text.

    `is_ours`: this process owns it, and has given it up.
    """

    run_id: str
    job_id: str
    lease: str
    owner: ProcessId
    is_ours: bool


class Runs:
    """Rows of `runs`. Whatever a run writes of itself is guarded by its token."""

    def __init__(self, db: Database, slots: Slots | None = None) -> None:
        self._db = db
        self._events = Events(db)
        self._pauses = Pauses(db, self._events, slots)

    def note_child(self, run: ClaimedRun, child: ProcessId, output_dir: str) -> None:
        """Keeps which process runs the present attempt. Raises `LeaseLost`."""
        changed = self._db.run(
            "UPDATE runs SET child_pid = ?, child_started = ?, output_dir = ?"
            " WHERE run_id = ? AND lease_token = ? AND status = 'running'",
            (child.pid, child.started, output_dir, run.run_id, run.token),
        )
        _mine(changed, run)

    def renew(self, run: ClaimedRun, until: datetime) -> None:
        """Moves the lease's end. Raises `LeaseLost` when somebody has settled the run."""
        with self._db.transaction("renewal"):
            changed = self._db.run(
                "UPDATE runs SET lease_expires_at = ? WHERE run_id = ? AND lease_token = ? AND status = 'running'",
                (utc_text(until), run.run_id, run.token),
            )
            _mine(changed, run)
            self._db.run("UPDATE jobs SET lease_expires_at = ? WHERE job_id = ?", (utc_text(until), run.job.job_id))

    def cancel_asked_by(self, run: ClaimedRun) -> str:
        """Who asked for the run's end (host:pid), or "". Raises `LeaseLost` when somebody has settled the run."""
        row = self._db.row(
            "SELECT coalesce(cancel_requested_by, '') FROM runs"
            " WHERE run_id = ? AND lease_token = ? AND status = 'running'",
            (run.run_id, run.token),
        )
        _mine(0 if row is None else 1, run)
        return "" if row is None else str(row[0])

    def request_cancel(self, run_id: str, by: str, now: str) -> bool:
        """Notes who wants a running run to end; the run's own process sees it. False when it does not run any more."""
        changed = self._db.run(
            "UPDATE runs SET cancel_requested_at = ?, cancel_requested_by = ? WHERE run_id = ? AND status = 'running'",
            (now, by, run_id),
        )
        return changed == 1

    def begin_wait(self, run: ClaimedRun) -> None:
        """Between two attempts: the run keeps its lease and gives up its place under the cap."""
        changed = self._db.run(
            "UPDATE runs SET waiting = 1, child_pid = NULL, child_started = NULL"
            " WHERE run_id = ? AND lease_token = ? AND status = 'running'",
            (run.run_id, run.token),
        )
        _mine(changed, run)

    def end_wait(self, run: ClaimedRun, attempt: int, max_running: int) -> bool:
        """Takes a place again for the next attempt; False when all are taken. Raises `LeaseLost`."""
        with self._db.transaction("place"):
            if permits_in_use(self._db) >= max_running:
                return False
            changed = self._db.run(
                "UPDATE runs SET waiting = 0, attempt = ? WHERE run_id = ? AND lease_token = ? AND status = 'running'",
                (attempt, run.run_id, run.token),
            )
            _mine(changed, run)
        return True

    def spend(self, run: ClaimedRun, day: str, usage: Usage) -> None:
        """Adds what a call has used to the run and to the job's day. Raises `LeaseLost`."""
        with self._db.transaction("spending"):
            found = self._db.row(
                "SELECT 1 FROM runs WHERE run_id = ? AND lease_token = ? AND status = 'running'",
                (run.run_id, run.token),
            )
            _mine(0 if found is None else 1, run)
            spending.add(self._db, run.run_id, run.job.job_id, day, usage)

    def spent(self, job_id: str, day: str) -> float:
        """Dollars that the job's runs have cost on that local day."""
        return spending.Spending(self._db).spent(job_id, day)

    def finish(self, run_id: str, token: str, verdict: Verdict, channels: Sequence[str]) -> None:
        """The verdict, the lease's release and the event, in one transaction. Raises `LeaseLost`.

        Also raises `DatabaseReplaced`: a verdict in a file that nobody finds again is none.
        """
        self._db.require_in_place()
        with self._db.transaction("verdict"):
            ended = self._db.row(
                "UPDATE runs SET status = ?, finished_at = ?, duration_ms = ?, result_json = ?, error_json = ?,"
                " exit_code = ?, retry_due = ?, output_bytes = ?, runner = ?, session_id = ?, iterations = ?,"
                " lease_owner = NULL, lease_expires_at = NULL, lease_token = NULL, waiting = 0"
                " WHERE run_id = ? AND lease_token = ? AND status = 'running' RETURNING job_id",
                (
                    verdict.status,
                    utc_text(verdict.finished_at),
                    verdict.duration_ms,
                    _json(verdict.result),
                    _json(verdict.error),
                    verdict.exit_code,
                    int(verdict.retry),
                    verdict.output_bytes,
                    verdict.runner or None,
                    verdict.session_id or None,
                    verdict.iterations,
                    run_id,
                    token,
                ),
            )
            if ended is None:
                raise LeaseLost(f"The run {run_id} is no longer ours")
            job_id = str(ended["job_id"])
            self._pauses.release(job_id, verdict)
            if verdict.event is not None:
                self._events.add(run_id, job_id, utc_text(verdict.finished_at), verdict.event, channels)
            if verdict.spent is not None:
                spending.add(self._db, run_id, job_id, *verdict.spent)
            if verdict.session is not None:
                remember(self._db, verdict.session)
            self._pauses.count(run_id, job_id, verdict, channels)

    def running(self) -> list[RunningRun]:
        """All runs that are running, with their owners."""
        rows = self._db.rows(
            "SELECT r.*, coalesce(j.notify_channel, ?) AS notify_channel FROM runs r"
            " LEFT JOIN jobs j ON j.job_id = r.job_id WHERE r.status = 'running'",
            (Job.notify_channel,),
        )
        return [_running(row) for row in rows]

    def unattended(self, me: ProcessId, running_ids: Collection[str]) -> list[Unattended]:
        """The running rows that other processes own, and those of this one that are not among `going`."""
        rows = self._db.rows(
            "SELECT run_id, job_id, coalesce(lease_expires_at, ''), owner_pid, owner_started, boot_id FROM runs"
            " WHERE status = 'running' ORDER BY run_id"
        )
        owned = [(row, ProcessId(row[3], row[4], row[5])) for row in rows]
        found = [Unattended(row[0], row[1], row[2], owner, owner == me) for row, owner in owned]
        return [one for one in found if not (one.is_ours and one.run_id in running_ids)]

    def retries_due(self) -> list[tuple[str, str, str]]:
        """`(started_at, job_id, run_id)` of the interrupted runs that are to be made up for, oldest first."""
        rows = self._db.rows("SELECT started_at, job_id, run_id FROM runs WHERE retry_due = 1 ORDER BY 1, 2, 3")
        return [(row["started_at"], row["job_id"], row["run_id"]) for row in rows]

    def running_now(self) -> list[dict[str, object]]:
        """The running rows for people: run, job, slot, attempt, since when, and who holds it until when."""
        rows = self._db.rows(
            "SELECT run_id, job_id, started_at, scheduled_for, trigger, attempt, waiting, child_pid, lease_owner,"
            " lease_expires_at FROM runs WHERE status = 'running' ORDER BY +started_at, run_id"
        )
        return [{**dict(row), "waiting": bool(row["waiting"])} for row in rows]

    def is_running(self, job_id: str) -> bool:
        """Whether the ledger has a running row of this job."""
        return self._db.row("SELECT 1 FROM runs WHERE job_id = ? AND status = 'running'", (job_id,)) is not None

    def recent(self, limit: int) -> list[dict[str, object]]:
        """The newest runs with the five columns of the contract, newest first."""
        rows = self._db.rows(
            "SELECT run_id, job_id, started_at, finished_at, status FROM runs"
            " ORDER BY started_at DESC, run_id DESC LIMIT ?",
            (limit,),
        )
        return [dict(row) for row in rows]

    def find(self, run_id: str) -> dict[str, object] | None:
        """One run with all its columns; the two JSON ones parsed, the token left out."""
        row = self._db.row("SELECT * FROM runs WHERE run_id = ?", (run_id,))
        if row is None:
            return None
        found: dict[str, object] = dict(row)
        del found["lease_token"]
        found["waiting"] = bool(found["waiting"])
        for name in ("result", "error"):
            text = found.pop(f"{name}_json")
            found[name] = json.loads(text) if isinstance(text, str) else None
        return found


#: How many runs hold a place under the cap. Each claim asks: both counts are of an index alone, and the second is
#: nearly always of nothing.
PERMITS = (
    "(SELECT count(*) FROM runs WHERE status = 'running')"
    " - (SELECT count(*) FROM runs WHERE waiting = 1 AND +status = 'running')"
)


def permits_in_use(db: Database) -> int:
    """How many runs hold a place under the cap."""
    row = db.row(f"SELECT {PERMITS}")
    return int(row[0]) if row is not None else 0


def _mine(changed: int, run: ClaimedRun) -> None:
    if changed != 1:
        raise LeaseLost(f"The run {run.run_id} of job {run.job.job_id} is no longer ours")


def _json(value: Mapping[str, object] | None) -> str | None:
    return None if value is None else encode(value)


def _process(pid: int | None, started: str | None, boot_id: str | None) -> ProcessId | None:
    return None if pid is None else ProcessId(pid, started or "", boot_id or "")


def _running(row: Row) -> RunningRun:
    return RunningRun(
        run_id=row["run_id"],
        job_id=row["job_id"],
        token=row["lease_token"] or "",
        lease_owner=row["lease_owner"] or "",
        lease_expires_at=row["lease_expires_at"] or "",
        ceiling=row["ceiling_monotonic"],
        started_at=row["started_at"],
        attempt=row["attempt"],
        owner=_process(row["owner_pid"], row["owner_started"], row["boot_id"]) or ProcessId(0, "", ""),
        child=_process(row["child_pid"], row["child_started"], row["boot_id"]),
        output_dir=row["output_dir"] or "",
        notify_channel=row["notify_channel"],
        retry_of=row["retry_of"] or "",
    )
