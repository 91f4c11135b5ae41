"""How a target is run: one file for each way, found in one dictionary and imported on first use."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import cast

from core.invocation import Invocation
from core.invocation_errors import RunnerNotFound
from invocation.runners.base import INSTALL_HINT, Host, Runner

#: Names and modules. Each module has its runner as `RUNNER`. Agents come after these two, in the order of the settings.
RUNNERS = {
    "command": "invocation.runners.command",
    "invoke": "invocation.runners.invoke",
    "claude": "invocation.runners.claude",
    "codex": "invocation.runners.codex",
    "gemini": "invocation.runners.gemini",
}
AGENTS = ("claude", "codex", "gemini")


def choose(invocation: Invocation, folder: Path, host: Host) -> Runner:
    """The runner that the invocation names, or the first that fits the target. Raises RunnerNotFound."""
    if invocation.runner is not None:
        return _named(invocation.runner)
    tried = [name for name in RUNNERS if name not in AGENTS] + list(host.agents)
    reasons, installs = [], []
    for name in tried:
        runner = _named(name)
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


def _named(name: str) -> Runner:
    module = RUNNERS.get(name)
    if module is None:
        raise RunnerNotFound(f"there is no runner {name}", hint=f"Use one of: {', '.join(RUNNERS)}.")
    return cast(Runner, import_module(module).RUNNER)
