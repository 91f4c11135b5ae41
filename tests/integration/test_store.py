"""The store: the ledger for people, events, facts; and SQLite's query plans."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.clock import utc_text
from core.run import ClaimedRun, ProcessId, RunStatus, Verdict
from db import Database
from schedules import language
from scheduling.planner import plan
from store.bundle import Store
from store.claims import ClaimTerms, Owner
from store.creation import create
from store.definitions import Change, Zone
from store.history import History
from store.idle_check import is_idle
from store.job_codec import job_json
from tests.fakes import NOON, make_job

OWNER = Owner("host:1", ProcessId(1, "then", "boot"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    db, _ = create(str(tmp_path / "cron.db"))
    try:
        yield Store(db)
    finally:
        db.close()


def _add(store: Store, *names: str, **fields: Any) -> None:
    jobs = [make_job(name, **{"schedule": "0 * * * *", **fields}) for name in names]
    with store.db.transaction("test"):
        assert store.definitions.apply(
            [Change(job, job_json(job), Zone("UTC", "machine"), NOON, NOON) for job in jobs], [], NOON
        )


def _terms(minutes: int = 0) -> ClaimTerms:
    now = NOON + timedelta(minutes=minutes)
    return ClaimTerms(now, now + timedelta(seconds=120), 19_000.0)


def _run(store: Store, name: str, minutes: int, status: RunStatus = RunStatus.OK, **verdict: Any) -> ClaimedRun:
    run = store.claims.claim_manual(name, OWNER, _terms(minutes), force=True)
    if status is not RunStatus.RUNNING:
        store.runs.finish(
            run.run_id, run.token, Verdict(status, NOON + timedelta(minutes=minutes, seconds=9), 9_000, **verdict), ()
        )
    return run


# --- jobs ---


def test_due_jobs_come_oldest_first_and_then_by_name(store: Store) -> None:
    _add(store, "b", "a", "c", "later", "off")
    store.db.run("UPDATE jobs SET next_run_at = '2026-02-25T11:00:00+00:00' WHERE job_id = 'c'")
    store.db.run("UPDATE jobs SET next_run_at = '2026-02-25T12:00:01+00:00' WHERE job_id = 'later'")
    store.db.run("UPDATE jobs SET enabled = 0 WHERE job_id = 'off'")
    assert [name for _, name in store.definitions.due(NOON)] == ["c", "a", "b"]


def test_the_table_for_people_has_the_contracts_columns_and_the_definition(store: Store) -> None:
    _add(store, "a", env={"X": "1"})
    store.definitions.set_problem("a", {"code": "SCHEDULE_INVALID"})
    (row,) = store.definitions.table(NOON)
    assert row["enabled"] is True
    assert row["problem"] == {"code": "SCHEDULE_INVALID"}
    definition: Any = row["definition"]
    assert definition["env"] == {"X": "1"}
    contract = "job_id enabled puruto_target schedule prompt notify_channel timeout_sec max_retries retry_backoff_sec"
    assert list(row)[:13] == [*contract.split(), "next_run_at", "last_run_at", "lease_owner", "lease_expires_at"]


def test_one_definition_that_can_not_be_read_does_not_hide_the_others(store: Store) -> None:
    _add(store, "a", "b")
    store.db.run("UPDATE jobs SET definition_json = '{' WHERE job_id = 'a'")
    assert [row["job_id"] for row in store.definitions.table(NOON)] == ["a", "b"]


def test_a_definition_with_fields_of_another_version_is_read(store: Store) -> None:
    _add(store, "a")
    store.db.run("UPDATE jobs SET definition_json = json_set(definition_json, '$.later', 1)")
    store.db.run("UPDATE jobs SET definition_json = json_remove(definition_json, '$.catch_up')")
    state = store.definitions.load("a")
    assert state is not None
    assert state.job == make_job("a", schedule="0 * * * *")


def test_a_cursor_is_moved_only_from_where_it_was_read(store: Store) -> None:
    _add(store, "a")
    state = store.definitions.load("a")
    assert state is not None
    assert store.definitions.move_cursor(state, NOON + timedelta(hours=1))
    assert not store.definitions.move_cursor(state, NOON + timedelta(hours=2))
    assert store.definitions.due(NOON + timedelta(hours=1)) == [("2026-02-25T13:00:00+00:00", "a")]


# --- runs ---


def test_recent_runs_come_newest_first_with_the_contracts_columns_only(store: Store) -> None:
    _add(store, "a", "b")
    for minute in range(5):
        _run(store, "a" if minute % 2 else "b", minute, result={"secret": 1}, error=None)
    found = store.runs.recent(3)
    assert [row["run_id"] for row in found] == [
        "b-20260225T120400",
        "a-20260225T120300",
        "b-20260225T120200",
    ]
    assert all(list(row) == ["run_id", "job_id", "started_at", "finished_at", "status"] for row in found)
    assert store.runs.recent(0) == []


def test_a_run_is_found_with_its_result_and_without_its_token(store: Store) -> None:
    _add(store, "a")
    run = _run(store, "a", 0, result={"status": "ok", "text": "ñ"}, exit_code=0)
    found = store.runs.find(run.run_id)
    assert found is not None
    assert (found["result"], found["error"], found["exit_code"]) == ({"status": "ok", "text": "ñ"}, None, 0)
    assert "lease_token" not in found
    assert run.token not in json.dumps(found)
    assert store.runs.find("nobody") is None


def test_the_last_run_of_a_job_is_the_last_that_started(store: Store) -> None:
    _add(store, "a", "b")
    _run(store, "a", 0)
    _run(store, "a", 1, RunStatus.ERROR)
    store.db.run(
        "INSERT INTO runs (run_id, job_id, started_at, status, target, trigger) VALUES"
        " ('x', 'a', '2026-02-25T13:00:00+00:00', 'missed', 't', 'schedule'),"
        " ('y', 'a', '2026-02-25T13:00:01+00:00', 'skipped', 't', 'schedule')"
    )
    found = History(store.db).last_runs(["a", "b", "nobody"])
    assert list(found) == ["a"]
    assert (found["a"]["run_id"], found["a"]["status"]) == ("a-20260225T120100", "error")


def test_what_runs_now_is_shown_without_its_token(store: Store) -> None:
    _add(store, "a", "b")
    first = _run(store, "b", 0, RunStatus.RUNNING)
    second = _run(store, "a", 1, RunStatus.RUNNING)
    store.runs.release_permit(first)
    store.runs.record_child(second, ProcessId(77, "then", "boot"), "/runs/a")
    found = store.runs.running_now()
    assert [(row["job_id"], row["waiting"], row["child_pid"]) for row in found] == [("b", True, None), ("a", False, 77)]
    assert not {first.token, second.token} & set(re.findall(r"[0-9a-f]{32}", json.dumps(found)))
    assert store.runs.is_running("a")
    assert not store.runs.is_running("c")


def test_a_running_row_has_all_that_the_reaper_needs(store: Store) -> None:
    _add(store, "a", notify_channel="none")
    run = _run(store, "a", 0, RunStatus.RUNNING)
    store.runs.record_child(run, ProcessId(77, "then", "boot"), "/runs/a/x")
    (found,) = store.runs.running()
    assert (found.run_id, found.token, found.owner) == (run.run_id, run.token, OWNER.process)
    assert found.child == ProcessId(77, "then", OWNER.process.boot_id)
    assert (found.notify_channel, found.output_dir, found.attempt) == ("none", "/runs/a/x", 1)


def test_a_running_row_whose_job_was_deleted_by_hand_can_still_be_settled(store: Store) -> None:
    _add(store, "a")
    run = _run(store, "a", 0, RunStatus.RUNNING)
    store.db.run("DELETE FROM jobs")
    assert [row.run_id for row in store.runs.running()] == [run.run_id]


# --- events ---


def test_events_wait_for_each_channel_on_its_own(store: Store) -> None:
    for number in range(3):
        store.events.add(f"run-{number}", "a", utc_text(NOON), {"n": number}, ["local", "telegram"])
    store.events.add("run-3", "a", utc_text(NOON), {"n": 3}, ["local"])
    first = store.events.waiting("local", 2)
    assert [event.payload for event in first] == [{"n": 0}, {"n": 1}]
    store.events.settle("local", first, "delivered", utc_text(NOON))
    store.events.failed("telegram", store.events.waiting("telegram", 1)[0], "full")
    store.events.failed("telegram", store.events.waiting("telegram", 1)[0], "still full")
    summary = {waiting.channel: waiting for waiting in store.events.undelivered_summary()}
    assert (summary["local"].count, summary["local"].failures, summary["local"].last_error) == (2, 0, "")
    assert (summary["telegram"].count, summary["telegram"].failures) == (3, 2)
    assert summary["telegram"].last_error == "still full"


def test_an_event_that_was_settled_once_is_not_settled_again(store: Store) -> None:
    store.events.add("run", "a", utc_text(NOON), {}, ["telegram"])
    events = store.events.waiting("telegram", 1)
    store.events.settle("telegram", events, "not_applicable", utc_text(NOON))
    store.events.settle("telegram", events, "delivered", utc_text(NOON + timedelta(hours=1)))
    (row,) = store.db.rows("SELECT state, settled_at FROM deliveries")
    assert tuple(row) == ("not_applicable", "2026-02-25T12:00:00+00:00")


def test_recent_events_are_the_newest_in_the_order_of_time(store: Store) -> None:
    for number in range(6):
        store.events.add(f"run-{number}", "ab"[number % 2], utc_text(NOON), {"n": number}, [])
    assert [event.payload["n"] for event in store.events.recent(3)] == [3, 4, 5]
    assert [event.payload["n"] for event in store.events.recent(2, job_id="a")] == [2, 4]
    assert [event.payload["n"] for event in store.events.recent(9, run_id="run-1")] == [1]
    assert store.events.recent(9, job_id="nobody") == []


# --- facts ---


def test_a_fact_is_kept_replaced_and_removed(store: Store) -> None:
    assert (store.state.get("a"), store.state.get_fact("a")) == ("", None)
    store.state.set_fact("a", {"x": "ñ"})
    store.state.set_fact("a", {"x": 2})
    assert store.state.get_fact("a") == {"x": 2}
    store.state.set_fact("a", None)
    assert store.state.get_fact("a") is None


# --- while others write ---


def test_reading_never_waits_for_a_write_and_sees_what_was_committed(store: Store, tmp_path: Path) -> None:
    _add(store, "a")
    with closing(sqlite3.connect(tmp_path / "cron.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE jobs SET prompt = 'uncommitted'")
        reader = Store(Database(str(tmp_path / "cron.db"), read_only=True))
        assert [row["prompt"] for row in reader.definitions.table(NOON)] == ["Do it"]
        assert reader.runs.recent(5) == []
        assert reader.events.undelivered_summary() == []
        reader.close()


# --- how SQLite finds it ---

#: Indexes that hold just what is asked for; a pass over them is short.
_NARROW = ("runs_running", "deliveries_waiting")
#: A pass that begins at the newest and ends at a LIMIT is short too.
_FROM_THE_NEWEST = re.compile(r"SCAN (runs USING INDEX runs_recent|events)$")


def _plans(store: Store, statements: list[str]) -> list[tuple[str, str]]:
    found = []
    for sql in statements:
        if sql.split(None, 1)[0] in ("SELECT", "UPDATE", "INSERT", "DELETE"):
            found += [(sql, row["detail"]) for row in store.db.rows(f"EXPLAIN QUERY PLAN {sql}")]
    return found


def _long(plans: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The scans of whole tables, or of indexes of whole tables."""
    return [
        (sql, detail)
        for sql, detail in plans
        if detail.startswith("SCAN")
        and detail != "SCAN CONSTANT ROW"
        and not detail.endswith(_NARROW)
        and not (_FROM_THE_NEWEST.match(detail) and " LIMIT " in sql and "WHERE" not in sql)
    ]


@pytest.fixture
def full(store: Store) -> Store:
    """A database with rows, so that SQLite's choice is the one it makes in use."""
    _add(store, *(f"job-{number:03}" for number in range(300)))
    for number in range(300):
        run = _run(store, f"job-{number:03}", number)
        store.events.add(run.run_id, run.job.job_id, utc_text(NOON), {"n": number}, ["local", "telegram"])
    store.events.settle("local", store.events.waiting("local", 290), "delivered", utc_text(NOON))
    store.db.run("UPDATE jobs SET next_run_at = '2026-03-01T00:00:00+00:00' WHERE job_id > 'job-010'")
    return store


def _what_a_tick_does(store: Store) -> None:
    is_idle(store.db, "seen", utc_text(NOON), utc_text(NOON + timedelta(hours=1)), 1000.0)
    store.runs.running()
    name = store.definitions.due(NOON)[0][1]
    state = store.definitions.load(name)
    assert state is not None
    store.runs.is_running(name)
    claim = store.claims.claim(
        state, plan(state, NOON, language), OWNER, _terms(), running=False, max_running=4, channels=("local",)
    )
    run = claim.run
    assert run is not None
    store.runs.record_child(run, ProcessId(1, "a", "b"), "/runs")
    store.runs.renew(run, NOON + timedelta(minutes=5))
    store.runs.release_permit(run)
    assert store.runs.take_permit(run, 2, 4)
    store.runs.finish(run.run_id, run.token, Verdict(RunStatus.OK, NOON, 1, event={}), ("local",))
    events = store.events.waiting("local", 200)
    store.events.failed("local", events[0], "full")
    store.events.settle("local", events, "delivered", utc_text(NOON))
    store.events.undelivered_summary()
    store.definitions.set_problem(name, {})
    store.definitions.move_cursor(state, NOON)
    store.runs.finish(
        *(lambda by_hand: (by_hand.run_id, by_hand.token))(
            store.claims.claim_manual(name, OWNER, _terms(), force=True)
        ),
        Verdict(RunStatus.OK, NOON, 1),
        (),
    )


def _what_people_ask(store: Store) -> None:
    store.runs.recent(20)
    store.runs.find("job-001-20260225T120100")
    store.events.recent(20)
    store.events.recent(20, job_id="job-001")
    store.events.recent(20, run_id="job-001-20260225T120100")
    store.definitions.ever_existed("job-001")
    store.state.get("seen")


def _what_runs_now(store: Store) -> None:
    store.runs.running_now()


@pytest.mark.parametrize("asked", [_what_a_tick_does, _what_people_ask, _what_runs_now])
def test_no_frequent_query_reads_a_whole_table(full: Store, asked: Any) -> None:
    statements: list[str] = []
    full.db.connection.set_trace_callback(statements.append)
    asked(full)
    full.db.connection.set_trace_callback(None)
    plans = _plans(full, statements)
    assert plans
    assert _long(plans) == []


def test_the_test_above_would_notice_a_scan_of_a_table(full: Store) -> None:
    for sql in ("SELECT * FROM jobs WHERE prompt = 'x'", "SELECT * FROM runs ORDER BY started_at, run_id"):
        assert _long(_plans(full, [sql])) != []


def test_the_query_of_the_idle_tick_uses_only_partial_indexes(full: Store) -> None:
    statements: list[str] = []
    full.db.connection.set_trace_callback(statements.append)
    is_idle(full.db, "seen", utc_text(NOON), utc_text(NOON), 1000.0)
    full.db.connection.set_trace_callback(None)
    (sql,) = statements
    details = " ".join(row["detail"] for row in full.db.rows(f"EXPLAIN QUERY PLAN {sql}"))
    for index in ("jobs_due", "deliveries_waiting", "runs_running", "runs_retry_due"):
        assert index in details
    assert "TEMP B-TREE" not in details
