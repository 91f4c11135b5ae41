"""Edits, syncs, ticks, crashes, clocks and cancels in any order, against a model of a dozen lines.

Targets are not started: an `invoke` in this process stands for them, so that thousands of steps take seconds. All else
is the program: planner, claims, executor, settling, sync, notifier, SQLite.
"""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from channels import channels_of
from channels.local import LocalChannel
from channels.telegram import TelegramChannel
from core.boundary import Failure
from core.errors import JobRefused
from core.invocation import AttemptOutcome, Invocation, InvocationResult
from core.job import Job
from core.redact import Redactor
from core.run import ProcessId
from db import Database
from executor import Executor, RunLimits
from jobs.sync import Sync
from notifier import Notifier
from scheduler import Scheduler
from schedules.language import due_slots, local_day, next_fire
from scheduling.claiming import Claiming, ClaimSettings
from scheduling.dispatcher import Reporter
from scheduling.reaper import Reaper
from store.bundle import Store
from store.claims import Owner
from store.creation import create
from store.job_codec import job_json
from system.processes import Stop
from tests.effort import examples
from tests.workspace import FakeClock

NAMES = ("a", "b", "c")
SCHEDULES = ("* * * * *", "*/7 * * * *", "0 * * * *", "@every 11m", "30 2 * * *")
START = datetime(2026, 3, 28, 22, 0, tzinfo=UTC)  # four hours before Madrid's clocks change
TOLD = ("ok", "error", "cancelled", "interrupted")


class DeadError(BaseException):
    """The process is gone: nothing of it runs any more, not even its `finally` that writes."""


class File:
    """What reading .jobs.json gives."""

    def __init__(self, jobs: dict[str, Job]) -> None:
        self.jobs = tuple(jobs.values())
        self.warnings = ()


class Calendar:
    """The real one."""

    next_fire = staticmethod(next_fire)
    due_slots = staticmethod(due_slots)


class Machine(RuleBasedStateMachine):
    """The rules are what may happen; the invariants hold after each."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = FakeClock(START)
        self.latest = START
        self.file: dict[str, Job] = {}
        self.processes = itertools.count(1)
        self.dead: set[int] = set()
        self.starts: list[tuple[str, str, str, int]] = []
        self.behaviour = "ok"
        self.went_back = False
        create(str(self.folder / "cron.db"))[0].close()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    # --- the program, wired over an invoke of ours ---

    def open(self) -> Store:
        return Store(Database(str(self.folder / "cron.db")))

    def notifier(self) -> Notifier:
        (self.folder / "mirror").mkdir(exist_ok=True)
        local = LocalChannel(
            str(self.folder / "events.jsonl"), "", rotate_at=1 << 40, now=self.clock.now, pause=lambda _: None
        )
        folder = self.folder / "mirror"
        mirror = TelegramChannel(str(folder / "inbox.jsonl"), "", repo=str(folder), pause=lambda _: None)
        return Notifier([local, mirror], self.clock.now)

    def reaper(self, store: Store) -> Reaper:
        return Reaper(
            ledger=store.runs, clock=self.clock, is_alive=lambda owner: owner.pid not in self.dead,
            end_leftovers=lambda _: 0, last_output=lambda _: {},
            wants_retry=lambda run: self._job(store, run.job_id).retry_interrupted and not run.retry_of,
            channels_of=channels_of, lease_sec=120,
        )  # fmt: skip

    def _job(self, store: Store, job_id: str) -> Job:
        state = store.definitions.load(job_id)
        return state.job if state is not None else Job(job_id=job_id, puruto_target="t", schedule="@daily", prompt="p")

    def executor(self, store: Store, stop: Stop) -> Executor:
        numbers = itertools.count()
        return Executor(
            ledger=store.runs, invoke=self.invoke, clock=self.clock, stop=stop.for_run(),
            pause=lambda _: None, limits=RunLimits(lease_sec=120, max_running=4), runs_folder=str(self.folder / "runs"),
            measure=lambda _: 0, new_id=lambda: str(next(numbers)), redactor=lambda _: Redactor(()),
            memory=store.sessions, day_of=local_day,
        )  # fmt: skip

    def scheduler(self, store: Store, stop: Stop, pid: int) -> Scheduler:
        return Scheduler(
            store=store, make_executor=lambda: self.executor(store, stop),
            # A tick syncs and cleans up around what is tried here.
            context=Mock(), upkeep=Mock(),
            reap=lambda: self.reaper(store).reap(), calendar=Calendar(), clock=self.clock, stop=stop,
            claiming=Claiming(
                store=store, calendar=Calendar(), clock=self.clock,
                owner=Owner(f"host:{pid}", ProcessId(pid, "then", "boot")),
                settings=ClaimSettings(lease_sec=120, max_running=4, kill_grace_sec=1), gate=lambda *_: None,
            ),
            reporter=Reporter(
                store=store, notifier=self.notifier(), clock=self.clock, paths_of=lambda _: {}, mask=Redactor(()),
            ),
        )  # fmt: skip

    async def invoke(
        self, invocation: Invocation, *, stop: Stop, on_start: Callable[[ProcessId], Awaitable[None]], **_: Any
    ) -> AttemptOutcome:
        if self.behaviour == "dies before the start":
            raise DeadError
        self.starts.append((invocation.job_id, invocation.scheduled_for, invocation.run_id, invocation.attempt))
        await on_start(ProcessId(4711, "then", "boot"))
        if self.behaviour == "dies after the start":
            raise DeadError
        if self.behaviour == "is cancelled":
            with_store = self.open()
            with_store.runs.request_cancel(invocation.run_id, "host:0", "2026-01-01T00:00:00+00:00")
            with_store.close()
        error = None if self.behaviour == "ok" else Failure("NONZERO_EXIT", "no luck")
        answer = InvocationResult("r", "c", 1, result={} if error is None else None, error=error)
        return AttemptOutcome(answer, exit_code=0)

    # --- the rules ---

    @initialize()
    def begin(self) -> None:
        self.edit("a", "* * * * *", "latest", enabled=True, retry=False)
        self.sync()

    @rule(
        name=st.sampled_from(NAMES), schedule=st.sampled_from(SCHEDULES),
        catch_up=st.sampled_from(["latest", "none", "all"]), enabled=st.booleans(), retry=st.booleans(),
    )  # fmt: skip
    def edit(self, name: str, schedule: str, catch_up: Any, enabled: bool, retry: bool) -> None:
        self.file[name] = Job(
            job_id=name, puruto_target="t", schedule=schedule, prompt="p", catch_up=catch_up, enabled=enabled,
            timezone="Europe/Madrid", retry_interrupted=retry, catch_up_limit=3,
        )  # fmt: skip

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        self.file.pop(name, None)

    @rule()
    def sync(self) -> None:
        store = self.open()
        Sync(
            store=store, calendar=Calendar(), set_zone=None, machine_zone="UTC", definition_of=job_json,
            show=lambda instant, _: {"utc": instant.isoformat(), "local": instant.isoformat()},
        ).apply(File(self.file), self.clock.now(), allow_removals=True)  # fmt: skip
        store.close()

    @rule(behaviour=st.sampled_from(["ok", "ok", "fails", "is cancelled"]))
    def tick(self, behaviour: str) -> None:
        self.run(behaviour, lambda scheduler: scheduler.serve(self.clock.now()))

    @rule(behaviour=st.sampled_from(["dies before the start", "dies after the start"]))
    def crash(self, behaviour: str) -> None:
        self.run(behaviour, lambda scheduler: scheduler.serve(self.clock.now()))

    @rule(name=st.sampled_from(NAMES), behaviour=st.sampled_from(["ok", "fails", "dies after the start"]))
    def run_by_hand(self, name: str, behaviour: str) -> None:
        def work(scheduler: Scheduler) -> None:
            try:
                scheduler.run_now(name, force=True)
            except JobRefused:
                return

        self.run(behaviour, work)

    def run(self, behaviour: str, work: Callable[[Scheduler], object]) -> None:
        self.behaviour, pid, stop, store = behaviour, next(self.processes), Stop(), self.open()
        try:
            scheduler = self.scheduler(store, stop, pid)
            seen = self.latest if self.clock.wall < self.latest else None
            scheduler.correct_clock(self.clock.now(), seen)
            self.latest = self.clock.wall if seen is not None else max(self.latest, self.clock.wall)
            work(scheduler)
        except DeadError:
            self.dead.add(pid)
        finally:
            store.close()
            stop.close()

    @rule(minutes=st.integers(1, 90))
    def time_passes(self, minutes: int) -> None:
        self.clock.advance(minutes=minutes)

    @rule(days=st.integers(1, 4))
    def days_pass(self, days: int) -> None:
        self.clock.advance(days=days)

    @rule(minutes=st.sampled_from([1, 60, 1440, 10_000]), late=st.sampled_from([0, 3]))
    def the_clock_is_set_back(self, minutes: int, late: int) -> None:
        """And comes again to the minute that was served, or past it."""
        self.tick("ok")
        self.clock.advance(minutes=-minutes)
        self.went_back = True
        self.tick("ok")
        for job in self.rows("SELECT * FROM jobs WHERE enabled = 1 AND removed_at IS NULL"):
            ahead = datetime.fromisoformat(job["next_run_at"]) - self.clock.wall
            assert ahead <= timedelta(hours=26), f"silent for longer than any schedule here: {job}"
        self.clock.advance(minutes=minutes + late)
        self.tick("ok")

    # --- what always holds ---

    def rows(self, sql: str) -> list[dict[str, Any]]:
        database = Database(str(self.folder / "cron.db"))
        try:
            return [dict(row) for row in database.rows(sql)]
        finally:
            database.close()

    @invariant()
    def no_slot_has_two_rows_or_two_starts(self) -> None:
        runs = self.rows("SELECT * FROM runs")
        keys = [(run["job_id"], run["scheduled_for"]) for run in runs if run["scheduled_for"]]
        assert len(keys) == len(set(keys))
        assert len(self.starts) == len(set(self.starts)), "an attempt started twice"
        first = [(job, slot) for job, slot, run_id, attempt in self.starts if slot and attempt == 1 and run_id in {
            run["run_id"] for run in runs if run["trigger"] != "retry"}]  # fmt: skip
        assert len(first) == len(set(first)), "a slot started twice"
        assert {start[2] for start in self.starts} <= {run["run_id"] for run in runs}, "a start without a row"

    @invariant()
    def only_runs_of_the_dead_are_running_between_steps(self) -> None:
        for run in self.rows("SELECT * FROM runs WHERE status = 'running'"):
            assert run["owner_pid"] in self.dead, run

    @invariant()
    def every_end_is_stored_and_told_once_and_in_order(self) -> None:
        runs = {run["run_id"]: run for run in self.rows("SELECT * FROM runs")}
        wanted = {name for name, run in runs.items() if run["status"] in TOLD}
        wanted |= {
            name for name, run in runs.items()
            if run["status"] == "missed" and not json.loads(run["error_json"])["details"]["made_up"]
        }  # fmt: skip
        stored = [row["run_id"] for row in self.rows("SELECT run_id FROM events ORDER BY event_id")]
        assert sorted(stored) == sorted(wanted)
        path = self.folder / "events.jsonl"
        told = [json.loads(line)["run_id"] for line in path.read_text().splitlines()] if path.exists() else []
        assert told == stored[: len(told)], "in order, each once"

    @invariant()
    def the_rows_of_a_job_do_not_overlap(self) -> None:
        """A row that accounts for several slots lies wholly before or behind any other of its job."""
        for name in NAMES:
            rows = self.rows(f"SELECT * FROM runs WHERE job_id = '{name}' AND scheduled_for IS NOT NULL")
            for row in rows:
                details = json.loads(row["error_json"] or "{}").get("details", {})
                first = details.get("first_slot") or row["scheduled_for"]
                inside = [
                    other for other in rows
                    if other is not row and first <= other["scheduled_for"] < row["scheduled_for"]
                ]  # fmt: skip
                # Behind a clock that was set back a gap may be found again, around rows that were written before.
                assert not inside or self.went_back, (row, inside)

    @invariant()
    def a_job_of_the_file_that_was_synced_has_a_cursor(self) -> None:
        for job in self.rows("SELECT * FROM jobs WHERE enabled = 1 AND removed_at IS NULL"):
            assert job["next_run_at"] is not None, job

    @precondition(lambda self: self.clock.wall >= self.latest)
    @rule()
    def everything_comes_to_rest(self) -> None:
        """Once the leases of the dead are over, ticks leave nothing due, nothing running, nothing untold."""
        self.clock.advance(minutes=5)
        for _ in range(12):
            self.tick("ok")
        assert self.rows("SELECT * FROM runs WHERE status = 'running' OR retry_due = 1") == []
        now = self.clock.wall.isoformat()
        assert self.rows(f"SELECT * FROM jobs WHERE enabled = 1 AND next_run_at <= '{now}'") == []
        assert self.rows("SELECT * FROM deliveries WHERE state = 'waiting'") == []
        assert self.rows("SELECT * FROM jobs WHERE lease_owner IS NOT NULL") == []


TestModel = pytest.mark.slow(Machine.TestCase)
TestModel.settings = settings(
    max_examples=examples(30), stateful_step_count=30, print_blob=True,
    suppress_health_check=[HealthCheck.filter_too_much],
)  # fmt: skip
