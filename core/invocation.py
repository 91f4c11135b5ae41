"""One call of a target: what it is asked, what it knows, what came back. Frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.boundary import Failure
from core.job import Job, Success

#: The greatest hop that is understood, in an option, in the environment, and as the policy's limit.
MOST_HOPS = 1_000


@dataclass(frozen=True)
class InvocationRequest:
    """What a target is asked. Source: docs/contract.md "Invocation"."""

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
class InvocationResult:
    """What came back: `result` and `error` exclude each other. Source: docs/contract.md "Invocation"."""

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
class AgentOptions:
    """What a job asks of an agent; the fields are those of `Job`."""

    model: str | None = None
    allowed_tools: tuple[str, ...] = ()
    permission_mode: str | None = None
    fail_on_permission_denial: bool = False
    max_budget_usd: float | None = None
    max_cost_usd_per_day: float | None = None
    max_turns: int | None = None
    append_system_prompt: str | None = None
    json_schema: Mapping[str, object] | None = None
    agent_args: tuple[str, ...] = ()

    @classmethod
    def of(cls, job: Job) -> AgentOptions:
        """Those of a job."""
        found = vars(job)
        frozen: list[Any] = [_frozen(found[name]) for name in cls.__dataclass_fields__]
        return cls(*frozen)


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


#: Ends an answer of a heartbeat that has nothing more to do in this slot; so does `{"heartbeat": "sleep"}`.
SLEEP_MARKER = "HEARTBEAT_SLEEP"


@dataclass(frozen=True)
class Usage:
    """What agents have used: dollars, turns and tokens. A part that nobody reported is 0."""

    cost_usd: float = 0.0
    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.cost_usd + other.cost_usd,
            self.turns + other.turns,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )


@dataclass(frozen=True)
class Context:
    """What a call knows of those before it: the session to go on with, or a summary of what was said last.

    `iteration` counts the calls of a heartbeat's slot from 1; 0 where there is no heartbeat.
    """

    session_id: str = ""
    previous_summary: str = ""
    iteration: int = 0
    max_iterations: int = 0
    session_runner: str = ""
    """Which way the target was run that left the session: no other knows it."""
    session_usage: Usage = field(default_factory=Usage)
    """What the session had used before, as far as its agent tells that of the whole session."""


@dataclass(frozen=True)
class Answer:
    """What a runner read: a result, or the failure that the target itself told; what it used, its session, its words.

    `from_target` marks a failure that is an `invoke`'s own error; `text` is None where stdout itself is what was said.
    """

    result: Mapping[str, object] | None = None
    failure: Failure | None = None
    from_target: bool = False
    usage: Usage = field(default_factory=Usage)
    session_id: str = ""
    text: str | None = None
    session_usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class Invocation:
    """One call, ready to be made: the request and how its target is run.

    `run_folder` is the absolute folder for its output files. An attempt is one call, but for heartbeats and for a
    session that was lost.
    """

    request: InvocationRequest
    attempt: int
    run_folder: str
    run_id: str
    scheduled_for: str = ""
    job_id: str = ""
    call: int = 1
    runner: str | None = None
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    allow_env: tuple[str, ...] = ()
    allow_empty_result: bool = False
    success: Success | None = None
    agent: AgentOptions = field(default_factory=AgentOptions)
    context: Context = field(default_factory=Context)

    @property
    def stem(self) -> str:
        """What the names of its files begin with: `attempt-1`, then `attempt-1.call-2`, …."""
        return f"attempt-{self.attempt}" if self.call == 1 else f"attempt-{self.attempt}.call-{self.call}"


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
    usage: Usage = field(default_factory=Usage)
    session_id: str = ""
    session_usage: Usage = field(default_factory=Usage)
    """What the whole session has used, from agents that tell only that."""
    text: str = ""
    """What an agent said, or the beginning of what a program printed."""
    runner: str = ""
    """How the target was run; "" when that was not even decided."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What to tell of the attempt besides its answer: its `session`, its `heartbeat`."""
    quiet: bool = False
    """Whether a heartbeat had nothing to report."""


@dataclass(frozen=True)
class Session:
    """What a job's last run left for the next: the agent's session, and what was said."""

    job_id: str
    runner: str
    session_id: str
    summary: str
    run_id: str
    updated_at: str
    usage: Usage = field(default_factory=Usage)
    """What the whole session has used, from agents that tell only that; only tokens are kept."""
