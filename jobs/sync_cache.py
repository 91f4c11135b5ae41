"""Which entries of a jobs file are known to be good, so that a sync checks only those that have changed.

An entry is known when the very same one was found good by the same rules, and has left its mark then. What the database
holds of it is asked anew each time: with each mark stands that of the stored definition.
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

#: Hexadecimal digits of a mark: half of what makes a chance likeness unthinkable, and short enough for many jobs.
_LENGTH = 16
#: Libraries that have a say in what a good entry is.
_LIBRARIES = ("annotated-types", "croniter", "jsonschema", "pydantic", "pydantic-core", "referencing", "tzdata")
_PROGRAM = Path(__file__).resolve().parent.parent


class CachedJob:
    """A job whose entry is known to be good; `stored` is the mark of the definition that was stored for it."""

    __slots__ = ("_entry", "_make", "job_id", "stored", "timezone")

    def __init__(self, entry: Mapping[str, Any], stored: str, make: Callable[[object], Job]) -> None:
        self.job_id: str = entry["job_id"]
        self.timezone: str | None = entry.get("timezone")
        self.stored = stored
        self._entry = entry
        self._make = make

    def is_stored_as(self, definition: str) -> bool:
        """Whether a definition is the one that was stored for this entry."""
        return digest(definition) == self.stored

    def load(self) -> Job:
        """The job itself."""
        return self._make(self._entry)


class SyncCache:
    """The marks of one file's entries, beside those of the file that was synced last.

    `text` is what `text` of an earlier one gave; of other rules, or damaged, it says nothing.
    """

    def __init__(self, rules: str, text: str) -> None:
        self._rules = rules
        self._old = _digests(rules, text)
        self._new: dict[str, str] = {}

    def job(self, entry: Mapping[str, Any], make: Callable[[object], Job]) -> CachedJob | None:
        """The job of an entry that is known, else None; either way its mark is taken. `make` makes the job itself."""
        job_id = entry.get("job_id")
        if not isinstance(job_id, str):
            return None
        made = self._new[job_id] = digest(repr(entry))
        old = self._old.get(job_id, "")
        return CachedJob(entry, old[_LENGTH:], make) if old[:_LENGTH] == made else None

    def text(self, definitions: Mapping[str, str]) -> str | None:
        """What is to be remembered of this file, all of it being good; None when that is what was remembered before.

        `definitions` by job_id: what is stored now for those entries that were not known, or stored otherwise.
        """
        if not definitions and self._new.keys() == self._old.keys():
            return None
        jobs = {
            job_id: made + (digest(definitions[job_id]) if job_id in definitions else self._old[job_id][_LENGTH:])
            for job_id, made in self._new.items()
        }
        return json.dumps({"rules": self._rules, "jobs": jobs}, separators=(",", ":"))


def digest(text: str) -> str:
    """A short digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def rules_in_force(default_zone: str) -> str:
    """A digest of all that decides, besides the entry itself, whether an entry is good.

    That are the program's sources (by size and time, as Python itself knows whether to compile them anew), the
    libraries, the zones of the machine, and the zone that stands for none.
    """
    return hashlib.sha256("\n".join([default_zone, *_surroundings()]).encode()).hexdigest()


# Once a process: one that goes on through an update checks by the rules that it began with, and must not say otherwise.
@functools.cache
def _surroundings() -> tuple[str, ...]:
    zones = (_look(Path(folder, name)) for folder in TZPATH for name in ("", "tzdata.zi", "+VERSION"))
    return (sys.version, *_sources(), *map(_version, _LIBRARIES), *zones)


def _digests(rules: str, text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
        if found["rules"] != rules:
            return {}
        return {str(job_id): str(pair) for job_id, pair in found["jobs"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _sources() -> Iterator[str]:
    for folder in (_PROGRAM / name for name in ("core", "jobs", "schedules")):
        for name in sorted(name for name in os.listdir(folder) if name.endswith(".py")):
            yield _look(folder / name)


def _look(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return f"{path} none"
    return f"{path} {found.st_ino} {found.st_size} {found.st_mtime_ns}"


def _version(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return f"{name} none"
