"""How a target is run: one file for each way, found in one dictionary and imported on first use."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import cast

from errors import RunnerNotFound
from models import Invocation
from runners.base import Runner

#: Names and modules, in the order in which they are tried. Each module has its runner as `RUNNER`.
RUNNERS = {
    "command": "runners.command",
    "invoke": "runners.invoke",
}


def choose(invocation: Invocation, folder: Path) -> Runner:
    """The runner that the invocation names, or the first that fits the target. Raises RunnerNotFound."""
    if invocation.runner is not None:
        return _named(invocation.runner)
    for name in RUNNERS:
        runner = _named(name)
        if runner.fits(invocation, folder):
            return runner
    target = invocation.request.target
    raise RunnerNotFound(
        f"target {target}: nothing says how to run it",
        hint=f"Give the job a command, or put an executable file invoke into {folder}.",
        details={"target": target, "folder": str(folder), "tried": list(RUNNERS)},
    )


def _named(name: str) -> Runner:
    module = RUNNERS.get(name)
    if module is None:
        raise RunnerNotFound(f"there is no runner {name}", hint=f"Use one of: {', '.join(RUNNERS)}.")
    return cast(Runner, import_module(module).RUNNER)
