"""The list of commands: the files in this folder with a constant `PLACE`, their group and position in `--help`.

The name of a file is the name of its command, with underscores for dashes. Files are read and not imported, to be fast.
"""

from __future__ import annotations

import functools
import os
import re

_FOLDER = os.path.dirname(os.path.abspath(__file__))
#: The groups of `--help`, in their order; other groups that commands name come after them.
_GROUPS = ("Running", "Looking", "Editing .jobs.json", "Installing and checking")
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_PLACE = re.compile(rb'^PLACE = \("([^"\n]+)", (\d+)\)$', re.MULTILINE)


def is_command(name: str) -> bool:
    """Whether there is a command of that name."""
    return _NAME.fullmatch(name) is not None and _place(f"{name.replace('-', '_')}.py") is not None


def module_of(name: str) -> str:
    """The name of the module of an existing command."""
    return f"{__package__}.{name.replace('-', '_')}"


@functools.cache
def groups() -> dict[str, tuple[str, ...]]:
    """The names of all commands by the title of their group, both in the order of the help."""
    commands: dict[str, list[tuple[int, str]]] = {title: [] for title in _GROUPS}
    for file in sorted(os.listdir(_FOLDER)):
        place = _place(file) if file.endswith(".py") else None
        if place is not None:
            title, number = place
            commands.setdefault(title, []).append((number, file.removesuffix(".py").replace("_", "-")))
    return {title: tuple(name for _, name in sorted(group)) for title, group in commands.items() if group}


def names() -> list[str]:
    """All names, in the order of the help."""
    return [name for group in groups().values() for name in group]


def _place(file: str) -> tuple[str, int] | None:
    """The group, and the position in it, of the command in a file; None if the file has no command."""
    try:
        with open(os.path.join(_FOLDER, file), "rb") as source:
            match = _PLACE.search(source.read())
    except OSError:
        return None
    return None if match is None else (match[1].decode(), int(match[2]))
