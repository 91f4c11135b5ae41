"""One claimed run to its end: what the attempts are asked, what is told, and what happens when the lease is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from channels import channels_of
from core.errors import DatabaseError, DatabaseFull, DatabaseLocked, LeaseLost, VerdictNotStored
from core.run import RunStatus, Trigger
from executor import VERDICT_ATTEMPTS, VERDICT_PAUSE_SEC, RunLimits
from tests.fakes import NOON, FakeInvoke, FakeLedger, FakeStop, answered, failed, make_bench, make_run
from tests.workspace import FakeClock

# --- what is told ---


def test_a_success_is_reported_as_the_contract_says() -> None:
    bench = make_bench(answered({"summary": "Trabajo completado"}))
    printed = bench.run(make_run())
    told = {
        "job_id": "report",
        "run_id": "report-20260225T120000",
        "attempt": 1,
        "result": {
            "status": "ok",
            "request": {"request_id": "req-id2", "correlation_id": "corr-id1"},
            "response": {"status": "ok", "result": {"summary": "Trabajo completado"}},
        },
    }
    assert bench.event == told
    assert printed == {"status": "ok", **told}
    assert bench.verdict.status is RunStatus.OK
    assert bench.verdict.result == told["result"]
    assert bench.verdict.error is None
    assert bench.verdict.exit_code == 0
    assert bench.verdict.finished_at == NOON


def test_an_error_of_the_target_is_reported_as_the_contract_says() -> None:
    own = {"code": "NO_DATA", "message": "No hay datos", "details": {"file": "a.csv"}}
    answer = failed("NO_DATA", "No hay datos", from_target=True, exit_code=0, details={"file": "a.csv"})
    bench = make_bench(answer, answer)
    printed = bench.run(make_run(max_retries=1, retry_backoff_sec=0))
    told = {
        "job_id": "report",
        "run_id": "report-20260225T120000",
        "attempts": 2,
        "error": {
            "code": "INVOKER_ERROR_STATUS",
            "message": "El invoker devolvió status != ok",
            "details": {
                "attempt": 2,
                "response_status": "error",
                "exit_code": 0,
                "not_retried": "no retries left",
                "response_error": own,
            },
        },
    }
    assert bench.event == told
    assert printed == {"status": "error", **told}
    assert bench.verdict.status is RunStatus.ERROR
    assert bench.verdict.error == told["error"]
    assert bench.verdict.result is None


@pytest.mark.parametrize(
    "code", ["TARGET_NOT_FOUND", "DENIED", "TIMEOUT", "INVALID_RESPONSE", "IPC_ERROR", "NONZERO_EXIT"]
)
def test_an_error_that_the_invoker_found_keeps_its_code(code: str) -> None:
    bench = make_bench(failed(code, "what was wrong", exit_code=None, details={"looked_at": ["/a"]}))
    bench.run(make_run())
    error = bench.event["error"]
    assert (error["code"], error["message"]) == (code, "what was wrong")
    assert error["details"]["looked_at"] == ["/a"]
    assert error["details"]["attempt"] == 1
    assert error["details"]["response_status"] == "error"
    assert "exit_code" not in error["details"]


@pytest.mark.parametrize("code", ["TARGET_NOT_FOUND", "DENIED", "TIMEOUT"])
def test_a_target_that_answers_with_a_reserved_code_is_still_the_one_that_answered(code: str) -> None:
    bench = make_bench(failed(code, "mine", from_target=True), answered())
    bench.run(make_run(max_retries=1))
    assert bench.verdict.status is RunStatus.OK, "its own DENIED is no denial of ours, so it is retried"
    bench = make_bench(failed(code, "mine", from_target=True))
    bench.run(make_run())
    assert bench.event["error"]["code"] == "INVOKER_ERROR_STATUS"
    assert bench.event["error"]["details"]["response_error"]["code"] == code


@pytest.mark.parametrize("outcome", [answered(), failed(), failed(from_target=True), failed("CANCELLED", stopped=True)])
def test_result_and_error_exclude_each_other_and_so_do_attempt_and_attempts(outcome: Any) -> None:
    bench = make_bench(outcome)
    if outcome.stopped:
        bench.stop.set("SIGINT")
    bench.run(make_run())
    good = {"job_id", "run_id", "attempt", "result"}
    bad = {"job_id", "run_id", "attempts", "error"}
    assert set(bench.event) == (good if outcome.response.error is None else bad)
    json.dumps(bench.event)


def test_the_number_of_slots_missed_before_a_run_is_in_its_event() -> None:
    bench = make_bench(answered())
    assert bench.run(make_run(missed=7))["missed_slots"] == 7
    assert bench.event["missed_slots"] == 7


@pytest.mark.parametrize("left", [None, (), ("sleep (77)",), tuple(f"p ({n})" for n in range(50))])
def test_the_processes_that_the_calls_of_a_run_had_left_are_counted_and_some_are_named(
    left: tuple[str, ...] | None,
) -> None:
    bench = make_bench(replace(failed(), left=None), replace(answered(), left=left))
    bench.run(make_run(max_retries=1))
    number = None if left is None else len(left)
    assert bench.verdict.processes_ended == number
    assert bench.event["result"].get("processes_ended") == number
    assert bench.event["result"].get("ended_processes") == (list(left[:20]) if left else None)


def test_what_failed_attempts_had_left_counts_too() -> None:
    bench = make_bench(*(replace(failed(), left=("sleep (77)",)) for _ in range(2)))
    bench.run(make_run(max_retries=1))
    assert bench.verdict.processes_ended == 2
    assert bench.event["error"]["details"]["processes_ended"] == 2


def test_processes_that_could_not_be_killed_are_reported() -> None:
    bench = make_bench(replace(answered(), survivors=("sleep (77)",)))
    assert bench.run(make_run())["survivors"] == ["sleep (77)"]
    assert bench.event["survivors"] == ["sleep (77)"]


def test_the_number_of_the_attempt_that_succeeded_is_reported() -> None:
    bench = make_bench(failed(), failed(), answered())
    printed = bench.run(make_run(max_retries=5))
    assert printed["attempt"] == 3
    assert "attempts" not in printed


@pytest.mark.parametrize(("channel", "channels"), [("telegram", ("local", "telegram")), ("none", ("local",))])
def test_the_local_file_always_gets_the_event_and_the_channel_if_there_is_one(
    channel: str, channels: tuple[str, ...]
) -> None:
    bench = make_bench(answered())
    bench.run(make_run(notify_channel=channel))
    assert bench.ledger.channels == [channels]
    assert channels_of(channel) == channels


def test_the_duration_is_measured_with_the_monotonic_clock() -> None:
    clock = FakeClock(NOON)

    def set_back(beat: Callable[[], None]) -> None:
        clock.elapsed += 12.3456
        clock.wall -= timedelta(hours=3)

    bench = make_bench(invoke=FakeInvoke([answered()], during=set_back))
    bench.clock = clock
    bench.run(make_run())
    assert bench.verdict.duration_ms == 12_346


# --- what the target is asked ---


def test_a_run_by_hand_within_another_run_is_one_hop_further_and_a_slot_is_not() -> None:
    limits = RunLimits(lease_sec=120, max_running=4, hop=2)
    for trigger, hop in ((Trigger.MANUAL, 2), (Trigger.SCHEDULE, 0), (Trigger.CATCH_UP, 0), (Trigger.RETRY, 0)):
        bench = make_bench(answered(), limits=limits)
        bench.run(make_run(trigger=trigger))
        assert [made.request.hop for made in bench.invoke.invocations] == [hop]


def test_an_attempt_carries_the_job_the_slot_and_new_ids() -> None:
    bench = make_bench(answered(), limits=RunLimits(lease_sec=120, max_running=4, hop=2))
    bench.run(
        make_run(
            command=["python3", "x.py"],
            env={"A": "1"},
            allow_env=["TOKEN"],
            runner="command",
            timeout_sec=33,
            allow_empty_result=True,
        )
    )
    (made,) = bench.invoke.invocations
    assert made.run_folder == "/runs/report/report-20260225T120000"
    assert (made.run_id, made.job_id, made.attempt) == ("report-20260225T120000", "report", 1)
    assert made.scheduled_for == "2026-02-25T12:00:00+00:00"
    assert (made.runner, made.command, made.env, made.allow_env) == (
        "command",
        ("python3", "x.py"),
        {"A": "1"},
        ("TOKEN",),
    )
    assert made.allow_empty_result is True
    assert made.request.as_dict() == {
        "request_id": "req-id2",
        "correlation_id": "corr-id1",
        "caller": "puruto-cron",
        "target": "puruto-target",
        "action": "run",
        "prompt": "Do it",
        "timeout_sec": 33,
        "hop": 0,
        "requested_at": "2026-02-25T12:00:00+00:00",
        "payload": {
            "job_id": "report",
            "run_id": "report-20260225T120000",
            "trigger": "schedule",
            "scheduled_for": "2026-02-25T12:00:00+00:00",
        },
    }


def test_a_run_by_hand_has_no_slot() -> None:
    bench = make_bench(answered())
    bench.run(make_run(trigger=Trigger.MANUAL))
    (made,) = bench.invoke.invocations
    assert made.scheduled_for == ""
    assert made.request.payload["scheduled_for"] is None
    assert made.request.payload["trigger"] == "manual"


def test_the_attempts_of_a_run_share_the_correlation_and_nothing_else() -> None:
    bench = make_bench(failed(), failed(), answered())
    bench.run(make_run(max_retries=2))
    requests = [made.request for made in bench.invoke.invocations]
    assert len({request.correlation_id for request in requests}) == 1
    assert len({request.request_id for request in requests}) == 3
    assert [made.attempt for made in bench.invoke.invocations] == [1, 2, 3]
    result = bench.event["result"]["request"]
    assert result["request_id"] == requests[-1].request_id


# --- the lease ---


def test_the_lease_is_renewed_each_third_of_its_length_for_its_whole_length() -> None:
    clock = FakeClock(NOON)

    def beats(beat: Callable[[], None]) -> None:
        for _ in range(85):
            beat()
            clock.advance(seconds=1)

    bench = make_bench(invoke=FakeInvoke([answered()], during=beats))
    bench.clock = clock
    bench.run(make_run())
    assert bench.invoke.beat_every == [1]
    ends = [call[1] for call in bench.ledger.named("renew")]
    assert ends == [NOON + timedelta(seconds=160), NOON + timedelta(seconds=200)]


def test_after_a_long_sleep_one_renewal_is_enough() -> None:
    clock = FakeClock(NOON)

    def beats(beat: Callable[[], None]) -> None:
        clock.advance(hours=8)
        beat()
        beat()

    bench = make_bench(invoke=FakeInvoke([answered()], during=beats))
    bench.clock = clock
    assert bench.run(make_run())["status"] == "ok"
    assert [call[1] for call in bench.ledger.named("renew")] == [NOON + timedelta(hours=8, seconds=120)]


def test_a_cancelled_run_says_who_cancelled_it() -> None:
    ledger = FakeLedger()
    bench = make_bench(failed(), ledger=ledger, limits=RunLimits(lease_sec=120, max_running=4))
    bench.invoke.during = lambda beat: setattr(ledger, "cancelled_by", "host:7")
    bench.run(make_run(max_retries=3))
    assert bench.verdict.status is RunStatus.CANCELLED
    assert bench.verdict.error is not None
    assert bench.verdict.error["details"]["stopped_by"] == "cancel (host:7)"  # type: ignore[index]
    assert len(bench.invoke.invocations) == 1, "it is not tried again"


def test_a_run_that_is_cancelled_in_its_backoff_is_not_retried() -> None:
    ledger = FakeLedger()
    bench = make_bench(failed(), ledger=ledger)
    wait = bench.stop.wait

    def cancel_after_five(seconds: float) -> bool:
        ledger.cancelled_by = "host:7" if len(bench.stop.waits) == 5 else ""
        return wait(seconds)

    bench.stop.wait = cancel_after_five  # type: ignore[method-assign]
    bench.run(make_run(max_retries=3, retry_backoff_sec=1000))
    assert bench.verdict.status is RunStatus.CANCELLED
    assert sum(bench.stop.waits) < 10


def test_the_stop_of_a_run_is_closed_at_its_end_however_it_ends() -> None:
    for ledger in (FakeLedger(), FakeLedger(lose_at="finish")):
        bench = make_bench(answered(), ledger=ledger)
        closed: list[bool] = []
        bench.stop.close = lambda closed=closed: closed.append(True)  # type: ignore[method-assign,misc]
        with suppress(LeaseLost):
            bench.run(make_run())
        assert closed == [True]


@pytest.mark.parametrize(
    "call", ["record_child", "renew", "cancel_requested_by", "release_permit", "take_permit", "finish"]
)
def test_a_run_that_another_process_settled_ends_without_a_second_verdict(call: str) -> None:
    ledger = FakeLedger(lose_at=call)
    bench = make_bench(invoke=FakeInvoke([failed(), answered()]), ledger=ledger)

    def a_minute(beat: Callable[[], None]) -> None:
        bench.clock.advance(minutes=1)
        beat()

    bench.invoke.during = a_minute
    with pytest.raises(LeaseLost):
        bench.run(make_run(max_retries=1))
    assert ledger.verdicts == []
    assert ledger.calls[-1][0] == call


@pytest.mark.parametrize("error", [DatabaseLocked("busy"), DatabaseFull("full")])
def test_a_database_that_refuses_a_renewal_does_not_end_a_healthy_run(error: Exception) -> None:
    ledger = FakeLedger(refuse={"renew": [error, error], "cancel_requested_by": [error]})
    bench = make_bench(invoke=FakeInvoke([answered()]), ledger=ledger)

    def two_minutes(beat: Callable[[], None]) -> None:
        for _ in range(2):
            bench.clock.advance(minutes=1)
            beat()

    bench.invoke.during = two_minutes
    assert bench.run(make_run())["status"] == "ok"


@pytest.mark.parametrize("call", ["record_child", "release_permit", "take_permit", "finish"])
def test_a_database_that_is_busy_once_does_not_change_how_a_run_ends(call: str) -> None:
    ledger = FakeLedger(refuse={call: [DatabaseLocked("busy")]})
    bench = make_bench(failed(), answered(), ledger=ledger)
    assert bench.run(make_run(max_retries=1))["attempt"] == 2
    assert bench.verdict.status is RunStatus.OK
    assert len(ledger.named("take_permit")) == (2 if call == "take_permit" else 1), "no attempt without a permit"


def test_a_verdict_that_can_not_be_stored_is_an_error_even_after_a_success() -> None:
    bench = make_bench(answered(), ledger=FakeLedger(refuse={"finish": [DatabaseFull("full")] * 100_000}))
    with pytest.raises(VerdictNotStored):
        bench.run(make_run())
    assert bench.ledger.verdicts == []
    assert len(bench.ledger.named("finish")) < 100, "it gives up: the row is settled when its lease is over"


def test_there_is_no_wait_after_the_last_attempt_to_store_a_verdict() -> None:
    bench = make_bench(answered(), ledger=FakeLedger(refuse={"finish": [DatabaseFull("full")] * 100_000}))
    with pytest.raises(VerdictNotStored):
        bench.run(make_run())
    waited = (bench.clock.now() - NOON).total_seconds()
    assert len(bench.ledger.named("finish")) == VERDICT_ATTEMPTS
    assert waited == (VERDICT_ATTEMPTS - 1) * VERDICT_PAUSE_SEC


@pytest.mark.parametrize("refusal", [DatabaseFull("full"), DatabaseLocked("busy")], ids=["full", "locked"])
def test_whoever_made_the_run_may_store_its_verdict_later(refusal: DatabaseError) -> None:
    ledger = FakeLedger(refuse={"finish": [refusal] * VERDICT_ATTEMPTS})
    bench = make_bench(answered({"n": 1}), ledger=ledger)
    with pytest.raises(VerdictNotStored) as caught:
        bench.run(make_run())
    assert caught.value.store is not None
    assert caught.value.store()["status"] == "ok"
    assert bench.verdict.status is RunStatus.OK


def test_a_run_by_hand_has_nobody_to_store_its_verdict_later_and_is_patient_itself() -> None:
    ledger = FakeLedger(refuse={"finish": [DatabaseLocked("busy")] * (VERDICT_ATTEMPTS + 1)})
    bench = make_bench(answered(), ledger=ledger)
    assert bench.run(make_run(trigger=Trigger.MANUAL))["status"] == "ok"


@pytest.mark.parametrize("stopped", [False, True], ids=["", "while somebody asks to stop"])
def test_a_verdict_that_is_refused_for_a_while_is_stored_as_it_was(stopped: bool) -> None:
    bench = make_bench(answered({"n": 1}), ledger=FakeLedger(refuse={"finish": [DatabaseFull("full")] * 3}))
    bench.invoke.during = lambda beat: bench.stop.set("SIGTERM") if stopped else None
    assert bench.run(make_run())["status"] == "ok"
    assert bench.event["result"]["response"]["result"] == {"n": 1}
    assert bench.clock.now() >= NOON + timedelta(seconds=3 * VERDICT_PAUSE_SEC), "it waits between two attempts"


# --- secrets ---


def test_the_values_of_allowed_variables_are_masked_in_results_errors_and_what_is_printed() -> None:
    secret = "s3cr3t-token"
    good = make_bench(answered({"said": f"key {secret}!", "list": [{secret: secret}]}), secrets=(secret,))
    printed = good.run(make_run())
    bad = make_bench(
        failed("NONZERO_EXIT", f"bad {secret}", details={"stderr": f"…{secret}…", "argv": [secret]}), secrets=(secret,)
    )
    printed_error = bad.run(make_run())
    own = make_bench(failed("X", f"{secret}", from_target=True, details={"a": {"b": secret}}), secrets=(secret,))
    printed_own = own.run(make_run())
    for told in (printed, printed_error, printed_own, good.event, bad.event, own.event):
        assert secret not in json.dumps(told)
        assert "***" in json.dumps(told)
    for verdict in (good.verdict, bad.verdict, own.verdict):
        assert secret not in json.dumps([verdict.result, verdict.error])


# --- a stop ---


def test_a_stop_during_an_attempt_ends_the_run_as_cancelled() -> None:
    bench = make_bench(invoke=FakeInvoke([failed("CANCELLED", stopped=True, exit_code=-15)]))
    bench.stop.set("SIGTERM")
    printed = bench.run(make_run(max_retries=5))
    assert bench.verdict.status is RunStatus.CANCELLED
    assert bench.ledger.named("release_permit") == []
    assert printed["attempts"] == 1
    assert bench.event["error"] == {
        "code": "CANCELLED",
        "message": "The run was ended by SIGTERM",
        "details": {"attempt": 1, "stopped_by": "SIGTERM", "exit_code": -15},
    }


def test_a_stop_during_a_backoff_ends_the_run_as_cancelled_without_another_attempt() -> None:
    clock = FakeClock(NOON)
    bench = make_bench(failed(exit_code=None), stop=FakeStop(clock, after_waits=1))
    printed = bench.run(make_run(max_retries=5, retry_backoff_sec=300))
    assert "exit_code" not in bench.event["error"]["details"]
    assert bench.verdict.status is RunStatus.CANCELLED
    assert len(bench.invoke.invocations) == 1
    assert printed["attempts"] == 1
    assert bench.ledger.named("take_permit") == []


def test_a_stop_while_no_permit_is_free_ends_the_run_as_cancelled() -> None:
    clock = FakeClock(NOON)
    bench = make_bench(failed(), stop=FakeStop(clock, after_waits=3), ledger=FakeLedger(full_tries=100))
    bench.run(make_run(max_retries=1, retry_backoff_sec=0))
    assert bench.verdict.status is RunStatus.CANCELLED


def test_work_that_was_done_before_the_stop_arrived_is_a_success() -> None:
    bench = make_bench(answered())
    bench.stop.set("SIGTERM")
    assert bench.run(make_run())["status"] == "ok"
    assert bench.verdict.status is RunStatus.OK


def test_a_run_that_failed_by_itself_just_before_the_stop_keeps_its_error() -> None:
    bench = make_bench(failed("INVALID_RESPONSE", "the answer is no JSON"))
    bench.stop.set("SIGTERM")
    bench.run(make_run())
    assert bench.verdict.status is RunStatus.ERROR
    assert bench.event["error"]["code"] == "INVALID_RESPONSE"


def test_a_run_that_is_cancelled_in_its_backoff_still_says_why_it_was_waiting() -> None:
    clock = FakeClock(NOON)
    bench = make_bench(failed("INVALID_RESPONSE", "no JSON"), stop=FakeStop(clock, after_waits=0))
    bench.run(make_run(max_retries=1))
    assert bench.verdict.status is RunStatus.CANCELLED
    assert "INVALID_RESPONSE" in json.dumps(bench.event["error"])
