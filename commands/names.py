"""Completes the names of jobs and runs in a shell. Source: `shell_complete` of click."""

from __future__ import annotations

from collections.abc import Callable

import click

from app.app import App
from core.boundary import Failure, guarded
from core.errors import CronError, JobNotFound, RunNotFound, UsageError
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


def with_suggestion(app: App, error: CronError) -> CronError:
    """The error. If it is about a job or a run that does not exist, its hint names the one that was probably meant."""
    job_id, run_id = (str(error.details.get(key) or "") for key in ("job_id", "run_id"))
    is_run = isinstance(error, RunNotFound) or error.code == UsageError.code
    if "Did you mean" in error.hint or not ((run_id and is_run) or (job_id and isinstance(error, JobNotFound))):
        return error

    def hint() -> str:
        with app.session(read_only=True) as session:
            names = Names(session.store.db)
            if not is_run:
                return did_you_mean(job_id, names.jobs("", most=_MOST_COMPARED), error.hint)
            # A job was named, or the end was left out: its newest run.
            begin_so = names.runs(run_id)
            return (
                did_you_mean(run_id, begin_so[:1], error.hint, cutoff=0)
                if begin_so
                else did_you_mean(run_id, names.runs("", most=_MOST_COMPARED), error.hint, cutoff=0.85)
            )

    found = guarded(hint)
    error.hint = error.hint if isinstance(found, Failure) else found
    return error


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
