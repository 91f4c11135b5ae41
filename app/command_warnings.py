"""Warnings about commands of jobs that can't be started as they are written."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from core.boundary import guarded
from core.errors import CronError

if TYPE_CHECKING:
    from app.app import App
    from core.job import Job
    from reports.health import WarningEntry

#: The most jobs of a file that are named.
_MOST = 20


def command_warnings(app: App, jobs: Iterable[Job]) -> list[WarningEntry]:
    """A warning for each of these jobs whose `command` names no program that could be started now; the first few.

    Whatever else prevents a start is told elsewhere.
    """
    from invocation.dry_run import DryRun

    dry_run = DryRun(app.targets(), app.policy(), app.host())
    warnings: list[WarningEntry] = []
    for job in jobs:
        obstacle = guarded(partial(dry_run.obstacle, job)) if job.command else None
        if not isinstance(obstacle, CronError):
            continue
        text = f"The job {job.job_id} could not start now: {obstacle.message}. {obstacle.hint}"
        warnings.append({"code": "COMMAND_UNUSABLE", "message": app.redactor(job).text(text)})
        if len(warnings) == _MOST:
            break
    return warnings
