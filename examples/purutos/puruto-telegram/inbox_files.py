"""The small files in db/: files to which lines are appended, and objects that are replaced as a whole."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """The text with U+FFFD for each lone surrogate: JSON may hold one, as an escape, and UTF-8 can't."""
    return _SURROGATE.sub("\ufffd", text)


def append(path: Path, data: bytes) -> None:
    """Appends to the file, and waits until it is on the disk. Raises `OSError`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o600), "ab", buffering=0) as file:
        file.write(data)
        os.fsync(file.fileno())


def replace(path: Path, value: dict[str, Any]) -> None:
    """Replaces the content of the file by the object, completely or not at all. Raises `OSError`."""
    fresh = path.with_name(f"{path.name}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(json.dumps(value).encode())
        file.flush()
        os.fsync(file.fileno())
    put_in_place(fresh, path)


def put_in_place(fresh: Path, path: Path) -> None:
    """Renames `fresh` to `path`, and waits until the folder is on the disk too. Raises `OSError`."""
    os.replace(fresh, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_object(path: Path) -> dict[str, Any]:
    """The object in the file; {} if it can't be read. Source: the contract of db/inbox_offsets.json."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
