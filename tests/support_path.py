"""The PATH of the tests: all programs of this machine but the agents, so that no test starts one that costs money."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from core.kinds import AGENTS
from invocation.runners.agents import base


def hide_agents() -> None:
    """From now on no agent of this machine is found, neither here nor by what is started from here."""
    os.environ["PATH"] = without_agents(os.environ.get("PATH", os.defpath))
    vars(base)["_USUAL_FOLDERS"] = own_folders(base._USUAL_FOLDERS)


def own_folders(folders: tuple[str, ...]) -> tuple[str, ...]:
    """The folders in which agents are looked for, without those that do not lie in a test's own home."""
    return tuple(folder for folder in folders if folder.startswith("~/"))


def without_agents(path: str) -> str:
    """A PATH with the same programs in the same order, but no agent.

    A folder with an agent is replaced by one with links to all its other programs, which is removed at the end.
    """
    return os.pathsep.join(_without_agents(folder) for folder in path.split(os.pathsep))


def _without_agents(folder: str) -> str:
    if not any(os.path.lexists(os.path.join(folder, name)) for name in AGENTS):
        return folder
    copy = Path(tempfile.mkdtemp(prefix="puruto-cron-path-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    for name in os.listdir(folder or "."):
        if name not in AGENTS:
            (copy / name).symlink_to(os.path.abspath(os.path.join(folder, name)))
    return str(copy)
