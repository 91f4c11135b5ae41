"""The plan of an import: what becomes of each line of a crontab, given the existing jobs. Nothing is written here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.job import SCHEDULER_ID
from install.crontab_lines import Entry, Line, Unreadable, Variable
from install.crontab_names import Names, base_name
from install.crontab_translation import Refused, Terms, Translated, essence, translated

#: The fields of a job, as in .jobs.json.
Fields = Mapping[str, Any]
#: Tells why a sync would refuse an entry; None if it would not.
Check = Callable[[dict[str, Any]], Refused | None]


@dataclass(frozen=True)
class New:
    """A line that becomes a job: its entry in .jobs.json, and notes for its owner."""

    line: Entry
    entry: dict[str, Any]
    notes: tuple[str, ...]


@dataclass
class Plan:
    """Each line is in exactly one of four lists, in the order of the crontab."""

    new: list[New] = field(default_factory=list)
    existing: list[tuple[Entry, str]] = field(default_factory=list)
    """Lines that are jobs already, each with the name of its job."""
    refused: list[tuple[Line, Refused]] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)


def plan(
    lines: Sequence[Line],
    jobs: Sequence[Fields],
    terms: Terms,
    *,
    own_tick: Callable[[Entry], bool],
    check: Check,
    default_zone: str,
) -> Plan:
    """Makes the plan.

    `own_tick` recognises the lines that start this scheduler. `default_zone` is the zone of jobs that name none.
    """
    result = Plan()
    candidates: list[tuple[Entry, Translated]] = []
    for line in lines:
        if isinstance(line, Variable):
            result.variables.append(line)
        elif isinstance(job := _translated(line, terms, own_tick), Refused):
            result.refused.append((line, job))
        elif isinstance(line, Entry):
            candidates.append((line, job))
    matches = _matches([job.fields for _, job in candidates], jobs, default_zone)
    names = Names([SCHEDULER_ID, *(str(job.get("job_id")) for job in jobs)])
    for number, (line, job) in enumerate(candidates):
        if number in matches:
            result.existing.append((line, str(jobs[matches[number]].get("job_id"))))
            continue
        entry: dict[str, Any] = {"job_id": names.free(base_name(line.command)), **job.fields}
        if refusal := check(entry):
            result.refused.append((line, refusal))
            continue
        names.take(entry["job_id"])
        result.new.append(New(line, entry, job.notes))
    result.refused.sort(key=lambda pair: pair[0].number)
    return result


def _translated(line: Entry | Unreadable, terms: Terms, own_tick: Callable[[Entry], bool]) -> Translated | Refused:
    if isinstance(line, Unreadable):
        return Refused(line.code, line.reason, line.hint)
    if own_tick(line):
        return Refused("OWN_TICK", "It starts this scheduler itself", "Leave it in the crontab: it makes jobs run.")
    return translated(line, terms)


def _matches(candidates: Sequence[Fields], jobs: Sequence[Fields], default_zone: str) -> dict[int, int]:
    """Which candidate does the same as which job, as indexes. A job matches one candidate at most.

    A job with the same `env` is preferred, but another `env` also matches: somebody who moves a secret to .env after an
    import does not get the line a second time.
    """
    matches: dict[int, int] = {}
    for with_env in (True, False):
        unmatched: dict[object, list[int]] = {}
        matched = set(matches.values())
        for index, job in enumerate(jobs):
            if index not in matched:
                unmatched.setdefault(_key(job, default_zone, with_env=with_env), []).append(index)
        for number, fields in enumerate(candidates):
            indexes = unmatched.get(_key(fields, default_zone, with_env=with_env))
            if number not in matches and indexes:
                matches[number] = indexes.pop(0)
    return matches


def _key(job: Fields, default_zone: str, *, with_env: bool) -> object:
    env = tuple(sorted((job.get("env") or {}).items())) if with_env else ()
    return job.get("schedule"), essence(job.get("command")), job.get("timezone") or default_zone, env
