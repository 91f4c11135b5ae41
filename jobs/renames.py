"""Finds the jobs of a file that are stored under another name: all but the name is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from core.job import Job
from core.listing import listed
from store.definitions import Rename

if TYPE_CHECKING:
    from db import Row

#: The most names that a warning lists.


@dataclass
class Renames:
    """The renames of a sync, the stored rows under the new names, and warnings about what can't be told."""

    found: list[Rename] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    warnings: list[Mapping[str, object]] = field(default_factory=list)


def find(
    rows: Mapping[str, Row],
    new_jobs: Iterable[Job],
    missing: Iterable[str],
    known: Mapping[str, str],
    *,
    readable: Callable[[Row], Job | None],
    definition_of: Callable[[Job], str],
    is_used: Callable[[str], bool],
) -> Renames:
    """Compares the `new_jobs` of the file with the stored jobs that are `missing` from it.

    `known` are old and new names that belong together whatever has changed besides. `readable` gives the stored job of
    a row; `is_used` says whether a name has a history of its own, which must not be mixed with that of another job.
    """
    renames = Renames(rows=dict(rows))
    old_by_key: dict[str, list[Job]] = {}
    new_by_key: dict[str, list[Job]] = {}
    jobs = {job.job_id: job for job in new_jobs}
    for old in sorted(missing):
        job = readable(rows[old])
        if job is None:
            continue
        if known.get(old) in jobs:
            new = known[old]
            if not is_used(new):
                _add(renames, job, jobs.pop(new).job_id, definition_of)
            continue
        old_by_key.setdefault(definition_of(replace(job, job_id="")), []).append(job)
    for job in jobs.values():
        new_by_key.setdefault(definition_of(replace(job, job_id="")), []).append(job)
    for key, olds in old_by_key.items():
        news = new_by_key.get(key, [])
        if len(olds) == len(news) == 1 and not is_used(news[0].job_id):
            _add(renames, olds[0], news[0].job_id, definition_of)
        elif news:
            renames.warnings.append(_not_told(olds, news))
    return renames


def _add(renames: Renames, old: Job, new: str, definition_of: Callable[[Job], str]) -> None:
    row = renames.rows.pop(old.job_id)
    definition = definition_of(replace(old, job_id=new))
    renames.found.append(Rename(old.job_id, new, row["next_run_at"], definition))
    stored: Any = {**dict(row), "job_id": new, "definition_json": definition}
    renames.rows[new] = stored


def _not_told(olds: list[Job], news: list[Job]) -> Mapping[str, object]:
    """The warning about jobs that may have been renamed, and are treated as removed and new."""
    old, new = (listed([job.job_id for job in jobs]) for jobs in (olds, news))
    if len(olds) == len(news) == 1:
        code, why = "RENAME_NAME_USED", f"a job that was removed was called {new} before, and its history is kept"
    else:
        code, why = "RENAME_AMBIGUOUS", "they are equal but for their names, so it can't be told which is which"
    message = f"{old} became {new} in .jobs.json, which counts as removed and new: {why}"
    hint = "To keep a history under a new name, give the old name back, and run: python3 main.py rename-job OLD NEW"
    return {"code": code, "message": message, "hint": hint}
