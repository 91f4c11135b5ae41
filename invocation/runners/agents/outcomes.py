"""What is made of an agent's answer: a result, or one of the errors that agents have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import TypeGuard
from zoneinfo import ZoneInfo

from core.boundary import Failure
from core.clock import utc_text
from core.escape_codes import without_codes
from core.invocation import Answer, Invocation, Usage, total
from core.invocation_errors import (
    AgentFailed,
    AgentOutputTruncated,
    AgentOverloaded,
    AgentQuota,
    AgentRefused,
    AgentRequestInvalid,
    InvalidResponse,
    InvocationError,
    SessionLost,
)
from invocation.refusals import kind_of, own_lines
from invocation.reset_times import reset_time
from invocation.runners.base import RESULT_LIMIT, Ending, how_it_ended, read_tail, to_text

#: A number of turns or tokens that no run reaches.
_ABSURD = 10**12
_LONGEST_SAID = 4_096
_HINTS: dict[type[AgentFailed], str] = {
    AgentRefused: "Log in again, as the user who runs the job: {name}. Or put its key into .env.",
    AgentQuota: "Wait until there is more, run it less often, or raise the plan.",
    AgentOverloaded: "Nothing to do, unless it happens often: then run it at another time.",
    AgentRequestInvalid: "Shorten the prompt, or correct the job's model.",
}


@dataclass
class Report:
    """What an agent's events say; filled by `AgentRunner.take`, event by event.

    `last` is the event that decides how the call ended, so far. The base sets `fault` and `is_cut`, which say what is
    wrong with it.
    """

    last: Mapping[str, object] | None = None
    fault: str = ""
    is_cut: bool = False
    session_id: str = ""
    text: str = ""
    """The agent's answer."""
    error: str = ""
    """The message of its failure."""
    reset: str = ""
    """What it says elsewhere about when its quota is renewed."""
    tasks: dict[str, str] = field(default_factory=dict)
    """What it put into the background and what has not ended by itself: what each is for, or "" if it stopped it."""
    used: dict[str, Usage] = field(default_factory=dict)
    """What was used, by what it was used for, so that nothing counts twice."""


def conclude(
    name: str,
    invocation: Invocation,
    ending: Ending,
    report: Report,
    *,
    structured: object = None,
    extra: Mapping[str, object] | None = None,
    why_empty: str = "",
) -> Answer:
    """The answer of an agent that ended normally: its text, cut at RESULT_LIMIT, or a failure if it is empty."""
    text = report.text
    shown, whole = to_text(text.encode("utf-8", "replace"), RESULT_LIMIT, whole=True)
    result: dict[str, object] = {"agent": name, "text": shown, "session_id": report.session_id, **(extra or {})}
    if not whole:
        result["text_truncated"] = True
        result["file"] = str(ending.stdout)
    if invocation.agent.json_schema is not None:
        result["structured_output"] = structured
    if not text.strip() and structured is None and not invocation.allow_empty_result:
        message = f"{name} succeeded, but its answer is empty{why_empty}"
        empty = Failure("INVALID_RESPONSE", message, {"file": str(ending.stdout), **(extra or {})})
        return Answer(failure=empty, text=text)
    return Answer(result, text=text)


def failed(
    name: str,
    invocation: Invocation,
    ending: Ending,
    said: str,
    *,
    status: int | None = None,
    is_own: bool = True,
    reset: str = "",
    kind: type[AgentFailed] | None = None,
) -> Answer:
    """The failure of an agent that reported one: a used-up quota, an overload, a refusal, or another.

    `said` is its message; without one, the end of its stderr is. `status` is the HTTP status of its provider.
    `is_own` says whether the message is certainly the program's own and not the answer of a model. `reset` is what else
    it said about the renewal of its quota. `kind` is the error where something else than the message decides.
    """
    judged, said = said, said or read_tail(ending.stderr)
    kind = kind or kind_of(judged or own_lines(said), status, is_own=is_own)
    details: dict[str, object] = {"agent": name, "said": said[:_LONGEST_SAID], **ending_details(ending)}
    if status is not None:
        details["api_error_status"] = status
    if kind is AgentQuota:
        instant = reset_time(f"{said[:_LONGEST_SAID]}\n{reset}", ending.at, _zone_of(invocation))
        if instant is not None:
            details["resets_at"] = utc_text(instant)
    reason = said[:400] if without_codes(said).strip() else "it gives no reason"
    error = kind(f"{name} failed: {reason}", hint=_HINTS.get(kind, "").format(name=name), details=details)
    return Answer(failure=failure_of(error), text=said)


def answered_but_failed(name: str, ending: Ending, report: Report) -> Answer:
    """The failure of an agent that answered well, and whose process then ended otherwise."""
    details: dict[str, object] = {"agent": name, "said": report.text[:_LONGEST_SAID], **ending_details(ending)}
    error = AgentFailed(f"{name} answered and {how_it_ended(ending)}", details=details)
    return Answer(failure=failure_of(error), text=report.text)


def _zone_of(invocation: Invocation) -> tzinfo | None:
    """The zone in which the agent told times, if the job sets one; None for that of this machine."""
    try:
        return ZoneInfo(invocation.env["TZ"].lstrip(":"))
    except (KeyError, ValueError, OSError):
        return None


def ending_details(ending: Ending) -> dict[str, object]:
    """How the process ended, for the details of an error: its exit code, and the end of its stderr."""
    stderr = read_tail(ending.stderr)
    return {"exit_code": ending.exit_code, **({"stderr": stderr} if stderr else {})}


def failure_of(error: InvocationError) -> Failure:
    """One of our errors as the failure of an answer, so that the usage can be reported with it."""
    details = error.as_dict()["details"]
    return Failure(error.code, error.message, dict(details) if isinstance(details, Mapping) else {})


def lost(name: str, invocation: Invocation, said: str) -> SessionLost:
    """The error for a session that the agent no longer knows."""
    session = invocation.context.session_id
    return SessionLost(f"{name} does not know the session {session}", details={"session_id": session, "said": said})


def truncated(name: str, fault: str, ending: Ending) -> AgentOutputTruncated:
    """The error for output that breaks off."""
    details: dict[str, object] = {"file": str(ending.stdout), **ending_details(ending)}
    return AgentOutputTruncated(f"the answer of {name} is incomplete: {fault}", details=details)


def invalid(name: str, fault: str, ending: Ending) -> InvalidResponse:
    """The error for output in a form that this agent does not print."""
    details: dict[str, object] = {"wrong": fault, "file": str(ending.stdout), **ending_details(ending)}
    return InvalidResponse(f"the answer of {name} is not valid: {fault}", details=details)


def text_of(value: object) -> str:
    """A reported text; "" for anything else."""
    return value if isinstance(value, str) else ""


def members_of(value: object) -> Mapping[str, object]:
    """A reported object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def count_of(members: Mapping[str, object], *names: str) -> int | None:
    """The sum of the counts of these names; None if none of them was reported."""
    return total(*(value for name in names if _is_count(value := members.get(name))))


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _ABSURD


def since(before: Usage, session: Usage) -> Usage:
    """The usage of one call: the difference of two totals, or the new total if the session started to count again."""
    cost = session.cost_usd if session.cost_usd < before.cost_usd else session.cost_usd - before.cost_usd
    counts = [(before.input_tokens, session.input_tokens), (before.output_tokens, session.output_tokens)]
    if any(now is not None and now < (was or 0) for was, now in counts):
        counts = [(0, now) for _, now in counts]
    return Usage(cost, 1, *(now if now is None else now - (was or 0) for was, now in counts))
