"""What may go wrong with one attempt; each becomes the error of an InvocationResult. A leaf beside `errors`."""

from __future__ import annotations

from core.errors import CronError


class InvocationError(CronError):
    """An attempt failed. The invoker turns it into the error of an InvocationResult with this class's code."""

    code = "IPC_ERROR"


class TargetNotFound(InvocationError):
    """No folder belongs to the target's name; details carry `looked_at`."""

    code = "TARGET_NOT_FOUND"


class RunnerNotFound(InvocationError):
    """The target is there, but nothing says how it is run."""

    code = "RUNNER_NOT_FOUND"


class Denied(InvocationError):
    """The policy, .puruto-ipc.json, forbids this invocation, or could not be read."""

    code = "DENIED"


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


class AgentLimitReached(AgentFailed):
    """The agent ended itself at a limit that the job gave it: turns or dollars."""

    code = "AGENT_LIMIT_REACHED"


class AgentOutputTruncated(AgentFailed):
    """The agent's answer breaks off."""

    code = "AGENT_OUTPUT_TRUNCATED"


class AgentOptionUnsupported(AgentFailed):
    """The job has a field that its agent has no option for."""

    code = "AGENT_OPTION_UNSUPPORTED"


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
