"""One tick: settles what died, serves what is due, and says what was done. Also a run by hand, and a wrong clock.

Several of these run at once, in several processes, on one database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol

from core import crash_points, log
from core.boundary import Failure, guarded
from core.clock import Clock, utc_text
from core.errors import GateClosed, JobLocked
from executor import Executor
from schedules.calendar import Calendar
from scheduling.claiming import Claiming, Waiting
from scheduling.dispatcher import Dispatcher, Reporter, Served, any_failed
from scheduling.planner import corrected_cursor
from scheduling.reaper import Reaped
from scheduling.task_loop import TaskLoop
from store.definitions import job_state, no_such_job

if TYPE_CHECKING:
    from core.run import ClaimedRun, ProcessId
    from db import Row
    from maintenance.pruning import Upkeep
    from maintenance.retention import Pruned
    from store.bundle import Store
    from store.ledger import WrittenOff
    from system.processes import Stop


class Program(Protocol):
    """What a tick asks of the session that it runs in."""

    @property
    def warnings(self) -> Sequence[Mapping[str, object]]:
        """What is odd about the settings."""

    def last_seen(self) -> datetime | None:
        """The latest instant that a tick or a sync has taken for now."""

    def sync_for_tick(self, now: datetime) -> dict[str, object] | None:
        """Syncs an edited .jobs.json; None when there was nothing to sync. Never raises for a broken file."""

    def leave_tick_time(self, now: datetime) -> None:
        """Leaves `now` as the time of the last tick."""

    def note_clock_anomaly(self, anomaly: Mapping[str, object], now: datetime) -> None:
        """Keeps for `status` that the clock was set back."""

    def waiting_events(self) -> Sequence[Mapping[str, object]]:
        """Per channel how many events have not arrived."""


@dataclass
class TickReport:
    """What one tick saw and did; `as_dict` is the contract's object with our keys added."""

    now: datetime
    lease_owner: str
    due_jobs: list[str] = field(default_factory=list)
    results: list[dict[str, object]] = field(default_factory=list)
    written_off: list[WrittenOff] = field(default_factory=list)
    settled: list[dict[str, object]] = field(default_factory=list)
    left_due: list[str] = field(default_factory=list)
    taken_elsewhere: int = 0
    problems: list[dict[str, object]] = field(default_factory=list)
    delivered: int = 0
    pruned: Pruned | Failure | None = None
    clock_anomaly: dict[str, object] | None = None
    sync: dict[str, object] | None = None
    waiting: Sequence[Mapping[str, object]] = ()
    warnings: list[Mapping[str, object]] = field(default_factory=list)

    @property
    def is_sync_broken(self) -> bool:
        """Whether .jobs.json was edited into something that can't be synced."""
        return self.sync is not None and self.sync["status"] == "error"

    @property
    def is_worth_a_line(self) -> bool:
        """Whether something was due, was done or is wrong."""
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
        """Whether a run failed or was interrupted, or the file of jobs or a job is wrong."""
        return self.is_sync_broken or any_failed(self.results, self.settled, self.problems)

    def as_dict(self) -> dict[str, object]:
        """JSON-serialisable, keys in the contract's order first."""
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


#: A clock that goes back further than this was wrong before, and is not wrong now.
FALSE_FUTURE = timedelta(days=2)


class Scheduler:
    """Serves due slots. `store` belongs to the calling thread, in which all runs go on."""

    def __init__(
        self,
        *,
        store: Store,
        make_executor: Callable[[], Executor],
        reap: Callable[[], Reaped],
        claiming: Claiming,
        reporter: Reporter,
        program: Program,
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
        self._program = program
        self._upkeep = upkeep
        self._calendar = calendar
        self._clock = clock
        self._stop = stop
        self._problems: list[dict[str, object]] = []

    # --- one tick ---

    def tick(self) -> TickReport:
        """Syncs the file of jobs, looks at the clock, serves what is due, and cleans up after it."""
        # What was seen first, then our own time: else a tick at the same moment would look like a clock set back.
        last_seen = self._program.last_seen()
        now = self._clock.now()
        sync = self._program.sync_for_tick(now)
        anomaly = self.check_clock(now, last_seen)
        self._program.leave_tick_time(now)
        crash_points.point("time.left")
        report = self.serve(now)
        report.sync, report.clock_anomaly = sync, anomaly
        report.pruned, paused = self.clean_up([*report.results, *report.settled])
        report.waiting = self._program.waiting_events()
        report.warnings = [*self._program.warnings, *paused]
        return report

    def serve(self, now: datetime) -> TickReport:
        """Ends dead runs, serves the slots due at `now`, oldest first, and returns when none is left to start."""
        report = TickReport(now, self._claiming.owner.name, problems=self._problems)
        reaped = self._reap()
        report.settled = list(reaped.ended)
        report.delivered = self._reporter.deliver()
        dispatcher = self.dispatcher(TaskLoop(self._store, self._clock, self._stop), lambda: now)
        dispatcher.orphan_candidates = reaped.orphan_candidates
        due = self._store.definitions.due(now)
        report.due_jobs = [job_id for _, job_id in due]
        dispatcher.enqueue(Waiting(*row) for row in due)
        dispatcher.enqueue(Waiting(*row) for row in self._store.runs.retries_due())
        dispatcher.serve()
        served = dispatcher.served
        report.results, report.written_off = served.results, served.written_off
        report.left_due, report.taken_elsewhere = [*served.left_due, *dispatcher.queue], served.taken_elsewhere
        report.problems += served.problems
        return report

    def clean_up(
        self, ended: Sequence[dict[str, object]]
    ) -> tuple[Pruned | Failure | None, Sequence[Mapping[str, object]]]:
        """Prunes after runs that ended, and warns of the jobs that they have paused. A fault of it hurts no run."""
        pruned = guarded(
            lambda: self._upkeep.prune(str(row["job_id"]) for row in ended), "Ended runs were not cleaned up"
        )
        paused = guarded(lambda: self._upkeep.paused(ended), "Jobs that are paused now were not looked for")
        return pruned, ([] if isinstance(paused, Failure) else paused)

    @property
    def owner(self) -> ProcessId:
        """The process that claims."""
        return self._claiming.owner.process

    def mask(self, error: dict[str, object]) -> dict[str, object]:
        """An error without secrets."""
        return self._reporter.mask(error)

    def take_problems(self) -> list[dict[str, object]]:
        """What was found wrong with single jobs beside serving them, once."""
        found, self._problems = self._problems, []
        return found

    def deliver(self) -> int:
        """Delivers every event that waits; how many arrived."""
        return self._reporter.deliver()

    def renew(self, dispatcher: Dispatcher) -> None:
        """What is served from now on is served by our settings."""
        dispatcher.renew(self._claiming, self._reporter, self._make_executor)

    def dispatcher(self, loop: TaskLoop, due_before: Callable[[], datetime]) -> Dispatcher:
        """Serves the slots up to the instant that `horizon` gives."""
        return Dispatcher(
            store=self._store,
            loop=loop,
            claiming=self._claiming,
            make_executor=self._make_executor,
            reporter=self._reporter,
            clock=self._clock,
            stop=self._stop,
            due_before=due_before,
            served=Served(),
        )

    # --- a run by hand ---

    def run_now(self, job_id: str, *, force: bool) -> dict[str, object]:
        """Runs a job now, in this thread. Raises `JobNotFound`, `JobDisabled` or `JobLocked`, with no run.

        A person who asks for a run does not wait for a place under the cap; the run counts under it all the same.
        """
        settled = self._reap()
        state = self._store.definitions.load(job_id)
        if state is None:
            raise no_such_job(job_id)
        now = self._clock.now()
        refused = None if force else self._claiming.refused(state, now)
        if refused is not None:
            raise GateClosed(
                f"The job {job_id} may not run now: {refused.reason}",
                hint=f"Run it all the same: python3 main.py run-now {job_id} --force",
                details={"job_id": job_id, "reason": refused.code, **refused.details},
            )
        terms = self._claiming.terms_of(state.job, now)
        try:
            run = self._store.claims.claim_manual(job_id, self._claiming.owner, terms, force=force)
        except JobLocked as locked:
            if job_id not in settled.orphan_candidates:
                raise
            raise JobLocked(
                f"{locked.message}, and that process is gone",
                hint=f"Free it at once: python3 main.py unlock {job_id}. Else a tick does when the lease is over.",
                details=locked.details,
            ) from None
        return self._run_to_end(run)

    def _run_to_end(self, run: ClaimedRun) -> dict[str, object]:
        """A fault of ours becomes the run's verdict, so that no run is left without one."""
        result = guarded(lambda: self._make_executor().run(run), "The run was given up", job=run.job, run_id=run.run_id)
        if isinstance(result, Failure):
            result = self._reporter.give_up(run, result)
        return self._reporter.report([(run, result)])[0]

    # --- the clock ---

    def check_clock(self, now: datetime, last_seen: datetime | None) -> dict[str, object] | None:
        """Notes a clock that jumped ahead; of one that was set back corrects the cursors, and returns the anomaly."""
        anomaly = self.correct_clock(now, last_seen)
        if anomaly is not None:
            self._program.note_clock_anomaly(anomaly, now)
        self._upkeep.note_jump(last_seen, now)
        return anomaly

    def leave_time(self, now: datetime) -> None:
        """Leaves `now` as the time of the last tick."""
        self._program.leave_tick_time(now)

    def correct_clock(self, now: datetime, last_seen: datetime | None) -> dict[str, object] | None:
        """Brings back cursors that a clock once wrong in the future has set, if it went back since `last_seen`.

        Returns the anomaly to report, or None. Source: docs/design.md "Time".
        """
        if last_seen is None or last_seen <= now:
            return None
        log.warning(f"The clock went back: {utc_text(last_seen)} was seen already", code="CLOCK_SET_BACK")
        forgotten = guarded(
            lambda: self._store.definitions.correct_future_rows(now, trusted=last_seen - now > FALSE_FUTURE),
            "Slots of the wrong future stay accounted for",
        )
        if isinstance(forgotten, Failure):
            self._problems.append({"job_id": None, "error": self._reporter.mask(forgotten.as_dict())})
        moved = []
        for row in self._store.definitions.active():
            found = guarded(
                partial(self._correct_cursor, row, now),
                "The job's next slot was not corrected",
                job=str(row["job_id"]),
            )
            if isinstance(found, Failure):
                self._problems.append({"job_id": row["job_id"], "error": self._reporter.mask(found.as_dict())})
            elif found:
                moved.append(row["job_id"])
        return {
            "code": "CLOCK_SET_BACK",
            "last_seen_at": utc_text(last_seen),
            "now": utc_text(now),
            "corrected_jobs": moved,
        }

    def _correct_cursor(self, row: Row, now: datetime) -> bool:
        state = job_state(row)
        if not state.enabled:
            return False
        cursor = corrected_cursor(state, now, self._calendar)
        return cursor != state.next_run_at and self._store.definitions.move_cursor(state, cursor)
