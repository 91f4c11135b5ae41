"""Which slots are due, the claim, and one tick. Several of these run at once, in several processes, on one database."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from boundary import failure_of, guarded
from errors import CronError, GateClosed, JobLocked, JobNotFound, LeaseLost, VerdictNotStored
from executor import Executor
from models import ClaimedRun, Clock, Failure, Job, JobState, Refusal, RunStatus, Verdict, utc_text
from planner import Calendar, corrected_cursor, plan
from retries import ceiling_sec
from settle import Settled
from store.claims import Claim, ClaimOutcome, ClaimTerms, Owner
from store.definitions import job_state
from verdicts import channels_of

if TYPE_CHECKING:
    from db import Row
    from notifier import Notifier
    from processes import Stop
    from store.bundle import Store

#: How often a tick whose runs go on asks for a place for what is still due.
PLACE_POLL_SEC = 1.0
#: A claim whose plan was overtaken by another process is planned anew this often within one tick.
REPLANS = 3


class _Waiting(NamedTuple):
    """A slot to be served, or an interrupted run to be made up for; `since` (UTC text) says which comes first."""

    since: str
    job_id: str
    retry_of: str = ""


@dataclass(frozen=True)
class Terms:
    """The settings that claims are made under."""

    lease_sec: int
    max_running: int
    kill_grace_sec: int


@dataclass
class TickReport:
    """What one tick saw and did; `as_dict` is the contract's object with our keys added."""

    now: datetime
    lease_owner: str
    due_jobs: list[str] = field(default_factory=list)
    results: list[dict[str, object]] = field(default_factory=list)
    written_off: list[dict[str, object]] = field(default_factory=list)
    settled: list[dict[str, object]] = field(default_factory=list)
    left_due: list[str] = field(default_factory=list)
    taken_elsewhere: int = 0
    problems: list[dict[str, object]] = field(default_factory=list)
    delivered: int = 0

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
        }


#: A clock that goes back further than this was wrong before, and is not wrong now.
FALSE_FUTURE = timedelta(days=2)


class Scheduler:
    """Serves due slots. `store` belongs to the calling thread; each run has a thread and a store of its own."""

    def __init__(
        self,
        *,
        store: Store,
        open_store: Callable[[], Store],
        make_executor: Callable[[Store], Executor],
        settle: Callable[[], Settled],
        notifier: Notifier,
        calendar: Calendar,
        clock: Clock,
        stop: Stop,
        owner: Owner,
        terms: Terms,
        paths_of: Callable[[str], dict[str, str]],
        mask: Callable[[dict[str, object]], dict[str, object]],
        gate: Callable[[JobState, datetime], Refusal | None],
    ) -> None:
        """`mask` takes secrets out of an error; `gate` says why no run of a job may start now."""
        self._gate = gate
        self._store = store
        self._open_store = open_store
        self._make_executor = make_executor
        self._settle = settle
        self._notifier = notifier
        self._calendar = calendar
        self._clock = clock
        self._stop = stop
        self._owner = owner
        self._terms = terms
        self._paths_of = paths_of
        self._mask = mask
        self._problems: list[dict[str, object]] = []

    # --- one tick ---

    def tick(self, now: datetime) -> TickReport:
        """Settles dead runs, serves the slots due at `now`, oldest first, and ends when none is left to start."""
        report = TickReport(now, self._owner.name, problems=self._problems)
        settled = self._settle()
        report.settled = list(settled.ended)
        report.delivered = sum(delivery.delivered for delivery in self._notifier.deliver(self._store.events))
        due = self._store.definitions.due(now)
        report.due_jobs = [job_id for _, job_id in due]
        retries = [_Waiting(*row) for row in self._store.runs.retries_due()]
        # Both lists are sorted, and a sorted list is a heap.
        queue = sorted([*(_Waiting(*row) for row in due), *retries])
        self._serve(queue, now, settled.suspects, report)
        if report.written_off:
            # A gap is told in the tick that finds it; what runs have to tell, each delivers itself.
            self._notifier.deliver(self._store.events)
        return report

    def _serve(self, queue: list[_Waiting], now: datetime, suspects: frozenset[str], report: TickReport) -> None:
        finished: SimpleQueue[tuple[str, dict[str, object]]] = SimpleQueue()
        active = 0
        while True:
            while queue and not self._stop.is_set():
                claim = self._claim_or_report(queue[0], now, suspects, report)
                if claim is ClaimOutcome.NO_PLACE:
                    break
                heapq.heappop(queue)
                if isinstance(claim, ClaimedRun):
                    self._start(claim, finished)
                    active += 1
            # With no run of ours to wait for, what is left waits for the next tick: a tick must not live for ever.
            if not active:
                break
            try:
                # A place may also become free by a run of another process, or by one of ours that waits for its retry.
                job_id, result = finished.get(timeout=PLACE_POLL_SEC if queue else None)
            except Empty:
                continue
            active -= 1
            report.results.append(result)
            self._requeue(queue, job_id, now)
        report.left_due += [waiting.job_id for waiting in queue]

    def _requeue(self, queue: list[_Waiting], job_id: str, now: datetime) -> None:
        """With `catch_up` `all` the job's next slot may be due already."""
        cursor = guarded(lambda: self._store.definitions.due_cursor(job_id, now))
        if isinstance(cursor, str):
            heapq.heappush(queue, _Waiting(cursor, job_id))

    def _claim_or_report(
        self, waiting: _Waiting, now: datetime, suspects: frozenset[str], report: TickReport
    ) -> ClaimedRun | ClaimOutcome | None:
        """A run to start, `NO_PLACE`, or None when nothing is to be started; one bad job never stops the tick."""
        job_id = waiting.job_id
        if waiting.retry_of:
            found = guarded(lambda: self._try_retry(waiting, report))
        else:
            found = guarded(lambda: self._try_claim(job_id, now, suspects, report))
        if not isinstance(found, Failure):
            return found
        error = self._mask(found.as_dict())
        report.problems.append({"job_id": job_id, "error": error})
        report.left_due.append(job_id)
        self._mark(job_id, error)
        return None

    def _try_retry(self, waiting: _Waiting, report: TickReport) -> ClaimedRun | ClaimOutcome | None:
        state = self._store.definitions.load(waiting.job_id)
        at = self._clock.now()
        if state is not None and self._gate(state, at) is not None:
            # It stays due until the gate is open again, or a newer run takes its place.
            report.left_due.append(waiting.job_id)
            return None
        terms = self._claim_terms(state.job, at) if state is not None else ClaimTerms(at, at, 0)
        claim = self._store.claims.claim_retry(
            state, waiting.retry_of, self._owner, terms, max_running=self._terms.max_running
        )
        if claim.outcome is ClaimOutcome.RUNNING:
            report.left_due.append(waiting.job_id)
        return ClaimOutcome.NO_PLACE if claim.outcome is ClaimOutcome.NO_PLACE else claim.run

    def _mark(self, job_id: str, failure: dict[str, object]) -> None:
        try:
            self._store.definitions.set_problem(job_id, failure)
        except CronError:
            # The report carries it; a database that can't be written is a problem of its own.
            return

    def _try_claim(
        self, job_id: str, now: datetime, suspects: frozenset[str], report: TickReport
    ) -> ClaimedRun | ClaimOutcome | None:
        for _ in range(REPLANS):
            state = self._store.definitions.load(job_id)
            if state is None or not state.enabled or state.next_run_at is None or state.next_run_at > now:
                break
            running = self._store.runs.is_running(job_id)
            if running and (job_id in suspects or state.job.catch_up == "all"):
                report.left_due.append(job_id)
                return None
            claim = self._claim(state, now, running=running)
            report.written_off += claim.written_off
            if claim.outcome is ClaimOutcome.NO_PLACE:
                return claim.outcome
            if claim.outcome in (ClaimOutcome.CLAIMED, ClaimOutcome.WRITTEN_OFF):
                return claim.run
        report.taken_elsewhere += 1
        return None

    def _claim(self, state: JobState, now: datetime, *, running: bool) -> Claim:
        served_at = self._clock.now()
        gate = None if running else self._gate(state, served_at)
        return self._store.claims.claim(
            state,
            plan(state, now, self._calendar, served_at=served_at),
            self._owner,
            self._claim_terms(state.job, served_at),
            running=running,
            max_running=self._terms.max_running,
            channels=channels_of(state.job.notify_channel),
            gate=gate,
        )

    def _claim_terms(self, job: Job, at: datetime) -> ClaimTerms:
        ceiling = ceiling_sec(job, self._terms.kill_grace_sec)
        lease = timedelta(seconds=self._terms.lease_sec)
        patience = self._clock.monotonic() + self._terms.lease_sec + ceiling
        return ClaimTerms(now=at, lease_until=at + lease, ceiling=patience)

    def _start(self, run: ClaimedRun, finished: SimpleQueue[tuple[str, dict[str, object]]]) -> None:
        def work() -> None:
            result: dict[str, object] = {"status": "error", "job_id": run.job.job_id, "run_id": run.run_id}
            try:
                result = self._run_in_thread(run)
            finally:
                # Whatever happens here, the tick must not wait for ever for this run.
                finished.put((run.job.job_id, result))

        try:
            threading.Thread(target=work, name=run.run_id).start()
        except RuntimeError as error:
            # The machine has no thread left: the run is claimed, so it gets its verdict here.
            finished.put(
                (run.job.job_id, self._told(self._store, run, self._give_up(self._store, run, failure_of(error))))
            )

    def _run_in_thread(self, run: ClaimedRun) -> dict[str, object]:
        try:
            store = self._open_store()
        except CronError as error:
            return {"status": "error", "job_id": run.job.job_id, "run_id": run.run_id, "error": error.as_dict()}
        try:
            return self._run_to_end(store, run)
        finally:
            store.close()

    def _run_to_end(self, store: Store, run: ClaimedRun) -> dict[str, object]:
        """Runs and tells. A fault of ours becomes the run's verdict, so that no run is left without one."""
        result = guarded(lambda: self._make_executor(store).run(run))
        if isinstance(result, Failure):
            result = self._give_up(store, run, result)
        return self._told(store, run, result)

    def _told(self, store: Store, run: ClaimedRun, result: dict[str, object]) -> dict[str, object]:
        paths = self._paths_of(run.job.notify_channel)
        waiting = [
            {"channel": delivery.channel, "error": delivery.error}
            for delivery in self._notifier.deliver(store.events)
            if delivery.error and delivery.channel in channels_of(run.job.notify_channel)
        ]
        # A path alone would say that the event stands there.
        return {**result, "notification_paths": paths, **({"events_waiting": waiting} if waiting else {})}

    def _give_up(self, store: Store, run: ClaimedRun, failure: Failure) -> dict[str, object]:
        error = self._mask(failure.as_dict())
        told: dict[str, object] = {"job_id": run.job.job_id, "run_id": run.run_id, "attempts": 0, "error": error}
        if failure.code == VerdictNotStored.code:
            # The run may have succeeded: no other verdict takes its place. The row is settled as interrupted later.
            return {"status": "error", **told}
        if failure.code == LeaseLost.code:
            return {"status": "error", **told, **_who_ended_it(store, run, error)}
        verdict = Verdict(RunStatus.ERROR, self._clock.now(), 0, error=error, event=told)
        try:
            store.runs.finish(run.run_id, run.token, verdict, channels_of(run.job.notify_channel))
        except LeaseLost:
            # Somebody settled the run, and told it.
            pass
        except CronError as refused:
            # The row stays running and its lease runs out: the next tick settles it as interrupted.
            told["verdict_not_stored"] = refused.as_dict()
        return {"status": "error", **told}

    # --- a run by hand ---

    def run_now(self, job_id: str, *, force: bool) -> dict[str, object]:
        """Runs a job now, in this thread. Raises `JobNotFound`, `JobDisabled` or `JobLocked`, with no run.

        A person who asks for a run does not wait for a place under the cap; the run counts under it all the same.
        """
        settled = self._settle()
        state = self._store.definitions.load(job_id)
        if state is None:
            raise JobNotFound(
                f"There is no job {job_id}",
                hint="See the names: python3 main.py list. A job new in .jobs.json needs sync-jobs.",
                details={"job_id": job_id},
            )
        now = self._clock.now()
        refused = None if force else self._gate(state, now)
        if refused is not None:
            raise GateClosed(
                f"The job {job_id} may not run now: {refused.reason}",
                hint=f"Run it all the same: python3 main.py run-now {job_id} --force",
                details={"job_id": job_id, "reason": refused.code, **refused.details},
            )
        terms = self._claim_terms(state.job, now)
        try:
            run = self._store.claims.claim_manual(job_id, self._owner, terms, force=force)
        except JobLocked as locked:
            if job_id not in settled.suspects:
                raise
            raise JobLocked(
                f"{locked.message}, and that process is gone",
                hint=f"Free it at once: python3 main.py unlock {job_id}. Else a tick does when the lease is over.",
                details=locked.details,
            ) from None
        return self._run_to_end(self._store, run)

    # --- the clock ---

    def correct_clock(self, now: datetime, last_seen: datetime | None) -> dict[str, object] | None:
        """Brings back cursors that a clock once wrong in the future has set, if it went back since `last_seen`.

        Returns the anomaly to report, or None. Source: DESIGN "Time".
        """
        if last_seen is None or last_seen <= now:
            return None
        forgotten = guarded(lambda: self._store.definitions.take_back(now, trusted=last_seen - now > FALSE_FUTURE))
        if isinstance(forgotten, Failure):
            self._problems.append({"job_id": None, "error": self._mask(forgotten.as_dict())})
        moved = []
        for row in self._store.definitions.active():
            found = guarded(lambda row=row: self._correct_cursor(row, now))  # type: ignore[misc]
            if isinstance(found, Failure):
                self._problems.append({"job_id": row["job_id"], "error": self._mask(found.as_dict())})
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


def _who_ended_it(store: Store, run: ClaimedRun, error: dict[str, object]) -> dict[str, object]:
    """What the ledger says of a run that somebody else has ended: `attempts` and an `error` that tells."""
    row = guarded(lambda: store.runs.find(run.run_id))
    if isinstance(row, Failure) or row is None:
        return {}
    ended = row["error"] if isinstance(row["error"], dict) else {}
    message = f"{error['message']}: it reads {row['status']} since {row['finished_at']}. {ended.get('message', '')}"
    hint = f"Its verdict: python3 main.py logs --run {run.run_id}"
    details = {"run_status": row["status"], "finished_at": row["finished_at"], "hint": hint}
    return {"attempts": row["attempt"], "error": {**error, "message": message.strip(), "details": details}}
