"""Paths that people copy: they stay on one line, and are quoted where a shell needs it. Imports no library.

A blank at which no line may be broken is a JOINT while a text is drawn; `Screen.shown` makes it a blank again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from core.shell import quoted

#: Of a private plane of Unicode: no text of ours has it, and it is one cell wide.
JOINT = "\U000fe0d1"
#: Fields of reports and errors that hold a path, or a list of paths.
PATHS = frozenset(
    ("path", "file", "folder", "target", "output_dir", "database", "program", "root", "log", "looked_at", "source")
)
_DEEPEST = 12


def joined(report: Any, places: Iterable[str] = ()) -> Any:
    """A copy of a report with joints in the paths of `places`, and in those that it has in its own fields."""
    found = {path for path in (*places, *_paths_in(report, 0)) if " " in path.strip()}
    pairs = [(path, path.replace(" ", JOINT)) for path in sorted(found, key=len, reverse=True)]
    return _replaced(report, pairs) if pairs else report


def pasted(path: object) -> str:
    """A path as a shell reads it: quoted if it has a character that a shell obeys, not for an accent."""
    text = str(path or "")
    return text if re.fullmatch(r"[\w@%+=:,./-]*", text) else quoted(text)


def _paths_in(value: object, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        for name, member in value.items():
            if isinstance(member, Mapping | list | tuple):
                yield from _paths_in(member, depth + 1)
            if name in PATHS:
                texts = member if isinstance(member, list | tuple) else (member,)
                yield from (text for text in texts if isinstance(text, str) and _is_path(text))
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _paths_in(member, depth + 1)


def _is_path(text: str) -> bool:
    return text.startswith("/") and "\n" not in text


def _replaced(value: Any, pairs: list[tuple[str, str]]) -> Any:
    if isinstance(value, str):
        for path, whole in pairs:
            value = value.replace(path, whole)
        return value
    if isinstance(value, Mapping):
        return {name: _replaced(member, pairs) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(member, pairs) for member in value]
    return value
