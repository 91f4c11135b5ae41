"""Remembers which entries of a jobs file are valid, so that a sync checks only those that have changed.

An entry is cached by its digest, together with a digest of the rules by which it was checked. A second digest, of the
stored definition, tells whether the database still contains that job.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from zoneinfo import TZPATH

from core.job import Job

#: Hexadecimal digits of a digest. 64 bits: collisions are negligible, and many jobs stay small.
_LENGTH = 16
#: Libraries that decide which entries are valid.
_LIBRARIES = ("annotated-types", "croniter", "jsonschema", "pydantic", "pydantic-core", "referencing", "tzdata")
_PROGRAM = Path(__file__).resolve().parent.parent


class CachedJob:
    """A job whose entry is valid. `stored` is the digest of the definition that was stored for it."""

    __slots__ = ("_entry", "_make", "job_id", "stored", "timezone")

    def __init__(self, entry: Mapping[str, Any], stored: str, make: Callable[[object], Job]) -> None:
        self.job_id: str = entry["job_id"]
        self.timezone: str | None = entry.get("timezone")
        self.stored = stored
        self._entry = entry
        self._make = make

    def is_stored_as(self, definition: str) -> bool:
        """Whether this is the definition that was stored for the entry."""
        return digest(definition) == self.stored

    def load(self) -> Job:
        """The job as a `Job`."""
        return self._make(self._entry)


class SyncCache:
    """The digests of the entries of a file, and those of the file that was synced last.

    `text` is the result of `text` of an earlier cache; it is ignored if it is damaged or has other rules.
    """

    def __init__(self, rules: str, text: str) -> None:
        self._rules = rules
        self._old = _digests(rules, text)
        self._new: dict[str, str] = {}

    def job(self, entry: Mapping[str, Any], make: Callable[[object], Job]) -> CachedJob | None:
        """The job of a cached entry, else None. Records the entry's digest. `make` makes the `Job` of an entry."""
        job_id = entry.get("job_id")
        if not isinstance(job_id, str):
            return None
        current = self._new[job_id] = digest(repr(entry))
        old = self._old.get(job_id, "")
        return CachedJob(entry, old[_LENGTH:], make) if old[:_LENGTH] == current else None

    def text(self, definitions: Mapping[str, str]) -> str | None:
        """The text to store for this file, after all of it was found valid; None if it is unchanged.

        `definitions` are the stored definitions, by job_id, of the entries that were not cached.
        """
        if not definitions and self._new.keys() == self._old.keys():
            return None
        jobs = {
            job_id: current + (digest(definitions[job_id]) if job_id in definitions else self._old[job_id][_LENGTH:])
            for job_id, current in self._new.items()
        }
        return json.dumps({"rules": self._rules, "jobs": jobs}, separators=(",", ":"))


def digest(text: str) -> str:
    """The first 64 bits of a text's SHA-256, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def rules_in_force(default_zone: str) -> str:
    """A digest of everything except the entry that decides whether an entry is valid.

    These are the program's sources (by size and time, as Python does it for its .pyc files), the libraries, the
    machine's zones, and the default zone.
    """
    return hashlib.sha256("\n".join([default_zone, *_surroundings()]).encode()).hexdigest()


# Once per process: a process that runs during an update checks by its old rules, and must record those.
@functools.cache
def _surroundings() -> tuple[str, ...]:
    zones = (_file_version(Path(folder, name)) for folder in TZPATH for name in ("", "tzdata.zi", "+VERSION"))
    return (sys.version, *_sources(), *map(_version, _LIBRARIES), *zones)


def _digests(rules: str, text: str) -> dict[str, str]:
    try:
        remembered = json.loads(text)
        if remembered["rules"] != rules:
            return {}
        return {str(job_id): str(pair) for job_id, pair in remembered["jobs"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _sources() -> Iterator[str]:
    for folder in (_PROGRAM / name for name in ("core", "jobs", "schedules")):
        for name in sorted(name for name in os.listdir(folder) if name.endswith(".py")):
            yield _file_version(folder / name)


def _file_version(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return f"{path} none"
    return f"{path} {status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _version(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return f"{name} none"
