"""What can go wrong in one attempt. Each becomes the error of an InvocationResult."""

from __future__ import annotations

from core.errors import CronError


class InvocationError(CronError):
    """An attempt failed. The invoker turns it into the error of an InvocationResult with this class's code."""

    code = "IPC_ERROR"


class TargetNotFound(InvocationError):
    """No folder was found for the target's name; `details.looked_at` lists the folders that were tried."""

    code = "TARGET_NOT_FOUND"


class RunnerNotFound(InvocationError):
    """The target exists, but nothing says how to run it."""

    code = "RUNNER_NOT_FOUND"


class Denied(InvocationError):
    """The policy file .puruto-ipc.json forbids this invocation, or can't be read."""

    code = "DENIED"


class InvocationTimeout(InvocationError):
    """The attempt took longer than its timeout; its processes were ended."""

    code = "TIMEOUT"


class InvocationStopped(InvocationError):
    """The attempt was ended because this program had to stop."""

    code = "CANCELLED"


class InvalidResponse(InvocationError):
    """The target exited with 0, but did not answer with a valid InvocationResult."""

    code = "INVALID_RESPONSE"


class NonzeroExit(InvocationError):
    """The process ended with an exit code other than 0, or by a signal."""

    code = "NONZERO_EXIT"


class SuccessCheckFailed(InvocationError):
    """The attempt did not pass the checks in its job's `success`; `details.failed` lists those that failed."""

    code = "SUCCESS_CHECK_FAILED"


class AgentFailed(InvocationError):
    """The agent reports that it failed; `details.said` is its message."""

    code = "AGENT_FAILED"


class AgentOverloaded(AgentFailed):
    """The agent's provider is overloaded, or limits the rate of requests."""

    code = "AGENT_OVERLOADED"


class AgentRefused(AgentFailed):
    """The agent's provider refuses the login: a key or a login is missing, wrong or expired."""

    code = "AGENT_REFUSED"


class AgentLimitReached(AgentFailed):
    """The agent stopped at a limit of its job: turns or dollars."""

    code = "AGENT_LIMIT_REACHED"


class AgentOutputTruncated(AgentFailed):
    """The agent's answer is cut off."""

    code = "AGENT_OUTPUT_TRUNCATED"


class AgentOptionUnsupported(AgentFailed):
    """The job has a field for which its agent has no option."""

    code = "AGENT_OPTION_UNSUPPORTED"


class PermissionDenied(AgentFailed):
    """The agent was not allowed to use a tool, and the job counts that as a failure."""

    code = "PERMISSION_DENIED"


class StructuredOutputMissing(AgentFailed):
    """The job has a `json_schema`, but the agent's answer has no structured part."""

    code = "STRUCTURED_OUTPUT_MISSING"


class StructuredOutputInvalid(AgentFailed):
    """The structured part of the agent's answer does not fit the job's `json_schema`."""

    code = "STRUCTURED_OUTPUT_INVALID"


class SessionLost(AgentFailed):
    """The agent does not know the session that it should continue."""

    code = "SESSION_LOST"


class IpcError(InvocationError):
    """The process could not be started or its output could not be read."""

    code = "IPC_ERROR"
