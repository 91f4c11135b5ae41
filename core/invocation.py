"""One call of a target: its request, its context and its result. Frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from core.boundary import Failure
from core.job import Job, Success

if TYPE_CHECKING:
    from core.json_objects import RequestObject, ResultObject

#: The greatest hop that is understood, in an option, in the environment, and as the policy's limit.
MOST_HOPS = 1_000


@dataclass(frozen=True)
class InvocationRequest:
    """The request that a target gets. Source: docs/contract.md "Invocation"."""

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

    def as_dict(self) -> RequestObject:
        """The request as the target reads it."""
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
    """The result of a call: either `result` or `error` is set. Source: docs/contract.md "Invocation"."""

    request_id: str
    correlation_id: str
    duration_ms: int
    result: Mapping[str, object] | None = None
    error: Failure | None = None

    @property
    def status(self) -> Literal["ok", "error"]:
        """`ok` if there is no error."""
        return "ok" if self.error is None else "error"

    def as_dict(self) -> ResultObject:
        """The result as a JSON object."""
        document: ResultObject = {
            "request_id": self.request_id,
            "correlation_id": self.correlation_id,
            "status": self.status,
            "duration_ms": self.duration_ms,
        }
        if self.error is None:
            document["result"] = dict(self.result or {})
        else:
            document["error"] = self.error.as_dict()
        return document


@dataclass(frozen=True)
class AgentOptions:
    """The options of a job's agent; the fields are those of `Job`."""

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
        """The options of this job."""
        job_fields = vars(job)
        values: list[Any] = [_frozen(job_fields[name]) for name in cls.__dataclass_fields__]
        return cls(*values)


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


#: An agent ends its answer with this when it has nothing more to do in this slot. `{"heartbeat": "sleep"}` also counts.
SLEEP_MARKER = "HEARTBEAT_SLEEP"


@dataclass(frozen=True)
class Usage:
    """What agents have used: US dollars, turns and tokens. What was not reported is 0, but None for tokens."""

    cost_usd: float = 0.0
    turns: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.cost_usd + other.cost_usd,
            self.turns + other.turns,
            total(self.input_tokens, other.input_tokens),
            total(self.output_tokens, other.output_tokens),
        )


def total(*counts: int | None) -> int | None:
    """The sum of the counts that are known; None if none is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


@dataclass(frozen=True)
class Context:
    """What a call gets from the calls before it: a session to continue, or a summary of the last answer.

    `iteration` numbers the calls in a heartbeat's slot from 1; it is 0 without a heartbeat.
    """

    session_id: str = ""
    previous_summary: str = ""
    iteration: int = 0
    max_iterations: int = 0
    session_runner: str = ""
    """The runner that made the session; no other runner can continue it."""
    session_usage: Usage = field(default_factory=Usage)
    """Usage of the session before this call, for agents that report totals of the session."""


@dataclass(frozen=True)
class Answer:
    """What a runner read from the output: a result or a failure, the usage, the session and the text.

    `from_target` marks a failure that an `invoke` reported itself. `text` is None if stdout is the text.
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
    """One call, ready to be made: the request, and how its target is run.

    `run_folder` is the absolute path of the folder for its output files. An attempt is one call, except with a
    heartbeat or after a lost session.
    """

    request: InvocationRequest
    attempt: int
    run_folder: str
    run_id: str
    scheduled_for: str = ""
    job_id: str = ""
    call: int = 1
    runner: str | None = None
    prompt_file: str = ""
    """The file in the target's folder that holds the prompt; "" if the request has it already."""
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    allow_env: tuple[str, ...] = ()
    allow_empty_result: bool = False
    success: Success | None = None
    agent: AgentOptions = field(default_factory=AgentOptions)
    context: Context = field(default_factory=Context)

    @property
    def stem(self) -> str:
        """The beginning of its files' names: `attempt-1`, then `attempt-1.call-2`, …."""
        return f"attempt-{self.attempt}" if self.call == 1 else f"attempt-{self.attempt}.call-{self.call}"


@dataclass(frozen=True)
class Prompt:
    """What was read from a prompt file, and the SHA-256 of the file's bytes in hexadecimal digits."""

    text: str
    sha256: str


@dataclass(frozen=True)
class AttemptOutcome:
    """How one attempt ended. `stopped` is true if it was ended because this program had to stop."""

    response: InvocationResult
    exit_code: int | None = None
    stopped: bool = False
    from_target: bool = False
    """Whether the error is the target's own answer: a valid InvocationResult with status error."""
    survivors: tuple[str, ...] = ()
    """Processes that could not be killed, as `name (pid)`: they are another user's, or stuck in the kernel."""
    usage: Usage = field(default_factory=Usage)
    session_id: str = ""
    session_usage: Usage = field(default_factory=Usage)
    """Usage of the whole session, from agents that report only that."""
    text: str = ""
    """An agent's answer, or the beginning of a program's output."""
    runner: str = ""
    """How the target was run; "" if it failed before that was decided."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """Further keys of the attempt's event: `session`, `heartbeat`."""
    quiet: bool = False
    """Whether the heartbeat had nothing to report."""
    prompt: Prompt | None = None
    """What was read from the job's prompt file, also if the attempt failed later."""


@dataclass(frozen=True)
class AgentSession:
    """What a job's last run keeps for the next: the agent's session, and a summary of its answer."""

    job_id: str
    runner: str
    session_id: str
    summary: str
    run_id: str
    updated_at: str
    usage: Usage = field(default_factory=Usage)
    """Usage of the whole session, from agents that report only that; only the tokens are stored."""
