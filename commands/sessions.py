"""`sessions`: shows or forgets what the last run of a job left for the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import click

from app.app import App
from commands.names import session_words
from commands.view import show
from core.errors import JobNotFound, UsageError
from core.invocation import AgentSession

if TYPE_CHECKING:
    from core.redact import Redactor

#: Its group in `--help`, and its position in that group.
PLACE = ("Looking", 110)

_SHOWN = 300


@click.command("sessions")
@click.argument("words", nargs=-1, metavar="[JOB_ID | reset JOB_ID]", shell_complete=session_words)
@click.pass_obj
def command(app: App, words: tuple[str, ...]) -> None:
    """Show what the last run of each job left for the next one, or forget it.

    Jobs with session_mode shared_persistent continue one session of their agent; jobs with ephemeral_with_summary get
    the report of the previous run. Prints {"status": "ok", "sessions": [...]}: job_id, session_mode, runner,
    session_id, the beginning of the summary, and the run that left it. With a JOB_ID, the whole summary. Secrets are
    masked.

    `reset` forgets the session, so that the next run starts without it; the agent's own files stay. Prints whether
    there was one.

    \b
    Example:
      python3 main.py sessions reset daily-report
    """
    if len(words) == 2 and words[0] == "reset":
        with app.session() as session:
            if not session.store.definitions.ever_existed(words[1]):
                raise _unknown(words[1])
            show(
                app,
                {"status": "ok", "job_id": words[1], "was_kept": session.store.sessions.reset(words[1])},
                "sessions",
            )
        return
    if len(words) > 1:
        message = "sessions takes one JOB_ID, or reset and a JOB_ID"
        raise UsageError(message, hint="See: python3 main.py sessions --help")
    with app.session(read_only=True) as session:
        if words and not session.store.definitions.ever_existed(words[0]):
            if words[0] == "reset":
                raise UsageError("sessions reset needs a JOB_ID", hint="Write: python3 main.py sessions reset JOB_ID")
            raise _unknown(words[0])
        jobs = {str(row["job_id"]): row["definition"] for row in session.store.definitions.table(app.clock.now())}
        stored = [kept for kept in session.store.sessions.all() if not words or kept.job_id == words[0]]
        masks = {kept.job_id: app.redactor(session.job(kept.job_id)) for kept in stored}
    reports = [_report(kept, jobs.get(kept.job_id), masks[kept.job_id], whole=bool(words)) for kept in stored]
    show(app, {"status": "ok", "sessions": reports}, "sessions")


class SessionReport(TypedDict):
    """What a job's last run left: the agent's session (null for none), its summary, and when (UTC text)."""

    job_id: str
    session_mode: object
    runner: str
    session_id: str | None
    summary: str
    run_id: str
    updated_at: str


def _report(kept: AgentSession, definition: object, mask: Redactor, *, whole: bool) -> SessionReport:
    # Masked before it is cut: half a secret could not be recognised.
    text = mask.text(kept.summary)
    summary = text if whole or len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return {
        "job_id": kept.job_id,
        "session_mode": definition.get("session_mode") if isinstance(definition, dict) else None,
        "runner": kept.runner,
        # It is stored unmasked, because the agent gets it back. An agent may make it from a secret variable.
        "session_id": mask.text(kept.session_id) or None,
        "summary": summary,
        "run_id": kept.run_id,
        "updated_at": kept.updated_at,
    }


def _unknown(job_id: str) -> JobNotFound:
    hint = "See the names: python3 main.py list"
    return JobNotFound(f"There is no job {job_id}", hint=hint, details={"job_id": job_id})
