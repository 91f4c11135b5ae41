"""One attempt: a call of the target, or as many as its heartbeat makes, with what it is told of earlier ones."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from core import strict_json
from core.boundary import Failure
from core.clock import Clock
from core.invocation import SLEEP_MARKER, AttemptOutcome, Context, Session, Usage
from core.invocation_errors import InvocationTimeout, SessionLost
from core.job import Heartbeat, Job

SLEEP = "sleep"
_TIMEOUT = InvocationTimeout.code
#: What a model may put around the marker.
_ORNAMENT = "*_`\"'.! "
#: Characters of a summary, and of what is kept of each call of a heartbeat.
SUMMARY_LIMIT = 4_000
EXCERPT_LIMIT = 500

#: `(context, number of the call, its timeout in seconds)` → how it ended.
Call = Callable[[Context, int, int], Awaitable[AttemptOutcome]]


@dataclass
class _Told:
    """What is to be said of the attempt: its calls so far, and what became of the session."""

    calls: list[dict[str, object]] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    lost: str = ""
    quiet: bool = True
    ended_by: str = ""


class Attempt:
    """The calls of one attempt. `may_go_on` says "" or why no further call may be made."""

    def __init__(
        self,
        *,
        job: Job,
        remembered: Session | None,
        call: Call,
        clock: Clock,
        spend: Callable[[AttemptOutcome], None],
        may_go_on: Callable[[], str],
    ) -> None:
        self._job = job
        self._remembered = remembered
        self._call = call
        self._clock = clock
        self._spend = spend
        self._may_go_on = may_go_on
        self._calls = 0

    async def hold(self) -> AttemptOutcome:
        """Makes the calls. The outcome is that of the last one, with `facts` about all of them."""
        beat = self._job.heartbeat
        if beat is None or not beat.enabled:
            told = _Told()
            outcome = await self._make(first_context(self._job, self._remembered), self._job.timeout_sec, told)
            return replace(outcome, facts=self._session_facts(outcome, told), usage=told.usage)
        return await self._repeat(beat)

    async def _repeat(self, beat: Heartbeat) -> AttemptOutcome:
        told, until = _Told(), self._clock.monotonic() + self._job.timeout_sec
        context = first_context(self._job, self._remembered)
        for iteration in range(1, beat.max_iterations + 1):
            began = self._clock.monotonic()
            outcome = await self._make(context, max(1, math.ceil(until - began)), told)
            outcome = self._of_slot(outcome, iteration)
            said = said_by(outcome)
            told.quiet = told.quiet and said.quiet
            told.calls.append(_entry(iteration, outcome, said, self._clock.monotonic() - began))
            told.ended_by = self._why_end(outcome, said, iteration == beat.max_iterations, until)
            if told.ended_by:
                break
            following = next_context(beat, outcome)
            context = replace(following, iteration=iteration + 1, max_iterations=beat.max_iterations)
        facts = {
            **self._session_facts(outcome, told),
            "heartbeat": {"iterations": told.calls, "ended_by": told.ended_by, "quiet": told.quiet},
        }
        quiet = told.quiet and outcome.response.error is None
        return replace(outcome, facts=facts, quiet=quiet, usage=told.usage)

    def _of_slot(self, outcome: AttemptOutcome, iteration: int) -> AttemptOutcome:
        """A call that was cut by the end of the slot's time says so, and not what was left of it for this call."""
        error, seconds = outcome.response.error, self._job.timeout_sec
        if error is None or error.code != _TIMEOUT or iteration == 1:
            return outcome
        message = f"call {iteration} of the heartbeat was not done when the {seconds} s of its slot were over"
        told = {**error.details, "timeout_sec": seconds, "iteration": iteration}
        return replace(outcome, response=replace(outcome.response, error=Failure(error.code, message, told)))

    def _why_end(self, outcome: AttemptOutcome, said: Said, last: bool, until: float) -> str:
        error = outcome.response.error
        if error is not None:
            return "stopped" if outcome.stopped else "timeout_sec" if error.code == _TIMEOUT else "error"
        if said.sleeps:
            return SLEEP
        if last:
            return "max_iterations"
        return "timeout_sec" if until - self._clock.monotonic() < 1 else self._may_go_on()

    async def _make(self, context: Context, timeout_sec: int, told: _Told) -> AttemptOutcome:
        began = self._clock.monotonic()
        outcome = await self._number(context, timeout_sec)
        error = outcome.response.error
        if error is None and not outcome.session_id:
            # A target that went on with a session need not say so again.
            outcome = replace(outcome, session_id=context.session_id)
        if context.session_id and error is not None and error.code == SessionLost.code:
            # The agent has forgotten it: what was asked is done all the same, in a new one, and that is said.
            told.lost = context.session_id
            left = timeout_sec - (self._clock.monotonic() - began)
            outcome = await self._number(
                replace(context, session_id="", session_usage=Usage()), max(1, math.ceil(left))
            )
        told.usage += outcome.usage
        self._spend(outcome)
        return outcome

    async def _number(self, context: Context, timeout_sec: int) -> AttemptOutcome:
        self._calls += 1
        return await self._call(context, self._calls, timeout_sec)

    def _session_facts(self, outcome: AttemptOutcome, told: _Told) -> dict[str, object]:
        mode = self._job.session_mode
        if mode == "fully_ephemeral" and not told.lost:
            return {}
        known = self._remembered
        facts: dict[str, object] = {"mode": mode, "session_id": outcome.session_id}
        if mode == "shared_persistent":
            facts["resumed"] = bool(known and known.session_id and not told.lost)
        if mode == "ephemeral_with_summary":
            facts["previous_run"] = known.run_id if known and known.summary else None
        if told.lost:
            facts["lost_session_id"] = told.lost
        return {"session": facts}


class SessionTotals:
    """What sessions have used by now, as far as their agents told it since this run began."""

    def __init__(self) -> None:
        self._known: dict[str, Usage] = {}

    def note(self, outcome: AttemptOutcome) -> None:
        """Keeps what a call told, also one that failed: the next one of the session counts on from there."""
        if outcome.session_usage != Usage():
            self._known[outcome.session_id] = outcome.session_usage

    def brought_up(self, session: Session | None) -> Session | None:
        """What is remembered, with what was told since."""
        return session and replace(session, usage=self._known.get(session.session_id, session.usage))


def first_context(job: Job, remembered: Session | None) -> Context:
    """What the first call of an attempt knows of the job's last run, and of its heartbeat."""
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
    """What the next call of a heartbeat knows of the one before it."""
    if beat.context_mode == "shared_persistent":
        return Context(outcome.session_id, session_runner=outcome.runner, session_usage=outcome.session_usage)
    if beat.context_mode == "ephemeral_with_summary":
        return Context(previous_summary=summary_of(outcome))
    return Context()


def summary_of(outcome: AttemptOutcome) -> str:
    """What a call said, bounded: its result's `summary`, else its words, else the result itself. The end is kept."""
    result = outcome.response.result or {}
    own = result.get("summary")
    text = own if isinstance(own, str) else _words(outcome)
    text = "\n".join(line for line in text.strip().splitlines() if not _is_marker(line)).strip()
    return text if len(text) <= SUMMARY_LIMIT else "…" + text[-SUMMARY_LIMIT:]


def _words(outcome: AttemptOutcome) -> str:
    result = outcome.response.result or {}
    if result.get("text_truncated"):
        return outcome.text
    for key in ("text", "stdout"):
        if isinstance(found := result.get(key), str):
            return found
    return json.dumps(dict(result), ensure_ascii=False) if result else outcome.text


@dataclass(frozen=True)
class Said:
    """What a call of a heartbeat said: whether it sleeps now, and whether it had nothing to report."""

    sleeps: bool
    quiet: bool
    text: str


def said_by(outcome: AttemptOutcome) -> Said:
    """Reads the marker, or `{"heartbeat": "sleep"}` as the result, its structured output, or all of its words."""
    result = outcome.response.result or {}
    text = _words(outcome) if isinstance(result.get("text"), str) or isinstance(result.get("stdout"), str) else ""
    for found in (result, result.get("structured_output"), _object(text)):
        if isinstance(found, Mapping) and "heartbeat" in found:
            rest = {key: value for key, value in found.items() if key not in ("heartbeat", "session_id")}
            sleeps = found["heartbeat"] == SLEEP
            return Said(sleeps, sleeps and not any(rest.values()), text or json.dumps(dict(found), ensure_ascii=False))
    lines = text.strip().splitlines()
    sleeps = bool(lines) and _is_marker(lines[-1])
    return Said(sleeps, sleeps and len(lines) == 1, text or summary_of(outcome))


def _is_marker(line: str) -> bool:
    return line.strip().strip(_ORNAMENT) == SLEEP_MARKER


def _object(text: str) -> object:
    if not text.lstrip().startswith("{"):
        return None
    try:
        return strict_json.parse(text.encode("utf-8", "replace"))
    except strict_json.BadJson:
        return None


def _entry(iteration: int, outcome: AttemptOutcome, said: Said, seconds: float) -> dict[str, object]:
    entry: dict[str, object] = {"iteration": iteration, "duration_ms": round(seconds * 1000)}
    error: Failure | None = outcome.response.error
    if error is None:
        entry |= {"sleep": said.sleeps, "quiet": said.quiet, "text": said.text.strip()[:EXCERPT_LIMIT]}
    else:
        entry["error"] = error.code
    if outcome.usage != Usage():
        entry["cost_usd"] = outcome.usage.cost_usd
    return entry
