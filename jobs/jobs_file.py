"""Reads and checks `.jobs.json`. A file is valid as a whole or refused as a whole.

`checker` and pydantic are imported only when a file is checked: most ticks need neither.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.bounded_file import UnfitFile, read_bounded
from core.errors import JobsFileMissing, JobsFileUnreadable
from core.job import Job
from core.permissions import obstacle
from core.shell import quoted

if TYPE_CHECKING:
    from jobs.messages import JobProblem
    from jobs.sync_cache import CachedJob, SyncCache

#: (schedule, timezone or None) → None; raises ScheduleError or TimezoneError.
CheckSchedule = Callable[[str, str | None], None]

MAX_FILE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class JobsFile:
    """A valid file: its jobs in order, warnings, and the SHA-256 of its bytes in hexadecimal."""

    jobs: tuple[Job, ...]
    warnings: tuple[JobProblem, ...]
    digest: str


def read_jobs(path: Path, check_schedule: CheckSchedule) -> JobsFile:
    """Reads and checks a jobs file. Raises what `read_file` and `parse_jobs` raise."""
    data, _ = read_file(path)
    return parse_jobs(data, str(path), check_schedule)


@dataclass(frozen=True)
class ChangedFile:
    """A valid file of which only the entries that are not cached were checked; otherwise like `JobsFile`."""

    jobs: tuple[Job | CachedJob, ...]
    warnings: tuple[JobProblem, ...]


def read_changes(path: Path, check_schedule: CheckSchedule, cache: SyncCache) -> ChangedFile:
    """Like `read_jobs`, but without checking entries that are in `cache`."""
    data, _ = read_file(path)
    return ChangedFile(*_checked(data, str(path), check_schedule, cache))


def sync_cache_of(default_zone: str, text: str) -> SyncCache:
    """The cache of checked entries. `text` is what the last sync stored of it, or ""."""
    from jobs import sync_cache

    return sync_cache.SyncCache(sync_cache.rules_in_force(default_zone), text)


def read_file(path: Path) -> tuple[bytes, os.stat_result]:
    """The bytes of a jobs file and its stat result. Raises `JobsFileMissing` or `JobsFileUnreadable`."""
    try:
        return read_bounded(path, MAX_FILE_BYTES)
    except UnfitFile as error:
        raise _unreadable(path, error.reason) from None
    except FileNotFoundError:
        reason = "is a broken link" if os.path.islink(path) else "does not exist"
        hint = 'create it; {"jobs": []} is a file without jobs'
        raise JobsFileMissing(f"{path} {reason}", hint=hint, details={"file": str(path)}) from None
    except OSError as error:
        found = obstacle(str(path), write=False)
        if found is not None:
            raise _unreadable(path, f"can't be read: {found.sentence}", found.hint) from None
        raise _unreadable(path, f"can't be read: {error.strerror}", f"see: ls -ld {quoted(path)}") from None


def _unreadable(path: Path, reason: str, hint: str = "replace it with a file with your jobs") -> JobsFileUnreadable:
    return JobsFileUnreadable(f"{path} {reason}", hint=hint, details={"file": str(path)})


def parse_jobs(data: bytes, name: str, check_schedule: CheckSchedule) -> JobsFile:
    """The checked jobs in the bytes of a file. Errors name the file `name`.

    `check_schedule` is called once for each different (schedule, timezone). Raises `JobsFileNotJson`, or
    `JobsFileInvalid` with every fault: `details.problems` (at most 100) and `details.problem_count`.
    """
    import hashlib

    jobs, warnings = _checked(data, name, check_schedule, None)
    return JobsFile(tuple(job for job in jobs if isinstance(job, Job)), warnings, hashlib.sha256(data).hexdigest())


def _checked(
    data: bytes, name: str, check_schedule: CheckSchedule, cache: SyncCache | None
) -> tuple[tuple[Job | CachedJob, ...], tuple[JobProblem, ...]]:
    from jobs import checker, messages, reading

    root, duplicates = reading.load(data, name)
    faults = messages.Faults()
    jobs_and_warnings = checker.check_all(root, duplicates, faults, check_schedule, cache)
    if faults.count:
        raise faults.error(name)
    return jobs_and_warnings


# --- documents -------------------------------------------------------------------------------------------------


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the whole file."""
    from jobs import schema

    return schema.json_schema()


def fields_table() -> str:
    """A Markdown table of a job's fields: name, type, default, meaning."""
    from jobs import schema

    return schema.fields_table()
