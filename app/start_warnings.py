"""Warnings about jobs whose program can't be started as they are written."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from core.boundary import Failure, guarded
from core.invocation_errors import IpcError, PromptFileInvalid, PromptFileMissing, TargetNotFound, codes
from core.listing import sentences

if TYPE_CHECKING:
    from app.app import App
    from core.job import Job
    from reports.health import WarningEntry

#: The most jobs of a file that are named.
_MOST = 20
#: What `commands.job_options.target_warnings` tells.
_TOLD = (TargetNotFound.code, PromptFileMissing.code, PromptFileInvalid.code)
#: A bug of ours is logged, and no fault of the job.
_KNOWN = codes() - {*_TOLD}


def start_warnings(app: App, jobs: Iterable[Job]) -> list[WarningEntry]:
    """A warning for each of these jobs of which no program could be started now; the first few.

    What is wrong with the target or the prompt file is told elsewhere.
    """
    from invocation.dry_run import DryRun

    dry_run = DryRun(app.targets(), app.policy(), app.host())
    warnings: list[WarningEntry] = []
    for job in jobs:
        obstacle = guarded(partial(dry_run.obstacle, job))
        if obstacle is None or (isinstance(obstacle, Failure) and obstacle.code not in _KNOWN):
            continue
        code = "COMMAND_UNUSABLE" if isinstance(obstacle, IpcError) else obstacle.code
        hint = obstacle.hint if isinstance(obstacle, IpcError) else str(obstacle.details.get("hint") or "")
        text = sentences(f"The job {job.job_id} could not start now: {obstacle.message}", hint)
        warnings.append({"code": code, "message": app.redactor(job).text(text)})
        if len(warnings) == _MOST:
            break
    return warnings
