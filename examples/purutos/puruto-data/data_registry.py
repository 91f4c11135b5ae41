"""What puruto-data keeps: the registry of siblings and the files under shared/. Reading only."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from data_archive import REGISTRY, SHARED, shown

#: datetime.UTC is younger than the oldest Python that runs this.
UTC = timezone(timedelta(0))
#: Source: docs/design.md "A target".
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MAX_REGISTRY_BYTES = 8 * 1024 * 1024
MAX_LISTED = 500


class RegistryInvalid(Exception):
    """registry.json can't be used; `problems` says why, a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Registry:
    """registry.json as it is, and the names in it."""

    document: dict[str, object]
    names: list[str]


def read_registry(folder: Path) -> Registry:
    """The registry of `folder`. Raises RegistryInvalid unless it has the form of docs/contract.md "Invocation"."""
    document = _load(folder / REGISTRY)
    if not isinstance(document, dict):
        raise RegistryInvalid(["the root must be an object"])
    problems = [] if document.get("version") == "1" else [f'version must be "1", not {document.get("version")!r}']
    purutos = document.get("purutos")
    if not isinstance(purutos, list):
        raise RegistryInvalid([*problems, "purutos must be a list"])
    problems += _entry_problems(purutos)
    if problems:
        raise RegistryInvalid(problems)
    return Registry(document, [entry["name"] for entry in purutos])


@dataclass(frozen=True)
class Shared:
    """What is below shared/: the first MAX_LISTED files and links in order of path, and the number and bytes of all.

    Each of `files` has `path` (relative to shared/) and either `bytes` and `modified` (UTC) or `link_to`.
    `unreadable` has folders with reasons.
    """

    files: list[dict[str, object]]
    total: int
    size: int
    unreadable: list[str]


def list_shared(folder: Path) -> Shared:
    """The files below shared/ of `folder`; links are listed and not followed. A missing shared/ is unreadable."""
    unreadable: list[str] = []

    def note(fault: OSError) -> None:
        unreadable.append(f"{shown(os.path.relpath(fault.filename, folder))}: {fault.strerror}")

    paths = []
    for here, folders, files in os.walk(folder / SHARED, onerror=note):
        links = [name for name in folders if os.path.islink(os.path.join(here, name))]
        paths += [os.path.join(here, name) for name in files + links]
    found = [entry for path in sorted(paths) if (entry := _describe(path, folder / SHARED))]
    sizes = [entry.get("bytes", 0) for entry in found]
    return Shared(found[:MAX_LISTED], len(found), sum(size for size in sizes if isinstance(size, int)), unreadable)


def utc_text(seconds: float) -> str:
    """`2026-02-25T20:00:00+00:00`, or "" for a time that no calendar has."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return ""


def _load(path: Path) -> object:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise RegistryInvalid([f"{REGISTRY} is not a file"])
        if found.st_size > MAX_REGISTRY_BYTES:
            raise RegistryInvalid([f"{REGISTRY} is larger than {MAX_REGISTRY_BYTES} bytes"])
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise RegistryInvalid([f"{REGISTRY} is missing"]) from None
    except OSError as fault:
        raise RegistryInvalid([f"{REGISTRY} can't be read: {fault.strerror}"]) from None
    except json.JSONDecodeError as fault:
        where = f"line {fault.lineno}, column {fault.colno}"
        raise RegistryInvalid([f"{REGISTRY} is not JSON: {fault.msg} at {where}"]) from None
    except (ValueError, RecursionError) as fault:
        raise RegistryInvalid([f"{REGISTRY} is not JSON in UTF-8: {fault}"]) from None


def _entry_problems(purutos: list[object]) -> list[str]:
    problems = []
    seen: set[object] = set()
    for number, entry in enumerate(purutos):
        where = f"purutos[{number}]"
        if not isinstance(entry, dict):
            problems.append(f"{where} must be an object")
            continue
        problems += [f"{where}.{problem}" for problem in _field_problems(entry)]
        name = entry.get("name")
        if isinstance(name, str) and name in seen:
            problems.append(f"{where}.name {name!r} is there twice")
        elif isinstance(name, str):
            seen.add(name)
    return problems


def _field_problems(entry: Mapping[str, object]) -> list[str]:
    required = ("name", "folder", "registered_at")
    problems = [f"{key} must be a text" for key in required if not isinstance(entry.get(key), str)]
    name = entry.get("name")
    if isinstance(name, str) and not NAME.fullmatch(name):
        problems.append(f"name {name!r} is not the name of a Puruto")
    if not isinstance(entry.get("path", ""), str):
        problems.append("path must be a text")
    return problems


def _describe(path: str, shared: Path) -> dict[str, object]:
    """{} for what has vanished since it was listed."""
    name = shown(os.path.relpath(path, shared))
    try:
        found = os.stat(path, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            return {"path": name, "link_to": shown(os.readlink(path))}
    except OSError:
        return {}
    return {"path": name, "bytes": found.st_size, "modified": utc_text(found.st_mtime)}
