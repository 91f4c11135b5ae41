"""What a run of a job would be: its request, target, arguments and environment. Starts nothing, writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from core.invocation import Session
from core.job import JobState
from core.run import ClaimedRun, Trigger
from execution import requests
from execution.attempt import first_context
from invocation import runners
from invocation.policy import PolicyFile
from invocation.runners.base import Host
from invocation.targets import Targets
from invoker import child_environment

#: Stands for what a run would be given when it starts.
RUN_ID = "RUN_ID"


@dataclass(frozen=True)
class DryRun:
    """What the way down to a process is made of."""

    targets: Targets
    policy: PolicyFile
    host: Host
    runs_folder: str

    def of(self, state: JobState, remembered: Session | None, now: datetime) -> Mapping[str, object]:
        """The first call of a first attempt, secrets and all. Raises `InvocationError` where it could not start."""
        job = state.job
        run = ClaimedRun(RUN_ID, job, Trigger.MANUAL, "", now, None, None, timezone=state.timezone)
        invocation = requests.invocation(
            run,
            requests.Ids("req-…", "corr-…", 1, 1),
            first_context(job, remembered),
            timeout_sec=job.timeout_sec,
            runs_folder=self.runs_folder,
            hop=0,
            now=now,
        )
        self.policy.check(invocation.request)
        folder = self.targets.resolve(job.puruto_target)
        runner = runners.choose(invocation, folder, self.host)
        launch = runner.launch(invocation, folder, self.host)
        request_file = Path(invocation.run_folder) / f"{invocation.stem}.request.json"
        return {
            "target": str(folder),
            "runner": runner.name,
            "argv": list(launch.argv),
            "stdin": invocation.request.as_dict() if launch.request_on_stdin else launch.stdin,
            "prompt": launch.stdin or job.prompt,
            "environment": child_environment(self.host.variables, invocation, request_file, launch.env),
            "timeout_sec": job.timeout_sec,
        }
