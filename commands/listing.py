"""Which commands there are: the files of this folder that say by `PLACE` where they stand in `--help`.

A file's name is its command's, with underscores for dashes. To tell its place nothing is imported: its text is read.
"""

from __future__ import annotations

import functools
import os
import re

_FOLDER = os.path.dirname(os.path.abspath(__file__))
#: The groups of `--help`, in their order; a group that a command invents stands after them.
_GROUPS = ("Running", "Looking", "Editing .jobs.json", "Installing and checking")
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_PLACE = re.compile(rb'^PLACE = \("([^"\n]+)", (\d+)\)$', re.MULTILINE)


def is_command(name: str) -> bool:
    """Whether there is a command of that name."""
    return _NAME.fullmatch(name) is not None and _place(f"{name.replace('-', '_')}.py") is not None


def module_of(name: str) -> str:
    """The module of a command that there is, to be imported."""
    return f"{__package__}.{name.replace('-', '_')}"


@functools.cache
def groups() -> dict[str, tuple[str, ...]]:
    """The names of all commands by the title of their group, both in the order of the help."""
    found: dict[str, list[tuple[int, str]]] = {title: [] for title in _GROUPS}
    for file in sorted(os.listdir(_FOLDER)):
        place = _place(file) if file.endswith(".py") else None
        if place is not None:
            title, number = place
            found.setdefault(title, []).append((number, file.removesuffix(".py").replace("_", "-")))
    return {title: tuple(name for _, name in sorted(group)) for title, group in found.items() if group}


def names() -> list[str]:
    """All names, in the order of the help."""
    return [name for group in groups().values() for name in group]


def _place(file: str) -> tuple[str, int] | None:
    """The group, and the number within it, of the command that a file holds; None if it holds none."""
    try:
        with open(os.path.join(_FOLDER, file), "rb") as source:
            said = _PLACE.search(source.read())
    except OSError:
        return None
    return None if said is None else (said[1].decode(), int(said[2]))
