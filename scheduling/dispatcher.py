"""Starts due slots as permits become free, runs them in one task loop, and reports how they ended.

All of it happens in one thread. A tick serves the slots that were due when it began; the daemon keeps on serving.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, cast

from channels import channels_of
from core import log
from core.boundary import Failure, Outcome, failure_of, guarded
from core.clock import Clock, utc_text
from core.errors import DatabaseError, LeaseLost, MachineExhausted, VerdictNotStored
from core.json_objects import (
    ErrorObject,
    JobProblem,
    ReportedRun,
    RunDelivery,
    RunEvent,
    RunFacts,
    RunResult,
    UndeliveredChannel,
)
from core.run import ClaimedRun, RunStatus, Verdict
from executor import Executor
from scheduling.claiming import Claiming, QueuedSlot
from scheduling.machine_faults import MachineFaults
from scheduling.task_loop import TaskLoop
from store.claims import Claim, ClaimOutcome

if TYPE_CHECKING:
    from notifier import Notifier
    from store.bundle import Store
    from store.ledger import WrittenOff
    from system.processes import Stop

#: Seconds between two requests for a permit while all are in use.
PERMIT_POLL_SEC = 1.0
#: How often a slot is planned, if each time another process changes the job before the claim.
REPLANS = 3
#: Most claims in one transaction, because other processes wait for its end.
CLAIMS_AT_ONCE = 64
#: Seconds that a run that ended waits for others, to be reported together with them.
REPORT_DELAY_SEC = 0.05
#: Seconds between two attempts to store the verdicts that the database refused, and how long a tick keeps trying.
VERDICT_RETRY_SEC = 2.0
VERDICT_PATIENCE_SEC = 3600.0


@dataclass
class DispatchReport:
    """What a dispatcher has done: the fields of a tick's report. `machine_fault`: the machine let no run start."""

    results: list[ReportedRun] = field(default_factory=list)
    written_off: list[WrittenOff] = field(default_factory=list)
    left_due: list[str] = field(default_factory=list)
    taken_elsewhere: int = 0
    problems: list[JobProblem] = field(default_factory=list)
    machine_fault: bool = False


def any_failed(results: Iterable[Mapping[str, object]], settled: Sequence[object], problems: Sequence[object]) -> bool:
    """Whether the dead-man's ping has to report a failure: of a run, of an interrupted run, or of a job."""
    return bool(settled or problems) or any(result["status"] != "ok" for result in results)


class Dispatcher:
    """A queue of due slots, and the runs that were started from it. `due_before` returns when slots count as due."""

    def __init__(
        self,
        *,
        store: Store,
        loop: TaskLoop,
        claiming: Claiming,
        make_executor: Callable[[], Executor],
        reporter: Reporter,
        clock: Clock,
        stop: Stop,
        due_before: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._loop = loop
        self._claiming = claiming
        self._make_executor = make_executor
        self._reporter = reporter
        self._clock = clock
        self._stop = stop
        self._due_before = due_before
        self.report = DispatchReport()
        self.orphan_candidates: frozenset[str] = frozenset()
        self.running_ids: set[str] = set()
        self._queue: list[QueuedSlot] = []
        self._queued: set[tuple[str, str]] = set()
        self._replans: dict[QueuedSlot, int] = {}
        self._claims = 0
        self._is_closed = False
        self._full_until: float | None = None
        #: Whether a run has ended since the last request for a permit.
        self._has_freed_permit = False
        self._is_database_refusing = False
        self._faults = MachineFaults(store.state, clock)
        self._unreported: list[tuple[ClaimedRun, RunResult]] = []
        self._report_at: float | None = None
        #: Runs that have ended, with the error that can store their verdicts later.
        self._unstored: dict[str, tuple[ClaimedRun, VerdictNotStored]] = {}
        self._store_at = 0.0

    def enqueue(self, slots: Iterable[QueuedSlot]) -> None:
        """Adds due slots and retries. What is already queued keeps its position."""
        for slot in slots:
            if (slot.job_id, slot.retry_of) not in self._queued:
                self._queued.add((slot.job_id, slot.retry_of))
                heapq.heappush(self._queue, slot)

    @property
    def running(self) -> int:
        """The number of runs that are running or being claimed."""
        return len(self._loop) + self._claims

    @property
    def is_refused(self) -> bool:
        """Whether the database refused the last claim, and queued slots are to be tried again."""
        return self._is_database_refusing and bool(self._queue)

    @property
    def queue(self) -> list[str]:
        """The jobs that wait for a permit."""
        return [slot.job_id for slot in sorted(self._queue)]

    def renew(self, claiming: Claiming, reporter: Reporter, make_executor: Callable[[], Executor]) -> None:
        """Uses other settings from now on. Runs that are running keep theirs."""
        self._claiming, self._reporter, self._make_executor = claiming, reporter, make_executor

    def close(self) -> None:
        """Starts no more runs. Those that are running go on."""
        self._queue.clear()
        self._queued.clear()
        self._is_closed = True

    def serve(self) -> None:
        """Starts what is queued, and returns when all of it has ended.

        If other processes hold all permits, the rest is left to the next tick. After a stop no run is started, and the
        running ones end themselves.
        """
        patience = self._clock.monotonic() + VERDICT_PATIENCE_SEC
        while True:
            self.run_once(None)
            if self.running or (self._queue and self._full_until is None and not self._stop.is_set()):
                continue
            if not self._unstored or self._stop.is_set() or self._clock.monotonic() > patience:
                break
        self.report_ended()

    def run_once(self, seconds: float | None) -> None:
        """Claims as many slots as there are permits, and runs the task loop once.

        If there is nothing to do, waits for `seconds` at most; None: until something happens.
        """
        self._claim_next()
        if self._loop.writes:
            seconds = 0
        elif not self._loop and seconds is None and not self._unstored:
            # No run is running, so nothing would end the wait.
            return
        self._loop.run_once(self._timeout(seconds))
        if self._unstored and self._clock.monotonic() >= self._store_at:
            self._store_verdicts()
        if self._report_at is not None and (not self.running or self._clock.monotonic() >= self._report_at):
            self.report_ended()

    def _timeout(self, seconds: float | None) -> float | None:
        now = self._clock.monotonic()
        wants_permit = self._queue and not self._is_closed and not self._stop.is_set()
        permit_at, store_at = self._full_until if wants_permit else None, self._store_at if self._unstored else None
        ends = [end for end in (self._report_at, permit_at, store_at) if end is not None]
        left = [max(0.0, end - now) for end in ends] + ([] if seconds is None else [seconds])
        return min(left, default=None)

    # --- claims ---

    def _claim_next(self) -> None:
        if self._is_closed or self._stop.is_set() or self._claims or not self._queue:
            return
        if self._full_until is not None and self._clock.monotonic() < self._full_until and not self._loop.writes:
            return
        self._full_until, self._has_freed_permit = None, False
        free = self._claiming.settings.max_running - len(self._loop) + self._loop.writes
        for _ in range(min(len(self._queue), CLAIMS_AT_ONCE, max(1, free))):
            self._prepare_claim(heapq.heappop(self._queue))

    def _prepare_claim(self, slot: QueuedSlot) -> None:
        if slot.retry_of:
            prepared = guarded(lambda: self._claiming.retry(slot.job_id, slot.retry_of), job=slot.job_id)
        else:
            prepared = guarded(
                lambda: self._claiming.slot(slot.job_id, self._due_before(), self.orphan_candidates),
                job=slot.job_id,
            )
        if isinstance(prepared, Failure):
            self._on_bad_job(slot, prepared)
        elif isinstance(prepared, str):
            self._drop(slot, left=prepared == "left")
        else:
            self._claims += 1
            self._loop.write(prepared, lambda outcome: self._on_claimed(slot, outcome))

    def _on_claimed(self, slot: QueuedSlot, outcome: Outcome) -> None:
        self._claims -= 1
        self._is_database_refusing = isinstance(outcome.error, DatabaseError)
        if isinstance(outcome.error, DatabaseError):
            # The job is not to blame, so no problem is stored for it, which would only wait for the database again. The
            # other slots wait for a while.
            self._full_until = self._clock.monotonic() + PERMIT_POLL_SEC
            self._leave_due(slot, failure_of(outcome.error, job=slot.job_id))
        elif outcome.error is not None:
            self._on_bad_job(slot, failure_of(outcome.error, job=slot.job_id))
        else:
            self._on_claim(slot, outcome.value)

    def _on_claim(self, slot: QueuedSlot, claim: Claim) -> None:
        if claim.written_off:
            self.report.written_off += claim.written_off
            self._report_soon()
        if claim.outcome is ClaimOutcome.NO_PERMIT:
            # A permit may also be freed by a run of another process, or by one of ours that waits for its retry.
            if not self._has_freed_permit:
                self._full_until = self._clock.monotonic() + PERMIT_POLL_SEC
            heapq.heappush(self._queue, slot)
        elif claim.outcome in (ClaimOutcome.CHANGED, ClaimOutcome.RUNNING):
            self._on_changed(slot, claim.outcome)
        else:
            self._drop(slot, left=False, taken=False)
            if claim.run is not None:
                self._spawn(claim.run)

    def _on_changed(self, slot: QueuedSlot, outcome: ClaimOutcome) -> None:
        """Another process took the slot, or changed the job after it was planned."""
        if slot.retry_of:
            return self._drop(slot, left=outcome is ClaimOutcome.RUNNING)
        self._replans[slot] = self._replans.get(slot, 0) + 1
        if self._replans[slot] < REPLANS:
            return heapq.heappush(self._queue, slot)
        return self._drop(slot, left=False)

    def _drop(self, slot: QueuedSlot, *, left: bool, taken: bool = True) -> None:
        self._queued.discard((slot.job_id, slot.retry_of))
        self._replans.pop(slot, None)
        if left:
            self.report.left_due.append(slot.job_id)
        elif taken and not slot.retry_of:
            self.report.taken_elsewhere += 1

    def _on_bad_job(self, slot: QueuedSlot, failure: Failure) -> None:
        """The slot can't be claimed, but the other jobs go on."""
        if failure.code == MachineExhausted.code:
            return self._on_machine_fault(slot, failure)
        error = self._leave_due(slot, failure)

        def store() -> None:
            self._store.definitions.set_problem(slot.job_id, error)

        # The error is in the report even if it can't be stored.
        guarded(store, "The job's problem was not stored", job=slot.job_id)
        return None

    def _on_machine_fault(self, slot: QueuedSlot, failure: Failure) -> None:
        """The machine let the slot's run not start. It stays queued, and all wait for a while."""
        error = self._reporter.error_of(failure)
        self._full_until, self._is_database_refusing = self._clock.monotonic() + PERMIT_POLL_SEC, True
        if self._faults.note(error):
            log.warning(f"No run can be started: {failure.message}", code=failure.code)
        if not self.report.machine_fault:
            self.report.machine_fault = True
            self.report.problems.append({"job_id": None, "error": error})
        self._drop(slot, left=False, taken=False)
        if not self._is_closed:
            self.enqueue([slot])

    def _leave_due(self, slot: QueuedSlot, failure: Failure) -> ErrorObject:
        """Leaves the slot due, and reports why."""
        error = self._reporter.error_of(failure)
        log.warning(f"The job stays due: {failure.message}", job=slot.job_id, code=failure.code)
        self.report.problems.append({"job_id": slot.job_id, "error": error})
        self._drop(slot, left=True)
        return error

    # --- runs ---

    def _spawn(self, run: ClaimedRun) -> None:
        self.running_ids.add(run.run_id)
        executor = guarded(self._make_executor, job=run.job, run_id=run.run_id)
        if isinstance(executor, Failure):
            return self._on_not_started(run, executor)
        return self._loop.spawn(executor.task(run), lambda outcome: self._on_ended(run, outcome))

    def _on_ended(self, run: ClaimedRun, outcome: Outcome) -> None:
        """An exception becomes the run's verdict, so that every run has one."""
        if outcome.error is None:
            return self._on_result(run, outcome.value)
        if isinstance(outcome.error, VerdictNotStored) and outcome.error.store is not None and not self._stop.is_set():
            return self._keep_verdict(run, outcome.error)
        failure = failure_of(outcome.error, "The run was given up", job=run.job, run_id=run.run_id)
        if isinstance(outcome.error, MachineExhausted):
            return self._on_not_started(run, failure)
        return self._on_result(run, self._reporter.give_up(run, failure))

    def _on_not_started(self, run: ClaimedRun, failure: Failure) -> None:
        """If that is the machine's fault, the claim is given back, and no job is to blame."""
        if failure.code == MachineExhausted.code:
            note = "The claim was not given back"
            given_back = guarded(lambda: self._store.claims.give_back(run), note, job=run.job, run_id=run.run_id)
            if not isinstance(given_back, Failure):
                self.running_ids.discard(run.run_id)
                since = utc_text(run.scheduled_for or run.started_at)
                return self._on_machine_fault(QueuedSlot(since, run.job.job_id, run.retry_of), failure)
        return self._on_result(run, self._reporter.give_up(run, failure))

    def _keep_verdict(self, run: ClaimedRun, error: VerdictNotStored) -> None:
        """Keeps the verdict until the database takes it. The run stays ours, so that nobody settles its row."""
        failure = failure_of(error, "The verdict waits", job=run.job, run_id=run.run_id)
        self.report.problems.append({"job_id": run.job.job_id, "error": self._reporter.error_of(failure)})
        self._unstored[run.run_id] = (run, error)
        self._store_at = self._clock.monotonic() + VERDICT_RETRY_SEC

    def _store_verdicts(self) -> None:
        self._store_at = self._clock.monotonic() + VERDICT_RETRY_SEC
        for run, error in list(self._unstored.values()):
            if error.store is None:
                continue
            stored = guarded(error.store, job=run.job, run_id=run.run_id)
            if isinstance(stored, Failure) and stored.code.startswith("DATABASE_"):
                # The others would be refused too.
                return
            del self._unstored[run.run_id]
            self._on_result(run, self._reporter.give_up(run, stored) if isinstance(stored, Failure) else stored)

    def _on_result(self, run: ClaimedRun, result: RunResult) -> None:
        self.running_ids.discard(run.run_id)
        self._unreported.append((run, result))
        self._report_soon()
        self._full_until, self._has_freed_permit = None, True
        if run.job.catch_up != "all":
            return
        # The next slot of the job may already be due.
        cursor = guarded(
            lambda: self._store.definitions.due_cursor(run.job.job_id, self._due_before()),
            "The job's next slot waits for the next tick or poll",
            job=run.job,
        )
        if isinstance(cursor, str):
            self.enqueue([QueuedSlot(cursor, run.job.job_id)])

    # --- reporting ---

    def _report_soon(self) -> None:
        if self._report_at is None:
            self._report_at = self._clock.monotonic() + REPORT_DELAY_SEC

    def _give_up_verdicts(self) -> None:
        """This process ends, and with it the verdicts that it keeps: the rows are settled as interrupted."""
        for run, error in self._unstored.values():
            failure = failure_of(error, "The run was given up", job=run.job, run_id=run.run_id)
            self._on_result(run, self._reporter.give_up(run, failure))
        self._unstored.clear()

    def report_ended(self) -> None:
        """Delivers the events of the runs that ended since the last call, and adds their results to the report."""
        if self._report_at is None and not self._unstored:
            return
        if self._unstored and not self.running and (self._is_closed or self._stop.is_set()):
            self._give_up_verdicts()
        self._report_at = None
        unreported, self._unreported = self._unreported, []
        if unreported:
            # Something could be started. If other slots still can't, that is noted again.
            self._faults.end()
            self.report.machine_fault = False
        self.report.results += self._reporter.report(unreported)


class Reporter:
    """Delivers the events of runs that ended, and writes the verdict of a run that failed by a bug."""

    def __init__(
        self,
        *,
        store: Store,
        notifier: Notifier,
        clock: Clock,
        paths_of: Callable[[str], dict[str, str]],
        mask: Callable[[Mapping[str, object]], dict[str, object]],
    ) -> None:
        """`paths_of` gives the contract's `notification_paths` of a channel; `mask` removes secrets from an object."""
        self._store = store
        self._notifier = notifier
        self._clock = clock
        self._paths_of = paths_of
        self._mask = mask

    def error_of(self, failure: Failure) -> ErrorObject:
        """A failure as an error object without secrets."""
        return cast("ErrorObject", self._mask(failure.as_dict()))

    def deliver(self) -> int:
        """Delivers every event that waits. Returns how many arrived."""
        return sum(delivery.delivered for delivery in self._notifier.deliver(self._store.events))

    def report(self, ended: list[tuple[ClaimedRun, RunResult]]) -> list[ReportedRun]:
        """Delivers the events that wait. Returns the results, with the files of the events and the failed channels."""
        failed = [delivery for delivery in self._notifier.deliver(self._store.events) if delivery.error]
        results: list[ReportedRun] = []
        for run, result in ended:
            channel = run.job.notify_channel
            delivery: RunDelivery = {"notification_paths": self._paths_of(channel)}
            undelivered: list[UndeliveredChannel] = [
                {"channel": delivery.channel, "error": delivery.error}
                for delivery in failed
                if delivery.channel in channels_of(channel)
            ]
            # Without this, the path would say that the event is in the file.
            if undelivered:
                delivery["events_waiting"] = undelivered
            results.append({**result, **delivery})
        return results

    def give_up(self, run: ClaimedRun, failure: Failure) -> RunResult:
        """The result of a run that ended by an exception. Writes its verdict, unless its lease is lost."""
        error = self.error_of(failure)
        event: RunEvent = {"job_id": run.job.job_id, "run_id": run.run_id, "attempts": 0, "error": error}
        if failure.code == VerdictNotStored.code:
            # The run may have succeeded, so it gets no other verdict. The reaper settles its row as interrupted.
            return {"status": "error", **event}
        if failure.code == LeaseLost.code:
            return {"status": "error", **event, **self._settled_facts(run, error)}
        verdict = Verdict(RunStatus.ERROR, self._clock.now(), 0, error=error, event=event)
        channels = channels_of(run.job.notify_channel)
        refused = guarded(
            lambda: self._store.runs.finish(run.run_id, run.token, verdict, channels),
            "The verdict was not stored",
            job=run.job,
            run_id=run.run_id,
        )
        # If the lease is lost, another process has settled and reported the run. After any other failure the row says
        # running until its lease expires, and the next tick settles it as interrupted.
        if isinstance(refused, Failure) and refused.code != LeaseLost.code:
            event["verdict_not_stored"] = self.error_of(refused)
        return {"status": "error", **event}

    def _settled_facts(self, run: ClaimedRun, error: ErrorObject) -> RunFacts:
        """`attempts` and `error` of a run that another process has settled, from its row."""
        row = guarded(lambda: self._store.runs.find(run.run_id))
        if isinstance(row, Failure) or row is None:
            return {}
        row_error = row["error"] if isinstance(row["error"], dict) else {}
        end = f"it ended as {row['status']} at {row['finished_at']}"
        message = f"{error['message']}: {end}. {row_error.get('message', '')}".strip()
        hint = f"Its verdict: python3 main.py logs --run {run.run_id}"
        details = {"run_status": row["status"], "finished_at": row["finished_at"], "hint": hint}
        return {
            "attempts": row["attempt"],
            "error": {"code": error["code"], "message": message, "details": details},
        }
