"""Builds the call of a claimed run's target: the request, and the options that the job gives for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from core.clock import utc_text
from core.invocation import AgentOptions, AgentSession, Context, Invocation, InvocationRequest, Prompt
from core.job import JobState
from core.run import ClaimedRun, Trigger
from execution.attempt import first_context

CALLER = "puruto-cron"
#: Placeholder for the run's id, which it gets when it starts.
RUN_ID = "RUN_ID"


class IterationPayload(TypedDict):
    """Which call of a heartbeat it is."""

    iteration: int
    max_iterations: int


class ContextPayload(TypedDict, total=False):
    """What a request's payload says about earlier calls. Agents get it in their prompt instead."""

    session_id: str
    previous_summary: str
    heartbeat: IterationPayload


@dataclass(frozen=True)
class Ids:
    """The ids of a call's request, the number of the attempt, and the number of the call within it."""

    request_id: str
    correlation_id: str
    attempt: int
    number: int


def invocation(
    run: ClaimedRun,
    ids: Ids,
    context: Context,
    *,
    timeout_sec: int,
    runs_folder: str,
    hop: int,
    now: datetime,
    prompt: Prompt | None = None,
) -> Invocation:
    """The call. `hop` counts the runs that led to it; `timeout_sec` is what is left of the attempt's time.

    `prompt` is what an earlier call of the run has read from the prompt file.
    """
    job = run.job
    scheduled_for = None if run.scheduled_for is None else utc_text(run.scheduled_for)
    request = InvocationRequest(
        request_id=ids.request_id,
        correlation_id=ids.correlation_id,
        caller=CALLER,
        target=job.puruto_target,
        action="run",
        prompt=job.prompt if prompt is None else prompt.text,
        timeout_sec=timeout_sec,
        hop=hop,
        requested_at=utc_text(now),
        payload={
            "job_id": job.job_id,
            "run_id": run.run_id,
            "trigger": str(run.trigger),
            "scheduled_for": scheduled_for,
            **({"retry_of": run.retry_of} if run.retry_of else {}),
            **_context_payload(context),
        },
    )
    return Invocation(
        request=request,
        attempt=ids.attempt,
        call=ids.number,
        run_folder=f"{runs_folder}/{job.job_id}/{run.run_id}",
        run_id=run.run_id,
        job_id=job.job_id,
        scheduled_for=scheduled_for or "",
        runner=job.runner,
        prompt_file=(job.prompt_file or "") if prompt is None else "",
        command=tuple(job.command or ()),
        env=job.env,
        allow_env=tuple(job.allow_env),
        allow_empty_result=job.allow_empty_result,
        success=job.success,
        agent=AgentOptions.of(job),
        context=context,
    )


def first_call(state: JobState, remembered: AgentSession | None, now: datetime, runs_folder: str) -> Invocation:
    """The first call that a run of the job would make, for a dry run."""
    job = state.job
    run = ClaimedRun(RUN_ID, job, Trigger.MANUAL, "", now, None, None, timezone=state.timezone)
    return invocation(
        run,
        Ids("req-…", "corr-…", 1, 1),
        first_context(job, remembered),
        timeout_sec=job.timeout_sec,
        runs_folder=runs_folder,
        hop=0,
        now=now,
    )


def _context_payload(context: Context) -> ContextPayload:
    """What the payload says about earlier calls."""
    payload: ContextPayload = {}
    if context.session_id:
        payload["session_id"] = context.session_id
    if context.previous_summary:
        payload["previous_summary"] = context.previous_summary
    if context.iteration:
        payload["heartbeat"] = {"iteration": context.iteration, "max_iterations": context.max_iterations}
    return payload
