"""The queue of what is due: what becomes of a claim, who waits for a permit, and whom one job's trouble hurts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.errors import LeaseLost, VerdictNotStored
from core.run import ClaimedRun, Refusal, RunStatus, Verdict
from db import Database
from notifier import Delivery
from schedules import language
from scheduling.claiming import Claiming, ClaimSettings, QueuedSlot
from scheduling.dispatcher import PERMIT_POLL_SEC, REPLANS, REPORT_DELAY_SEC, Dispatcher, DispatchReport, Reporter
from scheduling.task_loop import TaskLoop
from store.bundle import Store
from store.creation import create
from system.awaitables import wait, write
from tests.fakes import NOON, at
from tests.integration.test_claims import OWNER
from tests.integration.test_claims import Bench as Ledger
from tests.unit.test_task_loop import LeapStop
from tests.workspace import FakeClock

CHANNELS = ("local", "telegram")


class FakeNotifier:
    """Reports the error that a test has set for each channel."""

    def __init__(self) -> None:
        self.rounds = 0
        self.error = ""

    def deliver(self, _outbox: object) -> list[Delivery]:
        self.rounds += 1
        return [Delivery("local", 1, ""), Delivery("telegram", 0, self.error)]


@dataclass
class FakeExecutor:
    """A run that takes as long as `lasts` says for its job, and raises what `fails` says."""

    bench: Bench

    async def task(self, run: ClaimedRun) -> dict[str, object]:
        bench, name = self.bench, run.job.job_id
        bench.started.append((bench.clock.elapsed, name))
        bench.most = max(bench.most, bench.permits_in_use())
        await wait(bench.lasts.get(name, 1.0), stop=bench.stop)
        if (error := bench.fails.get(name)) is not None:
            raise error
        verdict = Verdict(RunStatus.OK, bench.clock.now(), 5)
        await write(lambda: bench.store.runs.finish(run.run_id, run.token, verdict, ()))
        return {"status": "ok", "job_id": name, "run_id": run.run_id, "attempt": 1}


@dataclass
class Bench:
    """A dispatcher with a real SQLite, a clock that the waits move, and fake runs."""

    path: str
    max_running: int = 4
    lasts: dict[str, float] = field(default_factory=dict)
    fails: dict[str, Exception] = field(default_factory=dict)
    started: list[tuple[float, str]] = field(default_factory=list)
    most: int = 0
    refusal: Callable[[Any, Any], Refusal | None] = lambda _state, _now: None

    def __post_init__(self) -> None:
        self.clock = FakeClock(NOON)
        self.stop = LeapStop(self.clock)
        self.store = Store(create(self.path)[0])
        self.jobs = Ledger(self.store)
        #: What another process does to the same file.
        self.others = Ledger(Store(Database(self.path)))
        self.notifier = FakeNotifier()
        self.make_executor: Callable[[], Any] = lambda: FakeExecutor(self)
        stop: Any = self.stop
        calendar: Any = language
        notifier: Any = self.notifier
        self.claiming = Claiming(
            store=self.store, calendar=calendar, clock=self.clock, owner=OWNER, gate=self.refusal,
            settings=ClaimSettings(lease_sec=120, max_running=self.max_running, kill_grace_sec=10),
        )  # fmt: skip
        reporter = Reporter(
            store=self.store, notifier=notifier, clock=self.clock, mask=dict,
            paths_of=lambda channel: {"local_events": "events.jsonl", "telegram_outbox": channel},
        )  # fmt: skip
        self.dispatcher = Dispatcher(
            store=self.store, loop=TaskLoop(self.store, self.clock, stop), claiming=self.claiming, reporter=reporter,
            make_executor=self._make, clock=self.clock, stop=stop, due_before=self.clock.now,
        )  # fmt: skip

    def _make(self) -> Any:
        return self.make_executor()

    def close(self) -> None:
        self.stop.close()
        self.others.store.close()
        self.store.close()

    def permits_in_use(self) -> int:
        return len(self.store.runs.running())

    def serve(self) -> DispatchReport:
        self.dispatcher.enqueue(QueuedSlot(*row) for row in self.store.definitions.due(self.clock.now()))
        self.dispatcher.serve()
        return self.dispatcher.report

    def after_preparing(self, meddle: Callable[[], object]) -> None:
        """Between the plan of a claim and its commit something happens."""
        slot = self.claiming.slot

        def prepared(*what: Any) -> Any:
            found = slot(*what)
            meddle()
            return found

        self.claiming.slot = prepared  # type: ignore[method-assign, assignment]

    def names(self) -> list[str]:
        return [name for _, name in self.started]

    def statuses(self) -> dict[str, str]:
        return {row["job_id"]: row["status"] for row in self.jobs.rows()}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make_bench(**fields: Any) -> Bench:
        made.append(Bench(str(tmp_path / "cron.db"), **fields))
        return made[-1]

    yield make_bench
    for bench in made:
        bench.close()


# --- permits ---


def test_all_that_is_due_is_served_oldest_first_and_never_above_the_cap(make: Callable[..., Bench]) -> None:
    bench = make(max_running=2)
    for name, cursor in [("c", "11:00"), ("a", "09:00"), ("d", "12:00"), ("b", "10:00"), ("later", "12:01")]:
        bench.jobs.add(name, at(f"02-25 {cursor}"), catch_up="latest")
    report = bench.serve()
    assert bench.names() == ["a", "b", "c", "d"]
    assert bench.most == 2
    assert (report.left_due, report.taken_elsewhere, report.problems) == ([], 0, [])
    assert sorted(str(result["job_id"]) for result in report.results) == ["a", "b", "c", "d"]
    assert bench.dispatcher.queue == []


def test_the_verdicts_of_some_runs_and_the_claims_of_the_next_share_a_commit(make: Callable[..., Bench]) -> None:
    """The permits that the ended runs free are those that the next ones take."""
    bench = make(max_running=2)
    for name in "abcd":
        bench.jobs.add(name)
    asked: list[str] = []
    bench.store.db.connection.set_trace_callback(asked.append)
    bench.serve()
    assert bench.names() == ["a", "b", "c", "d"]
    assert bench.clock.elapsed == pytest.approx(1002), "nobody has waited for a permit"
    changes = [text.split()[0] for text in asked if text.startswith(("COMMIT", "INSERT INTO runs", "UPDATE runs"))]
    assert changes[-8:] == ["UPDATE", "UPDATE", "INSERT", "INSERT", "COMMIT", "UPDATE", "UPDATE", "COMMIT"]


def test_slots_stay_due_if_another_process_holds_all_permits_and_no_run_of_ours_is_running(
    make: Callable[..., Bench],
) -> None:
    bench = make(max_running=1)
    bench.jobs.add("theirs")
    bench.others.claimed("theirs")
    bench.jobs.add("ours")
    report = bench.serve()
    assert (bench.started, bench.dispatcher.queue) == ([], ["ours"])
    assert (report.results, report.left_due) == ([], [])
    assert bench.clock.elapsed == 1000


def test_a_permit_that_another_process_frees_is_noticed_within_the_poll(make: Callable[..., Bench]) -> None:
    bench = make(max_running=2, lasts={"ours": 30})
    bench.jobs.add("theirs")
    run = bench.others.claimed("theirs")
    bench.jobs.add("ours", at("02-25 10:00"))
    bench.jobs.add("waits")
    leap, freed = bench.stop.wait, 1007.3

    def wait_and_free(seconds: float) -> bool:
        before = bench.clock.elapsed
        asked = leap(seconds)
        if before < freed <= bench.clock.elapsed:
            bench.others.end(run)
        return asked

    bench.stop.wait = wait_and_free  # type: ignore[method-assign]
    bench.serve()
    assert bench.names() == ["ours", "waits"]
    assert freed < bench.started[1][0] <= freed + PERMIT_POLL_SEC + 1e-3


# --- claims that come to nothing ---


def test_a_slot_whose_job_changed_before_the_claim_is_planned_again(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.jobs.add("report")
    moved = [at("02-25 11:00")]
    bench.after_preparing(
        lambda: moved and bench.others.store.definitions.move_cursor(bench.others.state(), moved.pop())
    )
    report = bench.serve()
    assert bench.names() == ["report"]
    assert report.taken_elsewhere == 0
    rows = {row["status"]: row["scheduled_for"] for row in bench.jobs.rows()}
    assert rows == {"ok": "2026-02-25T12:00:00+00:00", "missed": "2026-02-25T11:00:00+00:00"}
    assert len(report.written_off) == 1


def test_a_job_that_keeps_changing_is_left_to_the_next_tick(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.jobs.add("report")
    bench.jobs.add("other")
    attempts: list[int] = []

    def move() -> None:
        attempts.append(1)
        cursor = at(f"02-25 {11 - len(attempts):02}:00")
        bench.others.store.definitions.move_cursor(bench.others.state("report"), cursor)

    bench.after_preparing(move)
    report = bench.serve()
    assert bench.names() == ["other"]
    assert len(attempts) == REPLANS + 1, "and one for the other"
    assert (report.taken_elsewhere, report.left_due) == (1, [])
    assert bench.dispatcher.queue == []


def test_a_slot_that_another_process_has_taken_is_counted_and_not_run(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.jobs.add("report")
    taken: list[ClaimedRun] = []

    def take() -> None:
        if not taken:
            taken.append(bench.others.claimed())

    bench.after_preparing(take)
    report = bench.serve()
    assert (bench.started, report.taken_elsewhere, report.left_due) == ([], 1, [])
    assert len(bench.jobs.rows()) == 1


def test_a_slot_that_a_gate_refuses_is_written_off_and_reported_without_a_run(make: Callable[..., Bench]) -> None:
    refusal = Refusal(code="TOO_DEAR", reason="the day's money is spent", details={}, day="2026-02-25")
    bench = make(refusal=lambda state, _now: refusal if state.job.job_id == "dear" else None)
    bench.jobs.add("dear")
    bench.jobs.add("cheap")
    report = bench.serve()
    assert bench.names() == ["cheap"]
    assert [row["code"] for row in report.written_off] == ["TOO_DEAR"]
    assert bench.statuses() == {"dear": "skipped", "cheap": "ok"}


# --- trouble ---


def test_a_job_with_a_bad_definition_does_not_stop_the_others(make: Callable[..., Bench]) -> None:
    bench = make()
    for name in ("a", "spoilt", "z"):
        bench.jobs.add(name)
    bench.store.db.run("UPDATE jobs SET definition_json = '{' WHERE job_id = 'spoilt'")
    report = bench.serve()
    assert bench.names() == ["a", "z"]
    (problem,) = report.problems
    assert problem["job_id"] == "spoilt"
    assert report.left_due == ["spoilt"]
    assert bench.jobs.job("spoilt")["problem_json"] is not None
    assert bench.jobs.job("spoilt")["next_run_at"] == "2026-02-25T12:00:00+00:00", "the slot is not lost"


@pytest.mark.parametrize("where", ["in the claim", "in the executor's making", "in the run"])
def test_an_exception_fails_one_job_only(make: Callable[..., Bench], where: str) -> None:
    bench = make()
    for name in ("a", "bad", "z"):
        bench.jobs.add(name)
    fault = ZeroDivisionError("a fault")
    if where == "in the run":
        bench.fails["bad"] = fault
    elif where == "in the claim":
        claim = bench.store.claims.claim

        def broken(state: Any, *what: Any, **more: Any) -> Any:
            done = claim(state, *what, **more)
            if state.job.job_id == "bad":
                raise fault
            return done

        bench.store.claims.claim = broken  # type: ignore[method-assign]
    else:
        makes = iter([None, fault, None])

        def make_executor() -> FakeExecutor:
            if (found := next(makes)) is not None:
                raise found
            return FakeExecutor(bench)

        bench.make_executor = make_executor
    report = bench.serve()
    assert set(bench.names()) >= {"a", "z"}
    assert (bench.statuses()["a"], bench.statuses()["z"]) == ("ok", "ok")
    if where == "in the claim":
        assert [problem["job_id"] for problem in report.problems] == ["bad"]
        return
    (result,) = [result for result in report.results if result["status"] != "ok"]
    assert (result["job_id"], result["error"]["code"]) == ("bad", "INTERNAL_ERROR")
    assert result["notification_paths"] == {"local_events": "events.jsonl", "telegram_outbox": "telegram"}
    assert bench.statuses()["bad"] == "error"
    assert [row["job_id"] for row in bench.jobs.rows("events")] == ["bad"], "and its verdict is told"


def test_a_verdict_that_could_not_be_stored_is_not_replaced_by_another(make: Callable[..., Bench]) -> None:
    bench = make(fails={"bad": VerdictNotStored("it ended as ok, but that could not be stored")})
    bench.jobs.add("bad")
    (result,) = bench.serve().results
    assert result["error"]["code"] == "VERDICT_NOT_STORED"
    assert bench.statuses() == {"bad": "running"}


def test_a_run_that_another_process_has_settled_reports_by_whom(make: Callable[..., Bench]) -> None:
    bench = make(fails={"lost": LeaseLost("no longer ours")})
    bench.jobs.add("lost")
    make_executor = bench.make_executor

    def settled() -> Any:
        (run,) = bench.others.store.runs.running()
        verdict = Verdict(RunStatus.INTERRUPTED, bench.clock.now(), 5, error={"message": "its scheduler died"})
        bench.others.store.runs.finish(run.run_id, run.token, verdict, ())
        return make_executor()

    bench.make_executor = settled
    (result,) = bench.serve().results
    error: Any = result["error"]
    assert error["details"]["run_status"] == "interrupted"
    assert "its scheduler died" in error["message"]
    assert bench.statuses() == {"lost": "interrupted"}


# --- going on ---


def test_catch_up_all_starts_one_slot_after_another(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.jobs.add("report", at("02-25 09:00"), catch_up="all", catch_up_limit=10)
    bench.jobs.add("other")
    bench.serve()
    rows = [row["scheduled_for"][11:16] for row in bench.jobs.rows() if row["job_id"] == "report"]
    assert rows == ["09:00", "10:00", "11:00", "12:00"]
    starts = [elapsed for elapsed, name in bench.started if name == "report"]
    assert starts == pytest.approx([1000, 1001, 1002, 1003], abs=1e-3), "one behind the other, none waits for a tick"


def test_a_queued_slot_is_not_queued_twice(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.jobs.add("report")
    bench.dispatcher.enqueue([QueuedSlot("2026-02-25T12:00:00+00:00", "report")])
    bench.serve()
    assert bench.names() == ["report"]
    assert bench.dispatcher.report.taken_elsewhere == 0


def test_after_a_stop_no_run_is_started_and_running_ones_end(make: Callable[..., Bench]) -> None:
    bench = make(max_running=1, lasts={"a": 100})
    for name in "ab":
        bench.jobs.add(name)
    leap = bench.stop.wait

    def wait_and_ask(seconds: float) -> bool:
        if not bench.stop.is_set():
            bench.stop.set()
        return leap(min(seconds, 0.1))

    bench.stop.wait = wait_and_ask  # type: ignore[method-assign]
    report = bench.serve()
    assert bench.names() == ["a"]
    assert [result["job_id"] for result in report.results] == ["a"]
    assert bench.dispatcher.queue == ["b"]
    assert bench.jobs.job("b")["next_run_at"] == "2026-02-25T12:00:00+00:00"


def test_a_closed_dispatcher_starts_no_more_runs(make: Callable[..., Bench]) -> None:
    bench = make(lasts={"a": 5})
    bench.jobs.add("a", at("02-25 09:00"), catch_up="all", catch_up_limit=10)
    bench.dispatcher.enqueue([QueuedSlot("2026-02-25T09:00:00+00:00", "a")])
    bench.dispatcher.run_once(0)
    bench.jobs.add("b")
    bench.dispatcher.close()
    while bench.dispatcher.running:
        bench.dispatcher.run_once(60)
    bench.dispatcher.enqueue([QueuedSlot("2026-02-25T12:00:00+00:00", "b")])
    bench.dispatcher.run_once(0)
    assert bench.names() == ["a"]
    assert bench.statuses()["a"] == "ok"


# --- telling ---


def test_runs_that_end_together_are_reported_together_with_their_paths(make: Callable[..., Bench]) -> None:
    bench = make(lasts={"a": 1, "b": 1 + REPORT_DELAY_SEC / 2, "c": 1 + REPORT_DELAY_SEC * 3})
    for name, channel in [("a", "telegram"), ("b", "none"), ("c", "telegram")]:
        bench.jobs.add(name, notify_channel=channel)
    bench.notifier.error = "the outbox is a folder"
    report = bench.serve()
    assert bench.notifier.rounds == 2
    told = {str(result["job_id"]): result for result in report.results}
    assert {name: result["notification_paths"]["telegram_outbox"] for name, result in told.items()} == {
        "a": "telegram", "b": "none", "c": "telegram",
    }  # fmt: skip
    waiting = [{"channel": "telegram", "error": "the outbox is a folder"}]
    assert (told["a"]["events_waiting"], told["c"]["events_waiting"]) == (waiting, waiting)
    assert "events_waiting" not in told["b"], "it is not told there at all"
