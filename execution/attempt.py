"""One attempt: a call of the target, or the calls of its heartbeat, each with the context of the one before."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NotRequired, TypedDict, TypeGuard

from core import strict_json
from core.boundary import Failure
from core.clock import Clock
from core.invocation import SLEEP_MARKER, AgentSession, AttemptOutcome, Context, Usage
from core.invocation_errors import AgentRequestInvalid, InvocationTimeout, SessionLost
from core.job import Heartbeat, Job

SLEEP = "sleep"
_SESSION_IS_OVER = (SessionLost.code, AgentRequestInvalid.code)
_TIMEOUT = InvocationTimeout.code
#: Characters that a model may put around the marker.
_DECORATION = "*_`\"'.! \t"
#: Most characters of a summary, and of the text that is kept of each call of a heartbeat.
SUMMARY_LIMIT = 4_000
EXCERPT_LIMIT = 500

#: Makes a call, given its context, its number in the attempt, and its timeout in seconds.
Call = Callable[[Context, int, int], Awaitable[AttemptOutcome]]


class IterationReport(TypedDict):
    """One call of a heartbeat, in the run's result. `error` is the code of its error; without one, what it said."""

    iteration: int
    duration_ms: int
    sleep: NotRequired[bool]
    quiet: NotRequired[bool]
    text: NotRequired[str]
    error: NotRequired[str]
    cost_usd: NotRequired[float | None]


class SessionFacts(TypedDict):
    """Which session an attempt used, in the run's result. Which keys there are depends on `mode`."""

    mode: str
    session_id: str
    resumed: NotRequired[bool]
    previous_run: NotRequired[str | None]
    lost_session_id: NotRequired[str]


@dataclass
class _Progress:
    """The attempt so far: the calls of its heartbeat, what they used, and the session that was lost."""

    calls: list[IterationReport] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    lost_session: str = ""
    left: tuple[str, ...] | None = None
    quiet: bool = True
    ended_by: str = ""


class Attempt:
    """The calls of one attempt.

    `spend` stores what a call has used. `limit_reached` returns the limit that forbids another call, or "".
    """

    def __init__(
        self,
        *,
        job: Job,
        remembered: AgentSession | None,
        call: Call,
        clock: Clock,
        spend: Callable[[AttemptOutcome], None],
        limit_reached: Callable[[], str],
    ) -> None:
        self._job = job
        self._remembered = remembered
        self._call = call
        self._clock = clock
        self._spend = spend
        self._limit_reached = limit_reached
        self._calls = 0

    async def make_calls(self) -> AttemptOutcome:
        """Makes the calls. Returns the outcome of the last one, with `facts` about all of them."""
        beat = self._job.heartbeat
        if beat is None or not beat.enabled:
            progress = _Progress()
            outcome = await self._make(first_context(self._job, self._remembered), self._job.timeout_sec, progress)
            facts = self._session_facts(outcome, progress)
            return replace(outcome, facts=facts, usage=progress.usage, left=progress.left)
        return await self._repeat(beat)

    async def _repeat(self, beat: Heartbeat) -> AttemptOutcome:
        progress, until = _Progress(), self._clock.monotonic() + self._job.timeout_sec
        context, reported = first_context(self._job, self._remembered), None
        for iteration in range(1, beat.max_iterations + 1):
            started_at = self._clock.monotonic()
            outcome = await self._make(context, max(1, math.ceil(until - started_at)), progress)
            outcome = self._of_slot(outcome, iteration)
            reply = reply_of(outcome)
            progress.quiet = progress.quiet and reply.quiet
            outcome = _without_marker(outcome)
            reported = reported if reply.is_silent else outcome
            progress.calls.append(_iteration_report(iteration, outcome, reply, self._clock.monotonic() - started_at))
            progress.ended_by = self._why_end(outcome, reply, iteration == beat.max_iterations, until)
            if progress.ended_by:
                break
            following = next_context(beat, outcome)
            context = replace(following, iteration=iteration + 1, max_iterations=beat.max_iterations)
        facts: dict[str, object] = {
            **self._session_facts(outcome, progress),
            "heartbeat": {"iterations": progress.calls, "ended_by": progress.ended_by, "quiet": progress.quiet},
        }
        quiet = progress.quiet and outcome.response.error is None
        if reported is not None and outcome.response.error is None:
            # The last call only said that nothing is left to do. What people get is the last report before it.
            response = replace(outcome.response, result=reported.response.result)
            outcome = replace(outcome, response=response, text=reported.text)
        return replace(outcome, facts=facts, quiet=quiet, usage=progress.usage, left=progress.left)

    def _of_slot(self, outcome: AttemptOutcome, iteration: int) -> AttemptOutcome:
        """If the slot's time ended during a later call, the error names the whole time, not what was left of it."""
        error, seconds = outcome.response.error, self._job.timeout_sec
        if error is None or error.code != _TIMEOUT or iteration == 1:
            return outcome
        message = f"call {iteration} of the heartbeat was still running when the {seconds} s of its slot were over"
        details = {**error.details, "timeout_sec": seconds, "iteration": iteration}
        return replace(outcome, response=replace(outcome.response, error=Failure(error.code, message, details)))

    def _why_end(self, outcome: AttemptOutcome, reply: HeartbeatReply, is_last: bool, until: float) -> str:
        error = outcome.response.error
        if error is not None:
            return "stopped" if outcome.stopped else "timeout_sec" if error.code == _TIMEOUT else "error"
        if reply.sleeps:
            return SLEEP
        if is_last:
            return "max_iterations"
        return "timeout_sec" if until - self._clock.monotonic() < 1 else self._limit_reached()

    async def _make(self, context: Context, timeout_sec: int, progress: _Progress) -> AttemptOutcome:
        started_at = self._clock.monotonic()
        outcome = await self._numbered_call(context, timeout_sec, progress)
        error = outcome.response.error
        if error is None and not outcome.session_id:
            # A target that resumed a session need not repeat its id.
            outcome = replace(outcome, session_id=context.session_id)
        if context.session_id and error is not None and error.code in _SESSION_IS_OVER:
            # The agent does not have the session any more, or it has grown too long, as each one does: the call is
            # made again in a new one, and the result says so.
            self._spent(outcome, progress)
            progress.lost_session = context.session_id
            left = timeout_sec - (self._clock.monotonic() - started_at)
            outcome = await self._numbered_call(
                replace(context, session_id="", session_usage=Usage()), max(1, math.ceil(left)), progress
            )
        self._spent(outcome, progress)
        return outcome

    def _spent(self, outcome: AttemptOutcome, progress: _Progress) -> None:
        progress.usage += outcome.usage
        self._spend(outcome)

    async def _numbered_call(self, context: Context, timeout_sec: int, progress: _Progress) -> AttemptOutcome:
        self._calls += 1
        outcome = await self._call(context, self._calls, timeout_sec)
        progress.left = joined(progress.left, outcome.left)
        return outcome

    def _session_facts(self, outcome: AttemptOutcome, progress: _Progress) -> dict[str, object]:
        mode = self._job.session_mode
        if mode == "fully_ephemeral" and not progress.lost_session:
            return {}
        earlier = self._remembered
        facts: SessionFacts = {"mode": mode, "session_id": outcome.session_id}
        if mode == "shared_persistent":
            facts["resumed"] = bool(earlier and earlier.session_id and not progress.lost_session)
        if mode == "ephemeral_with_summary":
            facts["previous_run"] = earlier.run_id if earlier and earlier.summary else None
        if progress.lost_session:
            facts["lost_session_id"] = progress.lost_session
        return {"session": facts}


class SessionTotals:
    """The usage of sessions as their agents reported it during this run."""

    def __init__(self) -> None:
        self._usage: dict[str, Usage] = {}

    def note(self, outcome: AttemptOutcome) -> None:
        """Keeps the session usage that a call reported, even a failed one: the session's next call starts from it."""
        if outcome.session_usage != Usage():
            self._usage[outcome.session_id] = outcome.session_usage

    def updated(self, session: AgentSession | None) -> AgentSession | None:
        """The session with its latest usage."""
        return session and replace(session, usage=self._usage.get(session.session_id, session.usage))


def joined(first: tuple[str, ...] | None, second: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The processes that two calls had left; None if neither has started one."""
    return (first or ()) + second if second is not None else first


def first_context(job: Job, remembered: AgentSession | None) -> Context:
    """The context of an attempt's first call: the session or summary of the job's last run, and its heartbeat."""
    context = Context()
    if remembered is not None and job.session_mode == "shared_persistent":
        context = Context(remembered.session_id, session_runner=remembered.runner, session_usage=remembered.usage)
    elif remembered is not None and job.session_mode == "ephemeral_with_summary":
        context = Context(previous_summary=remembered.summary)
    beat = job.heartbeat
    if beat is None or not beat.enabled:
        return context
    return replace(context, iteration=1, max_iterations=beat.max_iterations)


def next_context(beat: Heartbeat, outcome: AttemptOutcome) -> Context:
    """The context of a heartbeat's next call: the session or summary of the one before it."""
    if beat.context_mode == "shared_persistent":
        return Context(outcome.session_id, session_runner=outcome.runner, session_usage=outcome.session_usage)
    if beat.context_mode == "ephemeral_with_summary":
        return Context(previous_summary=summary_of(outcome))
    return Context()


def summary_of(outcome: AttemptOutcome) -> str:
    """What a call said: its result's `summary`, else its text, else the result itself. Only the end is kept."""
    result = outcome.response.result or {}
    summary = result.get("summary")
    text = summary if isinstance(summary, str) else _text_of(outcome)
    text = without_marker(text)
    return text if len(text) <= SUMMARY_LIMIT else "…" + text[-SUMMARY_LIMIT:]


def _text_of(outcome: AttemptOutcome) -> str:
    result = outcome.response.result or {}
    if result.get("text_truncated"):
        return outcome.text
    for key in ("text", "stdout"):
        if isinstance(text := result.get(key), str):
            return text
    return json.dumps(dict(result), ensure_ascii=False) if result else outcome.text


@dataclass(frozen=True)
class HeartbeatReply:
    """What a call of a heartbeat said. `sleeps`: no further call is wanted. `quiet`: it had nothing to report.

    `text` is its report without the end marker.
    """

    sleeps: bool
    quiet: bool
    text: str

    @property
    def is_silent(self) -> bool:
        """Whether people would read nothing in it."""
        return self.quiet or not self.text


def reply_of(outcome: AttemptOutcome) -> HeartbeatReply:
    """Reads the marker; or `{"heartbeat": "sleep"}` as the result, as its structured output, or as its whole text."""
    result = outcome.response.result or {}
    has_text = any(isinstance(result.get(key), str) for key in ("text", "stdout"))
    text = _text_of(outcome) if has_text else ""
    for answer in (result, result.get("structured_output"), _object(text)):
        if isinstance(answer, Mapping) and "heartbeat" in answer:
            rest = {key: value for key, value in answer.items() if key not in ("heartbeat", "session_id")}
            sleeps = answer["heartbeat"] == SLEEP
            return HeartbeatReply(sleeps, sleeps and not any(rest.values()), without_marker(text) or _words(rest))
    if not has_text and isinstance(result.get("summary"), str):
        text = str(result["summary"])
    sleeps, report = _ends_with_marker(text), without_marker(text)
    return HeartbeatReply(sleeps, sleeps and not report, report or ("" if sleeps else summary_of(outcome)))


def without_marker(text: str) -> str:
    """A text as people read it: without the marker, and without the object that says the same."""
    answer = _object(text)
    if isinstance(answer, Mapping) and answer.get("heartbeat") == SLEEP:
        return _words({key: value for key, value in answer.items() if key != "heartbeat"})
    if SLEEP_MARKER not in text:
        return text.strip()
    lines = text.strip().splitlines()
    if _ends_with_marker(text):
        # Some models put the marker into a block of code, whose marks are empty lines without it.
        while lines and not lines[-1].strip(_DECORATION):
            lines.pop()
        lines[-1] = lines[-1].rstrip(_DECORATION).removesuffix(SLEEP_MARKER).rstrip("*_` ")
        while lines and not lines[-1].strip(_DECORATION):
            lines.pop()
    return "\n".join(line for line in lines if not _is_marker(line)).strip()


def _ends_with_marker(text: str) -> bool:
    """Whether the last line with words is the marker, or ends with it after other words."""
    last = next((line for line in reversed(text.splitlines()) if line.strip(_DECORATION)), "")
    words = last.rstrip(_DECORATION)
    # A longer word that ends with it is no marker.
    return words.endswith(SLEEP_MARKER) and not words.removesuffix(SLEEP_MARKER).rstrip("*_`")[-1:].isalnum()


def _without_marker(outcome: AttemptOutcome) -> AttemptOutcome:
    """The outcome of a call without the end marker in what people get of it."""
    result = outcome.response.result
    if result is None:
        return replace(outcome, text=without_marker(outcome.text))
    cleaned = {
        key: without_marker(value) if _says_sleep(value) else value for key, value in _without_key(result).items()
    }
    if isinstance(structured := cleaned.get("structured_output"), Mapping):
        cleaned["structured_output"] = _without_key(structured)
    text = without_marker(outcome.text) if _says_sleep(outcome.text) else outcome.text
    return replace(outcome, response=replace(outcome.response, result=cleaned), text=text)


def _says_sleep(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and (SLEEP_MARKER in value or '"heartbeat"' in value)


def _without_key(answer: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in answer.items() if key != "heartbeat" or value != SLEEP}


def _words(rest: Mapping[str, object]) -> str:
    """What an answer says besides `heartbeat`: its only text, or all of it as JSON."""
    said = {key: value for key, value in rest.items() if value not in (None, "", [], {}) and key != "session_id"}
    texts = [value for value in said.values() if isinstance(value, str)]
    if len(said) == len(texts) <= 1:
        return "".join(texts).strip()
    return json.dumps(said, ensure_ascii=False)


def _is_marker(line: str) -> bool:
    return line.strip().strip(_DECORATION) == SLEEP_MARKER


def _object(text: str) -> object:
    if not text.lstrip().startswith("{"):
        return None
    try:
        return strict_json.parse(text.encode("utf-8", "replace"))
    except strict_json.BadJson:
        return None


def _iteration_report(
    iteration: int, outcome: AttemptOutcome, reply: HeartbeatReply, seconds: float
) -> IterationReport:
    report: IterationReport = {"iteration": iteration, "duration_ms": round(seconds * 1000)}
    error: Failure | None = outcome.response.error
    if error is None:
        report |= {"sleep": reply.sleeps, "quiet": reply.quiet, "text": reply.text.strip()[:EXCERPT_LIMIT]}
    else:
        report["error"] = error.code
    if outcome.usage != Usage():
        report["cost_usd"] = outcome.usage.cost_usd
    return report
