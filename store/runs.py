"""The ledger of runs: what is stored while a run is running, its verdict, and queries. Claims are in `claims.py`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypedDict, cast

from core.clock import utc_text
from core.errors import LeaseLost
from core.invocation import Usage
from core.job import Job
from core.run import ClaimedRun, ProcessId, Verdict
from core.strict_json import encode
from db import Database, Row
from store import spending
from store.events import Events
from store.pauses import Pauses, SlotCalendar
from store.sessions import remember


@dataclass(frozen=True)
class RunningRun:
    """A run with status running. `owner` is the process that holds its lease."""

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


class RunningNow(TypedDict):
    """A running run, as `status` prints it. Instants are UTC text. `waiting`: it waits for its next attempt."""

    run_id: str
    job_id: str
    started_at: str
    scheduled_for: str | None
    trigger: str
    attempt: int
    waiting: bool
    child_pid: int | None
    lease_owner: str | None
    lease_expires_at: str | None


class RecentRun(TypedDict):
    """A run, as `status` prints it under `recent_runs`. Source: docs/contract.md "Commands"."""

    run_id: str
    job_id: str
    started_at: str
    finished_at: str | None
    status: str


class RunRow(TypedDict):
    """A row of `runs`, as `show` prints it: all columns but the token, with result and error as objects.

    Instants are UTC text; `ceiling_monotonic` is in seconds of the monotonic clock. Columns are described in `sql/`.
    """

    run_id: str
    job_id: str
    started_at: str
    finished_at: str | None
    status: str
    target: str
    scheduled_for: str | None
    trigger: str
    attempt: int
    slots: int
    waiting: bool
    lease_owner: str | None
    lease_expires_at: str | None
    ceiling_monotonic: float | None
    owner_pid: int | None
    owner_started: str | None
    boot_id: str | None
    child_pid: int | None
    child_started: str | None
    exit_code: int | None
    duration_ms: int | None
    output_dir: str | None
    output_bytes: int | None
    retry_of: str | None
    retry_due: int
    cancel_requested_at: str | None
    cancel_requested_by: str | None
    runner: str | None
    session_id: str | None
    iterations: int | None
    cost_usd: float | None
    turns: int | None
    input_tokens: int | None
    output_tokens: int | None
    result: Mapping[str, object] | None
    error: Mapping[str, object] | None


class OrphanCandidate(NamedTuple):
    """A running row that this process does not supervise; `lease` is the end of its lease, as UTC text.

    `is_ours`: this process owns it, but has given up on it.
    """

    run_id: str
    job_id: str
    lease: str
    owner: ProcessId
    is_ours: bool


class Runs:
    """Rows of `runs`. All that a run writes about itself is guarded by its token."""

    def __init__(self, db: Database, slots: SlotCalendar | None = None) -> None:
        self._db = db
        self._events = Events(db)
        self._pauses = Pauses(db, self._events, slots)

    def record_child(self, run: ClaimedRun, child: ProcessId, output_dir: str) -> None:
        """Stores the process of the current attempt. Raises `LeaseLost`."""
        changed = self._db.run(
            "UPDATE runs SET child_pid = ?, child_started = ?, output_dir = ?"
            " WHERE run_id = ? AND lease_token = ? AND status = 'running'",
            (child.pid, child.started, output_dir, run.run_id, run.token),
        )
        _require_ours(changed, run)

    def renew(self, run: ClaimedRun, until: datetime) -> None:
        """Extends the lease. Raises `LeaseLost` if another process has settled the run."""
        with self._db.transaction("renewal"):
            changed = self._db.run(
                "UPDATE runs SET lease_expires_at = ? WHERE run_id = ? AND lease_token = ? AND status = 'running'",
                (utc_text(until), run.run_id, run.token),
            )
            _require_ours(changed, run)
            self._db.run("UPDATE jobs SET lease_expires_at = ? WHERE job_id = ?", (utc_text(until), run.job.job_id))

    def cancel_requested_by(self, run: ClaimedRun) -> str:
        """The process (host:pid) that requested the cancellation of the run, or "". Raises `LeaseLost`."""
        row = self._db.row(
            "SELECT coalesce(cancel_requested_by, '') FROM runs"
            " WHERE run_id = ? AND lease_token = ? AND status = 'running'",
            (run.run_id, run.token),
        )
        _require_ours(0 if row is None else 1, run)
        return "" if row is None else str(row[0])

    def request_cancel(self, run_id: str, by: str, now: str) -> bool:
        """Requests the cancellation of a run; its process reads the request. False if it is no longer running."""
        changed = self._db.run(
            "UPDATE runs SET cancel_requested_at = ?, cancel_requested_by = ? WHERE run_id = ? AND status = 'running'",
            (now, by, run_id),
        )
        return changed == 1

    def release_permit(self, run: ClaimedRun) -> None:
        """Between two attempts: the run keeps its lease, but releases its permit. Raises `LeaseLost`."""
        changed = self._db.run(
            "UPDATE runs SET waiting = 1, child_pid = NULL, child_started = NULL"
            " WHERE run_id = ? AND lease_token = ? AND status = 'running'",
            (run.run_id, run.token),
        )
        _require_ours(changed, run)

    def take_permit(self, run: ClaimedRun, attempt: int, max_running: int) -> bool:
        """Takes a permit for the next attempt. False if `max_running` permits are in use. Raises `LeaseLost`."""
        with self._db.transaction("permit"):
            if permits_in_use(self._db) >= max_running:
                return False
            changed = self._db.run(
                "UPDATE runs SET waiting = 0, attempt = ? WHERE run_id = ? AND lease_token = ? AND status = 'running'",
                (attempt, run.run_id, run.token),
            )
            _require_ours(changed, run)
        return True

    def spend(self, run: ClaimedRun, day: str, usage: Usage) -> None:
        """Adds the usage of a call to the run and to the job's day. Raises `LeaseLost`."""
        with self._db.transaction("spending"):
            row = self._db.row(
                "SELECT 1 FROM runs WHERE run_id = ? AND lease_token = ? AND status = 'running'",
                (run.run_id, run.token),
            )
            _require_ours(0 if row is None else 1, run)
            spending.add(self._db, run.run_id, run.job.job_id, day, usage)

    def spent(self, job_id: str, day: str) -> float:
        """US dollars that the job's runs have cost on this local day."""
        return spending.Spending(self._db).spent(job_id, day)

    def finish(self, run_id: str, token: str, verdict: Verdict, channels: Sequence[str]) -> None:
        """Stores the verdict and the event, and releases the lease, in one transaction. Raises `LeaseLost`.

        Raises `DatabaseReplaced` if the file was replaced: the verdict would be lost with it.
        """
        self._db.require_in_place()
        with self._db.transaction("verdict"):
            ended = self._db.row(
                "UPDATE runs SET status = ?, finished_at = ?, duration_ms = ?, result_json = ?, error_json = ?,"
                " exit_code = ?, retry_due = ?, output_bytes = ?, runner = ?, session_id = ?, iterations = ?,"
                " prompt_sha256 = ?,"
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
                    verdict.prompt_sha256,
                    run_id,
                    token,
                ),
            )
            if ended is None:
                raise LeaseLost(f"The run {run_id} was settled by another process")
            job_id = str(ended["job_id"])
            self._pauses.release(job_id, verdict)
            if verdict.event is not None:
                self._events.add(run_id, job_id, utc_text(verdict.finished_at), verdict.event, channels)
            if verdict.spent is not None:
                spending.add(self._db, run_id, job_id, *verdict.spent)
            if verdict.session is not None:
                remember(self._db, verdict.session)
            self._pauses.pause_if_needed(run_id, job_id, verdict, channels)

    def running(self) -> list[RunningRun]:
        """All running runs, with their owners."""
        rows = self._db.rows(
            "SELECT r.*, coalesce(j.notify_channel, ?) AS notify_channel FROM runs r"
            " LEFT JOIN jobs j ON j.job_id = r.job_id WHERE r.status = 'running'",
            (Job.notify_channel,),
        )
        return [_running(row) for row in rows]

    def orphan_candidates(self, me: ProcessId, running_ids: Collection[str]) -> list[OrphanCandidate]:
        """The running rows of other processes, and those of this process that are not in `running_ids`."""
        rows = self._db.rows(
            "SELECT run_id, job_id, coalesce(lease_expires_at, ''), owner_pid, owner_started, boot_id FROM runs"
            " WHERE status = 'running' ORDER BY run_id"
        )
        owned = [(row, ProcessId(row[3], row[4], row[5])) for row in rows]
        candidates = [OrphanCandidate(row[0], row[1], row[2], owner, owner == me) for row, owner in owned]
        return [run for run in candidates if not (run.is_ours and run.run_id in running_ids)]

    def retries_due(self) -> list[tuple[str, str, str]]:
        """`(started_at, job_id, run_id)` of the interrupted runs that are to be retried, the oldest first."""
        rows = self._db.rows("SELECT started_at, job_id, run_id FROM runs WHERE retry_due = 1 ORDER BY 1, 2, 3")
        return [(row["started_at"], row["job_id"], row["run_id"]) for row in rows]

    def running_now(self) -> list[RunningNow]:
        """The running runs, for people."""
        rows = self._db.rows(
            "SELECT run_id, job_id, started_at, scheduled_for, trigger, attempt, waiting, child_pid, lease_owner,"
            " lease_expires_at FROM runs WHERE status = 'running' ORDER BY +started_at, run_id"
        )
        return [cast("RunningNow", {**dict(row), "waiting": bool(row["waiting"])}) for row in rows]

    def is_running(self, job_id: str) -> bool:
        """Whether a run of this job is running."""
        return self._db.row("SELECT 1 FROM runs WHERE job_id = ? AND status = 'running'", (job_id,)) is not None

    def recent(self, limit: int) -> list[RecentRun]:
        """The newest runs, the newest first."""
        rows = self._db.rows(
            "SELECT run_id, job_id, started_at, finished_at, status FROM runs"
            " ORDER BY started_at DESC, run_id DESC LIMIT ?",
            (limit,),
        )
        return [cast("RecentRun", dict(row)) for row in rows]

    def find(self, run_id: str) -> RunRow | None:
        """One run with all its columns but the token; None if there is none."""
        row = self._db.row("SELECT * FROM runs WHERE run_id = ?", (run_id,))
        if row is None:
            return None
        columns: dict[str, object] = dict(row)
        del columns["lease_token"]
        columns["waiting"] = bool(columns["waiting"])
        for name in ("result", "error"):
            text = columns.pop(f"{name}_json")
            columns[name] = json.loads(text) if isinstance(text, str) else None
        return cast("RunRow", columns)


#: The number of permits in use. Every claim needs it: both counts read only an index, and the
#: second is nearly always 0.
PERMITS = (
    "(SELECT count(*) FROM runs WHERE status = 'running')"
    " - (SELECT count(*) FROM runs WHERE waiting = 1 AND +status = 'running')"
)


def permits_in_use(db: Database) -> int:
    """The number of runs that hold a permit under PURUTO_CRON_MAX_RUNNING."""
    row = db.row(f"SELECT {PERMITS}")
    return int(row[0]) if row is not None else 0


def _require_ours(changed: int, run: ClaimedRun) -> None:
    if changed != 1:
        raise LeaseLost(f"The run {run.run_id} of job {run.job.job_id} was settled by another process")


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
