"""A dry run of an invocation: its target, arguments and environment. It starts nothing and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from core.invocation import AgentOptions, Invocation, InvocationRequest
from core.invocation_errors import IpcError
from core.job import Job
from invocation import prompt_file, runners
from invocation.child_environment import child_environment
from invocation.policy import PolicyFile
from invocation.runners.base import Host
from invocation.targets import Targets
from system.start_errors import find_obstacle


class PlannedStart(TypedDict):
    """What would be started. Secrets are not masked.

    `prompt_sha256` is the digest of the prompt file, null without one.
    `stdin` is the request as an object, the text on standard input, or null for none.
    """

    target: str
    runner: str
    argv: list[str]
    stdin: Mapping[str, object] | str | None
    prompt: str
    prompt_sha256: str | None
    environment: dict[str, str]
    timeout_sec: int


def call_of(job: Job) -> Invocation:
    """The call that a run of the job would make, as far as it is known before the run."""
    request = InvocationRequest("", "", "puruto-cron", job.puruto_target, "run", job.prompt, job.timeout_sec, 0, "", {})
    return Invocation(
        request=request,
        attempt=1,
        run_folder="",
        run_id="",
        job_id=job.job_id,
        runner=job.runner,
        command=tuple(job.command or ()),
        prompt_file=job.prompt_file or "",
        env=job.env,
        allow_env=tuple(job.allow_env),
        agent=AgentOptions.of(job),
    )


def obstacle_of(start: PlannedStart) -> IpcError | None:
    """Why the program of this start could not be started: it is not there, or can't be executed. None if it could."""
    return find_obstacle(start["argv"], Path(start["target"]), start["environment"])


@dataclass(frozen=True)
class DryRun:
    """All steps of an invocation before the start of its process."""

    targets: Targets
    policy: PolicyFile
    host: Host

    def of(self, invocation: Invocation) -> PlannedStart:
        """What would be started. Raises `InvocationError` if it could not start."""
        request = invocation.request
        self.policy.check(request)
        folder = self.targets.resolve(request.target)
        invocation, prompt = prompt_file.filled(invocation, folder)
        request = invocation.request
        runner = runners.choose(invocation, folder, self.host)
        launch = runner.launch(invocation, folder, self.host)
        request_file = Path(invocation.run_folder) / f"{invocation.stem}.request.json"
        return {
            "target": str(folder),
            "runner": runner.name,
            "argv": list(launch.argv),
            "stdin": request.as_dict() if launch.request_on_stdin else launch.stdin,
            "prompt": launch.stdin or request.prompt,
            "prompt_sha256": None if prompt is None else prompt.sha256,
            "environment": child_environment(self.host.variables, invocation, request_file, launch.env),
            "timeout_sec": request.timeout_sec,
        }

    def obstacle(self, job: Job) -> IpcError | None:
        """Why the program of a job could not be started; None if it could. Raises what `of` raises."""
        return obstacle_of(self.of(call_of(job)))
