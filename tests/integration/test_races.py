"""Many processes at once on one database: every slot starts once, every line is whole, nothing is lost."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import ExitStack, closing
from datetime import timedelta
from itertools import accumulate
from typing import Any

import pytest

from core.run import ProcessId
from scheduling.planner import plan
from store.claims import ClaimOutcome, ClaimTerms, Owner
from tests.support_machine import (
    COUNT,
    GATED,
    Machine,
    answer_of,
    gated_pid,
    gated_tick,
    killed,
    prepare,
    python,
    release,
    shell,
    target_folder,
    utc,
)
from tests.workspace import FakeClock, Workspace, ended, wait_for

pytestmark = pytest.mark.process

#: Says when it begins and ends, in a file that all of them append to, and works until it is released.
MEASURED = """
import os, time
def say(word):
    for name in ("places.log", "starts.log")[: 2 if word == "+" else 1]:
        with open(name, "a") as log:
            log.write(word + " " + os.environ["PURUTO_CRON_RUN_ID"] + "\\n")
say("+")
while not os.path.exists("release"):
    time.sleep(0.02)
say("-")
"""


def at_once(
    workspace: Workspace, *commands: tuple[str, ...], env: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Starts these commands at the same moment and returns their answers."""
    with ExitStack() as stack:
        processes = [stack.enter_context(ended(workspace.start(*words, env=env))) for words in commands]
        return [answer_of(process) for process in processes]


def test_twenty_ticks_over_fifty_due_jobs_start_each_slot_once(workspace: Workspace) -> None:
    (workspace.home / "puruto-telegram").mkdir()
    prepare(workspace, *(shell(COUNT) for _ in range(50)))
    workspace.json("tick")
    workspace.make_due()
    reports = at_once(workspace, *[("tick",)] * 20, env={"PURUTO_CRON_MAX_RUNNING": "8"})

    rows = workspace.runs()
    assert len(workspace.starts()) == len(set(workspace.starts())) == 50
    assert Counter(row["job_id"] for row in rows) == Counter(f"job-{n}" for n in range(50))
    assert {row["status"] for row in rows} == {"ok"}
    results = [result["run_id"] for report in reports for result in report["results"]]
    assert sorted(results) == sorted(row["run_id"] for row in rows), "each run is told by the one tick that ran it"
    assert [problem for report in reports for problem in report["problems"]] == []
    assert sorted(event["run_id"] for event in workspace.events()) == sorted(results)
    mirror = workspace.home / "puruto-telegram" / "inbox" / "cron-events.jsonl"
    assert mirror.read_bytes() == workspace.events_file.read_bytes()
    assert workspace.json("status")["events"]["waiting"] == []


def test_a_run_by_hand_and_ticks_at_once_never_run_a_job_twice(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with ExitStack() as stack:
        commands = [("tick",), ("run-now", "job-0"), ("tick",), ("run-now", "job-0")]
        processes = [stack.enter_context(ended(workspace.start(*words))) for words in commands]
        wait_for(lambda: sum(process.poll() is None for process in processes) == 1, what="the three that came late")
        (row,) = [row for row in workspace.runs() if row["status"] == "running"]
        stack.enter_context(killed(gated_pid(workspace, row["run_id"])))
        assert len(workspace.starts()) == 1
        release(workspace)
        answers = [answer_of(process) for process in processes]
    refused = [answer["error"] for answer in answers if answer.get("error")]
    assert {error["code"] for error in refused} == {"JOB_LOCKED"}
    if row["trigger"] == "manual":
        (skipped,) = [other for other in workspace.runs() if other["status"] == "skipped"]
        assert row["run_id"] in json.loads(skipped["error_json"])["message"]
        assert len(refused) == 1
    else:
        assert len(refused) == 2
    assert len(workspace.starts()) == 1
    assert sum(other["slots"] for other in workspace.runs()) == 1


def test_two_runs_by_hand_at_once_are_one_run_and_one_refusal(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    with ExitStack() as stack:
        processes = [stack.enter_context(ended(workspace.start("run-now", "job-0"))) for _ in range(2)]
        wait_for(lambda: any(process.poll() is not None for process in processes), what="the refusal")
        (row,) = workspace.runs()
        stack.enter_context(killed(gated_pid(workspace, row["run_id"])))
        release(workspace)
        answers = [answer_of(process) for process in processes]
        assert sorted(process.returncode for process in processes) == [0, 1]
    (refused,) = [answer for answer in answers if answer["status"] == "error"]
    assert refused["error"]["code"] == "JOB_LOCKED"
    assert refused["error"]["details"]["run_id"] == row["run_id"]
    assert len(workspace.starts()) == len(workspace.runs()) == 1


def test_the_cap_holds_over_several_processes_and_loses_no_job(workspace: Workspace) -> None:
    prepare(workspace, *(python(MEASURED) for _ in range(6)))
    workspace.make_due()
    two = {"PURUTO_CRON_MAX_RUNNING": "2"}
    with ExitStack() as stack:
        ticks = [stack.enter_context(ended(workspace.start("tick", env=two))) for _ in range(3)]
        wait_for(lambda: len(workspace.starts()) == 2, what="two runs")
        running = [row for row in workspace.runs() if row["status"] == "running"]
        stack.enter_context(killed(*(row["child_pid"] for row in running if row["child_pid"])))
        late = workspace.json("tick", env=two)
        assert (len(late["due_jobs"]), late["results"], len(late["left_due"])) == (4, [], 4)
        assert workspace.sql("SELECT count(*) AS due FROM jobs WHERE next_run_at <= ?", (late["now"],)) == [{"due": 4}]
        assert len(workspace.starts()) == 2, "all places are taken"
        release(workspace)
        reports = [answer_of(tick) for tick in ticks]
    assert sum(len(report["results"]) for report in reports) == 6
    assert {row["status"] for row in workspace.runs()} == {"ok"}
    assert len(workspace.starts()) == 6
    assert most_at_once(workspace) == 2


def test_events_that_wait_are_told_once_and_in_order_by_ticks_at_once(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    run_id = workspace.json("run-now", "job-0")["run_id"]
    count = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1500)"
    workspace.sql(
        f"{count} INSERT INTO events (run_id, job_id, ts, payload_json)"
        " SELECT ?, 'job-0', '2026-02-25T20:00:00+00:00', json_object('number', i) FROM n",
        (run_id,),
    )
    workspace.sql(
        "INSERT INTO deliveries (channel, event_id, state)"
        " SELECT 'local', event_id, 'waiting' FROM events WHERE payload_json LIKE '%number%'"
    )
    reports = at_once(workspace, *[("tick",)] * 6)
    assert [event["number"] for event in workspace.events()[1:]] == list(range(1, 1501))
    assert sum(report["events"]["delivered"] for report in reports) == 1500


def test_a_plan_that_another_process_overtook_starts_nothing_and_moves_nothing(
    workspace: Workspace, clock: FakeClock
) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT, schedule="0 * * * *"))
    clock.advance(hours=1)
    app = machine.app()
    with app.session() as session:
        store = session.store
        stale = store.definitions.load("job-0")
        assert stale is not None
        decided = plan(stale, clock.wall, app.calendar)
        machine.tick()
        clock.advance(hours=1)
        machine.tick()
        terms = ClaimTerms(clock.wall, clock.wall + timedelta(minutes=2), 90_000.0)
        owner = Owner("test:1", ProcessId(1, "", ""))
        claim = store.claims.claim(stale, decided, owner, terms, running=False, max_running=4, channels=("local",))
    assert (claim.outcome, claim.run) == (ClaimOutcome.CHANGED, None)
    assert machine.cursor() == utc(2026, 2, 25, 23)
    assert len(workspace.starts()) == len(workspace.runs()) == 2


@pytest.mark.parametrize("seen", [False, True], ids=["a run began", "the run ended"])
def test_a_slot_is_planned_anew_when_its_jobs_run_began_or_ended_meanwhile(
    workspace: Workspace, clock: FakeClock, seen: bool
) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT, schedule="0 * * * *"))
    clock.advance(hours=1)
    app = machine.app()
    terms = ClaimTerms(clock.wall, clock.wall + timedelta(minutes=2), 90_000.0)
    owner = Owner("test:1", ProcessId(1, "", ""))
    with app.session() as session:
        store = session.store
        if not seen:
            store.claims.claim_manual("job-0", owner, terms, force=False)
        state = store.definitions.load("job-0")
        assert state is not None
        decided = plan(state, clock.wall, app.calendar)
        claim = store.claims.claim(state, decided, owner, terms, running=seen, max_running=4, channels=("local",))
    assert (claim.outcome, claim.written_off) == (ClaimOutcome.RUNNING, ())
    assert machine.cursor() == utc(2026, 2, 25, 21), "the slot is still to be accounted for"
    assert [row["trigger"] for row in workspace.runs()] == ([] if seen else ["manual"])


def test_syncs_at_once_neither_double_nor_lose_a_job(workspace: Workspace) -> None:
    workspace.add_target(invoke=None)
    workspace.json("init-db")
    workspace.write_jobs(*(shell(COUNT, enabled=bool(n % 3)) for n in range(12)))
    answers = at_once(workspace, *[("sync-jobs",), ("tick",)] * 4)
    assert {answer["status"] for answer in answers} == {"ok"}
    assert sum(len((answer.get("sync") or answer).get("added", [])) for answer in answers) == 12
    assert [row["job_id"] for row in workspace.sql("SELECT job_id FROM jobs ORDER BY rowid")] == [
        f"job-{n}" for n in range(12)
    ]


def test_databases_made_at_once_are_one(workspace: Workspace) -> None:
    answers = at_once(workspace, *[("init-db",)] * 8)
    assert [answer["status"] for answer in answers] == ["ok"] * 8
    assert sum(answer["created"] for answer in answers) == 1
    with closing(sqlite3.connect(workspace.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert sorted(path.name for path in workspace.database.parent.iterdir() if path.suffix == ".bak") == []


def test_a_run_longer_than_its_lease_is_renewed_and_never_runs_twice(workspace: Workspace) -> None:
    short = {"PURUTO_CRON_LEASE_SECONDS": "5"}
    prepare(workspace, shell(GATED, timeout_sec=180))
    workspace.make_due(minutes_ago=1)
    with gated_tick(workspace, env=short) as (tick, first):
        seen = {first["lease_expires_at"]}

        def outlived() -> bool:
            (row,) = [row for row in workspace.runs() if row["run_id"] == first["run_id"]]
            seen.add(row["lease_expires_at"])
            report = workspace.json("tick", env=short)
            assert (report["settled"], report["results"]) == ([], [])
            assert row["status"] == "running"
            return bool(report["now"] > first["lease_expires_at"] and len(seen) > 2)

        wait_for(outlived, what="a run that has outlived its first lease")
        workspace.make_due()
        assert [entry["code"] for entry in workspace.json("tick", env=short)["written_off"]] == ["OVERLAP"]
        assert workspace.json("run-now", "job-0", code=1, env=short)["error"]["code"] == "JOB_LOCKED"
        release(workspace)
        assert [result["status"] for result in answer_of(tick)["results"]] == ["ok"]
    assert len(workspace.starts()) == 1


def most_at_once(workspace: Workspace) -> int:
    """How many MEASURED jobs ran at the same time, by what they wrote themselves."""
    words = [line.split()[0] for line in (target_folder(workspace) / "places.log").read_text().splitlines()]
    assert words.count("+") == words.count("-")
    return max(accumulate(1 if word == "+" else -1 for word in words))
