"""Runs one claimed run to its end: attempts, backoff, renewal of the lease, verdict, event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import gates
from channels import channels_of
from core import crash_points, log
from core.clock import Clock, utc_text
from core.errors import (
    DatabaseError,
    DatabaseFull,
    DatabaseLocked,
    DatabaseReplaced,
    MachineExhausted,
    VerdictNotStored,
)
from core.invocation import AgentSession, AttemptOutcome, Context, Invocation, InvocationRequest, Prompt, Usage
from core.invocation_errors import AgentOverloaded, AgentQuota, is_retried
from core.json_objects import RunEvent, RunResult
from core.redact import Redactor
from core.run import ClaimedRun, ProcessId, RunStatus, Trigger, Verdict
from execution import requests, verdicts
from execution.attempt import Attempt, SessionTotals, joined, summary_of
from execution.retries import LONGEST_BACKOFF_SEC, OVERLOAD_RETRIES, backoff_sec, quota_blocks
from gates.base import Facts
from system.awaitables import run_blocking, wait, write

if TYPE_CHECKING:
    from datetime import datetime

    from system.processes import Stop

#: Seconds between two checks whether somebody has cancelled the run.
CANCEL_POLL_SEC = 1.0
#: Seconds between two requests for a permit after the backoff, while all are in use.
PERMIT_POLL_SEC = 1.0
#: How often a verdict is written if the database refuses it, and the pause in between. SQLite itself waits as well.
VERDICT_ATTEMPTS = 6
#: Against a database that is locked, which takes five seconds each, it is about as long as a lease.
VERDICT_ATTEMPTS_BY_HAND = 20
VERDICT_PAUSE_SEC = 2.0
#: Pauses before a call that the machine did not let start is tried again. The first call of a run is not: its slot
#: stays due.
START_PAUSES_SEC = (1.0, 2.0, 5.0, 10.0)
#: What `_wait_for_retry` returns if the run was stopped.
STOPPED = "stopped"


class Ledger(Protocol):
    """What a run needs of the store."""

    def record_child(self, run: ClaimedRun, child: ProcessId, output_dir: str) -> None: ...

    def renew(self, run: ClaimedRun, until: datetime) -> None: ...

    def cancel_requested_by(self, run: ClaimedRun) -> str: ...

    def release_permit(self, run: ClaimedRun) -> None: ...

    def take_permit(self, run: ClaimedRun, attempt: int, max_running: int) -> bool: ...

    def spend(self, run: ClaimedRun, day: str, usage: Usage) -> None: ...

    def spent(self, run: ClaimedRun, day: str) -> float: ...

    def finish(self, run_id: str, token: str, verdict: Verdict, channels: tuple[str, ...]) -> None: ...


class Memory(Protocol):
    """The agent sessions that earlier runs of a job have left."""

    def find(self, job_id: str) -> AgentSession | None: ...


class Invoke(Protocol):
    """Makes one call. `beat_every` is in seconds.

    Raises `LeaseLost` from `beat` or `on_start`, and `MachineExhausted` if nothing was started; nothing else.
    """

    def __call__(
        self,
        invocation: Invocation,
        *,
        stop: Stop,
        on_start: Callable[[ProcessId], Awaitable[None]],
        beat: Callable[[], None],
        beat_every: float,
    ) -> Awaitable[AttemptOutcome]: ...


@dataclass(frozen=True)
class RunLimits:
    """The settings for a run. `hop` is 1 more than that of the run in which this program was started; else 0."""

    lease_sec: int
    max_running: int
    hop: int = 0


class Executor:
    """Runs one claimed run. `stop` is the run's own, set also by the stop of the process; it is closed at the end.

    `pause` waits for some seconds, even after a stop; `measure` returns the bytes in a folder; `day_of` the local day
    of a time in a zone, like `2026-02-25`.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        invoke: Invoke,
        clock: Clock,
        stop: Stop,
        pause: Callable[[float], object],
        limits: RunLimits,
        runs_folder: str,
        measure: Callable[[str], int],
        new_id: Callable[[], str],
        redactor: Callable[[ClaimedRun], Redactor],
        memory: Memory,
        day_of: Callable[[str, datetime], str],
    ) -> None:
        self._memory = memory
        self._day_of = day_of
        self._has_started = False
        self._unspent = Usage()
        self._totals = SessionTotals()
        self._prompt: Prompt | None = None
        self._ledger = ledger
        self._invoke = invoke
        self._clock = clock
        self._stop = stop
        self._pause = pause
        self._limits = limits
        self._runs_folder = runs_folder
        self._measure = measure
        self._new_id = new_id
        self._redactor = redactor
        self._renew_at = clock.monotonic() + limits.lease_sec / 3

    def run(self, run: ClaimedRun) -> RunResult:
        """Blocking version of `task`."""
        return run_blocking(self.task(run))

    async def task(self, run: ClaimedRun) -> RunResult:
        """Makes attempts until one succeeds or no retry is left, and writes the verdict.

        Returns what `run-now` prints, without `notification_paths`. Raises `VerdictNotStored`; `LeaseLost` if another
        process has settled the run: then its processes are dead, and nothing was written; `MachineExhausted` if
        nothing was started, and the claim is to be given back.
        """
        try:
            return await self._run(run)
        finally:
            self._stop.close()

    async def _run(self, run: ClaimedRun) -> RunResult:
        started_at = self._clock.monotonic()
        log.info(f"The run starts ({run.trigger})", job=run.job, run_id=run.run_id)
        correlation_id = f"corr-{self._new_id()}"
        attempt, left = 1, None
        while True:
            request, outcome = await self._attempt(run, correlation_id, attempt)
            left = joined(left, outcome.left)
            crash_points.point("attempt.ended")
            if outcome.response.error is not None and not self._stop.is_set():
                # A `cancel` that waited too long for us may have killed the processes itself.
                self._beat(run)
                outcome = replace(outcome, stopped=self._stop.is_set())
            if outcome.stopped or outcome.response.error is None:
                break
            no_retry = self._no_retry_reason(run, outcome, attempt) or await self._wait_for_retry(run, attempt)
            if no_retry == STOPPED:
                outcome = replace(outcome, stopped=True)
                break
            if no_retry is not None:
                outcome = verdicts.with_detail(outcome, "not_retried", no_retry)
                break
            attempt += 1
        duration_ms = round((self._clock.monotonic() - started_at) * 1000)
        return await self._conclude(run, request, replace(outcome, left=left), attempt, duration_ms)

    async def _attempt(
        self, run: ClaimedRun, correlation_id: str, attempt: int
    ) -> tuple[InvocationRequest, AttemptOutcome]:
        """Makes the calls of one attempt. Returns the request of the last one, and the attempt's outcome."""
        requests_made: list[InvocationRequest] = []

        async def call(context: Context, number: int, timeout_sec: int) -> AttemptOutcome:
            invocation = requests.invocation(
                run,
                requests.Ids(f"req-{self._new_id()}", correlation_id, attempt, number),
                context,
                timeout_sec=timeout_sec,
                runs_folder=self._runs_folder,
                # No person and no run asked for a slot, even if the tick was started in a run.
                hop=self._limits.hop if run.trigger is Trigger.MANUAL else 0,
                now=self._clock.now(),
                prompt=self._prompt,
            )
            requests_made.append(invocation.request)
            outcome = await self._call(run, invocation)
            # All calls of a run get the same prompt, even if its file changes meanwhile.
            self._prompt = self._prompt or outcome.prompt
            return outcome

        current = Attempt(
            job=run.job,
            remembered=self._remembered(run),
            call=call,
            clock=self._clock,
            spend=lambda outcome: self._spend(run, outcome),
            limit_reached=lambda: self._limit_reached(run),
        )
        outcome = await current.make_calls()
        return requests_made[-1], outcome

    async def _call(self, run: ClaimedRun, invocation: Invocation) -> AttemptOutcome:
        """Makes a call. If the machine does not let it start, tries again; the first one of a run raises."""
        pauses = iter(START_PAUSES_SEC)
        while True:
            try:
                return await self._invoke(
                    invocation,
                    stop=self._stop,
                    on_start=lambda child: self._record_child(run, child, invocation.run_folder),
                    beat=lambda: self._beat(run),
                    beat_every=self._beat_every(),
                )
            except MachineExhausted as fault:
                if not self._has_started:
                    raise
                log.warning(f"A call could not be started: {fault.message}", job=run.job, run_id=run.run_id)
                if (pause := next(pauses, None)) is None or await self._wait(run, pause):
                    return verdicts.not_started(invocation.request, fault, stopped=self._stop.is_set())

    # --- sessions and costs ---

    def _remembered(self, run: ClaimedRun) -> AgentSession | None:
        if run.job.session_mode == "fully_ephemeral":
            return None
        # If the database is busy, the run continues without its session, and this is logged.
        with _tolerated(run, "The run starts without the session of the last one"):
            return self._totals.updated(self._memory.find(run.job.job_id))
        return None

    def _spend(self, run: ClaimedRun, outcome: AttemptOutcome) -> None:
        """Stores what a call has used. A busy database gets it after the next call, or with the verdict."""
        self._totals.note(outcome)
        self._unspent += outcome.usage
        if self._unspent == Usage():
            return
        with _tolerated(run, "What a call has used will be stored later"):
            self._ledger.spend(run, self._day(run), self._unspent)
            self._unspent = Usage()

    def _day(self, run: ClaimedRun) -> str:
        return self._day_of(run.timezone, self._clock.now())

    def _limit_reached(self, run: ClaimedRun) -> str:
        """The field of the job whose limit forbids another call, or ""."""

        def spent(_job_id: str, day: str) -> float:
            return self._ledger.spent(run, day) + self._unspent.cost_usd

        with _tolerated(run, "The budget of the day was not checked"):
            return gates.limit_reached(run.job, run.timezone, self._clock.now(), Facts(spent, self._day_of))
        return ""

    async def _record_child(self, run: ClaimedRun, child: ProcessId, folder: str) -> None:
        self._has_started = True

        # A busy database must not end a run that has just begun: the reaper also finds its processes by their marks.
        def note() -> None:
            with _tolerated(run, "The run's process was not stored"):
                self._ledger.record_child(run, child, folder)

        await write(note, deferred=True)
        crash_points.point("child.noted")

    def _beat_every(self) -> float:
        return min(CANCEL_POLL_SEC, self._limits.lease_sec / 3)

    def _beat(self, run: ClaimedRun) -> None:
        """Checks whether somebody has cancelled the run, and renews its lease when a third of it is over."""
        # A busy or full database must not end a healthy run: the lease is safe as long as this process is alive.
        with _tolerated(run, "It was not checked whether the run was cancelled"):
            if cancelled_by := self._ledger.cancel_requested_by(run):
                self._stop.set(f"cancel ({cancelled_by})")
        if self._clock.monotonic() >= self._renew_at:
            with _tolerated(run, "The lease was not renewed"):
                self._ledger.renew(run, self._clock.now() + timedelta(seconds=self._limits.lease_sec))
            # Counted from now, not from when it was due: after a long sleep, one renewal is enough.
            self._renew_at = self._clock.monotonic() + self._limits.lease_sec / 3

    # --- between attempts ---

    def _no_retry_reason(self, run: ClaimedRun, outcome: AttemptOutcome, attempt: int) -> str | None:
        error = outcome.response.error
        own_code = "" if error is None or outcome.from_target else error.code
        if own_code and not is_retried(own_code):
            return f"{own_code} is not retried"
        wait_sec = backoff_sec(run.job.retry_backoff_sec, attempt)
        now, is_quota = self._clock.now(), own_code == AgentQuota.code
        if error is not None and is_quota and (blocked := quota_blocks(error.details, now, wait_sec)):
            return blocked
        overloaded = own_code == AgentOverloaded.code
        if attempt > (max(run.job.max_retries, OVERLOAD_RETRIES) if overloaded else run.job.max_retries):
            return "no retries left" if run.job.max_retries or overloaded else "max_retries is 0"
        if limit := self._limit_reached(run):
            return f"the day's {limit} is reached"
        return self._too_late(run, wait_sec)

    def _too_late(self, run: ClaimedRun, wait_sec: float) -> str | None:
        """Why a retry may not start in `wait_sec` seconds: the job's next slot comes first."""
        if run.next_run_at is None or self._clock.now() + timedelta(seconds=wait_sec) < run.next_run_at:
            return None
        return f"the next slot is due at {utc_text(run.next_run_at)}, before the retry would start"

    async def _wait_for_retry(self, run: ClaimedRun, attempt: int) -> str | None:
        """Waits for the backoff and for a permit. Returns None, or `STOPPED`, or the reason why there is no retry."""
        # If the database is busy, the run keeps its permit while it waits. That is better than no retry.
        with _tolerated(run, "The run keeps its permit while it waits for its retry"):
            self._ledger.release_permit(run)
        crash_points.point("backoff.begun")
        until = self._clock.monotonic() + backoff_sec(run.job.retry_backoff_sec, attempt)
        self._beat(run)
        if self._stop.is_set():
            return STOPPED
        while (left := until - self._clock.monotonic()) > 0:
            if await self._wait(run, left):
                return STOPPED
        # The wait may have taken longer: the monotonic clock stands still while the machine sleeps.
        if too_late := self._too_late(run, 0):
            return too_late
        deadline = self._clock.monotonic() + LONGEST_BACKOFF_SEC
        while not self._take_permit(run, attempt + 1):
            if await self._wait(run, PERMIT_POLL_SEC):
                return STOPPED
            if self._too_late(run, 0) or self._clock.monotonic() > deadline:
                return "as many runs as PURUTO_CRON_MAX_RUNNING allows were running all the time"
        return None

    def _take_permit(self, run: ClaimedRun, attempt: int) -> bool:
        with _tolerated(run, "No permit was requested"):
            return self._ledger.take_permit(run, attempt, self._limits.max_running)
        return False

    async def _wait(self, run: ClaimedRun, seconds: float) -> bool:
        """Waits for `seconds` at most. Returns whether the run is to stop."""
        await wait(min(seconds, self._beat_every()), stop=self._stop)
        if not self._stop.is_set():
            self._beat(run)
        return self._stop.is_set()

    # --- the verdict ---

    async def _conclude(
        self, run: ClaimedRun, request: InvocationRequest, outcome: AttemptOutcome, attempt: int, duration_ms: int
    ) -> RunResult:
        redact = self._redactor(run)
        end = verdicts.end_of(run, request, outcome, attempt, self._stop.reason, redact)
        event: RunEvent = {"job_id": run.job.job_id, "run_id": run.run_id, **end.facts}
        heartbeat = outcome.facts.get("heartbeat")
        verdict = Verdict(
            status=end.status,
            finished_at=self._clock.now(),
            duration_ms=duration_ms,
            result=end.result,
            error=end.error,
            exit_code=outcome.exit_code,
            output_bytes=self._measure(f"{self._runs_folder}/{run.job.job_id}/{run.run_id}"),
            event=None if end.quiet else event,
            runner=outcome.runner,
            session_id=outcome.session_id,
            iterations=len(heartbeat["iterations"]) if isinstance(heartbeat, dict) else None,
            processes_ended=None if outcome.left is None else len(outcome.left),
            spent=None if self._unspent == Usage() else (self._day(run), self._unspent),
            session=self._session_to_keep(run, outcome, redact),
            prompt_sha256=None if self._prompt is None else self._prompt.sha256,
        )
        result: RunResult = {"status": "ok" if end.status is RunStatus.OK else "error", **event}
        await self._store(run, verdict, result)
        log.info(
            f"The run ended: {end.status} after {duration_ms / 1000:.1f} s, attempt {attempt}",
            job=run.job,
            run_id=run.run_id,
            code=end.error["code"] if end.error else "",
        )
        return result

    def _session_to_keep(self, run: ClaimedRun, outcome: AttemptOutcome, redact: Redactor) -> AgentSession | None:
        """The session for the job's next run. A run that failed keeps the earlier one, with its usage updated."""
        facts = outcome.facts.get("session")
        is_lost = isinstance(facts, dict) and "lost_session_id" in facts
        if outcome.response.error is not None and not is_lost:
            return self._remembered(run)
        if run.job.session_mode == "fully_ephemeral":
            return None
        earlier = self._remembered(run) if outcome.quiet else None
        if earlier is not None and run.job.session_mode == "ephemeral_with_summary":
            # A run that had nothing to report does not replace what the one before it reported.
            return earlier
        return AgentSession(
            job_id=run.job.job_id,
            runner=outcome.runner,
            session_id=outcome.session_id,
            summary=redact.text(summary_of(outcome)) if outcome.response.error is None else "",
            run_id=run.run_id,
            updated_at=utc_text(self._clock.now()),
            usage=outcome.session_usage,
        )

    async def _store(self, run: ClaimedRun, verdict: Verdict, result: RunResult) -> None:
        """Writes the verdict. If the database is busy or full, tries again for a while. Raises `VerdictNotStored`.

        If the disk is full or the database is locked, who catches that may call its `store` later, which returns
        `result`. For a run by hand nobody does, so it is patient itself.
        """
        channels = channels_of(run.job.notify_channel)
        passing, attempts, attempt = (DatabaseFull, DatabaseLocked), VERDICT_ATTEMPTS, 0
        while attempt < attempts:
            attempt += 1
            try:
                return await write(lambda: self._ledger.finish(run.run_id, run.token, verdict, channels))
            except DatabaseError as error:
                refusal = error
                log.warning(
                    f"The verdict {verdict.status} could not be stored: {error.message}",
                    job=run.job,
                    run_id=run.run_id,
                    code=error.code,
                )
                if isinstance(error, DatabaseReplaced):
                    # What we have open is no file any more, and never will be.
                    break
                if run.trigger is Trigger.MANUAL and isinstance(error, passing):
                    attempts = VERDICT_ATTEMPTS_BY_HAND
            if attempt < attempts:
                await wait(VERDICT_PAUSE_SEC, blocking_wait=self._pause)
        unstored = VerdictNotStored(
            f"The run {run.run_id} ended as {verdict.status}, but that could not be stored: {refusal.message}",
            hint=refusal.hint,
            details={"status": str(verdict.status), "database_error": refusal.as_dict()},
        )

        def store_now() -> RunResult:
            self._ledger.finish(run.run_id, run.token, verdict, channels)
            return result

        if isinstance(refusal, passing):
            unstored.store = store_now
        raise unstored from refusal


def _tolerated(run: ClaimedRun, consequence: str) -> log.tolerated:
    """Suppresses a `DatabaseError` and logs its consequence for the run: the database may be busy for a while only."""
    return log.tolerated(DatabaseError, consequence, job=run.job, run_id=run.run_id)
