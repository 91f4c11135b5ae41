"""What a call would be: its target, arguments and environment. Starts nothing, writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.invocation import Invocation
from invocation import runners
from invocation.child_environment import child_environment
from invocation.policy import PolicyFile
from invocation.runners.base import Host
from invocation.targets import Targets


@dataclass(frozen=True)
class DryRun:
    """The way down to a process, up to its start."""

    targets: Targets
    policy: PolicyFile
    host: Host

    def of(self, invocation: Invocation) -> Mapping[str, object]:
        """What would be started, secrets and all. Raises `InvocationError` where it could not start."""
        request = invocation.request
        self.policy.check(request)
        folder = self.targets.resolve(request.target)
        runner = runners.choose(invocation, folder, self.host)
        launch = runner.launch(invocation, folder, self.host)
        request_file = Path(invocation.run_folder) / f"{invocation.stem}.request.json"
        return {
            "target": str(folder),
            "runner": runner.name,
            "argv": list(launch.argv),
            "stdin": request.as_dict() if launch.request_on_stdin else launch.stdin,
            "prompt": launch.stdin or request.prompt,
            "environment": child_environment(self.host.variables, invocation, request_file, launch.env),
            "timeout_sec": request.timeout_sec,
        }
