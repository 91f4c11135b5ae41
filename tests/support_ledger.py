"""Checks that the ledger is correct after any number of crashes, once ticks have nothing left to do.

What was started is taken from what the targets themselves wrote: `LEDGER_TARGET` leaves a line for each start, before
it does anything else.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.workspace import Workspace

TARGET = "puruto-target"
#: One line for each start, written at once: run id, slot, attempt, pid.
LEDGER_TARGET = (
    'echo "$PURUTO_CRON_RUN_ID ${PURUTO_CRON_SLOT:--} $PURUTO_CRON_ATTEMPT $$" >> starts.log; '
)  # fmt: skip
PAST = "2020-01-01T00:00:00+00:00"
#: These ends are told; `skipped` never is, `missed` only where no newer slot ran in its place.
TOLD = ("ok", "error", "cancelled", "interrupted")


def settle_all(workspace: Workspace, *, ticks: int = 20) -> None:
    """Lets the leases of dead schedulers run out, as time would, and ticks until nothing is left to do."""
    for _ in range(ticks):
        # A living scheduler keeps its run: an expired lease alone changes nothing.
        workspace.sql("UPDATE runs SET lease_expires_at = ? WHERE status = 'running'", (PAST,))
        report = workspace.json("tick")
        busy = [report[key] for key in ("due_jobs", "results", "settled", "left_due", "problems", "written_off")]
        if not any(busy) and not report["events"]["waiting"] and not running(workspace):
            return
    raise AssertionError(f"still not quiet after {ticks} ticks: {report}")


def running(workspace: Workspace) -> list[dict[str, Any]]:
    """The rows with status running."""
    return workspace.sql("SELECT * FROM runs WHERE status = 'running'")


def check(workspace: Workspace, *, since: dict[str, datetime] | None = None) -> None:
    """Asserts everything. `since` is the first cursor of the jobs with the schedule `* * * * *`."""
    rows = workspace.runs()
    every_row_has_an_end(rows)
    no_slot_starts_twice(workspace, rows)
    every_end_is_told_once(workspace, rows)
    nothing_lives(workspace)
    no_job_is_stuck(workspace)
    for job_id, first in (since or {}).items():
        every_minute_is_accounted_for(workspace, job_id, first)


def every_row_has_an_end(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["status"] != "running", row
        assert row["finished_at"], row
        assert (row["lease_owner"], row["lease_token"], row["waiting"], row["retry_due"]) == (None, None, 0, 0), row
        assert (row["result_json"] is None) != (row["error_json"] is None), row


def no_slot_starts_twice(workspace: Workspace, rows: list[dict[str, Any]]) -> None:
    path = workspace.home / TARGET / "starts.log"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    assert all(len(line) == 4 for line in lines), "each line is whole"
    attempts = Counter((line[0], line[2]) for line in lines)
    assert [attempt for attempt, count in attempts.items() if count > 1] == [], "an attempt started twice"
    known = {row["run_id"]: row for row in rows}
    assert sorted({line[0] for line in lines} - set(known)) == [], "a start without a row"
    slots: dict[tuple[str, str], set[str]] = {}
    for run_id, slot, _attempt, _pid in lines:
        row = known[run_id]
        if row["scheduled_for"] is not None:
            assert slot == row["scheduled_for"], row
            slots.setdefault((row["job_id"], slot), set()).add(run_id)
    assert [slot for slot, runs in slots.items() if len(runs) > 1] == [], "a slot started twice"
    keys = Counter((row["job_id"], row["scheduled_for"]) for row in rows if row["scheduled_for"] is not None)
    assert [key for key, count in keys.items() if count > 1] == [], "a slot with two rows"
    for row in rows:
        if row["status"] == "ok":
            assert attempts[(row["run_id"], str(row["attempt"]))] == 1, ("ok, and nothing started", row)


def every_end_is_told_once(workspace: Workspace, rows: list[dict[str, Any]]) -> None:
    wanted = {row["run_id"] for row in rows if row["status"] in TOLD}
    wanted |= {
        row["run_id"]
        for row in rows
        if row["status"] == "missed" and not json.loads(row["error_json"])["details"]["made_up"]
    }
    stored = [row["run_id"] for row in workspace.sql("SELECT run_id FROM events ORDER BY event_id")]
    told = [event["run_id"] for event in workspace.events()]
    assert Counter(stored) == Counter(wanted), "each end has one event"
    assert told == stored, "events.jsonl has each once, in their order"
    mirror = workspace.home / "puruto-telegram" / "inbox" / "cron-events.jsonl"
    if mirror.parent.parent.is_dir():
        text = mirror.read_text(encoding="utf-8") if mirror.exists() else ""
        quiet = {job["job_id"] for job in workspace.sql("SELECT job_id FROM jobs WHERE notify_channel = 'none'")}
        events = workspace.sql("SELECT run_id, job_id FROM events ORDER BY event_id")
        loud = [event["run_id"] for event in events if event["job_id"] not in quiet]
        assert [json.loads(line)["run_id"] for line in text.splitlines()] == loud, "and so has the mirror"
    statuses = {row["run_id"]: row["status"] for row in rows}
    for event in workspace.events():
        assert ("result" in event) == (statuses[event["run_id"]] == "ok"), event


def nothing_lives(workspace: Workspace) -> None:
    left = marked_processes(workspace)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert left == [], "processes of ended runs live"


def marked_processes(workspace: Workspace) -> list[int]:
    """The living processes with the marks of any run of this workspace."""
    mark = f"PURUTO_CRON_RUN_FOLDER={workspace.root / 'runs'}/".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
            if mark in (entry / "environ").read_bytes() and state not in (b"Z", b"X"):
                found.append(int(entry.name))
    return found


def no_job_is_stuck(workspace: Workspace) -> None:
    for job in workspace.sql("SELECT * FROM jobs WHERE removed_at IS NULL"):
        assert (job["lease_owner"], job["lease_expires_at"]) == (None, None), job
        assert not job["enabled"] or job["next_run_at"] is not None, job
    assert workspace.sql("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def every_minute_is_accounted_for(workspace: Workspace, job_id: str, first: datetime) -> None:
    """For a job of `* * * * *`: the rows cover each minute from `first` to its cursor, and no other."""
    (job,) = workspace.sql("SELECT next_run_at FROM jobs WHERE job_id = ?", (job_id,))
    cursor = datetime.fromisoformat(job["next_run_at"])
    rows = [row for row in workspace.runs(job_id) if row["scheduled_for"] is not None]
    covered: Counter[datetime] = Counter()
    for row in rows:
        last = datetime.fromisoformat(row["scheduled_for"])
        covered.update(last - timedelta(minutes=n) for n in range(row["slots"]))
    minutes = round((cursor - first) / timedelta(minutes=1))
    expected = Counter(first + timedelta(minutes=n) for n in range(minutes))
    assert covered == expected, {"too much": covered - expected, "missing": expected - covered}
