"""What can go wrong in one attempt. Each becomes the error of an InvocationResult."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from core.errors import CronError


class InvocationError(CronError):
    """An attempt failed. The invoker turns it into the error of an InvocationResult with this class's code."""

    code = "IPC_ERROR"
    table = "runs"
    #: Whether the attempt may be made again. Not where it would fail again, or cost again what it has just cost.
    retried = True


class TargetNotFound(InvocationError):
    """No folder belongs to the target's name."""

    code = "TARGET_NOT_FOUND"
    retried = False
    fix = "`details.looked_at` lists where it was looked for"


class RunnerNotFound(InvocationError):
    """Nothing says how the target is run."""

    code = "RUNNER_NOT_FOUND"
    retried = False
    fix = "give the job a `command`, or the target an `invoke`"


class Denied(InvocationError):
    """`.puruto-ipc.json` forbids the call, or can't be read; `details.rule` says which rule."""

    code = "DENIED"
    retried = False
    fix = "change that file"


class PromptFileMissing(InvocationError):
    """The job's `prompt_file` is not there, or can't be read."""

    code = "PROMPT_FILE_MISSING"
    fix = "`details.file` is the file: put it there, and let this user read it"


class PromptFileInvalid(InvocationError):
    """The job's `prompt_file` can't be a prompt: blank, too large, not UTF-8, no file, outside the target's folder."""

    code = "PROMPT_FILE_INVALID"
    retried = False
    fix = "`details.wrong` says what is wrong with it"


class InvocationTimeout(InvocationError):
    """The attempt was not done after `timeout_sec`; its processes were ended."""

    code = "TIMEOUT"
    fix = "raise `timeout_sec`, or see what it waits for: `details.alive` names its processes then, as `name (pid)`"


class InvocationStopped(InvocationError):
    """The attempt was ended because this program had to stop."""

    code = "CANCELLED"


class InvalidResponse(InvocationError):
    """`invoke` ended with exit code 0, but gave no valid answer; or what an agent printed holds no answer, or a
    malformed one.
    """

    code = "INVALID_RESPONSE"
    fix = "`details.wrong` says what is wrong with it"


class NonzeroExit(InvocationError):
    """The process ended with an exit code other than 0, or by a signal."""

    code = "NONZERO_EXIT"
    fix = "`details` has the end of stderr; `logs --run RUN_ID` has more"


class SuccessCheckFailed(InvocationError):
    """The attempt ended, but not as the job's [success](jobs-file.md#success) demands."""

    code = "SUCCESS_CHECK_FAILED"
    fix = "`details.failed` lists each check that failed: what was expected, and what was found"


class TargetAnsweredError(InvocationError):
    """`invoke` answered with status `error`.

    Nobody raises it: it is the error of a run whose target gave one of its own.
    """

    code = "INVOKER_ERROR_STATUS"
    fix = "the target's own code is in `details.response_error`"


class AgentFailed(InvocationError):
    """The agent reports that it failed, or that its provider did."""

    code = "AGENT_FAILED"
    fix = "`details.said` has its message"


class AgentOverloaded(AgentFailed):
    """The agent's provider is overloaded: 429, 503, 529. Retried twice even with `max_retries` 0."""

    code = "AGENT_OVERLOADED"
    fix = "wait, or run it less often"


class AgentRefused(AgentFailed):
    """The provider does not accept the key or login: 401, 403, not logged in, or an expired login."""

    code = "AGENT_REFUSED"
    retried = False
    fix = "put the key into `.env`, or log in: [agents.md](agents.md#who-asks)"


class AgentRequestInvalid(AgentFailed):
    """The provider rejects the request itself, and would do so again: the prompt is too long, there is no such model,
    or the status is 400, 404, 413 or 422.
    """

    code = "AGENT_REQUEST_INVALID"
    retried = False
    fix = "shorten the prompt, or correct `model`; `details.said` says which"


class AgentQuota(AgentFailed):
    """The quota of the account is used up, or its credit; `details.resets_at` says when there is more, if the agent
    said so. Retried only if that is no later than the retry would start.
    """

    code = "AGENT_QUOTA"
    fix = "wait until then, run less often, or raise the plan"


class AgentLimitReached(AgentFailed):
    """`max_turns`, `max_budget_usd` or the agent's own limit of turns or tries is used up."""

    code = "AGENT_LIMIT_REACHED"
    retried = False
    fix = "raise it if the work needs more"


class AgentOutputTruncated(AgentFailed):
    """The answer is incomplete."""

    code = "AGENT_OUTPUT_TRUNCATED"
    fix = "ask for less in one run; `details.file` has what there is"


class AgentOptionUnsupported(AgentFailed):
    """The job has a field that its agent does not support."""

    code = "AGENT_OPTION_UNSUPPORTED"
    retried = False
    fix = "[agents.md](agents.md#fields) says which agent supports which"


class PermissionDenied(AgentFailed):
    """A tool was refused, and the job says `fail_on_permission_denial`."""

    code = "PERMISSION_DENIED"
    fix = "set `allowed_tools` or `permission_mode`"


class StructuredOutputMissing(AgentFailed):
    """The job has a `json_schema`, and the answer has no structured part."""

    code = "STRUCTURED_OUTPUT_MISSING"
    fix = "say in the prompt what is wanted"


class StructuredOutputInvalid(AgentFailed):
    """The structured part does not fit `json_schema`."""

    code = "STRUCTURED_OUTPUT_INVALID"
    fix = "`details` says where"


class SessionLost(AgentFailed):
    """The agent does not know its session any more. A run then starts a new one by itself and says so; you see this
    code only if that fails too.
    """

    code = "SESSION_LOST"
    fix = "`sessions reset JOB_ID`"


class IpcError(InvocationError):
    """The process could not be started, or its output could not be read or written."""

    code = "IPC_ERROR"
    fix = (
        "the message says what is missing: program, interpreter, permission, space. A program with a blank in its name"
        " is mostly a command line: write each argument by itself"
    )


@functools.cache
def is_retried(code: str) -> bool:
    """Whether an attempt that failed with this code may be made again."""
    return all(kind.retried for kind in _all_kinds(InvocationError) if kind.code == code)


@functools.cache
def codes() -> frozenset[str]:
    """The codes of all these errors."""
    return frozenset(kind.code for kind in _all_kinds(InvocationError))


def _all_kinds(kind: type[InvocationError]) -> Iterator[type[InvocationError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _all_kinds(below)
