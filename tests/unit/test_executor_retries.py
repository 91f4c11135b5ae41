"""Between attempts: whether there is another, how long is waited, and who holds the permit meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from core.run import RunStatus
from execution.retries import LONGEST_BACKOFF_SEC, ceiling_sec
from executor import RunLimits
from tests.fakes import NOON, Bench, FakeInvoke, FakeLedger, FakeStop, answered, failed, make_bench, make_run
from tests.workspace import FakeClock


def _not_retried(bench: Bench) -> Any:
    return bench.event["error"]["details"].get("not_retried")


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_failed_run_is_retried_max_retries_times(retries: int) -> None:
    bench = make_bench(*[failed()] * (retries + 1))
    printed = bench.run(make_run(max_retries=retries))
    assert len(bench.invoke.invocations) == retries + 1
    assert printed["attempts"] == retries + 1
    assert _not_retried(bench) == ("no retries left" if retries else "max_retries is 0")


def test_a_success_is_not_retried() -> None:
    bench = make_bench(answered())
    bench.run(make_run(max_retries=5))
    assert len(bench.invoke.invocations) == 1
    assert bench.stop.waits == []


@pytest.mark.parametrize("code", ["TARGET_NOT_FOUND", "RUNNER_NOT_FOUND", "DENIED"])
def test_an_error_that_another_attempt_can_not_fix_is_not_retried(code: str) -> None:
    bench = make_bench(failed(code))
    bench.run(make_run(max_retries=5))
    assert len(bench.invoke.invocations) == 1
    assert _not_retried(bench) == f"{code} is not retried"
    assert bench.verdict.status is RunStatus.ERROR


@pytest.mark.parametrize("code", ["TIMEOUT", "INVALID_RESPONSE", "IPC_ERROR", "NONZERO_EXIT"])
def test_every_other_error_is_retried(code: str) -> None:
    bench = make_bench(failed(code), answered())
    assert bench.run(make_run(max_retries=1))["attempt"] == 2


def test_each_backoff_is_twice_the_one_before() -> None:
    starts: list[datetime] = []
    clock = FakeClock(NOON)
    invoke = FakeInvoke([failed()] * 5, during=lambda beat: starts.append(clock.now()))
    bench = make_bench(invoke=invoke, stop=FakeStop(clock))
    bench.clock = clock
    bench.run(make_run(max_retries=4, retry_backoff_sec=30))
    assert [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(starts)] == [
        30,
        60,
        120,
        240,
    ]


def test_no_wait_is_longer_than_an_hour() -> None:
    bench = make_bench(*[failed()] * 4)
    bench.run(make_run(max_retries=3, retry_backoff_sec=3_000))
    assert sum(bench.stop.waits) == 3_000 + 3_600 + 3_600


def test_without_a_backoff_the_retry_comes_at_once() -> None:
    bench = make_bench(failed(), answered())
    bench.run(make_run(max_retries=1, retry_backoff_sec=0))
    assert bench.stop.waits == []


# --- the next slot ---


@pytest.mark.parametrize(("seconds_to_slot", "retried"), [(29, False), (30, False), (31, True)])
def test_a_retry_that_would_start_at_the_next_slot_or_later_is_not_made(seconds_to_slot: int, retried: bool) -> None:
    bench = make_bench(failed(), answered())
    slot = NOON + timedelta(seconds=seconds_to_slot)
    bench.run(make_run(next_run_at=slot, max_retries=1, retry_backoff_sec=30))
    assert (len(bench.invoke.invocations) == 2) is retried
    if not retried:
        assert bench.stop.waits == [], "the permit is given back at once"
        assert _not_retried(bench) == (f"the next slot is due at {slot.isoformat()}, before the retry would start")


def test_a_job_without_a_next_slot_is_retried_as_long_as_it_has_retries() -> None:
    bench = make_bench(failed(), failed(), answered())
    assert bench.run(make_run(next_run_at=None, max_retries=2, retry_backoff_sec=3_600))["attempt"] == 3


def test_the_time_that_an_attempt_took_counts_towards_the_next_slot() -> None:
    clock = FakeClock(NOON)
    invoke = FakeInvoke([failed(), answered()], during=lambda beat: clock.advance(seconds=50))
    bench = make_bench(invoke=invoke, stop=FakeStop(clock))
    bench.clock = clock
    bench.run(make_run(next_run_at=NOON + timedelta(seconds=60), max_retries=1, retry_backoff_sec=30))
    assert len(bench.invoke.invocations) == 1


def test_a_retry_is_not_made_when_the_machine_slept_past_the_next_slot() -> None:
    clock = FakeClock(NOON)

    class Asleep(FakeStop):
        def wait(self, seconds: float) -> bool:
            self.clock.wall += timedelta(hours=9)  # a suspended machine's monotonic clock stands still
            return super().wait(seconds)

    bench = make_bench(failed(), answered(), stop=Asleep(clock))
    bench.clock = clock
    bench.run(make_run(next_run_at=NOON + timedelta(hours=1), max_retries=1, retry_backoff_sec=30))
    assert len(bench.invoke.invocations) == 1


# --- the permit, and the lease meanwhile ---


def test_the_permit_is_released_for_the_backoff_and_taken_again_for_the_attempt() -> None:
    bench = make_bench(failed(), failed(), answered())
    bench.run(make_run(max_retries=2))
    names = [call[0] for call in bench.ledger.calls if call[0] not in ("renew", "cancel_requested_by")]
    assert names == [
        "record_child",
        "release_permit",
        "take_permit",
        "record_child",
        "release_permit",
        "take_permit",
        "record_child",
        "finish",
    ]
    assert [call[1:] for call in bench.ledger.named("take_permit")] == [(2, 4), (3, 4)]


def test_the_lease_is_renewed_at_least_each_third_of_its_length_while_a_run_waits() -> None:
    bench = make_bench(failed(), answered(), limits=RunLimits(lease_sec=90, max_running=4))
    bench.run(make_run(max_retries=1, retry_backoff_sec=100))
    assert sum(bench.stop.waits) == 100
    assert max(bench.stop.waits) <= 1, "somebody may cancel it"
    ends = [call[1] for call in bench.ledger.named("renew")]
    assert ends == [NOON + timedelta(seconds=passed + 90) for passed in (30, 60, 90)]


def test_a_run_that_waits_for_a_permit_keeps_its_lease() -> None:
    bench = make_bench(failed(), answered(), ledger=FakeLedger(full_tries=50))
    assert bench.run(make_run(max_retries=1, retry_backoff_sec=0))["attempt"] == 2
    assert len(bench.ledger.named("take_permit")) == 51
    assert len(bench.ledger.named("renew")) == 1, "a third of its lease has passed"
    assert len(bench.stop.waits) == 50


def test_a_run_ends_if_no_permit_becomes_free_before_the_next_slot() -> None:
    bench = make_bench(failed(), ledger=FakeLedger(full_tries=10**6))
    bench.run(make_run(next_run_at=NOON + timedelta(seconds=90), max_retries=1))
    assert bench.verdict.status is RunStatus.ERROR
    assert _not_retried(bench) == "as many runs as PURUTO_CRON_MAX_RUNNING allows were running all the time"
    assert bench.clock.now() <= NOON + timedelta(seconds=92)


def test_a_run_ends_within_an_hour_if_no_permit_becomes_free() -> None:
    bench = make_bench(failed(), ledger=FakeLedger(full_tries=10**6))
    bench.run(make_run(next_run_at=None, max_retries=1, retry_backoff_sec=0))
    assert _not_retried(bench) == "as many runs as PURUTO_CRON_MAX_RUNNING allows were running all the time"
    assert bench.clock.now() <= NOON + timedelta(seconds=LONGEST_BACKOFF_SEC + 5)


# --- the ceiling ---


@pytest.mark.parametrize(("retries", "backoff"), [(0, 30), (1, 0), (1, 3_600), (5, 30), (5, 3_600)])
def test_no_run_can_outlive_its_ceiling(retries: int, backoff: int) -> None:
    timeout, grace = 180, 5
    clock = FakeClock(NOON)

    def slowest(beat: Callable[[], None]) -> None:
        clock.advance(seconds=timeout + 2 * grace)

    class LastMoment(FakeLedger):
        """Every permit becomes free only when nearly all waiting time is used up."""

        looks = 0

        def renew(self, run: Any, until: datetime) -> None:
            """Not noted: there are thousands."""

        def take_permit(self, run: Any, attempt: int, max_running: int) -> bool:
            self.looks += 1
            return self.looks % 3_599 == 0

    invoke = FakeInvoke([failed("TIMEOUT")] * (retries + 1), during=slowest)
    bench = make_bench(invoke=invoke, stop=FakeStop(clock), ledger=LastMoment())
    bench.clock = clock
    run = make_run(timeout_sec=timeout, max_retries=retries, retry_backoff_sec=backoff, command=["true"])
    bench.run(run)
    assert len(invoke.invocations) == retries + 1
    lived = (clock.now() - NOON).total_seconds()
    assert lived <= ceiling_sec(run.job, grace)
    assert lived >= retries * 3_500, "the test is to wait for each place"
