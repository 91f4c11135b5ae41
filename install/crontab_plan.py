"""What an import makes of a crontab's lines, given the jobs that stand in the file: decided here, done elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from install.crontab_lines import Entry, Line, Unreadable, Variable
from install.crontab_names import Names, base_name
from install.crontab_translation import Refused, Terms, Translated, essence, translated

Fields = Mapping[str, Any]
#: Why a sync would refuse an entry, or None.
Check = Callable[[dict[str, Any]], Refused | None]


@dataclass(frozen=True)
class New:
    """A line that becomes a job: its entry of .jobs.json, and what its owner should know."""

    line: Entry
    entry: dict[str, Any]
    notes: tuple[str, ...]


@dataclass
class Plan:
    """Each line in exactly one of four lists, in the order of the crontab."""

    new: list[New] = field(default_factory=list)
    there: list[tuple[Entry, str]] = field(default_factory=list)
    """Lines, each with the job that does the same."""
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
    """Decides. `own_tick` knows the lines that start this scheduler; `default_zone` is that of jobs that name none."""
    made = Plan()
    wanted: list[tuple[Entry, Translated]] = []
    for line in lines:
        if isinstance(line, Variable):
            made.variables.append(line)
        elif isinstance(found := _translated(line, terms, own_tick), Refused):
            made.refused.append((line, found))
        elif isinstance(line, Entry):
            wanted.append((line, found))
    known = _matches([fields.fields for _, fields in wanted], jobs, default_zone)
    names = Names(str(job.get("job_id")) for job in jobs)
    for number, (line, job) in enumerate(wanted):
        if number in known:
            made.there.append((line, str(jobs[known[number]].get("job_id"))))
            continue
        entry: dict[str, Any] = {"job_id": names.free(base_name(line.command)), **job.fields}
        if refusal := check(entry):
            made.refused.append((line, refusal))
            continue
        names.take(entry["job_id"])
        made.new.append(New(line, entry, job.notes))
    made.refused.sort(key=lambda pair: pair[0].number)
    return made


def _translated(line: Entry | Unreadable, terms: Terms, own_tick: Callable[[Entry], bool]) -> Translated | Refused:
    if isinstance(line, Unreadable):
        return Refused("UNREADABLE", line.reason, line.hint)
    if own_tick(line):
        return Refused("OWN_TICK", "It starts this scheduler itself", "Leave it to cron: it is what makes jobs run.")
    return translated(line, terms)


def _matches(wanted: Sequence[Fields], jobs: Sequence[Fields], default_zone: str) -> dict[int, int]:
    """By number, which job does what a line wants. A job answers for one line; one with the same `env` comes first.

    Another `env` is no other job: who moves a secret to .env after an import does not get the line a second time.
    """
    found: dict[int, int] = {}
    for with_env in (True, False):
        free: dict[object, list[int]] = {}
        used = set(found.values())
        for place, job in enumerate(jobs):
            if place not in used:
                free.setdefault(_key(job, default_zone, with_env=with_env), []).append(place)
        for number, fields in enumerate(wanted):
            places = free.get(_key(fields, default_zone, with_env=with_env))
            if number not in found and places:
                found[number] = places.pop(0)
    return found


def _key(job: Fields, default_zone: str, *, with_env: bool) -> object:
    env = tuple(sorted((job.get("env") or {}).items())) if with_env else ()
    return job.get("schedule"), essence(job.get("command")), job.get("timezone") or default_zone, env
