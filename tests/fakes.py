"""Stand-ins for what packages need from outside (a ledger, an invoke, a stop); builders of what they exchange."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from core.boundary import Failure
from core.errors import LeaseLost
from core.invocation import AgentSession, AttemptOutcome, Invocation, InvocationResult, Usage
from core.job import Job, JobState
from core.json_objects import RunResult
from core.redact import Redactor
from core.run import ClaimedRun, ProcessId, Trigger, Verdict
from executor import Executor, RunLimits
from tests.workspace import FakeClock

NOON = datetime(2026, 2, 25, 12, 0, tzinfo=UTC)


def at(text: str) -> datetime:
    """`02-25 12:00` or `02-25 12:00:30`, in 2026 and UTC; with a year if one is written."""
    full = text if text[:2] == "20" else f"2026-{text}"
    return datetime.fromisoformat(full).replace(tzinfo=UTC)


def make_job(job_id: str = "report", **fields: Any) -> Job:
    """A job. Fields that are not given get a workable value."""
    base: dict[str, Any] = {"puruto_target": "puruto-target", "schedule": "* * * * *", "prompt": "Do it"}
    return Job(job_id=job_id, **{**base, **fields})


def make_state(
    cursor: datetime | None = NOON, *, zone: str = "UTC", anchor: datetime = NOON, **fields: Any
) -> JobState:
    """A stored job whose cursor is at `cursor`."""
    job = make_job(**fields)
    return JobState(job=job, timezone=zone, anchor=anchor, next_run_at=cursor, enabled=job.enabled)


def make_run(
    *, next_run_at: datetime | None = None, missed: int = 0, trigger: Trigger = Trigger.SCHEDULE, **fields: Any
) -> ClaimedRun:
    """A claimed run of the slot at noon."""
    return ClaimedRun(
        run_id="report-20260225T120000",
        job=make_job(**fields),
        trigger=trigger,
        token="token-of-ours",
        started_at=NOON,
        scheduled_for=None if trigger is Trigger.MANUAL else NOON,
        next_run_at=next_run_at,
        missed=missed,
    )


def answered(result: Mapping[str, object] | None = None, *, exit_code: int = 0) -> AttemptOutcome:
    """An attempt that succeeded."""
    given = {"summary": "done"} if result is None else result
    return AttemptOutcome(InvocationResult("req-x", "corr-x", 5, result=given), exit_code=exit_code)


def failed(
    code: str = "NONZERO_EXIT",
    message: str = "it failed",
    *,
    from_target: bool = False,
    stopped: bool = False,
    exit_code: int | None = 1,
    details: Mapping[str, object] | None = None,
) -> AttemptOutcome:
    """An attempt that failed."""
    error = Failure(code, message, details or {})
    response = InvocationResult("req-x", "corr-x", 5, error=error)
    return AttemptOutcome(response, exit_code=exit_code, stopped=stopped, from_target=from_target)


class FakeStop:
    """A stop whose waits move the clock instead of lasting; `after_waits` or `during` sets it."""

    def __init__(self, clock: FakeClock, *, after_waits: int | None = None) -> None:
        self.clock = clock
        self.after_waits = after_waits
        self.waits: list[float] = []
        self.reason = ""

    def set(self, reason: str) -> None:
        self.reason = self.reason or reason

    def close(self) -> None:
        """Nothing to give back."""

    def is_set(self) -> bool:
        return bool(self.reason)

    def wait(self, seconds: float) -> bool:
        if not self.is_set():
            self.waits.append(seconds)
            if self.after_waits is not None and len(self.waits) > self.after_waits:
                self.set("SIGTERM")
            else:
                self.clock.advance(seconds=seconds)
        return self.is_set()


@dataclass
class FakeLedger:
    """Keeps the calls of a run. `lose_at` is the call, like `renew`, at which the run turns out to be settled.

    `refuse` maps a call to the errors that it raises one after another; `full_tries` is how often no permit is free.
    """

    lose_at: str = ""
    refuse: dict[str, list[Exception]] = field(default_factory=dict)
    full_tries: int = 0
    cancelled_by: str = ""
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    channels: list[tuple[str, ...]] = field(default_factory=list)

    def named(self, name: str) -> list[tuple[Any, ...]]:
        """The calls of one name."""
        return [call for call in self.calls if call[0] == name]

    def record_child(self, run: ClaimedRun, child: ProcessId, output_dir: str) -> None:
        self._note("record_child", child, output_dir)

    def spend(self, run: ClaimedRun, day: str, usage: Usage) -> None:
        """What a call has used."""
        self._note("spend", run, day, usage)

    def spent(self, run: ClaimedRun, day: str) -> float:
        """What the job's runs have cost that day."""
        assert run.job.job_id
        return sum(float(call[3].cost_usd) for call in self.calls if call[0] == "spend" and call[2] == day)

    def renew(self, run: ClaimedRun, until: datetime) -> None:
        self._note("renew", until)

    def cancel_requested_by(self, run: ClaimedRun) -> str:
        self._note("cancel_requested_by")
        return self.cancelled_by

    def release_permit(self, run: ClaimedRun) -> None:
        self._note("release_permit")

    def take_permit(self, run: ClaimedRun, attempt: int, max_running: int) -> bool:
        self._note("take_permit", attempt, max_running)
        if self.full_tries > 0:
            self.full_tries -= 1
            return False
        return True

    def finish(self, run_id: str, token: str, verdict: Verdict, channels: tuple[str, ...]) -> None:
        self._note("finish", run_id, token)
        self.verdicts.append(verdict)
        self.channels.append(channels)

    def _note(self, name: str, *what: object) -> None:
        self.calls.append((name, *what))
        if self.lose_at == name:
            raise LeaseLost("settled by somebody else")
        if self.refuse.get(name):
            raise self.refuse[name].pop(0)


@dataclass
class FakeInvoke:
    """Answers the attempts from a list, or raises what is in it; `during` runs inside each attempt, with the beat."""

    outcomes: Sequence[AttemptOutcome | Exception]
    during: Callable[[Callable[[], None]], None] = lambda beat: None
    invocations: list[Invocation] = field(default_factory=list)
    beat_every: list[float] = field(default_factory=list)

    async def __call__(
        self,
        invocation: Invocation,
        *,
        stop: Any,
        on_start: Callable[[ProcessId], Awaitable[None]],
        beat: Callable[[], None],
        beat_every: float,
    ) -> AttemptOutcome:
        outcome = self.outcomes[len(self.invocations)]
        self.invocations.append(invocation)
        self.beat_every.append(beat_every)
        if isinstance(outcome, Exception):
            raise outcome
        await on_start(ProcessId(4711, "started", "boot"))
        self.during(beat)
        return outcome


@dataclass
class FakeMemory:
    """Remembers one session for every job."""

    session: AgentSession | None = None

    def find(self, job_id: str) -> AgentSession | None:
        """What the last run left."""
        assert job_id
        return self.session


@dataclass
class Bench:
    """An executor over fakes."""

    ledger: FakeLedger
    invoke: FakeInvoke
    clock: FakeClock
    stop: FakeStop
    secrets: tuple[str, ...] = ()
    limits: RunLimits = field(default_factory=lambda: RunLimits(lease_sec=120, max_running=4))
    memory: FakeMemory = field(default_factory=FakeMemory)

    def run(self, run: ClaimedRun) -> RunResult:
        """Runs it to its end and returns what `run-now` would print."""
        ids = iter(range(1, 1000))
        stop: Any = self.stop
        return Executor(
            ledger=self.ledger,
            invoke=self.invoke,
            clock=self.clock,
            stop=stop,
            pause=lambda seconds: self.clock.advance(seconds=seconds),
            limits=self.limits,
            runs_folder="/runs",
            measure=len,
            new_id=lambda: f"id{next(ids)}",
            redactor=lambda _: Redactor(self.secrets),
            memory=self.memory,
            day_of=lambda _, instant: instant.date().isoformat(),
        ).run(run)

    @property
    def verdict(self) -> Verdict:
        """The one verdict."""
        (verdict,) = self.ledger.verdicts
        return verdict

    @property
    def event(self) -> dict[str, Any]:
        """The event of the one verdict."""
        assert self.verdict.event is not None
        return dict(self.verdict.event)


def make_bench(*outcomes: AttemptOutcome | Exception, **parts: Any) -> Bench:
    """An executor whose attempts end so, with its clock at noon."""
    clock = FakeClock(NOON)
    base: dict[str, Any] = {"ledger": FakeLedger(), "invoke": FakeInvoke(outcomes), "stop": FakeStop(clock)}
    return Bench(clock=clock, **{**base, **parts})


OWNER = ProcessId(99, "then", "boot")
CHILD = ProcessId(100, "later", "boot")
CHILD = ProcessId(100, "later", "boot")


@dataclass(frozen=True)
class RunningRow:
    """A row that says running."""

    run_id: str = "report-20260225T120000"
    job_id: str = "report"
    token: str = "token-of-theirs"
    lease_owner: str = "host:99"
    lease_expires_at: str = "2026-02-25T12:02:00+00:00"
    ceiling: float | None = 22_600.0
    started_at: str = "2026-02-25T12:00:00+00:00"
    attempt: int = 2
    owner: ProcessId = OWNER
    child: ProcessId | None = CHILD
    output_dir: str = "/runs/report/report-20260225T120000"
    notify_channel: str = "telegram"
    retry_of: str = ""
