"""What the rooms hand each other: frozen dataclasses and closed sets. No room, no library, no clock is known here.

Instants are aware `datetime`s in UTC; `utc_text` gives their one written form.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Protocol

from annotated_types import Ge, Le, MaxLen, MinLen

#: Names of jobs and targets: never a path, never hidden, never starting with a dash. Source: DESIGN "A target".
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
ENV_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"


def utc_text(instant: datetime) -> str:
    """`2026-02-25T20:00:00+00:00`: UTC, whole seconds, one width, so that text order is time order."""
    return instant.astimezone(UTC).replace(microsecond=0).isoformat()


def from_text(text: str) -> datetime:
    """The aware UTC instant that `utc_text` wrote. Raises ValueError for any other text, also one without an offset."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return instant.astimezone(UTC)


class Clock(Protocol):
    """Where time comes from. One real one is made in `main`; tests bring their own."""

    def now(self) -> datetime:
        """The wall time, aware, in UTC: it decides what is due."""

    def monotonic(self) -> float:
        """Seconds from an unknown start, never set back: it measures how long things take."""


class RunStatus(enum.StrEnum):
    """How a slot stands or ended. `RUNNING` is the only one that is not an end."""

    RUNNING = "running"
    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    MISSED = "missed"


class Trigger(enum.StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch_up"
    MANUAL = "manual"
    RETRY = "retry"
    """It makes up for an interrupted run, because the job says `retry_interrupted`."""


@dataclass(frozen=True)
class Matches:
    """A string constraint: `regex` (^ and $ if all of it must match), and its `meaning` in words, for errors and docs.

    pydantic finds the method below by its name, so that this module need not import pydantic.
    """

    regex: str
    meaning: str

    def __get_pydantic_core_schema__(self, source: object, handler: Any) -> Any:
        schema = handler(source)
        schema["pattern"] = self.regex
        return schema


Name = Annotated[
    str,
    MinLen(1),
    MaxLen(128),
    Matches(NAME_PATTERN, "letters, digits, dots, dashes and underscores, starting with a letter or digit"),
]
EnvName = Annotated[str, MinLen(1), MaxLen(128), Matches(ENV_NAME_PATTERN, "the name of an environment variable")]
Argument = Annotated[str, MaxLen(32_768)]
Pattern = Annotated[str, MinLen(1), MaxLen(1_000)]


@dataclass(frozen=True, kw_only=True)
class Success:
    """What a run must have done to count as a success. The only definition of these fields, like `Job` for its own."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    exit_codes: Annotated[list[Annotated[int, Ge(0), Le(255)]], MinLen(1), MaxLen(256)] = field(
        default_factory=lambda: [0]
    )
    """The exit codes of a success. An `invoke` must give a valid answer besides."""

    stdout_matches: Pattern | None = None
    """Regular expression (Python's, `^` and `$` at each line) that must be found in stdout."""

    stdout_not_matches: Pattern | None = None
    """Regular expression that must not be found in stdout."""

    file_changed: Annotated[str, MinLen(1), MaxLen(4_096)] | None = None
    """File that must be new or changed after the run: a path, absolute or from the target's folder."""

    json_schema: dict[str, Any] | None = None
    """JSON Schema that the result of an `invoke` must fit; of a `command`, all of its stdout, as one JSON value."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One entry of `jobs` in .jobs.json. The only definition of its fields: schema, docs and checks come from here."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    job_id: Name
    """Name of the job, unique in the file."""

    puruto_target: Name
    """The sibling repository to run in: a name, never a path."""

    schedule: Annotated[str, MinLen(1), MaxLen(256)]
    """When: five cron fields, `@daily` and its kin, `@every 15m`, or `@at 2026-02-15T14:30:00+01:00`."""

    prompt: Annotated[str, MinLen(1), MaxLen(100_000), Matches(r"\S", "text that is not blank")]
    """What the target is asked to do."""

    enabled: bool = True
    """A disabled job is kept and never becomes due."""

    notify_channel: Literal["telegram", "none"] = "telegram"
    """Where events go besides `notifications/events.jsonl`."""

    timeout_sec: Annotated[int, Ge(1), Le(604_800)] = 120
    """Seconds one attempt may take before its whole process tree is ended."""

    max_retries: Annotated[int, Ge(0), Le(100)] = 0
    """Further attempts after a failed one."""

    retry_backoff_sec: Annotated[int, Ge(0), Le(3_600)] = 30
    """Seconds before the first retry; doubled for each later one, at most an hour, never past the next slot."""

    timezone: Annotated[str, MinLen(1), MaxLen(64)] | None = None
    """IANA zone of the schedule; else `PURUTO_CRON_TIMEZONE`, else the machine's when the job is new, then kept."""

    catch_up: Literal["latest", "none", "all"] = "latest"
    """Slots that no tick saw in time: run only the `latest`, `none`, or `all` one after another."""

    catch_up_limit: Annotated[int, Ge(1), Le(1_000)] = 10
    """With `catch_up` `all`: at most this many of the newest slots are run, older ones are missed."""

    retry_interrupted: bool = False
    """Whether a run whose scheduler died is run once more. Only for work that may be done twice."""

    max_lateness_sec: Annotated[int, Ge(1), Le(31_536_000)] | None = None
    """A slot older than this is missed, whatever `catch_up` says. Null: no limit (120 for `catch_up` `none`)."""

    runner: Literal["command", "invoke"] | None = None
    """How the target is run. Null: `command` if the job has one, else the target's `invoke` file."""

    command: Annotated[list[Argument], MinLen(1), MaxLen(256)] | None = None
    """Argument list to run in the target's folder, without a shell."""

    env: Annotated[dict[EnvName, Argument], MaxLen(128)] = field(default_factory=dict)
    """Plain variables for the process. Secrets belong into `.env`, named by `allow_env`."""

    allow_env: Annotated[list[EnvName], MaxLen(128)] = field(default_factory=list)
    """Names of variables of the environment or `.env` that the process may see."""

    allow_empty_result: bool = False
    """Whether an `invoke` that answers ok with an empty result counts as a success."""

    success: Success | None = None
    """What a run must have done to count as a success. Null: exit code 0, and of an `invoke` a valid answer."""

    pause_after_failures: Annotated[int, Ge(1), Le(1_000)] | None = None
    """After so many runs that failed one after another the job is paused, and that is told. Null: never."""


@dataclass(frozen=True)
class InvocationRequest:
    """What a target is asked. Source: CONTRACT "Invocation"."""

    request_id: str
    correlation_id: str
    caller: str
    target: str
    action: str
    prompt: str
    timeout_sec: int
    hop: int
    requested_at: str
    payload: Mapping[str, object]

    def as_dict(self) -> dict[str, object]:
        """The request as it is written to the target."""
        return {
            "request_id": self.request_id,
            "correlation_id": self.correlation_id,
            "caller": self.caller,
            "target": self.target,
            "action": self.action,
            "prompt": self.prompt,
            "timeout_sec": self.timeout_sec,
            "hop": self.hop,
            "requested_at": self.requested_at,
            "payload": dict(self.payload),
        }


@dataclass(frozen=True)
class Failure:
    """Why something failed: a stable code, a sentence, and facts that JSON can carry."""

    code: str
    message: str
    details: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """`{"code", "message", "details"}`."""
        return {"code": self.code, "message": self.message, "details": dict(self.details)}


@dataclass(frozen=True)
class InvocationResult:
    """What came back: `result` and `error` exclude each other. Source: CONTRACT "Invocation"."""

    request_id: str
    correlation_id: str
    duration_ms: int
    result: Mapping[str, object] | None = None
    error: Failure | None = None

    @property
    def status(self) -> Literal["ok", "error"]:
        """`ok` exactly when there is no error."""
        return "ok" if self.error is None else "error"

    def as_dict(self) -> dict[str, object]:
        """The result in the contract's form."""
        answer: dict[str, object] = {
            "request_id": self.request_id,
            "correlation_id": self.correlation_id,
            "status": self.status,
            "duration_ms": self.duration_ms,
        }
        if self.error is None:
            answer["result"] = dict(self.result or {})
        else:
            answer["error"] = self.error.as_dict()
        return answer


@dataclass(frozen=True)
class Invocation:
    """One attempt, ready to be made: the request and how its target is run.

    `run_folder` is the absolute folder for its output files (`attempt-1.stdout`, …); `variables` are those that mark
    the process and tell it who it is (`PURUTO_CRON_RUN_ID`, …), besides the ones that the invoker adds itself.
    """

    request: InvocationRequest
    attempt: int
    run_folder: str
    run_id: str
    scheduled_for: str = ""
    job_id: str = ""
    runner: Literal["command", "invoke"] | None = None
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    allow_env: tuple[str, ...] = ()
    allow_empty_result: bool = False
    success: Success | None = None


@dataclass(frozen=True)
class AttemptOutcome:
    """How one attempt ended. `stopped` is true when it was ended because the caller was told to stop."""

    response: InvocationResult
    exit_code: int | None = None
    stopped: bool = False
    from_target: bool = False
    """Whether the error, if any, is the target's own answer (a valid InvocationResult with status error)."""
    survivors: tuple[str, ...] = ()
    """Processes of the run that could not be ended, as `name (pid)`: other users', or stuck in the kernel."""


@dataclass(frozen=True)
class ProcessId:
    """A process that can't be confused with a later one of the same pid: pid, its start time, and the boot."""

    pid: int
    started: str
    boot_id: str


@dataclass(frozen=True)
class JobState:
    """A stored job: its definition, its resolved zone, its anchor for `@every`, and its cursor."""

    job: Job
    timezone: str
    anchor: datetime
    next_run_at: datetime | None
    enabled: bool


@dataclass(frozen=True)
class ClaimedRun:
    """A run that is ours as long as the token in the database is `token`."""

    run_id: str
    job: Job
    trigger: Trigger
    token: str
    started_at: datetime
    scheduled_for: datetime | None
    next_run_at: datetime | None
    """The job's next slot after the claim: no retry starts behind it."""
    missed: int = 0
    retry_of: str = ""
    """The interrupted run that this one makes up for; then `scheduled_for` is that run's slot."""


@dataclass(frozen=True)
class Missed:
    """Slots that will not run. `made_up` when a newer slot of the job runs in their place."""

    count: int
    first: datetime
    last: datetime
    reason: str
    made_up: bool


@dataclass(frozen=True)
class Plan:
    """What to do about a job whose cursor is due: start (or skip) `slot`, write off `missed`, move the cursor."""

    cursor: datetime
    slot: datetime | None
    trigger: Trigger
    missed: Missed | None
    next_run_at: datetime | None
    following: datetime | None
    """The first slot after now: a retry starts before it. With slots still to catch up, `next_run_at` is earlier."""


@dataclass(frozen=True)
class Verdict:
    """How a run ended, with what it has to tell: `event` None tells nobody."""

    status: RunStatus
    finished_at: datetime
    duration_ms: int
    result: Mapping[str, object] | None = None
    error: Mapping[str, object] | None = None
    exit_code: int | None = None
    event: Mapping[str, object] | None = None
    output_bytes: int | None = None
    """The size of the run's output; None when nobody measured it."""
    retry: bool = False
    """Whether the run is to be made up for by one more: an interrupted one of a job with `retry_interrupted`."""
