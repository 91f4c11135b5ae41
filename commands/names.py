"""Completes the names of jobs and runs in a shell. Source: `shell_complete` of click."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

import click

from app.app import App
from core.boundary import Failure, guarded
from core.errors import CronError, JobNotFound, RunNotFound, UsageError
from core.listing import sentences
from core.suggest import did_you_mean
from store.names import Names

#: The most names with which a wrong one is compared.
_MOST_COMPARED = 2_000


def job_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's form
    """Jobs whose name begins so; none if they can't be read, because the shell can't show an error."""
    return _read(ctx, lambda names: names.jobs(incomplete))


def run_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's form
    """The newest runs whose ID begins so."""
    return _read(ctx, lambda names: names.runs(incomplete))


def target_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's form
    """Targets whose name begins so: the siblings, and what the registry names."""
    app = ctx.find_object(App)
    found = None if app is None else guarded(lambda: app.targets().names())
    return [name for name in found if name.startswith(incomplete)] if isinstance(found, list) else []


def with_suggestion(app: App, error: CronError, argv: Sequence[str] = ()) -> CronError:
    """The error. If it is about a job or a run that does not exist, it says what has become of it, or what was meant.

    `argv` is the command line; with another name in it, it may be what the hint says.
    """
    job_id, run_id = (str(error.details.get(key) or "") for key in ("job_id", "run_id"))
    is_run = isinstance(error, RunNotFound) or error.code == UsageError.code
    if not ((run_id and is_run) or (job_id and isinstance(error, JobNotFound))):
        return error

    def explain() -> None:
        with app.session(read_only=True) as session:
            names, definitions = Names(session.store.db), session.store.definitions
            new = definitions.new_name(run_id if is_run else job_id)
            if new:
                _explain_rename(error, names, run_id if is_run else job_id, new, argv)
            elif "Did you mean" in error.hint:
                return
            elif is_run:
                error.hint = _meant_run(names, run_id, error.hint)
            else:
                if (
                    definitions.ever_existed(job_id)
                    and not definitions.is_active(job_id)
                    and "sync" not in error.details
                ):
                    error.message = f"There is no job {job_id} any more: it was removed from .jobs.json"
                    error.hint = sentences(error.hint, f"Its history is kept: python3 main.py history {job_id}")
                error.hint = did_you_mean(job_id, names.jobs("", most=_MOST_COMPARED), error.hint)

    guarded(explain)
    return error


def _explain_rename(error: CronError, names: Names, old: str, new: str, argv: Sequence[str]) -> None:
    error.details["renamed_to"] = new
    if isinstance(error, JobNotFound):
        error.message = f"There is no job {old}: it is called {new} now"
        words = [new if word == old else word for word in argv]
        error.hint = f"Run: python3 main.py {shlex.join(words)}" if old in argv else f"Use its new name, {new}"
        return
    error.message = f"{error.message}: that is the old name of the job {new}"
    error.hint = did_you_mean(old, [run_id for run_id in (names.last_run(new),) if run_id], error.hint, cutoff=0)


def _meant_run(names: Names, run_id: str, hint: str) -> str:
    # A job was named, or the end was left out: its newest run.
    begin_so = names.runs(run_id)
    if begin_so:
        return did_you_mean(run_id, begin_so[:1], hint, cutoff=0)
    return did_you_mean(run_id, names.runs("", most=_MOST_COMPARED), hint, cutoff=0.85)


def running_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """The running runs whose ID begins so."""
    return _read(ctx, lambda names: names.runs(incomplete, running=True))


def session_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Completes the arguments of `sessions`: a job, or the word reset and a job."""
    given = tuple(ctx.params.get(param.name or "") or ())
    if given not in ((), ("reset",)):
        return []
    word = ["reset"] if not given and "reset".startswith(incomplete) else []
    return [*word, *(name for name in job_names(ctx, param, incomplete) if name not in word)]


def _read(ctx: click.Context, read: Callable[[Names], list[str]]) -> list[str]:
    app = ctx.find_object(App)
    if app is None:
        return []

    def names() -> list[str]:
        with app.session(read_only=True) as session:
            return read(Names(session.store.db))

    result = guarded(names)
    return [] if isinstance(result, Failure) else result
