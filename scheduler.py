"""One tick: settles dead runs, serves what is due, and reports what was done. Also `run-now`, and a wrong clock.

Several processes may do this at the same time on one database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, TypedDict

from core import crash_points, log
from core.boundary import Failure, failure_of, guarded, outcome_of
from core.clock import Clock, utc_text
from core.errors import GateClosed, JobLocked, MachineExhausted
from core.json_objects import ErrorObject, JobProblem, ReportedRun, SettledRun
from executor import Executor
from schedules.calendar import Calendar
from scheduling.claiming import Claiming, QueuedSlot
from scheduling.dispatcher import Dispatcher, Reporter, any_failed
from scheduling.planner import corrected_cursor
from scheduling.reaper import Reaped
from scheduling.task_loop import TaskLoop
from store.definitions import job_state, no_such_job

if TYPE_CHECKING:
    from core.run import ClaimedRun, ProcessId
    from db import Row
    from maintenance.pruning import PausedJob, Upkeep
    from maintenance.retention import Pruned, PruneReport
    from store.bundle import Store
    from store.ledger import WrittenOff
    from system.processes import Stop


class ClockAnomaly(TypedDict):
    """That the clock was set back, and which jobs' next slots were corrected. Times are UTC text."""

    code: Literal["CLOCK_SET_BACK"]
    last_seen_at: str
    now: str
    corrected_jobs: list[str]


class EventCounts(TypedDict):
    """How many events a tick delivered before it served slots, and per channel what still waits."""

    delivered: int
    waiting: Sequence[Mapping[str, object]]


class TickReportObject(TypedDict):
    """What `tick` prints. `now` is UTC text, `lease_owner` host:pid. Source: docs/contract.md, docs/files.md."""

    status: Literal["ok"]
    now: str
    lease_owner: str
    due_jobs: list[str]
    results: list[ReportedRun]
    written_off: list[WrittenOff]
    settled: list[SettledRun]
    left_due: list[str]
    taken_elsewhere: int
    problems: list[JobProblem]
    pruned: PruneReport | ErrorObject | None
    clock_anomaly: ClockAnomaly | None
    sync: Mapping[str, object] | None
    events: EventCounts
    warnings: list[Mapping[str, object]]


class TickContext(Protocol):
    """What a tick needs of the session that it runs in."""

    @property
    def warnings(self) -> Sequence[Mapping[str, object]]:
        """Settings that are unusual, but not wrong."""

    def last_seen(self) -> datetime | None:
        """The latest time that a tick or a sync has stored."""

    def sync_for_tick(self, now: datetime) -> Mapping[str, object] | None:
        """Syncs an edited .jobs.json. Returns None if it was not edited. Never raises for a broken file."""

    def touch_last_tick(self, now: datetime) -> None:
        """Stores `now` as the time of the last tick."""

    def note_clock_anomaly(self, anomaly: Mapping[str, object], now: datetime) -> None:
        """Stores for `status` that the clock was set back."""

    def waiting_events(self) -> Sequence[Mapping[str, object]]:
        """The undelivered events of each channel."""


@dataclass
class TickReport:
    """What one tick found and did."""

    now: datetime
    lease_owner: str
    due_jobs: list[str] = field(default_factory=list)
    results: list[ReportedRun] = field(default_factory=list)
    written_off: list[WrittenOff] = field(default_factory=list)
    settled: list[SettledRun] = field(default_factory=list)
    left_due: list[str] = field(default_factory=list)
    taken_elsewhere: int = 0
    problems: list[JobProblem] = field(default_factory=list)
    delivered: int = 0
    machine_fault: bool = False
    pruned: Pruned | Failure | None = None
    clock_anomaly: ClockAnomaly | None = None
    sync: Mapping[str, object] | None = None
    waiting: Sequence[Mapping[str, object]] = ()
    warnings: list[Mapping[str, object]] = field(default_factory=list)

    @property
    def is_sync_broken(self) -> bool:
        """Whether .jobs.json was edited and can't be synced."""
        return self.sync is not None and self.sync["status"] == "error"

    @property
    def is_worth_a_line(self) -> bool:
        """Whether a job was due, a run ended, or something is wrong."""
        return bool(
            self.due_jobs
            or self.results
            or self.settled
            or self.problems
            or self.clock_anomaly
            or self.waiting
            or self.is_sync_broken
        )

    @property
    def has_failed(self) -> bool:
        """Whether a run failed or was interrupted, or .jobs.json or a job is wrong."""
        return self.is_sync_broken or any_failed(self.results, self.settled, self.problems)

    def as_dict(self) -> TickReportObject:
        """The report as a JSON object: the contract's keys first, in its order."""
        return {
            "status": "ok",
            "now": utc_text(self.now),
            "lease_owner": self.lease_owner,
            "due_jobs": self.due_jobs,
            "results": self.results,
            "written_off": self.written_off,
            "settled": self.settled,
            "left_due": self.left_due,
            "taken_elsewhere": self.taken_elsewhere,
            "problems": self.problems,
            "pruned": self.pruned.as_dict() if self.pruned else None,
            "clock_anomaly": self.clock_anomaly,
            "sync": self.sync,
            "events": {"delivered": self.delivered, "waiting": self.waiting},
            "warnings": self.warnings,
        }


#: A clock that is set back by more than this was wrong before, and is right now.
FALSE_FUTURE = timedelta(days=2)


class Scheduler:
    """Serves due slots. All runs are run in the calling thread, to which `store` belongs."""

    def __init__(
        self,
        *,
        store: Store,
        make_executor: Callable[[], Executor],
        reap: Callable[[], Reaped],
        claiming: Claiming,
        reporter: Reporter,
        context: TickContext,
        upkeep: Upkeep,
        calendar: Calendar,
        clock: Clock,
        stop: Stop,
    ) -> None:
        self._store = store
        self._make_executor = make_executor
        self._reap = reap
        self._claiming = claiming
        self._reporter = reporter
        self._context = context
        self._upkeep = upkeep
        self._calendar = calendar
        self._clock = clock
        self._stop = stop
        self._problems: list[JobProblem] = []

    # --- one tick ---

    def tick(self) -> TickReport:
        """Syncs an edited .jobs.json, checks the clock, serves what is due, and cleans up."""
        # The stored time is read before the clock: the other way round, another tick at the same moment would look like
        # a clock that was set back.
        last_seen = self._context.last_seen()
        now = self._clock.now()
        sync = self._context.sync_for_tick(now)
        anomaly = self.check_clock(now, last_seen)
        self._context.touch_last_tick(now)
        crash_points.point("time.left")
        report = self.serve(now)
        report.sync, report.clock_anomaly = sync, anomaly
        report.pruned, paused = self.clean_up([*report.results, *report.settled])
        report.waiting = self._context.waiting_events()
        report.warnings = [*self._context.warnings, *paused]
        return report

    def serve(self, now: datetime) -> TickReport:
        """Settles dead runs, serves the slots that are due at `now`, oldest first, and returns when all have ended."""
        report = TickReport(now, self._claiming.owner.name, problems=self._problems)
        reaped = self._reap()
        report.settled = list(reaped.ended)
        report.delivered = self._reporter.deliver()
        dispatcher = self.dispatcher(TaskLoop(self._store, self._clock, self._stop), lambda: now)
        dispatcher.orphan_candidates = reaped.orphan_candidates
        due = self._store.definitions.due(now)
        report.due_jobs = [job_id for _, job_id in due]
        dispatcher.enqueue(QueuedSlot(*row) for row in due)
        dispatcher.enqueue(QueuedSlot(*row) for row in self._store.runs.retries_due())
        dispatcher.serve()
        dispatched = dispatcher.report
        report.results, report.written_off = dispatched.results, dispatched.written_off
        report.left_due = [*dispatched.left_due, *dispatcher.queue]
        report.taken_elsewhere = dispatched.taken_elsewhere
        report.problems += dispatched.problems
        report.machine_fault = dispatched.machine_fault
        return report

    def clean_up(self, ended: Sequence[ReportedRun | SettledRun]) -> tuple[Pruned | Failure, Sequence[PausedJob]]:
        """Prunes after runs that ended, and returns warnings about the jobs that they have paused. Never raises."""
        pruned = guarded(lambda: self._upkeep.prune(row["job_id"] for row in ended), "Old runs were not deleted")
        paused = guarded(lambda: self._upkeep.paused(ended), "It was not checked which jobs are paused now")
        return pruned, ([] if isinstance(paused, Failure) else paused)

    @property
    def owner(self) -> ProcessId:
        """The process that makes the claims: this one."""
        return self._claiming.owner.process

    def error_of(self, failure: Failure) -> ErrorObject:
        """A failure as an error object without secrets."""
        return self._reporter.error_of(failure)

    def take_problems(self) -> list[JobProblem]:
        """The problems that `correct_clock` met since the last call."""
        problems, self._problems = self._problems, []
        return problems

    def deliver(self) -> int:
        """Delivers every event that waits. Returns how many arrived."""
        return self._reporter.deliver()

    def renew(self, dispatcher: Dispatcher) -> None:
        """Makes the dispatcher use the settings of this scheduler from now on."""
        dispatcher.renew(self._claiming, self._reporter, self._make_executor)

    def dispatcher(self, loop: TaskLoop, due_before: Callable[[], datetime]) -> Dispatcher:
        """A dispatcher for the slots that are due when `due_before` says."""
        return Dispatcher(
            store=self._store,
            loop=loop,
            claiming=self._claiming,
            make_executor=self._make_executor,
            reporter=self._reporter,
            clock=self._clock,
            stop=self._stop,
            due_before=due_before,
        )

    # --- a run by hand ---

    def run_now(self, job_id: str, *, force: bool) -> ReportedRun:
        """Runs a job now, in this thread. Raises `JobNotFound`, `JobDisabled`, `GateClosed` or `JobLocked`.

        The run does not wait for a permit, but it uses one. With `force`, gates and `enabled` are ignored.
        """
        reaped = self._reap()
        state = self._store.definitions.load(job_id)
        if state is None:
            raise no_such_job(job_id)
        now = self._clock.now()
        refusal = None if force else self._claiming.refusal(state, now)
        if refusal is not None:
            raise GateClosed(
                f"The job {job_id} may not run now: {refusal.reason}",
                hint=f"Run it all the same: python3 main.py run-now {job_id} --force",
                details={"job_id": job_id, "reason": refusal.code, **refusal.details},
            )
        terms = self._claiming.terms_of(state.job, now)
        try:
            run = self._store.claims.claim_manual(job_id, self._claiming.owner, terms, force=force)
        except JobLocked as locked:
            if job_id not in reaped.orphan_candidates:
                raise
            raise JobLocked(
                f"{locked.message}, and that process is gone",
                hint=f"Release it now: python3 main.py unlock {job_id}. Else a tick does when its lease has expired.",
                details=locked.details,
            ) from None
        return self._run_to_end(run)

    def _run_to_end(self, run: ClaimedRun) -> ReportedRun:
        """An exception becomes the run's verdict, so that every run has one."""
        ended = outcome_of(lambda: self._make_executor().run(run))
        if isinstance(ended.error, MachineExhausted):
            self._store.claims.give_back(run)
            raise ended.error
        result = ended.value
        if ended.error is not None:
            failure = failure_of(ended.error, "The run was given up", job=run.job, run_id=run.run_id)
            result = self._reporter.give_up(run, failure)
        return self._reporter.report([(run, result)])[0]

    # --- the clock ---

    def check_clock(self, now: datetime, last_seen: datetime | None) -> ClockAnomaly | None:
        """Records a forward jump of the clock. If it was set back, corrects the cursors and returns the anomaly."""
        anomaly = self.correct_clock(now, last_seen)
        if anomaly is not None:
            self._context.note_clock_anomaly(anomaly, now)
        self._upkeep.note_jump(last_seen, now)
        return anomaly

    def correct_clock(self, now: datetime, last_seen: datetime | None) -> ClockAnomaly | None:
        """If the clock was set back since `last_seen`, moves back the cursors that it had set in the future.

        Returns the anomaly to report, or None. Source: docs/design.md "Time".
        """
        if last_seen is None or last_seen <= now:
            return None
        log.warning(f"The clock was set back: the last tick was at {utc_text(last_seen)}", code="CLOCK_SET_BACK")
        forgotten = guarded(
            lambda: self._store.definitions.correct_future_rows(now, trusted=last_seen - now > FALSE_FUTURE),
            "Slots that were written off while the clock was ahead stay written off",
        )
        if isinstance(forgotten, Failure):
            self._problems.append({"job_id": None, "error": self.error_of(forgotten)})
        corrected = []
        for row in self._store.definitions.active():
            is_corrected = guarded(
                partial(self._correct_cursor, row, now),
                "The job's next slot was not corrected",
                job=str(row["job_id"]),
            )
            if isinstance(is_corrected, Failure):
                self._problems.append({"job_id": row["job_id"], "error": self.error_of(is_corrected)})
            elif is_corrected:
                corrected.append(row["job_id"])
        return {
            "code": "CLOCK_SET_BACK",
            "last_seen_at": utc_text(last_seen),
            "now": utc_text(now),
            "corrected_jobs": corrected,
        }

    def _correct_cursor(self, row: Row, now: datetime) -> bool:
        state = job_state(row)
        if not state.enabled:
            return False
        cursor = corrected_cursor(state, now, self._calendar)
        return cursor != state.next_run_at and self._store.definitions.move_cursor(state, cursor)
