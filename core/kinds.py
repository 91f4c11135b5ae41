"""Finds kinds, like runners or channels: one file each in the folder of a package, imported on first use.

Most callers need only the names, as the choices of a field or a setting. These are the names of the files, so
nothing is imported to list them. This module knows the packages only by name, and imports none of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from typing import Any

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Kinds:
    """The kinds in some packages by name, in the order of the packages, and sorted within each.

    A kind is a module with a `KIND`; its name is the module's, with dashes for underscores. The module `base` of a
    package is not a kind, nor are the modules named in `besides`.
    """

    def __init__(self, *packages: str, besides: tuple[str, ...] = ()) -> None:
        self._packages = packages
        self._besides = {"base", *besides}

    @cached_property
    def modules(self) -> dict[str, str]:
        """The name of each kind, with the module that declares it."""
        return {
            module.replace("_", "-"): f"{package}.{module}"
            for package in self._packages
            for module in sorted(_modules_in(os.path.join(_ROOT, *package.split("."))))
            if module not in self._besides
        }

    def __getitem__(self, name: str) -> Any:
        """The `KIND` of a module. Raises KeyError if there is no kind of that name."""
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


#: Agents: programs that get a prompt and answer it.
AGENTS = Kinds("invocation.runners.agents", besides=("outcomes",))
#: All ways to run a target. The agents come last.
RUNNERS = Kinds("invocation.runners", "invocation.runners.agents", besides=("outcomes",))
#: Where events are sent.
CHANNELS = Kinds("channels", besides=("jsonl", "ping"))
#: Checks that may keep a run from starting.
GATES = Kinds("gates")


def choices_of_notify_channel() -> tuple[str, ...]:
    """The channels that a job can select, and `none`."""
    return (*(name for name in CHANNELS if not CHANNELS[name].always), "none")
