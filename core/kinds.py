"""Kinds that declare themselves: a file each, found by listing the folder of their package, imported on first use.

Most who ask need only know which kinds there are: for the choices of a field, of a setting. Those are the names of the
files, so nothing is imported to tell them. This module knows the packages by name only and imports nothing of ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from typing import Any

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Kinds:
    """The kinds of some packages by their names, in the order of the packages and then of the alphabet.

    A kind is a module; its name is the module's, with dashes for underscores, and what it declares is its `KIND`. A
    package's `base` is no kind, and neither are the modules named in `besides`, which stand in the same folder.
    """

    def __init__(self, *packages: str, besides: tuple[str, ...] = ()) -> None:
        self._packages = packages
        self._besides = {"base", *besides}

    @cached_property
    def modules(self) -> dict[str, str]:
        """The name of each kind, and of the module that declares it."""
        return {
            module.replace("_", "-"): f"{package}.{module}"
            for package in self._packages
            for module in sorted(_modules_in(os.path.join(_ROOT, *package.split("."))))
            if module not in self._besides
        }

    def __getitem__(self, name: str) -> Any:
        """What the kind declares. Raises KeyError when there is none of that name."""
        return import_module(self.modules[name]).KIND

    def __iter__(self) -> Iterator[str]:
        return iter(self.modules)

    def __len__(self) -> int:
        return len(self.modules)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.modules


def _modules_in(folder: str) -> Iterator[str]:
    for name in os.listdir(folder):
        stem, ending = os.path.splitext(name)
        if ending == ".py" and not stem.startswith("_"):
            yield stem


#: Agents: programs that are given a prompt and answer it.
AGENTS = Kinds("invocation.runners.agents")
#: All ways to run a target. Those that look at the job or the target come before the agents.
RUNNERS = Kinds("invocation.runners", "invocation.runners.agents")
#: Where events go.
CHANNELS = Kinds("channels", besides=("jsonl", "ping"))
#: What may keep a run from starting.
GATES = Kinds("gates")


def choices_of_notify_channel() -> tuple[str, ...]:
    """The channels that a job can select, and `none`."""
    return (*(name for name in CHANNELS if not CHANNELS[name].always), "none")
