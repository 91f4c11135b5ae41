"""The fields of a job in .jobs.json. Checks, JSON Schema and docs are generated from these definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from core.kinds import RUNNERS, choices_of_notify_channel

#: Names of jobs and targets: never a path, never hidden, never starting with a dash. Source: docs/design.md "A target".
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
#: No job may have this name: the events of the scheduler itself have it. Source: docs/contract.md "Events".
SCHEDULER_ID = "puruto-cron"
ENV_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"


@dataclass(frozen=True)
class Matches:
    """A constraint on a string: `regex` (with ^ and $ if it must match all of it), and its `meaning` for people.

    pydantic finds the method below by its name, so this module need not import pydantic.
    """

    regex: str
    meaning: str

    def __get_pydantic_core_schema__(self, source: object, handler: Any) -> Any:
        schema = handler(source)
        schema["pattern"] = self.regex
        return schema


@dataclass(frozen=True)
class OneOf:
    """A string constraint: one of the names that are there when the checks are made."""

    names: Callable[[], Iterable[str]]

    def __get_pydantic_core_schema__(self, _source: object, _handler: Any) -> Any:
        return {"type": "literal", "expected": list(self.names())}


#: Most characters of a prompt, in the job or in its `prompt_file`.
PROMPT_LIMIT = 100_000

Name = Annotated[
    str,
    MinLen(1),
    MaxLen(128),
    Matches(NAME_PATTERN, "letters a-z and A-Z, digits, dots, dashes and underscores, starting with a letter or digit"),
]
EnvName = Annotated[str, MinLen(1), MaxLen(128), Matches(ENV_NAME_PATTERN, "the name of an environment variable")]
Argument = Annotated[str, MaxLen(32_768)]
Pattern = Annotated[str, MinLen(1), MaxLen(1_000)]
Dollars = Annotated[float, Gt(0), Le(100_000)]
#: What a call of an agent gets from the call before it.
ContextMode = Literal["fully_ephemeral", "shared_persistent", "ephemeral_with_summary"]
RunnerName = Annotated[str, OneOf(lambda: RUNNERS)]
NotifyChannel = Annotated[str, OneOf(choices_of_notify_channel)]


@dataclass(frozen=True, kw_only=True)
class Success:
    """The checks that decide whether a run is a success. The only definition of these fields."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    exit_codes: Annotated[list[Annotated[int, Ge(0), Le(255)]], MinLen(1), MaxLen(256)] = field(
        default_factory=lambda: [0]
    )
    """The exit codes of a success. An `invoke` must also give a valid answer."""

    stdout_matches: Pattern | None = None
    """Regular expression (Python's, `^` and `$` at each line) that must be found in stdout."""

    stdout_not_matches: Pattern | None = None
    """Regular expression that must not be found in stdout."""

    file_changed: Annotated[str, MinLen(1), MaxLen(4_096)] | None = None
    """File that must be new or changed after the run: an absolute path, or one relative to the target's folder."""

    json_schema: dict[str, Any] | None = None
    """JSON Schema that the result of an `invoke` must fit; for a `command`, all of its stdout, as one JSON value."""


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """Repeated calls of an agent in a slot, until it says that it can sleep. The only definition of these fields."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    enabled: bool = True
    """Whether the agent is called again within a slot."""

    context_mode: ContextMode = "ephemeral_with_summary"
    """What a call knows of the previous one in the same slot; for the first one `session_mode` decides."""

    max_iterations: Annotated[int, Ge(1), Le(1_000)] = 10
    """How many calls there may be in one slot. All of them together take `timeout_sec` at most."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One entry of `jobs` in .jobs.json. Schema, docs and checks of its fields are made from this definition."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    job_id: Name
    """Name of the job, unique in the file."""

    puruto_target: Name
    """The sibling repository to run in: a name, never a path."""

    schedule: Annotated[str, MinLen(1), MaxLen(256)]
    """When: five cron fields, `@daily` and the like, `@every 15m`, or `@at 2026-02-15T14:30:00+01:00`."""

    prompt: Annotated[str, MinLen(1), MaxLen(PROMPT_LIMIT), Matches(r"\S", "text that is not blank")] = ""
    """What the target is asked to do. A job has this or `prompt_file`; one with a `command` needs neither."""

    prompt_file: Annotated[str, MinLen(1), MaxLen(4_096)] | None = None
    """File with the prompt, relative to the target's folder and inside it. It is read at each run."""

    note: Annotated[str, MinLen(1), MaxLen(2_000), Matches(r"\S", "text that is not blank")] | None = None
    """Text for people, who see it in `list` and `show`. The target never gets it."""

    enabled: bool = True
    """A disabled job is kept, but never becomes due."""

    paused_until: Annotated[str, MinLen(1), MaxLen(40)] | None = None
    """No slot before this time runs: ISO 8601 with an offset, like `2026-03-01T09:00+01:00`."""

    notify_channel: NotifyChannel = "telegram"
    """Where events go in addition to `notifications/events.jsonl`."""

    timeout_sec: Annotated[int, Ge(1), Le(604_800)] = 120
    """Seconds that one attempt may take; then its whole process tree is killed."""

    max_retries: Annotated[int, Ge(0), Le(100)] = 0
    """Retries after a failed attempt."""

    retry_backoff_sec: Annotated[int, Ge(0), Le(3_600)] = 30
    """Seconds before the first retry. Doubled for each later one; at most an hour, never past the next slot."""

    timezone: Annotated[str, MinLen(1), MaxLen(64)] | None = None
    """IANA zone of the schedule. Null: `PURUTO_CRON_TIMEZONE`, or the machine's zone when the job was new."""

    catch_up: Literal["latest", "none", "all"] = "latest"
    """What to do with slots that no tick saw in time: run only the `latest`, `none`, or `all` one after another."""

    catch_up_limit: Annotated[int, Ge(1), Le(1_000)] = 10
    """With `catch_up` `all`: run at most this many of the newest slots. Older ones are missed."""

    retry_interrupted: bool = False
    """Whether a run whose scheduler died is retried, once. Only for work that may be done twice."""

    max_lateness_sec: Annotated[int, Ge(1), Le(31_536_000)] | None = None
    """Seconds after which a slot is missed, whatever `catch_up` says. Null: no limit, or 120 with `catch_up` `none`."""

    runner: RunnerName | None = None
    """How the target is run. Null: by `command` if the job has one, by the target's `invoke`, else by an agent."""

    command: Annotated[list[Argument], MinLen(1), MaxLen(256)] | None = None
    """Program and arguments, run in the target's folder without a shell."""

    env: Annotated[dict[EnvName, Argument], MaxLen(128)] = field(default_factory=dict)
    """Plain variables for the process. Put secrets into `.env` and name them in `allow_env`."""

    allow_env: Annotated[list[EnvName], MaxLen(128)] = field(default_factory=list)
    """Names of variables, from the environment or `.env`, that the process gets."""

    allow_empty_result: bool = False
    """Whether an `invoke` that answers ok with an empty result is a success."""

    success: Success | None = None
    """What a run must achieve to count as a success. Null: exit code 0, and for an `invoke` a valid answer."""

    pause_after_failures: Annotated[int, Ge(1), Le(1_000)] | None = None
    """After this many failed runs in a row the job is paused, and that is reported. Null: never."""

    model: Annotated[str, MinLen(1), MaxLen(128)] | None = None
    """The agent's model, by the agent's own names for it."""

    allowed_tools: Annotated[list[Annotated[str, MinLen(1), MaxLen(1_000)]], MaxLen(256)] = field(default_factory=list)
    """Tools that `claude` may use without permission, like `Read` or `Bash(git *)`."""

    permission_mode: Literal["default", "acceptEdits", "plan", "auto", "dontAsk", "bypassPermissions"] | None = None
    """What an agent may do without asking, because nobody is there to answer. Null: what its own `default` allows."""

    fail_on_permission_denial: bool = False
    """Whether the run fails when `claude` was refused a tool, even if it continued without it."""

    max_budget_usd: Dollars | None = None
    """Dollars that one call of `claude` may cost. It then stops by itself."""

    max_cost_usd_per_day: Dollars | None = None
    """Dollars that the runs of a day may cost, in the job's zone. Then slots are skipped until the next day."""

    max_turns: Annotated[int, Ge(1), Le(10_000)] | None = None
    """Turns that `claude` may take. It then stops by itself."""

    append_system_prompt: Annotated[str, MinLen(1), MaxLen(32_768)] | None = None
    """Text that is added after the system prompt of `claude`."""

    json_schema: dict[str, Any] | None = None
    """JSON Schema for the answer of `claude` or `codex`, which becomes `structured_output` in the result."""

    agent_args: Annotated[list[Argument], MaxLen(64)] = field(default_factory=list)
    """More arguments for the agent's program, passed on unchanged."""

    session_mode: ContextMode = "fully_ephemeral"
    """What a run knows of the job's previous one: nothing, everything (one session for ever), or a summary."""

    heartbeat: Heartbeat | None = None
    """Repeated calls of the agent within a slot, until it says that it can sleep. Null: one call."""


@dataclass(frozen=True)
class JobState:
    """A stored job: its definition, its resolved zone, its anchor for `@every`, and its cursor."""

    job: Job
    timezone: str
    anchor: datetime
    next_run_at: datetime | None
    enabled: bool
    stored: tuple[str | int | None, ...] = field(default=(), compare=False, repr=False)
    """The columns that this was read from. If they are unchanged in the row, this is still up to date."""


#: The fields of a job that are objects, and their classes.
NESTED: dict[str, type[Success | Heartbeat]] = {"success": Success, "heartbeat": Heartbeat}

#: Fields that only apply to agents.
AGENT_FIELDS = (
    "model",
    "allowed_tools",
    "permission_mode",
    "fail_on_permission_denial",
    "max_budget_usd",
    "max_cost_usd_per_day",
    "max_turns",
    "append_system_prompt",
    "json_schema",
    "agent_args",
)
#: Arguments by which an agent would answer in another form, to nobody, as another session than the job's, or otherwise
#: than the fields of the job say.
RESERVED_ARGUMENTS = (
    *("-p", "--print", "--prompt", "-i", "--prompt-interactive", "--output-format", "-o", "--input-format", "--json"),
    *("-r", "--resume", "-c", "--continue", "--session-id", "--fork-session", "--last", "--output-schema"),
    *("--bg", "--background", "--ephemeral", "--session-file", "--no-session-persistence", "--"),
    *("--from-pr", "-h", "--help", "-v", "--version"),
    # A field of the job sets these.
    *("--model", "-m", "--permission-mode", "--allowed-tools", "--allowedTools", "--max-turns", "--max-budget-usd"),
    *("--append-system-prompt", "--json-schema", "--dangerously-skip-permissions", "-s", "--sandbox", "-a"),
    *("--ask-for-approval", "--full-auto", "--dangerously-bypass-approvals-and-sandbox", "-y", "--yolo"),
    *("--approval-mode", "--allow-dangerously-skip-permissions"),
)
