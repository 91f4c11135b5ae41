"""How a target is run: a file for each way, on the base of `base.py`; the agents have a folder of their own.

They are found by listing both folders, and imported on first use. It may import `core` and `system`. A new way to run a
target is one new file here, a new agent one in `agents/`.
"""

from __future__ import annotations

from pathlib import Path

from core.invocation import Invocation
from core.invocation_errors import RunnerNotFound
from core.kinds import AGENTS, RUNNERS
from invocation.runners.base import INSTALL_HINT, Host, Runner


def choose(invocation: Invocation, folder: Path, host: Host) -> Runner:
    """The runner that the invocation names, or the first that fits the target. Raises RunnerNotFound."""
    if invocation.runner is not None:
        return named(invocation.runner)
    programs = sorted((named(name) for name in RUNNERS if name not in AGENTS), key=lambda runner: runner.order)
    # Agents come after these, in the order of the settings.
    tried = [runner.name for runner in programs] + list(host.agents)
    reasons, installs = [], []
    for name in tried:
        runner = named(name)
        if runner.fits(invocation, folder):
            if not (reason := runner.lacks(host)):
                return runner
            reasons.append(reason)
            installs.append(runner.install)
    target = invocation.request.target
    missing = f": {'; '.join(reasons)}" if reasons else ": nothing says how to run it"
    raise RunnerNotFound(
        f"target {target}{missing}",
        hint=" ".join([*installs, INSTALL_HINT])
        if reasons
        else f"Give the job a command, or put an executable file invoke, or a CLAUDE.md for an agent, into {folder}.",
        details={"target": target, "folder": str(folder), "tried": tried},
    )


def named(name: str) -> Runner:
    """The runner of that name. Raises RunnerNotFound."""
    if name not in RUNNERS:
        raise RunnerNotFound(f"there is no runner {name}", hint=f"Use one of: {', '.join(RUNNERS)}.")
    runner: Runner = RUNNERS[name]
    return runner
