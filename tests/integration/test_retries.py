"""Retries with backoff: attempts are counted by what the target wrote, waits by what the clock was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from core.run import ProcessId
from store.claims import ClaimTerms, Owner
from tests.support_machine import (
    COUNT,
    FAIL,
    YEARLY,
    Leap,
    Machine,
    answer_of,
    prepare,
    shell,
    target_folder,
    utc,
)
from tests.workspace import FakeClock, Workspace, ended, wait_for


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


@pytest.fixture
def leap(clock: FakeClock) -> Iterator[Leap]:
    found = Leap(clock)
    yield found
    found.close()


def asked_at(machine: Machine, run: Mapping[str, Any], attempts: int) -> list[str]:
    """`HH:MM:SS` of each attempt."""
    return [machine.request(run, n)["requested_at"][11:19] for n in range(1, attempts + 1)]


FINE_AT_LAST = COUNT.replace("echo done", "[ $PURUTO_CRON_ATTEMPT -ge 3 ] && echo fine")


def test_a_job_that_succeeds_at_its_third_attempt_is_a_success(
    machine: Machine, workspace: Workspace, leap: Leap
) -> None:
    machine.ready(shell(FINE_AT_LAST, max_retries=4, retry_backoff_sec=30))
    result = machine.run_now(stop=leap)
    assert (result["status"], result["attempt"]) == ("ok", 3)
    assert "attempts" not in result
    (row,) = workspace.runs()
    assert (row["status"], row["attempt"], row["error_json"]) == ("ok", 3, None)
    assert len(workspace.starts()) == 3
    assert len({line.split()[0] for line in workspace.starts()}) == 1
    assert asked_at(machine, row, 3) == ["20:00:00", "20:00:30", "20:01:30"]
    assert leap.waited == 90
    (event,) = workspace.events()
    assert (event["attempt"], "error" in event, "attempts" in event) == (3, False, False)


def test_each_attempt_has_a_request_of_its_own_and_one_correlation(machine: Machine, leap: Leap) -> None:
    machine.ready(shell(FINE_AT_LAST, max_retries=4, retry_backoff_sec=30))
    result = machine.run_now(stop=leap)
    requests = [machine.request(result, n) for n in (1, 2, 3)]
    assert len({request["request_id"] for request in requests}) == 3
    assert {request["correlation_id"] for request in requests} == {result["result"]["request"]["correlation_id"]}


def test_a_job_that_never_succeeds_tells_how_many_attempts_there_were(
    machine: Machine, workspace: Workspace, leap: Leap
) -> None:
    machine.ready(shell(FAIL, max_retries=2, retry_backoff_sec=10))
    result = machine.run_now(stop=leap)
    assert (result["status"], result["attempts"], result["error"]["code"]) == ("error", 3, "NONZERO_EXIT")
    assert result["error"]["details"]["attempt"] == 3
    assert result["error"]["details"]["not_retried"] == "no retries left"
    assert len(workspace.starts()) == 3
    assert leap.waited == 30
    (event,) = workspace.events()
    assert (event["attempts"], "attempt" in event) == (3, False)
    (row,) = workspace.runs()
    assert (row["status"], row["attempt"], row["exit_code"]) == ("error", 3, 1)


def test_no_wait_is_longer_than_an_hour(machine: Machine, workspace: Workspace, leap: Leap) -> None:
    machine.ready(shell(FAIL, max_retries=3, retry_backoff_sec=1500))
    machine.run_now(stop=leap)
    assert asked_at(machine, workspace.runs()[0], 4) == ["20:00:00", "20:25:00", "21:15:00", "22:15:00"]


def test_no_retry_is_made_past_the_next_slot(machine: Machine, workspace: Workspace, leap: Leap) -> None:
    machine.ready(shell(FAIL, schedule="*/2 * * * *", max_retries=5, retry_backoff_sec=20))
    result = machine.run_now(stop=leap)
    # 20 s and 40 s fit before 20:02, another 80 s do not.
    assert result["attempts"] == len(workspace.starts()) == 3
    assert "20:02:00" in result["error"]["details"]["not_retried"]
    assert leap.waited == 60


@pytest.mark.parametrize("code", ["TARGET_NOT_FOUND", "DENIED"])
def test_what_no_retry_can_change_is_not_retried(machine: Machine, workspace: Workspace, leap: Leap, code: str) -> None:
    machine.ready(
        shell(COUNT, max_retries=5, puruto_target="puruto-absent" if code == "TARGET_NOT_FOUND" else "puruto-target")
    )
    if code == "DENIED":
        (workspace.root / ".puruto-ipc.json").write_text(json.dumps({"allowed_targets": ["puruto-other"]}))
    result = machine.run_now(stop=leap)
    assert (result["error"]["code"], result["attempts"]) == (code, 1)
    assert (workspace.starts(), leap.waited) == ([], 0)


def test_the_lease_is_renewed_while_a_run_waits(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(FINE_AT_LAST, max_retries=2, retry_backoff_sec=600))
    leases: list[tuple[str, int]] = []

    class Watching(Leap):
        def wait(self, seconds: float) -> bool:
            (row,) = workspace.runs()
            leases.append((row["lease_expires_at"], row["waiting"]))
            assert row["lease_expires_at"] > clock.wall.isoformat()
            return super().wait(seconds)

    stop = Watching(clock)
    machine.run_now(stop=stop)
    stop.close()
    assert len({lease for lease, _ in leases}) > 10
    assert {waiting for _, waiting in leases} == {1}, "it holds no permit"


@pytest.mark.process
def test_a_run_that_waits_gives_its_place_to_another_job(workspace: Workspace) -> None:
    prepare(workspace, shell(FAIL, max_retries=1, retry_backoff_sec=3600), shell(COUNT, job_id="other"))
    one = {"PURUTO_CRON_MAX_RUNNING": "1"}
    workspace.make_due("job-0")
    with ended(workspace.start("tick", env=one)) as waiting:
        wait_for(lambda: any(row["waiting"] for row in workspace.runs()), what="the wait between attempts")
        workspace.make_due("other")
        report = workspace.json("tick", env=one)
        assert [result["job_id"] for result in report["results"]] == ["other"]
        waiting.terminate()
        (result,) = answer_of(waiting)["results"]
        assert waiting.returncode == 143
    assert (result["error"]["code"], result["attempts"]) == ("CANCELLED", 1)
    assert [row["status"] for row in workspace.runs("job-0")] == ["cancelled"]


@pytest.mark.process
def test_a_tick_whose_run_waits_serves_its_other_jobs_meanwhile(workspace: Workspace) -> None:
    prepare(workspace, shell(FAIL, max_retries=1, retry_backoff_sec=3600), shell(COUNT, job_id="other"))
    workspace.make_due("job-0", minutes_ago=1)
    workspace.make_due("other")
    with ended(workspace.start("tick", env={"PURUTO_CRON_MAX_RUNNING": "1"})) as tick:
        wait_for(lambda: [row["status"] for row in workspace.runs("other")] == ["ok"], what="the other job's run")
        assert [row["waiting"] for row in workspace.runs("job-0")] == [1]
        tick.terminate()
        assert {result["job_id"] for result in answer_of(tick)["results"]} == {"job-0", "other"}


def test_a_run_that_comes_back_from_its_wait_waits_for_a_place(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(FINE_AT_LAST, max_retries=2, retry_backoff_sec=30), shell(COUNT, job_id="other"))
    workspace.sql(
        "INSERT INTO runs (run_id, job_id, started_at, status, target, trigger, owner_pid, lease_token)"
        " VALUES ('other-x', 'other', '2026-02-25T20:00:00+00:00', 'running', 'puruto-target', 'manual', 0, 'x')"
    )
    waits: list[float] = []

    class Blocked(Leap):
        def wait(self, seconds: float) -> bool:
            waits.append(seconds)
            if clock.wall >= utc(2026, 2, 25, 20, 5):
                workspace.sql("UPDATE runs SET status = 'ok' WHERE run_id = 'other-x'")
            return super().wait(seconds)

    machine.environ["PURUTO_CRON_MAX_RUNNING"] = "1"
    stop = Blocked(clock)
    app = machine.app()
    with app.session() as session:
        run = session.store.claims.claim_manual("job-0", *_terms(machine), force=False)
        result = session.executor(stop).run(run)
    stop.close()
    assert result["attempt"] == 3
    second = asked_at(machine, result, 3)[1]
    assert second >= "20:05:00"
    assert len(workspace.starts()) == 3


@pytest.mark.process
def test_attempts_of_a_real_process(workspace: Workspace) -> None:
    prepare(workspace, shell(FAIL, max_retries=1, retry_backoff_sec=1))
    workspace.make_due()
    (result,) = workspace.json("tick")["results"]
    assert (result["attempts"], len(workspace.starts())) == (2, 2)
    (target_folder(workspace) / "fine").touch()
    assert workspace.json("run-now", "job-0")["attempt"] == 1


def test_an_error_that_the_target_answers_is_retried_and_kept(
    machine: Machine, workspace: Workspace, leap: Leap
) -> None:
    machine.ready({"schedule": YEARLY, "max_retries": 1})
    answer = json.dumps(
        {"status": "error", "error": {"code": "BANK_CLOSED", "message": "later", "details": {"until": 9}}}
    )
    workspace.add_target(invoke=f"#!/bin/sh\ncat > /dev/null\necho x >> starts.log\necho '{answer}'\n")
    result = machine.run_now(stop=leap)
    assert result["attempts"] == len(workspace.starts()) == 2
    assert result["error"]["code"] == "INVOKER_ERROR_STATUS"
    assert result["error"]["message"] == "El invoker devolvió status != ok"
    assert result["error"]["details"]["attempt"] == 2
    assert result["error"]["details"]["response_status"] == "error"
    assert result["error"]["details"]["response_error"] == {
        "code": "BANK_CLOSED", "message": "later", "details": {"until": 9},
    }  # fmt: skip


def _terms(machine: Machine) -> tuple[Any, Any]:
    now = machine.clock.wall
    return Owner("test:1", ProcessId(1, "", "")), ClaimTerms(now, now + timedelta(minutes=2), 90_000.0)
