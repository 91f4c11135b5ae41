"""Completes the names of jobs and runs in a shell. Source: `shell_complete` of click."""

from __future__ import annotations

from collections.abc import Callable

import click

from app.app import App
from core.boundary import Failure, guarded
from store.names import Names


def job_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's form
    """Jobs whose name begins so; none if they can't be read, because the shell can't show an error."""
    return _read(ctx, lambda names: names.jobs(incomplete))


def run_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's form
    """The newest runs whose ID begins so."""
    return _read(ctx, lambda names: names.runs(incomplete))


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
