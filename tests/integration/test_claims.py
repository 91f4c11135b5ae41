"""The claim of a slot in SQLite: one transaction, compare and set, and a key that forbids a second start."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from core.errors import DatabaseFull, JobDisabled, JobLocked, JobNotFound, LeaseLost
from core.job import JobState
from core.run import ClaimedRun, Plan, ProcessId, Refusal, RunStatus, Trigger, Verdict
from db import Database
from schedules import language
from scheduling.planner import plan
from store.bundle import Store
from store.claims import Claim, ClaimOutcome, Claims, ClaimTerms, Owner
from store.creation import create
from store.definitions import Change, Zone
from store.job_codec import job_json
from tests.fakes import NOON, at, make_job
from tests.workspace import PATIENCE

OWNER = Owner("host:1", ProcessId(1, "then", "boot"))
CHANNELS = ("local", "telegram")


@dataclass
class Bench:
    """A store and an instant; `claim` does what a tick does with one job."""

    store: Store
    now: datetime = NOON
    terms_of: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str = "report", cursor: datetime | None = NOON, **fields: Any) -> JobState:
        job = make_job(name, **{"schedule": "0 * * * *", **fields})
        change = Change(job, job_json(job), Zone("UTC", "machine"), NOON, cursor)
        with self.store.db.transaction("test"):
            assert self.store.definitions.apply([change], [], self.now)
        return self.state(name)

    def state(self, name: str = "report") -> JobState:
        found = self.store.definitions.load(name)
        assert found is not None
        return found

    @property
    def terms(self) -> ClaimTerms:
        return ClaimTerms(self.now, self.now + timedelta(seconds=120), 19_000.0)

    def plan(self, state: JobState) -> Plan:
        return plan(state, self.now, language)

    def claim(
        self,
        name: str = "report",
        *,
        state: JobState | None = None,
        running: bool = False,
        cap: int = 4,
        gate: Refusal | None = None,
    ) -> Claim:
        seen = state or self.state(name)
        return self.store.claims.claim(
            seen, self.plan(seen), OWNER, self.terms, running=running, max_running=cap, channels=CHANNELS, gate=gate
        )

    def claimed(self, name: str = "report") -> ClaimedRun:
        run = self.claim(name).run
        assert run is not None
        return run

    def manual(self, name: str = "report", *, force: bool = False) -> ClaimedRun:
        return self.store.claims.claim_manual(name, OWNER, self.terms, force=force)

    def end(self, run: ClaimedRun, status: RunStatus = RunStatus.OK) -> None:
        self.store.runs.finish(run.run_id, run.token, Verdict(status, self.now, 5), ())

    def rows(self, table: str = "runs") -> list[dict[str, Any]]:
        return [dict(row) for row in self.store.db.rows(f"SELECT * FROM {table} ORDER BY rowid")]

    def job(self, name: str = "report") -> dict[str, Any]:
        (row,) = self.store.db.rows("SELECT * FROM jobs WHERE job_id = ?", (name,))
        return dict(row)

    def dump(self) -> list[tuple[Any, ...]]:
        tables = ("jobs", "runs", "events", "deliveries")
        return [tuple(row) for table in tables for row in self.store.db.rows(f"SELECT * FROM {table}")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    db, _ = create(str(tmp_path / "cron.db"))
    try:
        yield Bench(Store(db))
    finally:
        db.close()


# --- a claim ---


def test_a_claim_makes_the_row_moves_the_cursor_and_mirrors_the_lease(bench: Bench) -> None:
    bench.add(cursor=at("02-25 11:00"))
    claim = bench.claim()
    run = claim.run
    assert claim.outcome is ClaimOutcome.CLAIMED
    assert run is not None
    assert (run.run_id, run.trigger, run.scheduled_for, run.next_run_at, run.missed) == (
        "report-20260225T120000",
        Trigger.SCHEDULE,
        NOON,
        at("02-25 13:00"),
        1,
    )
    row, missed = bench.rows()
    assert row == {
        "run_id": "report-20260225T120000", "job_id": "report", "started_at": "2026-02-25T12:00:00+00:00",
        "finished_at": None, "status": "running", "result_json": None, "error_json": None, "target": "puruto-target",
        "scheduled_for": "2026-02-25T12:00:00+00:00", "trigger": "schedule", "attempt": 1, "slots": 1, "waiting": 0,
        "lease_token": run.token, "lease_owner": "host:1", "lease_expires_at": "2026-02-25T12:02:00+00:00",
        "ceiling_monotonic": 19_000.0, "owner_pid": 1, "owner_started": "then", "boot_id": "boot",
        "child_pid": None, "child_started": None, "exit_code": None, "duration_ms": None, "output_dir": None,
        "output_bytes": None, "retry_of": None, "retry_due": 0,
        "cancel_requested_at": None, "cancel_requested_by": None, "runner": None, "session_id": None,
        "iterations": None,
        "processes_ended": None,
        "prompt_sha256": None,
        "cost_usd": None, "turns": None, "input_tokens": None, "output_tokens": None,
    }  # fmt: skip
    assert (missed["status"], missed["slots"], missed["run_id"]) == ("missed", 1, "report-20260225T120000-2")
    job = bench.job()
    assert (job["next_run_at"], job["last_run_at"], job["lease_owner"], job["lease_expires_at"]) == (
        "2026-02-25T13:00:00+00:00",
        "2026-02-25T12:00:00+00:00",
        "host:1",
        "2026-02-25T12:02:00+00:00",
    )


def test_the_last_slot_of_a_job_leaves_it_without_a_cursor_and_nothing_missed(bench: Bench) -> None:
    bench.add(schedule="@at 2026-02-25T12:00Z")
    run = bench.claimed()
    assert (run.missed, run.next_run_at) == (0, None)
    assert bench.job()["next_run_at"] is None
    assert bench.job()["enabled"] == 1
    assert len(bench.rows()) == 1


def test_a_slot_that_was_claimed_is_not_claimed_again_with_the_same_plan(bench: Bench) -> None:
    seen = bench.add()
    bench.claimed()
    before = bench.dump()
    assert bench.claim(state=seen).outcome is ClaimOutcome.CHANGED
    assert bench.claim(state=seen, running=True).outcome is ClaimOutcome.CHANGED
    assert bench.dump() == before


def test_a_cursor_that_was_set_back_starts_no_slot_twice(bench: Bench) -> None:
    bench.add()
    bench.end(bench.claimed())
    bench.store.db.run("UPDATE jobs SET next_run_at = '2026-02-25T12:00:00+00:00'")
    claim = bench.claim()
    assert (claim.outcome, claim.run, claim.written_off) == (ClaimOutcome.WRITTEN_OFF, None, ())
    assert len(bench.rows()) == 1
    assert bench.state().next_run_at == at("02-25 13:00"), "it goes on with the next slot"


def test_a_slot_that_was_missed_is_not_run_when_the_cursor_is_set_back(bench: Bench) -> None:
    bench.add(catch_up="none")
    bench.now = at("02-25 12:30")
    assert bench.claim().outcome is ClaimOutcome.WRITTEN_OFF
    bench.store.db.run("UPDATE jobs SET next_run_at = '2026-02-25T12:00:00+00:00'")
    bench.now = NOON
    assert bench.claim().run is None
    assert [row["status"] for row in bench.rows()] == ["missed"]


def test_a_claim_that_is_interrupted_leaves_nothing_behind(bench: Bench) -> None:
    bench.add(cursor=at("02-25 09:00"))
    before = bench.dump()
    with mock.patch.object(Claims, "_advance_and_lease", side_effect=DatabaseFull("full")), pytest.raises(DatabaseFull):
        bench.claim()
    assert bench.dump() == before


@pytest.mark.parametrize(
    "change",
    [
        "next_run_at = '2026-02-25T13:00:00+00:00'",
        "next_run_at = NULL",
        "enabled = 0",
        "timezone = 'Europe/Madrid'",
        "anchor_at = '2026-02-25T11:00:00+00:00'",
        "removed_at = '2026-02-25T11:00:00+00:00'",
        "definition_json = json_set(definition_json, '$.prompt', 'Another')",
    ],
)
def test_a_job_that_changed_after_planning_is_not_claimed(bench: Bench, change: str) -> None:
    seen = bench.add()
    bench.store.db.run(f"UPDATE jobs SET {change}")
    before = bench.dump()
    assert bench.claim(state=seen).outcome is ClaimOutcome.CHANGED
    assert bench.dump() == before


def test_changes_in_other_columns_do_not_prevent_a_claim(bench: Bench) -> None:
    seen = bench.add()
    bench.store.db.run("UPDATE jobs SET last_run_at = 'x', problem_json = '{}', lease_owner = 'y'")
    assert bench.claim(state=seen).outcome is ClaimOutcome.CLAIMED
    assert bench.job()["problem_json"] is None


# --- permits ---


def test_over_the_cap_nothing_is_claimed_and_the_slot_stays_due(bench: Bench) -> None:
    for name in "abc":
        bench.add(name)
    assert bench.claim("a", cap=2).run
    assert bench.claim("b", cap=2).run
    before = bench.dump()
    assert bench.claim("c", cap=2).outcome is ClaimOutcome.NO_PERMIT
    assert bench.dump() == before
    assert [name for _, name in bench.store.definitions.due(NOON)] == ["c"]


def test_a_run_that_waits_between_attempts_holds_no_permit(bench: Bench) -> None:
    for name in "ab":
        bench.add(name)
    waiting = bench.claimed("a")
    bench.store.runs.release_permit(waiting)
    running = bench.claim("b", cap=1).run
    assert running is not None
    assert not bench.store.runs.take_permit(waiting, 2, 1)
    bench.end(running)
    assert bench.store.runs.take_permit(waiting, 2, 1)
    row = bench.rows()[0]
    assert (row["attempt"], row["waiting"]) == (2, 0)


def test_slots_that_are_only_written_off_need_no_permit(bench: Bench) -> None:
    bench.add("a")
    bench.add("late", at("02-25 08:00"), catch_up="none", schedule="0 8 * * *")
    bench.claimed("a")
    assert bench.claim("late", cap=1).outcome is ClaimOutcome.WRITTEN_OFF


# --- overlap ---


def test_a_slot_of_a_job_that_still_runs_is_skipped_and_says_which_run_it_was(bench: Bench) -> None:
    bench.add()
    first = bench.claimed()
    bench.now = at("02-25 13:00")
    claim = bench.claim(running=True)
    assert (claim.outcome, claim.run) == (ClaimOutcome.WRITTEN_OFF, None)
    row = bench.rows()[1]
    assert (row["status"], row["scheduled_for"], row["slots"]) == ("skipped", "2026-02-25T13:00:00+00:00", 1)
    error = json.loads(row["error_json"])
    assert error["code"] == "OVERLAP"
    assert error["details"] == {
        "slots": 1,
        "first_slot": "2026-02-25T13:00:00+00:00",
        "last_slot": "2026-02-25T13:00:00+00:00",
        "made_up": False,
    }
    assert first.run_id in error["message"]
    assert bench.state().next_run_at == at("02-25 14:00")
    assert bench.rows("events") == []


@pytest.mark.parametrize("believed", [True, False])
def test_a_run_that_started_or_ended_after_planning_prevents_the_claim(bench: Bench, believed: bool) -> None:
    bench.add()
    if not believed:
        bench.claimed()
        bench.now = at("02-25 13:00")
    before = bench.dump()
    assert bench.claim(running=believed).outcome is ClaimOutcome.RUNNING
    assert bench.dump() == before


# --- what is written off ---


def test_missed_slots_that_a_newer_one_supersedes_are_a_row_and_no_event(bench: Bench) -> None:
    bench.add(cursor=at("02-25 08:00"))
    assert bench.claim().written_off[0]["code"] == "SLOT_MISSED"
    row = bench.rows()[1]
    assert (row["status"], row["slots"], row["scheduled_for"]) == ("missed", 4, "2026-02-25T11:00:00+00:00")
    assert json.loads(row["error_json"])["details"] == {
        "slots": 4,
        "first_slot": "2026-02-25T08:00:00+00:00",
        "last_slot": "2026-02-25T11:00:00+00:00",
        "made_up": True,
    }
    assert bench.rows("events") == []


def test_missed_slots_that_nothing_supersedes_are_reported(bench: Bench) -> None:
    bench.add(cursor=at("02-25 08:00"), catch_up="none")
    bench.now = at("02-25 12:30")
    claim = bench.claim()
    assert claim.outcome is ClaimOutcome.WRITTEN_OFF
    (row,) = bench.rows()
    assert (row["status"], row["slots"]) == ("missed", 5)
    (event,) = bench.rows("events")
    payload = json.loads(event["payload_json"])
    assert set(payload) == {"job_id", "run_id", "attempts", "error", "timezone"}
    assert (payload["run_id"], payload["attempts"]) == (row["run_id"], 0)
    assert payload["error"] == json.loads(row["error_json"])
    assert [channel.channel for channel in bench.store.events.undelivered_summary()] == ["local", "telegram"]


def test_every_slot_of_a_day_is_recorded_in_the_rows(bench: Bench) -> None:
    bench.add(cursor=at("02-24 00:00"), catch_up="all", catch_up_limit=3)
    bench.now = at("02-24 23:30")
    while (cursor := bench.state().next_run_at) is not None and cursor <= bench.now:
        bench.end(bench.claimed())
    assert sum(row["slots"] for row in bench.rows()) == 24
    assert [row["status"] for row in bench.rows()] == ["ok", "missed", "ok", "ok"]
    ids = [row["run_id"] for row in bench.rows()]
    assert ids == ["report-20260224T233000", *(f"report-20260224T233000-{number}" for number in (2, 3, 4))]


# --- a manual run ---


def test_a_manual_run_does_not_change_the_schedule(bench: Bench) -> None:
    bench.add(cursor=at("02-25 13:00"))
    run = bench.manual()
    assert (run.trigger, run.scheduled_for, run.next_run_at) == (Trigger.MANUAL, None, at("02-25 13:00"))
    (row,) = bench.rows()
    assert (row["status"], row["scheduled_for"], row["slots"], row["trigger"]) == ("running", None, 0, "manual")
    assert bench.job()["next_run_at"] == "2026-02-25T13:00:00+00:00"
    assert bench.job()["lease_owner"] == "host:1"


def test_slots_that_wait_to_be_caught_up_do_not_forbid_a_retry_of_the_one_before(bench: Bench) -> None:
    bench.add(cursor=at("02-25 09:00"), catch_up="all")
    bench.now = at("02-25 12:30")
    run = bench.claimed()
    assert run.scheduled_for == at("02-25 09:00")
    assert bench.state().next_run_at == at("02-25 10:00")
    assert run.next_run_at == at("02-25 13:00")


def test_a_manual_run_of_an_overdue_job_may_be_retried(bench: Bench) -> None:
    bench.add(cursor=at("02-24 09:00"))
    run = bench.manual()
    assert run.next_run_at is None or run.next_run_at > bench.now
    assert bench.state().next_run_at == at("02-24 09:00")


def test_runs_of_the_same_second_are_numbered(bench: Bench) -> None:
    bench.add()
    ids = []
    for _ in range(3):
        run = bench.manual()
        ids.append(run.run_id)
        bench.end(run)
    assert ids == ["report-20260225T120000", "report-20260225T120000-2", "report-20260225T120000-3"]


def test_a_manual_run_is_refused_for_the_reasons_of_the_contract(bench: Bench) -> None:
    bench.add("off", cursor=None, enabled=False)
    bench.add("busy")
    first = bench.claimed("busy")
    before = bench.dump()
    with pytest.raises(JobNotFound, match="There is no job nobody"):
        bench.manual("nobody")
    with pytest.raises(JobDisabled, match="off is disabled"):
        bench.manual("off")
    with pytest.raises(JobLocked) as caught:
        bench.manual("busy", force=True)
    assert caught.value.details["run_id"] == first.run_id
    assert caught.value.details["lease_owner"] == "host:1"
    assert bench.dump() == before
    assert bench.manual("off", force=True).run_id == "off-20260225T120000"


def test_a_removed_job_can_not_be_run_even_by_force(bench: Bench) -> None:
    bench.add()
    bench.store.db.run("UPDATE jobs SET removed_at = '2026-02-25T11:00:00+00:00', enabled = 0")
    with pytest.raises(JobNotFound):
        bench.manual(force=True)


def test_a_manual_run_takes_a_permit(bench: Bench) -> None:
    bench.add("a")
    bench.add("b")
    bench.manual("a")
    assert bench.claim("b", cap=1).outcome is ClaimOutcome.NO_PERMIT


# --- the token ---


def _writes(bench: Bench, run: ClaimedRun, run_id: str, token: str) -> list[Callable[[], object]]:
    """All that a run writes about itself."""
    runs, mine = bench.store.runs, replace(run, run_id=run_id, token=token)
    verdict = Verdict(RunStatus.OK, NOON, 1, event={"job_id": "report"})
    return [
        lambda: runs.record_child(mine, ProcessId(2, "x", "y"), "/runs"),
        lambda: runs.renew(mine, NOON + timedelta(hours=1)),
        lambda: runs.release_permit(mine),
        lambda: runs.take_permit(mine, 2, 4),
        lambda: runs.finish(run_id, token, verdict, CHANNELS),
    ]


def test_what_a_run_writes_about_itself_needs_its_token(bench: Bench) -> None:
    bench.add()
    run = bench.claimed()
    before = bench.dump()
    for run_id, token in ((run.run_id, "0" * 32), ("other", run.token)):
        for write in _writes(bench, run, run_id, token):
            with pytest.raises(LeaseLost):
                write()
            assert bench.dump() == before


def test_a_settled_run_can_no_longer_be_written(bench: Bench) -> None:
    bench.add()
    run = bench.claimed()
    bench.store.runs.finish(run.run_id, run.token, Verdict(RunStatus.INTERRUPTED, NOON, 1), ())
    before = bench.dump()
    for write in _writes(bench, run, run.run_id, run.token):
        with pytest.raises(LeaseLost):
            write()
    assert bench.dump() == before


def test_the_verdict_the_lease_and_the_event_are_one_transaction(bench: Bench) -> None:
    bench.add()
    run = bench.claimed()
    bench.store.runs.renew(run, NOON + timedelta(minutes=9))
    assert bench.rows()[0]["lease_expires_at"] == bench.job()["lease_expires_at"] == "2026-02-25T12:09:00+00:00"
    verdict = Verdict(
        RunStatus.ERROR, NOON, 7, error={"code": "X"}, exit_code=-9, event={"job_id": "report", "error": {"code": "X"}}
    )
    before = bench.dump()
    with mock.patch("store.events.Events.add", side_effect=DatabaseFull("full")), pytest.raises(DatabaseFull):
        bench.store.runs.finish(run.run_id, run.token, verdict, CHANNELS)
    assert bench.dump() == before
    bench.store.runs.finish(run.run_id, run.token, verdict, CHANNELS)
    (row,) = bench.rows()
    assert (row["status"], row["exit_code"], row["duration_ms"], row["error_json"], row["result_json"]) == (
        "error",
        -9,
        7,
        '{"code": "X"}',
        None,
    )
    assert (row["lease_token"], row["lease_owner"], row["lease_expires_at"]) == (None, None, None)
    assert (bench.job()["lease_owner"], bench.job()["lease_expires_at"]) == (None, None)
    assert len(bench.rows("events")) == 1


# --- many at once ---


def test_threads_that_claim_the_same_jobs_start_each_slot_once(tmp_path: Path) -> None:
    path = str(tmp_path / "cron.db")
    db, _ = create(path)
    bench = Bench(Store(db))
    names = [f"job-{number:02}" for number in range(40)]
    for name in names:
        bench.add(name)
    start = threading.Barrier(8)
    started: list[str] = []
    errors: list[BaseException] = []

    def one() -> None:
        own = Bench(Store(Database(path)))
        try:
            start.wait(PATIENCE)
            for name in names:
                state = own.state(name)
                if state.next_run_at == NOON and not own.store.runs.is_running(name):
                    claim = own.claim(name, state=state, cap=1000)
                    started.extend([claim.run.run_id] if claim.run else [])
        except BaseException as error:  # handed to the test
            errors.append(error)
        finally:
            own.store.close()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert errors == []
    assert sorted(started) == [f"{name}-20260225T120000" for name in names]
    assert len(bench.rows()) == 40
    db.close()


def test_the_cap_holds_when_many_claim_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "cron.db")
    db, _ = create(path)
    bench = Bench(Store(db))
    for number in range(24):
        bench.add(f"job-{number}")
    start = threading.Barrier(8)
    outcomes: list[ClaimOutcome] = []

    def one(first: int) -> None:
        own = Bench(Store(Database(path)))
        try:
            start.wait(PATIENCE)
            outcomes.extend(own.claim(f"job-{number}", cap=5).outcome for number in range(first, 24, 8))
        finally:
            own.store.close()

    threads = [threading.Thread(target=one, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert outcomes.count(ClaimOutcome.CLAIMED) == 5
    assert outcomes.count(ClaimOutcome.NO_PERMIT) == 19
    db.close()


def test_that_a_gate_refuses_is_told_once_a_day_for_each_gate(bench: Bench) -> None:
    bench.add(cursor=NOON)
    for code, day in (("A", "02-25"), ("A", "02-25"), ("B", "02-25"), ("B", "02-25"), ("A", "02-26")):
        written_off = bench.claim(gate=Refusal(code, "it is closed", f"2026-{day}", {})).written_off
        assert [row["code"] for row in written_off] == [code]
        bench.now += timedelta(hours=1)
    told = [json.loads(row["payload_json"])["error"]["code"] for row in bench.rows("events")]
    assert told == ["A", "B", "A"]
