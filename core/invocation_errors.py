"""What may go wrong with one attempt; each becomes the error of an InvocationResult. A leaf beside `errors`."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from core.errors import CronError


class InvocationError(CronError):
    """An attempt failed. The invoker turns it into the error of an InvocationResult with this class's code."""

    code = "IPC_ERROR"
    #: Whether the attempt may be made again. Not where it would fail again, or cost again what it has just cost.
    retried = True


class TargetNotFound(InvocationError):
    """No folder belongs to the target's name; details carry `looked_at`."""

    code = "TARGET_NOT_FOUND"
    retried = False


class RunnerNotFound(InvocationError):
    """The target is there, but nothing says how it is run."""

    code = "RUNNER_NOT_FOUND"


class Denied(InvocationError):
    """The policy, .puruto-ipc.json, forbids this invocation, or could not be read."""

    code = "DENIED"
    retried = False


class InvocationTimeout(InvocationError):
    """The attempt took longer than its timeout; its processes were ended."""

    code = "TIMEOUT"


class InvocationStopped(InvocationError):
    """The attempt was ended because this program was told to stop."""

    code = "CANCELLED"


class InvalidResponse(InvocationError):
    """The target ended well but did not answer with a valid InvocationResult."""

    code = "INVALID_RESPONSE"


class NonzeroExit(InvocationError):
    """The process ended with an exit code other than 0, or by a signal."""

    code = "NONZERO_EXIT"


class SuccessCheckFailed(InvocationError):
    """The attempt ended well, but did not do what its job calls success; `details.failed` says what it missed."""

    code = "SUCCESS_CHECK_FAILED"


class AgentFailed(InvocationError):
    """The agent says that it failed; `details.said` is how it says so."""

    code = "AGENT_FAILED"


class AgentOverloaded(AgentFailed):
    """The agent's provider is asked too much, or too often, for now."""

    code = "AGENT_OVERLOADED"


class AgentRefused(AgentFailed):
    """The agent's provider does not know who asks: a key or a login is missing, wrong or over."""

    code = "AGENT_REFUSED"
    retried = False


class AgentLimitReached(AgentFailed):
    """The agent ended itself at a limit that the job gave it: turns or dollars."""

    code = "AGENT_LIMIT_REACHED"
    retried = False


class AgentOutputTruncated(AgentFailed):
    """The agent's answer breaks off."""

    code = "AGENT_OUTPUT_TRUNCATED"


class AgentOptionUnsupported(AgentFailed):
    """The job has a field that its agent has no option for."""

    code = "AGENT_OPTION_UNSUPPORTED"
    retried = False


class PermissionDenied(AgentFailed):
    """A tool was refused to the agent, and the job calls that a failure."""

    code = "PERMISSION_DENIED"


class StructuredOutputMissing(AgentFailed):
    """The job has a `json_schema`, and the agent's answer has no structured part."""

    code = "STRUCTURED_OUTPUT_MISSING"


class StructuredOutputInvalid(AgentFailed):
    """The structured part of the agent's answer does not fit the job's `json_schema`."""

    code = "STRUCTURED_OUTPUT_INVALID"


class SessionLost(AgentFailed):
    """The agent does not know the session that it was to go on with."""

    code = "SESSION_LOST"


class IpcError(InvocationError):
    """The process could not be started or its output could not be read."""

    code = "IPC_ERROR"


@functools.cache
def is_retried(code: str) -> bool:
    """Whether an attempt that failed with this code may be made again."""
    return all(kind.retried for kind in _all_kinds(InvocationError) if kind.code == code)


def _all_kinds(kind: type[InvocationError]) -> Iterator[type[InvocationError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _all_kinds(below)
