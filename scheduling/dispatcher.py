"""Serves what is due: claims it as places become free, sees the runs on side by side, and tells how they ended.

One thread does all of it. A tick serves what was due when it looked; a daemon never stops serving.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from channels import channels_of
from core import log
from core.boundary import Failure, Outcome, failure_of, guarded
from core.clock import Clock
from core.errors import DatabaseError, LeaseLost, VerdictNotStored
from core.run import ClaimedRun, RunStatus, Verdict
from executor import Executor
from scheduling.claiming import Claiming, Waiting
from scheduling.task_loop import TaskLoop
from store.claims import Claim, ClaimOutcome

if TYPE_CHECKING:
    from notifier import Notifier
    from store.bundle import Store
    from store.ledger import WrittenOff
    from system.processes import Stop

#: Seconds between two tries to get a permit while all are in use.
PERMIT_POLL_SEC = 1.0
#: A claim whose plan was overtaken by another process is planned anew this often.
REPLANS = 3
#: Claims in one transaction: others wait for its end.
CLAIMS_AT_ONCE = 64
#: How long the end of a run waits at most for the ends of others, to be told with them.
REPORT_DELAY_SEC = 0.05


@dataclass
class Served:
    """What was done since this was last looked at."""

    results: list[dict[str, object]] = field(default_factory=list)
    written_off: list[WrittenOff] = field(default_factory=list)
    left_due: list[str] = field(default_factory=list)
    taken_elsewhere: int = 0
    problems: list[dict[str, object]] = field(default_factory=list)


def any_failed(results: Iterable[Mapping[str, object]], settled: Sequence[object], problems: Sequence[object]) -> bool:
    """Whether the dead-man's ping has a failure to report: a run's, an interrupted one, or what is wrong with a job."""
    return bool(settled or problems) or any(result["status"] != "ok" for result in results)


class Dispatcher:
    """A queue of due slots and the runs that go on. `horizon` gives the instant up to which slots are served."""

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
        served: Served,
    ) -> None:
        self._store = store
        self._loop = loop
        self._claiming = claiming
        self._make_executor = make_executor
        self._reporter = reporter
        self._clock = clock
        self._stop = stop
        self._due_before = due_before
        self.served = served
        self.orphan_candidates: frozenset[str] = frozenset()
        self.running_ids: set[str] = set()
        self._queue: list[Waiting] = []
        self._queued: set[tuple[str, str]] = set()
        self._replans: dict[Waiting, int] = {}
        self._claims = 0
        self._closed = False
        self._full_until: float | None = None
        #: Whether a run has ended since places were last asked for.
        self._freed = False
        self._refused = False
        self._unreported: list[tuple[ClaimedRun, dict[str, object]]] = []
        self._report_at: float | None = None

    def enqueue(self, waiting: Iterable[Waiting]) -> None:
        """Adds what is due; what waits already stays where it is."""
        for one in waiting:
            if (one.job_id, one.retry_of) not in self._queued:
                self._queued.add((one.job_id, one.retry_of))
                heapq.heappush(self._queue, one)

    @property
    def running(self) -> int:
        """How many runs go on, or are about to."""
        return len(self._loop) + self._claims

    @property
    def is_refused(self) -> bool:
        """Whether the database refused the claim that was made last, and some wait to be tried again."""
        return self._refused and bool(self._queue)

    @property
    def queue(self) -> list[str]:
        """The jobs that wait for a place."""
        return [waiting.job_id for waiting in sorted(self._queue)]

    def renew(self, claiming: Claiming, reporter: Reporter, make_executor: Callable[[], Executor]) -> None:
        """From now on by other settings; runs that go on keep theirs."""
        self._claiming, self._reporter, self._make_executor = claiming, reporter, make_executor

    def close(self) -> None:
        """Nothing more is started; what runs goes on."""
        self._queue.clear()
        self._queued.clear()
        self._closed = True

    def serve(self) -> None:
        """Until nothing is left to start and all runs are over: what waits for others' places waits for the next tick.

        With a stop nothing more is started, and what runs is ended by itself.
        """
        while True:
            self.run_once(None)
            if not self.running and (not self._queue or self._full_until is not None or self._stop.is_set()):
                break
        self.report()

    def run_once(self, seconds: float | None) -> None:
        """Claims what there is a place for, and takes all runs on; waits at most `seconds` when there is nothing."""
        self._claim_next()
        if self._loop.writes:
            seconds = 0
        elif not self._loop and seconds is None:
            # Nothing can come.
            return
        self._loop.run_once(self._timeout(seconds))
        if self._report_at is not None and (not self.running or self._clock.monotonic() >= self._report_at):
            self.report()

    def _timeout(self, seconds: float | None) -> float | None:
        now = self._clock.monotonic()
        asks = self._queue and not self._closed and not self._stop.is_set()
        ends = [end for end in (self._report_at, self._full_until if asks else None) if end is not None]
        left = [max(0.0, end - now) for end in ends] + ([] if seconds is None else [seconds])
        return min(left, default=None)

    # --- claims ---

    def _claim_next(self) -> None:
        if self._closed or self._stop.is_set() or self._claims or not self._queue:
            return
        if self._full_until is not None and self._clock.monotonic() < self._full_until and not self._loop.writes:
            return
        self._full_until, self._freed = None, False
        free = self._claiming.terms.max_running - len(self._loop) + self._loop.writes
        for _ in range(min(len(self._queue), CLAIMS_AT_ONCE, max(1, free))):
            self._prepare_claim(heapq.heappop(self._queue))

    def _prepare_claim(self, waiting: Waiting) -> None:
        if waiting.retry_of:
            prepared = guarded(lambda: self._claiming.retry(waiting.job_id, waiting.retry_of), job=waiting.job_id)
        else:
            prepared = guarded(
                lambda: self._claiming.slot(waiting.job_id, self._due_before(), self.orphan_candidates),
                job=waiting.job_id,
            )
        if isinstance(prepared, Failure):
            self._on_bad_job(waiting, prepared)
        elif isinstance(prepared, str):
            self._drop(waiting, left=prepared == "left")
        else:
            self._claims += 1
            self._loop.write(prepared, lambda done: self._on_claimed(waiting, done))

    def _on_claimed(self, waiting: Waiting, done: Outcome) -> None:
        self._claims -= 1
        self._refused = isinstance(done.error, DatabaseError)
        if isinstance(done.error, DatabaseError):
            # It is not this job that is wrong: nothing is noted of it, which would wait as long again, and the others
            # wait for a while.
            self._full_until = self._clock.monotonic() + PERMIT_POLL_SEC
            self._leave_due(waiting, failure_of(done.error, job=waiting.job_id))
        elif done.error is not None:
            self._on_bad_job(waiting, failure_of(done.error, job=waiting.job_id))
        else:
            self._on_claim_outcome(waiting, done.value)

    def _on_claim_outcome(self, waiting: Waiting, claim: Claim) -> None:
        if claim.written_off:
            self.served.written_off += claim.written_off
            self._report_soon()
        if claim.outcome is ClaimOutcome.NO_PERMIT:
            # A place may also become free by a run of another process, or by one of ours that waits for its retry.
            if not self._freed:
                self._full_until = self._clock.monotonic() + PERMIT_POLL_SEC
            heapq.heappush(self._queue, waiting)
        elif claim.outcome in (ClaimOutcome.CHANGED, ClaimOutcome.RUNNING):
            self._overtaken(waiting, claim.outcome)
        else:
            self._drop(waiting, left=False, taken=False)
            if claim.run is not None:
                self._spawn(claim.run)

    def _overtaken(self, waiting: Waiting, outcome: ClaimOutcome) -> None:
        """Another process was faster, or the job has changed since it was looked at."""
        if waiting.retry_of:
            return self._drop(waiting, left=outcome is ClaimOutcome.RUNNING)
        self._replans[waiting] = self._replans.get(waiting, 0) + 1
        if self._replans[waiting] < REPLANS:
            return heapq.heappush(self._queue, waiting)
        return self._drop(waiting, left=False)

    def _drop(self, waiting: Waiting, *, left: bool, taken: bool = True) -> None:
        self._queued.discard((waiting.job_id, waiting.retry_of))
        self._replans.pop(waiting, None)
        if left:
            self.served.left_due.append(waiting.job_id)
        elif taken and not waiting.retry_of:
            self.served.taken_elsewhere += 1

    def _on_bad_job(self, waiting: Waiting, failure: Failure) -> None:
        """One bad job never stops the others."""
        error = self._leave_due(waiting, failure)
        # The report carries it; a database that can't be written is a problem of its own.
        guarded(
            lambda: self._store.definitions.set_problem(waiting.job_id, error),
            "What is wrong with the job was not recorded",
            job=waiting.job_id,
        )

    def _leave_due(self, waiting: Waiting, failure: Failure) -> dict[str, object]:
        """It stays due, and the report says why."""
        error = self._reporter.mask(failure.as_dict())
        log.warning(f"The job stays due: {failure.message}", job=waiting.job_id, code=failure.code)
        self.served.problems.append({"job_id": waiting.job_id, "error": error})
        self._drop(waiting, left=True)
        return error

    # --- runs ---

    def _spawn(self, run: ClaimedRun) -> None:
        self.running_ids.add(run.run_id)
        made = guarded(self._make_executor, job=run.job, run_id=run.run_id)
        if isinstance(made, Failure):
            return self._on_over(run, self._reporter.give_up(run, made))
        return self._loop.spawn(made.task(run), lambda done: self._on_ended(run, done))

    def _on_ended(self, run: ClaimedRun, done: Outcome) -> None:
        """A fault of ours becomes the run's verdict, so that no run is left without one."""
        error = done.error
        if error is not None:
            failure = failure_of(error, "The run was given up", job=run.job, run_id=run.run_id)
        self._on_over(run, done.value if error is None else self._reporter.give_up(run, failure))

    def _on_over(self, run: ClaimedRun, result: dict[str, object]) -> None:
        self.running_ids.discard(run.run_id)
        self._unreported.append((run, result))
        self._report_soon()
        self._full_until, self._freed = None, True
        if run.job.catch_up != "all":
            return
        # Its next slot may be due already.
        cursor = guarded(
            lambda: self._store.definitions.due_cursor(run.job.job_id, self._due_before()),
            "The job's next slot waits for the next look",
            job=run.job,
        )
        if isinstance(cursor, str):
            self.enqueue([Waiting(cursor, run.job.job_id)])

    # --- telling ---

    def _report_soon(self) -> None:
        if self._report_at is None:
            self._report_at = self._clock.monotonic() + REPORT_DELAY_SEC

    def report(self) -> None:
        """Delivers what is to be told, and with that the results are whole."""
        if self._report_at is None:
            return
        self._report_at = None
        untold, self._unreported = self._unreported, []
        self.served.results += self._reporter.report(untold)


class Reporter:
    """How runs ended: the verdict of one that could not be seen to its end, and the way of all to who is told."""

    def __init__(
        self,
        *,
        store: Store,
        notifier: Notifier,
        clock: Clock,
        paths_of: Callable[[str], dict[str, str]],
        mask: Callable[[dict[str, object]], dict[str, object]],
    ) -> None:
        """`mask` takes secrets out of an error."""
        self._store = store
        self._notifier = notifier
        self._clock = clock
        self._paths_of = paths_of
        self.mask = mask

    def deliver(self) -> int:
        """Delivers every event that waits; how many arrived."""
        return sum(delivery.delivered for delivery in self._notifier.deliver(self._store.events))

    def report(self, ended: list[tuple[ClaimedRun, dict[str, object]]]) -> list[dict[str, object]]:
        """Delivers, and adds to each result where its event stands, or why it does not stand there yet."""
        failed = [delivery for delivery in self._notifier.deliver(self._store.events) if delivery.error]
        told = []
        for run, result in ended:
            channel = run.job.notify_channel
            waiting = [
                {"channel": delivery.channel, "error": delivery.error}
                for delivery in failed
                if delivery.channel in channels_of(channel)
            ]
            # A path alone would say that the event stands there.
            more = {"events_waiting": waiting} if waiting else {}
            told.append({**result, "notification_paths": self._paths_of(channel), **more})
        return told

    def give_up(self, run: ClaimedRun, failure: Failure) -> dict[str, object]:
        """The result of a run that ended by a fault of ours, its verdict written if it is still ours."""
        error = self.mask(failure.as_dict())
        told: dict[str, object] = {"job_id": run.job.job_id, "run_id": run.run_id, "attempts": 0, "error": error}
        if failure.code == VerdictNotStored.code:
            # The run may have succeeded: no other verdict takes its place. The row is settled as interrupted later.
            return {"status": "error", **told}
        if failure.code == LeaseLost.code:
            return {"status": "error", **told, **self._who_ended_it(run, error)}
        verdict = Verdict(RunStatus.ERROR, self._clock.now(), 0, error=error, event=told)
        channels = channels_of(run.job.notify_channel)
        refused = guarded(
            lambda: self._store.runs.finish(run.run_id, run.token, verdict, channels),
            "The verdict was not stored",
            job=run.job,
            run_id=run.run_id,
        )
        # Of a lease that is lost somebody has settled the run, and told it. Else the row stays running and its lease
        # runs out: the next tick settles it as interrupted.
        if isinstance(refused, Failure) and refused.code != LeaseLost.code:
            told["verdict_not_stored"] = self.mask(refused.as_dict())
        return {"status": "error", **told}

    def _who_ended_it(self, run: ClaimedRun, error: dict[str, object]) -> dict[str, object]:
        """What the ledger says of a run that somebody else has ended: `attempts` and an `error` that tells."""
        row = guarded(lambda: self._store.runs.find(run.run_id))
        if isinstance(row, Failure) or row is None:
            return {}
        ended = row["error"] if isinstance(row["error"], dict) else {}
        message = f"{error['message']}: it reads {row['status']} since {row['finished_at']}. {ended.get('message', '')}"
        hint = f"Its verdict: python3 main.py logs --run {run.run_id}"
        details = {"run_status": row["status"], "finished_at": row["finished_at"], "hint": hint}
        return {"attempts": row["attempt"], "error": {**error, "message": message.strip(), "details": details}}
