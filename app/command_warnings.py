"""Warnings about commands of jobs that can't be started as they are written."""

from __future__ import annotations

from collections.abc import Iterable
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
    warnings: list[WarningEntry] = []
    for job in jobs:
        obstacle = start_obstacle(app, job) if job.command else None
        if obstacle is None:
            continue
        text = f"The job {job.job_id} could not start now: {obstacle.message}. {obstacle.hint}"
        warnings.append({"code": "COMMAND_UNUSABLE", "message": app.redactor(job).text(text)})
        if len(warnings) == _MOST:
            break
    return warnings


def start_obstacle(app: App, job: Job) -> CronError | None:
    """Why the program of a job could not be started now; None if it could, or if it is not known which it is."""
    from invocation.dry_run import DryRun

    found = guarded(lambda: DryRun(app.targets(), app.policy(), app.host()).obstacle(job))
    return found if isinstance(found, CronError) else None
