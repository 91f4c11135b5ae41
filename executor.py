"""One claimed run to its end: attempts, backoff, renewal of the lease, verdict, event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import crash
from errors import DatabaseError, InvocationStopped, VerdictNotStored
from models import (
    AttemptOutcome,
    ClaimedRun,
    Clock,
    Failure,
    Invocation,
    InvocationRequest,
    ProcessId,
    RunStatus,
    Trigger,
    Verdict,
    utc_text,
)
from redact import Redactor

if TYPE_CHECKING:
    from datetime import datetime

    from processes import Stop

CALLER = "puruto-cron"
#: No wait between attempts is longer. Source: DESIGN "The life of a slot".
LONGEST_BACKOFF_SEC = 3_600
#: How often a run looks whether somebody cancels it.
CANCEL_POLL_SEC = 1.0
#: How often a run that comes back from its backoff asks for a place when all are taken.
PLACE_POLL_SEC = 1.0
#: A verdict that the database refuses is offered again this often, with this pause (beside SQLite's own waiting).
VERDICT_ATTEMPTS = 6
VERDICT_PAUSE_SEC = 2.0
#: What a wait says that was ended from outside.
STOPPED = "stopped"
NOT_RETRIED = frozenset({"TARGET_NOT_FOUND", "DENIED"})


class Ledger(Protocol):
    """What a run asks of the store."""

    def note_child(self, run: ClaimedRun, child: ProcessId, output_dir: str) -> None: ...

    def renew(self, run: ClaimedRun, until: datetime) -> None: ...

    def cancel_asked_by(self, run: ClaimedRun) -> str: ...

    def begin_wait(self, run: ClaimedRun) -> None: ...

    def end_wait(self, run: ClaimedRun, attempt: int, max_running: int) -> bool: ...

    def finish(self, run_id: str, token: str, verdict: Verdict, channels: tuple[str, ...]) -> None: ...


class Invoke(Protocol):
    """One attempt. Raises only `LeaseLost`, from `beat` or `on_start`."""

    def __call__(
        self,
        invocation: Invocation,
        *,
        stop: Stop,
        on_start: Callable[[ProcessId], None],
        beat: Callable[[], None],
        beat_every: float,
    ) -> AttemptOutcome: ...


@dataclass(frozen=True)
class Limits:
    """The settings that a run lives under."""

    lease_sec: int
    max_running: int
    hop: int = 0


def backoff_sec(first: int, failed_attempts: int) -> int:
    """Seconds to wait after the n-th failed attempt: `first × 2^(n-1)`, at most an hour."""
    doublings = min(failed_attempts - 1, 12)
    return min(first << doublings, LONGEST_BACKOFF_SEC)


def ceiling_sec(job_timeout: int, retries: int, backoff: int, grace: int) -> int:
    """The longest that any run of a job can take: its attempts, their waits, and as long again for places."""
    waits = sum(backoff_sec(backoff, n) for n in range(1, retries + 1))
    return (retries + 1) * (job_timeout + 2 * grace + 60) + waits + retries * LONGEST_BACKOFF_SEC


class Executor:
    """Sees one claimed run to its end. `stop` is the run's own, below that of the process; it is closed at the end.

    `pause` waits some seconds, whoever asks to stop; `measure` gives the bytes below a folder.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        invoke: Invoke,
        clock: Clock,
        stop: Stop,
        pause: Callable[[float], object],
        limits: Limits,
        runs_folder: str,
        measure: Callable[[str], int],
        new_id: Callable[[], str],
        redactor: Callable[[ClaimedRun], Redactor],
    ) -> None:
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

    def run(self, run: ClaimedRun) -> dict[str, object]:
        """Makes attempts until one succeeds or none is left, and writes the verdict.

        Returns what `run-now` prints, without `notification_paths`. Raises `LeaseLost` when the run is no longer ours
        (nothing of it lives and nothing was written) and `VerdictNotStored`.
        """
        try:
            return self._run(run)
        finally:
            self._stop.close()

    def _run(self, run: ClaimedRun) -> dict[str, object]:
        began = self._clock.monotonic()
        correlation_id = f"corr-{self._new_id()}"
        attempt = 1
        while True:
            request = self._request(run, correlation_id)
            outcome = self._attempt(run, request, attempt)
            crash.point("attempt.ended")
            if outcome.response.error is not None and not self._stop.is_set():
                # A `cancel` that lost its patience with us may have ended the processes itself.
                self._beat(run)
                outcome = replace(outcome, stopped=self._stop.is_set())
            if outcome.stopped or outcome.response.error is None:
                break
            refusal = self._no_retry(run, outcome, attempt) or self._wait_for_retry(run, attempt)
            if refusal == STOPPED:
                outcome = replace(outcome, stopped=True)
                break
            if refusal is not None:
                outcome = _with_detail(outcome, "not_retried", refusal)
                break
            attempt += 1
        duration_ms = round((self._clock.monotonic() - began) * 1000)
        return self._conclude(run, request, outcome, attempt, duration_ms)

    def _attempt(self, run: ClaimedRun, request: InvocationRequest, attempt: int) -> AttemptOutcome:
        job = run.job
        invocation = Invocation(
            request=request,
            attempt=attempt,
            run_folder=f"{self._runs_folder}/{job.job_id}/{run.run_id}",
            run_id=run.run_id,
            job_id=job.job_id,
            scheduled_for="" if run.scheduled_for is None else utc_text(run.scheduled_for),
            runner=job.runner,
            command=tuple(job.command or ()),
            env=job.env,
            allow_env=tuple(job.allow_env),
            allow_empty_result=job.allow_empty_result,
            success=job.success,
        )
        return self._invoke(
            invocation,
            stop=self._stop,
            on_start=lambda child: self._note_child(run, child, invocation.run_folder),
            beat=lambda: self._beat(run),
            beat_every=self._beat_every(),
        )

    def _request(self, run: ClaimedRun, correlation_id: str) -> InvocationRequest:
        job = run.job
        return InvocationRequest(
            request_id=f"req-{self._new_id()}",
            correlation_id=correlation_id,
            caller=CALLER,
            target=job.puruto_target,
            action="run",
            prompt=job.prompt,
            timeout_sec=job.timeout_sec,
            # What a slot starts was asked for by nobody, also when the tick itself stands inside a run.
            hop=self._limits.hop if run.trigger is Trigger.MANUAL else 0,
            requested_at=utc_text(self._clock.now()),
            payload={
                "job_id": job.job_id,
                "run_id": run.run_id,
                "trigger": str(run.trigger),
                "scheduled_for": None if run.scheduled_for is None else utc_text(run.scheduled_for),
                **({"retry_of": run.retry_of} if run.retry_of else {}),
            },
        )

    def _note_child(self, run: ClaimedRun, child: ProcessId, folder: str) -> None:
        # A busy database must not end a run that has just begun: settling finds its processes by their mark too.
        with suppress(DatabaseError):
            self._ledger.note_child(run, child, folder)
        crash.point("child.noted")

    def _beat_every(self) -> float:
        return min(CANCEL_POLL_SEC, self._limits.lease_sec / 3)

    def _beat(self, run: ClaimedRun) -> None:
        """Looks whether somebody cancels the run, and renews its lease each third of its length."""
        # A busy or full database must not end a healthy run: while this process lives nobody takes the lease.
        with suppress(DatabaseError):
            if who := self._ledger.cancel_asked_by(run):
                self._stop.set(f"cancel ({who})")
        if self._clock.monotonic() >= self._renew_at:
            with suppress(DatabaseError):
                self._ledger.renew(run, self._clock.now() + timedelta(seconds=self._limits.lease_sec))
            # From now, not from when it was due: after a long sleep one renewal is enough.
            self._renew_at = self._clock.monotonic() + self._limits.lease_sec / 3

    # --- between attempts ---

    def _no_retry(self, run: ClaimedRun, outcome: AttemptOutcome, attempt: int) -> str | None:
        error = outcome.response.error
        if error is not None and error.code in NOT_RETRIED and not outcome.from_target:
            return f"{error.code} is not retried"
        if attempt > run.job.max_retries:
            return "no retries left" if run.job.max_retries else "max_retries is 0"
        return self._too_late(run, backoff_sec(run.job.retry_backoff_sec, attempt))

    def _too_late(self, run: ClaimedRun, wait_sec: float) -> str | None:
        """Why a retry may not start in `wait_sec` seconds: the job's next slot comes first."""
        if run.next_run_at is None or self._clock.now() + timedelta(seconds=wait_sec) < run.next_run_at:
            return None
        return f"the next slot is due at {utc_text(run.next_run_at)}, before the retry would start"

    def _wait_for_retry(self, run: ClaimedRun, attempt: int) -> str | None:
        """Waits out the backoff and takes a place again; `STOPPED` or the reason why not, else None."""
        # A busy database keeps the place for the length of the wait, which hurts less than a lost retry.
        with suppress(DatabaseError):
            self._ledger.begin_wait(run)
        crash.point("backoff.begun")
        until = self._clock.monotonic() + backoff_sec(run.job.retry_backoff_sec, attempt)
        self._beat(run)
        if self._stop.is_set():
            return STOPPED
        while (left := until - self._clock.monotonic()) > 0:
            if self._wait(run, left):
                return STOPPED
        # The wait may have been longer than it was meant to be: a machine that sleeps does not count it.
        if late := self._too_late(run, 0):
            return late
        patience = self._clock.monotonic() + LONGEST_BACKOFF_SEC
        while not self._place_taken(run, attempt + 1):
            if self._wait(run, PLACE_POLL_SEC):
                return STOPPED
            if self._too_late(run, 0) or self._clock.monotonic() > patience:
                return "no place under the cap became free in time"
        return None

    def _place_taken(self, run: ClaimedRun, attempt: int) -> bool:
        try:
            return self._ledger.end_wait(run, attempt, self._limits.max_running)
        except DatabaseError:
            return False

    def _wait(self, run: ClaimedRun, seconds: float) -> bool:
        """Waits at most `seconds`; whether somebody asked to stop."""
        if not self._stop.wait(min(seconds, self._beat_every())):
            self._beat(run)
        return self._stop.is_set()

    # --- the verdict ---

    def _conclude(
        self, run: ClaimedRun, request: InvocationRequest, outcome: AttemptOutcome, attempt: int, duration_ms: int
    ) -> dict[str, object]:
        redact = self._redactor(run)
        ids: dict[str, object] = {"job_id": run.job.job_id, "run_id": run.run_id}
        told: dict[str, object]
        result: Mapping[str, object] | None = None
        error: Mapping[str, object] | None = None
        if outcome.stopped:
            status, error = RunStatus.CANCELLED, redact(_cancelled(self._stop.reason, attempt, outcome))
            told = {"attempts": attempt, "error": error}
        elif outcome.response.error is not None:
            status, error = RunStatus.ERROR, redact(run_error(outcome, attempt))
            told = {"attempts": attempt, "error": error}
        else:
            status = RunStatus.OK
            result = redact(
                {
                    "status": "ok",
                    "request": {"request_id": request.request_id, "correlation_id": request.correlation_id},
                    "response": {"status": "ok", "result": dict(outcome.response.result or {})},
                }
            )
            told = {"attempt": attempt, "result": result}
        if run.missed:
            told["missed_slots"] = run.missed
        if run.retry_of:
            told["retry_of"] = run.retry_of
        if outcome.survivors:
            told["survivors"] = list(outcome.survivors)
        verdict = Verdict(
            status=status,
            finished_at=self._clock.now(),
            duration_ms=duration_ms,
            result=result,
            error=error,
            exit_code=outcome.exit_code,
            output_bytes=self._measure(f"{self._runs_folder}/{run.job.job_id}/{run.run_id}"),
            event={**ids, **told},
        )
        self._store(run, verdict)
        return {"status": "ok" if status is RunStatus.OK else "error", **ids, **told}

    def _store(self, run: ClaimedRun, verdict: Verdict) -> None:
        """Writes the verdict; a database that is busy or full for a while must not cost a run that has ended."""
        channels = channels_of(run.job.notify_channel)
        for _ in range(VERDICT_ATTEMPTS):
            try:
                return self._ledger.finish(run.run_id, run.token, verdict, channels)
            except DatabaseError as error:
                refusal = error
                self._pause(VERDICT_PAUSE_SEC)
        raise VerdictNotStored(
            f"The run {run.run_id} ended as {verdict.status}, but that could not be stored: {refusal.message}",
            hint=refusal.hint,
            details={"status": str(verdict.status), "database_error": refusal.as_dict()},
        ) from refusal


def channels_of(notify_channel: str) -> tuple[str, ...]:
    """The channels that a job's events go to: the local file always."""
    return ("local",) if notify_channel == "none" else ("local", notify_channel)


def run_error(outcome: AttemptOutcome, attempt: int) -> dict[str, object]:
    """The error of a run that failed.

    A fault that the invoker found keeps its own code (`TIMEOUT`, `INVALID_RESPONSE`, …). An error that the target
    answered becomes the contract's `INVOKER_ERROR_STATUS`, with the target's own under `details.response_error`.
    """
    error = outcome.response.error or Failure("INTERNAL_ERROR", "The attempt failed without a reason")
    details: dict[str, object] = {"attempt": attempt, "response_status": "error"}
    if outcome.exit_code is not None:
        details["exit_code"] = outcome.exit_code
    if not outcome.from_target:
        return Failure(error.code, error.message, {**error.details, **details}).as_dict()
    if "not_retried" in error.details:
        details["not_retried"] = error.details["not_retried"]
    response_error = {**error.as_dict(), "details": {k: v for k, v in error.details.items() if k != "not_retried"}}
    details["response_error"] = response_error
    return Failure("INVOKER_ERROR_STATUS", "El invoker devolvió status != ok", details).as_dict()


def _with_detail(outcome: AttemptOutcome, key: str, value: str) -> AttemptOutcome:
    error = outcome.response.error
    if error is None:
        return outcome
    explained = replace(error, details={**error.details, key: value})
    return replace(outcome, response=replace(outcome.response, error=explained))


def _cancelled(reason: str, attempt: int, outcome: AttemptOutcome) -> dict[str, object]:
    details: dict[str, object] = {"attempt": attempt, "stopped_by": reason}
    if outcome.exit_code is not None:
        details["exit_code"] = outcome.exit_code
    error = outcome.response.error
    # In a backoff it was the run that was ended, not the attempt: that one had failed by itself.
    if error is not None and error.code != InvocationStopped.code:
        details["last_error"] = error.as_dict()
    return Failure(InvocationStopped.code, f"The run was ended by {reason}", details).as_dict()
