"""The checks of a parsed jobs file: what stands around the jobs, each job's fields, and what fields mean together."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from core.clock import from_text
from core.errors import ScheduleError, TimezoneError
from core.job import AGENT_FIELDS, Job
from jobs import agent_fields, success_fields
from jobs.messages import Faults, Problem, escaped, explain, found, inner, nearest, quoted
from jobs.reading import Doubled
from jobs.sync_cache import CachedJob, SyncCache

#: (schedule, timezone or None) → None; raises ScheduleError or TimezoneError.
CheckSchedule = Callable[[str, str | None], None]

#: Columns of the jobs table that may stand in a file. Source: docs/contract.md ".jobs.json".
RUNTIME_KEYS = ("next_run_at", "last_run_at", "lease_owner", "lease_expires_at")

#: Variables that the scheduler itself gives to a process.
RESERVED_PREFIX = "PURUTO_CRON_"

_RUNTIME_KEYS = frozenset(RUNTIME_KEYS)
_AGENT_FIELDS = frozenset(AGENT_FIELDS)
_LISTED_TEXTS = ("command", "env", "allow_env")
#: Fields of which more is asked than their type; few jobs have any.
_ASKED_MORE = _AGENT_FIELDS.union(_LISTED_TEXTS, ("runner", "success", "paused_until"))
_ROOT_KEYS = ("jobs", "$schema")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def check_all(
    root: object, doubled: Doubled, faults: Faults, check_schedule: CheckSchedule, known: SyncCache | None = None
) -> tuple[tuple[Job | CachedJob, ...], tuple[Problem, ...]]:
    """The jobs of a parsed file, and warnings. They are good if nothing was added to `faults`.

    An entry that is `known` is not checked again, and stands among the jobs as a `KnownJob`.
    """
    if doubled:
        _tell_doubled(root, doubled, faults)
    checker = _Checker(faults, check_schedule, known)
    jobs = [checker.check(index, entry) for index, entry in enumerate(_entries(root, faults))]
    return tuple(job for job in jobs if job is not None), tuple(checker.warnings)


def _entries(root: object, faults: Faults) -> list[object]:
    """The entries of `jobs`; what is wrong around them goes to `faults`."""
    whole = 'write {"jobs": [ … ]}'
    if not isinstance(root, dict):
        faults.add("WRONG_TYPE", "$", f"must be an object, not {found(root)}", whole)
        return []
    for key in sorted(root.keys() - set(_ROOT_KEYS)):
        faults.add("UNKNOWN_FIELD", inner("", key), "is no key of this file", nearest(key, _ROOT_KEYS))
    if not isinstance(root.get("$schema", ""), str):
        faults.add("WRONG_TYPE", inner("", "$schema"), f"must be text, not {found(root['$schema'])}")
    if "jobs" not in root:
        faults.add("MISSING_FIELD", "jobs", "is missing", whole)
        return []
    if not isinstance(root["jobs"], list):
        faults.add("WRONG_TYPE", "jobs", f"must be a list, not {found(root['jobs'])}", whole)
        return []
    return root["jobs"]


def _tell_doubled(root: object, doubled: Doubled, faults: Faults) -> None:
    """One fault for each key that stands twice in an object that is still part of `root`."""
    keys: dict[int, list[str]] = {}
    for made, key in doubled:
        keys.setdefault(id(made), []).append(key)
    waiting: list[tuple[str, str, object]] = [("", "", root)]
    while waiting:
        path, job_id, value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("job_id"), str):
                job_id = escaped(value["job_id"])
            for key in keys.get(id(value), ()):
                faults.add("DUPLICATE_KEY", inner(path, key), "stands twice in one object", "remove one", job_id)
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        waiting.extend((inner(path, key), job_id, item) for key, item in items)


class _Checker:
    """Checks one entry after the other; what is wrong goes to `faults`."""

    def __init__(self, faults: Faults, check_schedule: CheckSchedule, known: SyncCache | None) -> None:
        self.faults = faults
        self._cache = known
        self.warnings: list[Problem] = []
        self._check_schedule = check_schedule
        self._first: dict[str, int] = {}
        self._schedules: dict[tuple[str, str | None], list[tuple[str, ScheduleError]]] = {}

    def check(self, index: int, entry: Any) -> Job | CachedJob | None:
        """The job that `entry` is, or None if its fields are wrong."""
        path = f"jobs[{index}]"
        if not isinstance(entry, dict):
            self.faults.add("WRONG_TYPE", path, f"must be an object, not {found(entry)}")
            return None
        job_id = entry.get("job_id")
        known = escaped(job_id) if isinstance(job_id, str) else ""
        if not _RUNTIME_KEYS.isdisjoint(entry):
            entry = self._without_runtime_keys(path, known, entry)
        if self._cache is not None:
            same = self._cache.job(entry, _make)
            if same is not None and self._first.setdefault(same.job_id, index) == index:
                return same
        job, told = self._check_fields(path, known, entry)
        if path in told:
            return None
        if job_id and isinstance(job_id, str):
            first = self._first.setdefault(job_id, index)
            if first != index:
                where = f"jobs[{first}].job_id"
                message = f"is {known} again, which stands in {where} already"
                self.faults.add("DUPLICATE_JOB_ID", f"{path}.job_id", message, "rename one", known, first=where)
        self._check_texts(path, known, entry, told)
        if not _ASKED_MORE.isdisjoint(entry):
            self._check_more(path, known, entry, told)
        if f"{path}.schedule" not in told:
            zone = None if f"{path}.timezone" in told else entry.get("timezone")
            for field, error in self._schedule_faults(entry["schedule"], zone):
                place, message = f"{path}.{field}", f"is wrong: {error.message}"
                self.faults.add(error.code, place, message, error.hint, known, field=error.field, text=error.text[:256])
        return job

    def _check_more(self, path: str, job_id: str, entry: Mapping[str, Any], told: set[str]) -> None:
        """The fields of `_ASKED_MORE`."""
        self._check_listed_texts(path, job_id, entry, told)
        self._check_runner(path, job_id, entry)
        if isinstance(entry.get("success"), dict):
            self._check_success(f"{path}.success", job_id, entry["success"], told)
        if not _AGENT_FIELDS.isdisjoint(entry):
            for code, place, message, hint in agent_fields.faults(entry, lambda field: f"{path}.{field}" in told):
                self.faults.add(code, path + place, message, hint, job_id)
        if isinstance(entry.get("paused_until"), str) and f"{path}.paused_until" not in told:
            self._check_instant(f"{path}.paused_until", job_id, entry["paused_until"])

    def _without_runtime_keys(self, path: str, job_id: str, entry: Mapping[str, object]) -> dict[str, object]:
        for key in RUNTIME_KEYS:
            if key in entry:
                message = f"{path}.{key} belongs to the database and is ignored"
                place = {"path": f"{path}.{key}", "job_id": job_id}
                self.warnings.append({"code": "RUNTIME_KEY_IGNORED", **place, "message": message})
        return {key: value for key, value in entry.items() if key not in _RUNTIME_KEYS}

    def _check_fields(self, path: str, job_id: str, entry: Mapping[str, object]) -> tuple[Job | None, set[str]]:
        """pydantic's verdict: the job, or None and the paths about which something was said."""
        validate, invalid = _validator()
        try:
            return validate(entry), set()
        except invalid as error:
            faults = error.errors(include_url=False)
        told = set()
        for fault in faults:
            place = path
            for part in fault["loc"]:
                place = place if part == "[key]" else inner(place, part)
            told.add(place)
            if self.faults.full:
                self.faults.count += 1
            else:
                code, message, hint = explain(fault)
                self.faults.add(code, place, message, hint, job_id)
        return None, told

    def _check_texts(self, path: str, job_id: str, entry: Mapping[str, Any], told: set[str]) -> None:
        """Characters that no text may hold. Adds to `told`."""
        for field in ("prompt", "schedule", "timezone"):
            text = entry.get(field)
            # Nearly all texts are printable, and to ask that is far quicker than to search.
            bad = _CONTROL.search(text) if isinstance(text, str) and not text.isprintable() else None
            if bad and (place := f"{path}.{field}") not in told:
                told.add(place)
                message = f"holds the control character U+{ord(bad[0]):04X} at position {bad.start() + 1}"
                self.faults.add("BAD_TEXT", place, message, "remove it", job_id)

    def _check_listed_texts(self, path: str, job_id: str, entry: Mapping[str, Any], told: set[str]) -> None:
        """Characters that no text in a list may hold, and names that are ours."""
        for field in _LISTED_TEXTS:
            values = entry.get(field)
            if not values or not isinstance(values, list | dict):
                continue
            for key, text in enumerate(values) if isinstance(values, list) else values.items():
                where = (f"{path}.{field}", key)
                if isinstance(text, str) and "\0" in text and inner(*where) not in told:
                    self.faults.add("BAD_TEXT", inner(*where), "holds a NUL character", "remove it", job_id)
                name = key if field == "env" else text if field == "allow_env" else ""
                if isinstance(name, str) and name.startswith(RESERVED_PREFIX):
                    message = f"begins with {RESERVED_PREFIX}, which is kept for the scheduler"
                    self.faults.add("RESERVED_VARIABLE", inner(*where), message, "use another name", job_id)

    def _check_runner(self, path: str, job_id: str, entry: Mapping[str, object]) -> None:
        runner, command = entry.get("runner"), entry.get("command")
        if runner == "command" and command is None:
            hint = 'add it, like "command": ["python3", "report.py"]'
            self.faults.add("CONFLICT", f"{path}.runner", 'is "command", but the job has no command', hint, job_id)
        if isinstance(runner, str) and runner != "command" and command is not None:
            message = f'would never be used, because runner is "{runner}"'
            self.faults.add("CONFLICT", f"{path}.command", message, "remove one of the two", job_id)

    def _check_instant(self, path: str, job_id: str, text: str) -> None:
        try:
            from_text(text)
        except (ValueError, OverflowError):
            hint = "write it like 2026-03-01T09:00:00+01:00, with its offset"
            self.faults.add("BAD_INSTANT", path, f"is no instant: {quoted(text)}", hint, job_id)

    def _check_success(self, path: str, job_id: str, entry: Mapping[str, Any], told: set[str]) -> None:
        def wrong(field: str) -> bool:
            return f"{path}.{field}" in told

        for code, place, message, hint in success_fields.faults(entry, wrong):
            self.faults.add(code, path + place, message, hint, job_id)

    def _schedule_faults(self, schedule: str, timezone: str | None) -> list[tuple[str, ScheduleError]]:
        """(field, error) of a schedule and its zone; with a bad zone the schedule is checked without it."""
        key = (schedule, timezone)
        if key not in self._schedules:
            faults: list[tuple[str, ScheduleError]] = []
            try:
                self._check_schedule(schedule, timezone)
            except TimezoneError as error:
                rest = [] if timezone is None else self._schedule_faults(schedule, None)
                faults = [("timezone", error), *(fault for fault in rest if fault[0] == "schedule")]
            except ScheduleError as error:
                faults = [("schedule", error)]
            self._schedules[key] = faults
        return self._schedules[key]


@functools.cache
def _validator() -> tuple[Callable[[object], Job], Any]:
    """What makes a Job of an object, and the class of its errors. Types are strict: "120" and 180.0 are no integers.

    pydantic's own strict mode would take a dataclass only as an instance, so the object itself is let in here.
    """
    from pydantic import TypeAdapter
    from pydantic_core import SchemaValidator, ValidationError

    core: Any = _open(TypeAdapter(Job).core_schema)
    return SchemaValidator(core).validate_python, ValidationError


def _make(entry: object) -> Job:
    return _validator()[0](entry)


def _open(schema: Any) -> Any:
    """pydantic's schema with its dataclasses open to objects, and all below them strict."""
    if isinstance(schema, list):
        return [_open(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    opened = {key: _open(part) for key, part in schema.items()}
    if opened.get("type") == "dataclass":
        opened |= {"strict": False, "config": {**opened.get("config", {}), "strict": True}}
    return opened
