"""Checks a parsed jobs file: its top level, the fields of each job, and combinations of fields."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from core.clock import from_text
from core.errors import ScheduleError, TimezoneError
from core.job import AGENT_FIELDS, SCHEDULER_ID, Job
from jobs import agent_fields, prompt_fields, success_fields
from jobs.messages import MAX_COUNTED, Faults, JobProblem, child, describe, escaped, explain, quoted, suggestion
from jobs.reading import DuplicateKeys
from jobs.sync_cache import CachedJob, SyncCache

#: (schedule, timezone or None) → None; raises ScheduleError or TimezoneError.
CheckSchedule = Callable[[str, str | None], None]

#: Columns of the jobs table that a file may contain; they are ignored with a warning.
#: Source: docs/contract.md ".jobs.json".
RUNTIME_KEYS = ("next_run_at", "last_run_at", "lease_owner", "lease_expires_at")

#: Variables that the scheduler sets for a process.
RESERVED_PREFIX = "PURUTO_CRON_"

_RUNTIME_KEYS = frozenset(RUNTIME_KEYS)
_AGENT_FIELDS = frozenset(AGENT_FIELDS)
_LISTED_TEXTS = ("command", "env", "allow_env")
#: Fields whose texts may have no control characters.
_PLAIN_TEXTS = ("prompt", "prompt_file", "note", "schedule", "timezone")
#: Fields with further checks; few jobs have any.
_FURTHER_CHECKED = _AGENT_FIELDS.union(_LISTED_TEXTS, ("runner", "success", "paused_until"))
_ROOT_KEYS = ("jobs", "$schema")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def check_all(
    root: object,
    duplicates: DuplicateKeys,
    faults: Faults,
    check_schedule: CheckSchedule,
    cache: SyncCache | None = None,
) -> tuple[tuple[Job | CachedJob, ...], tuple[JobProblem, ...]]:
    """The jobs of a parsed file, and warnings. The jobs are valid if nothing was added to `faults`.

    An entry in `cache` is not checked again; it is returned as a `CachedJob`.
    """
    if duplicates:
        _report_duplicates(root, duplicates, faults)
    checker = _Checker(faults, check_schedule, cache)
    jobs: list[Job | CachedJob | None] = []
    for index, entry in enumerate(_entries(root, faults)):
        if faults.count >= MAX_COUNTED:
            break
        jobs.append(checker.check(index, entry))
    return tuple(job for job in jobs if job is not None), tuple(checker.warnings)


def _entries(root: object, faults: Faults) -> list[object]:
    """The entries of `jobs`. Faults of the top level are added to `faults`."""
    form = 'write {"jobs": [ … ]}'
    if not isinstance(root, dict):
        faults.add("WRONG_TYPE", "$", f"must be an object, not {describe(root)}", form)
        return []
    for key in sorted(root.keys() - set(_ROOT_KEYS)):
        faults.add("UNKNOWN_FIELD", child("", key), "is not a known key", suggestion(key, _ROOT_KEYS))
    if not isinstance(root.get("$schema", ""), str):
        faults.add("WRONG_TYPE", child("", "$schema"), f"must be text, not {describe(root['$schema'])}")
    if "jobs" not in root:
        faults.add("MISSING_FIELD", "jobs", "is missing", form)
        return []
    if not isinstance(root["jobs"], list):
        faults.add("WRONG_TYPE", "jobs", f"must be a list, not {describe(root['jobs'])}", form)
        return []
    return root["jobs"]


def _report_duplicates(root: object, duplicates: DuplicateKeys, faults: Faults) -> None:
    """Adds a fault for each key that occurs twice in an object that is still part of `root`."""
    keys: dict[int, list[str]] = {}
    for holder, key in duplicates:
        keys.setdefault(id(holder), []).append(key)
    pending: list[tuple[str, str, object]] = [("", "", root)]
    while pending:
        path, job_id, value = pending.pop()
        if isinstance(value, dict):
            if isinstance(value.get("job_id"), str):
                job_id = escaped(value["job_id"])
            for key in keys.get(id(value), ()):
                faults.add("DUPLICATE_KEY", child(path, key), "occurs twice in one object", "remove one", job_id)
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        pending.extend((child(path, key), job_id, item) for key, item in items)


class _Checker:
    """Checks one entry after another, and adds what is wrong to `faults`."""

    def __init__(self, faults: Faults, check_schedule: CheckSchedule, cache: SyncCache | None) -> None:
        self.faults = faults
        self._cache = cache
        self.warnings: list[JobProblem] = []
        self._check_schedule = check_schedule
        #: By job_id: the index of the first entry with it.
        self._first_index: dict[str, int] = {}
        self._schedules: dict[tuple[str, str | None], list[tuple[str, ScheduleError]]] = {}

    def check(self, index: int, entry: Any) -> Job | CachedJob | None:
        """The job of an entry; None if it has faults that no `Job` can have."""
        path = f"jobs[{index}]"
        if not isinstance(entry, dict):
            self.faults.add("WRONG_TYPE", path, f"must be an object, not {describe(entry)}")
            return None
        job_id = entry.get("job_id")
        shown_id = escaped(job_id) if isinstance(job_id, str) else ""
        if not _RUNTIME_KEYS.isdisjoint(entry):
            entry = self._without_runtime_keys(path, shown_id, entry)
        if self._cache is not None:
            cached = self._cache.job(entry, _make)
            if cached is not None and self._first_index.setdefault(cached.job_id, index) == index:
                return cached
        job, reported = self._check_fields(path, shown_id, entry)
        if path in reported:
            return None
        if job_id and isinstance(job_id, str):
            first = self._first_index.setdefault(job_id, index)
            if first != index:
                first_path = f"jobs[{first}].job_id"
                message = f"is {shown_id}, like {first_path}; each job needs its own"
                self.faults.add("DUPLICATE_JOB_ID", f"{path}.job_id", message, "rename one", shown_id, first=first_path)
        if job_id == SCHEDULER_ID:
            message = f"is {SCHEDULER_ID}, which names the events of the scheduler itself"
            self.faults.add("RESERVED_NAME", f"{path}.job_id", message, "use another name", shown_id)
        self._check_texts(path, shown_id, entry, reported)
        if entry.get("prompt_file") is not None or "prompt" not in entry:
            for code, subpath, message, hint in prompt_fields.faults(
                entry, lambda field: f"{path}.{field}" in reported
            ):
                self.faults.add(code, path + subpath, message, hint, shown_id)
        if not _FURTHER_CHECKED.isdisjoint(entry):
            self._check_further(path, shown_id, entry, reported)
        if f"{path}.schedule" not in reported:
            zone = None if f"{path}.timezone" in reported else entry.get("timezone")
            for field, error in self._schedule_faults(entry["schedule"], zone):
                message, details = f"is wrong: {error.message}", {"field": error.field, "text": error.text[:256]}
                self.faults.add(error.code, f"{path}.{field}", message, error.hint, shown_id, **details)
        return job

    def _check_further(self, path: str, job_id: str, entry: Mapping[str, Any], reported: set[str]) -> None:
        """Checks the fields of `_FURTHER_CHECKED`. `reported` are the paths that already have a fault."""
        self._check_listed_texts(path, job_id, entry, reported)
        self._check_runner(path, job_id, entry)
        if isinstance(entry.get("success"), dict):
            self._check_success(f"{path}.success", job_id, entry["success"], reported)
        if not _AGENT_FIELDS.isdisjoint(entry):
            for code, subpath, message, hint in agent_fields.faults(entry, lambda field: f"{path}.{field}" in reported):
                self.faults.add(code, path + subpath, message, hint, job_id)
        if isinstance(entry.get("paused_until"), str) and f"{path}.paused_until" not in reported:
            self._check_instant(f"{path}.paused_until", job_id, entry["paused_until"])

    def _without_runtime_keys(self, path: str, job_id: str, entry: Mapping[str, object]) -> dict[str, object]:
        for key in RUNTIME_KEYS:
            if key in entry:
                message = f"{path}.{key} is ignored, because it belongs to the database"
                self.warnings.append(
                    {"code": "RUNTIME_KEY_IGNORED", "path": f"{path}.{key}", "job_id": job_id, "message": message}
                )
        return {key: value for key, value in entry.items() if key not in _RUNTIME_KEYS}

    def _check_fields(self, path: str, job_id: str, entry: Mapping[str, object]) -> tuple[Job | None, set[str]]:
        """Checks types and bounds with pydantic. Returns the job, or None and the paths that have a fault."""
        validate, invalid = _validator()
        try:
            return validate(entry), set()
        except invalid as error:
            faults = error.errors(include_url=False)
        reported = set()
        for fault in faults:
            fault_path = path
            for part in fault["loc"]:
                fault_path = fault_path if part == "[key]" else child(fault_path, part)
            reported.add(fault_path)
            if self.faults.full:
                self.faults.count += 1
            else:
                code, message, hint = explain(fault)
                self.faults.add(code, fault_path, message, hint, job_id)
        return None, reported

    def _check_texts(self, path: str, job_id: str, entry: Mapping[str, Any], reported: set[str]) -> None:
        """Finds control characters. Adds to `reported`."""
        for field in _PLAIN_TEXTS:
            text = entry.get(field)
            # `isprintable` is much faster than the search, and nearly all texts are printable.
            match = _CONTROL.search(text) if isinstance(text, str) and not text.isprintable() else None
            if match and (field_path := f"{path}.{field}") not in reported:
                reported.add(field_path)
                message = f"contains the control character U+{ord(match[0]):04X} at position {match.start() + 1}"
                self.faults.add("BAD_TEXT", field_path, message, "remove it", job_id)

    def _check_listed_texts(self, path: str, job_id: str, entry: Mapping[str, Any], reported: set[str]) -> None:
        """Finds NUL characters in lists of texts, and reserved names of variables."""
        for field in _LISTED_TEXTS:
            values = entry.get(field)
            if not values or not isinstance(values, list | dict):
                continue
            for key, text in enumerate(values) if isinstance(values, list) else values.items():
                item_path = child(f"{path}.{field}", key)
                if isinstance(text, str) and "\0" in text and item_path not in reported:
                    self.faults.add("BAD_TEXT", item_path, "contains a NUL character", "remove it", job_id)
                name = key if field == "env" else text if field == "allow_env" else ""
                if isinstance(name, str) and name.startswith(RESERVED_PREFIX):
                    message = f"begins with {RESERVED_PREFIX}, which is reserved for the scheduler"
                    self.faults.add("RESERVED_VARIABLE", item_path, message, "use another name", job_id)

    def _check_runner(self, path: str, job_id: str, entry: Mapping[str, object]) -> None:
        runner, command = entry.get("runner"), entry.get("command")
        if runner == "command" and command is None:
            hint = 'add it, like "command": ["python3", "report.py"]'
            self.faults.add("CONFLICT", f"{path}.runner", 'is "command", but the job has no command', hint, job_id)
        if isinstance(runner, str) and runner != "command" and command is not None:
            message = f"is never used, because runner is {quoted(runner)}"
            self.faults.add("CONFLICT", f"{path}.command", message, "remove one of the two", job_id)

    def _check_instant(self, path: str, job_id: str, text: str) -> None:
        try:
            from_text(text)
        except (ValueError, OverflowError):
            hint = "write it like 2026-03-01T09:00:00+01:00, with an offset"
            self.faults.add("BAD_INSTANT", path, f"is not a date and time with an offset: {quoted(text)}", hint, job_id)

    def _check_success(self, path: str, job_id: str, entry: Mapping[str, Any], reported: set[str]) -> None:
        def has_fault(field: str) -> bool:
            return f"{path}.{field}" in reported

        for code, subpath, message, hint in success_fields.faults(entry, has_fault):
            self.faults.add(code, path + subpath, message, hint, job_id)

    def _schedule_faults(self, schedule: str, timezone: str | None) -> list[tuple[str, ScheduleError]]:
        """(field, error) of each fault of a schedule and its zone. A wrong zone is not used for the schedule."""
        key = (schedule, timezone)
        if key not in self._schedules:
            faults: list[tuple[str, ScheduleError]] = []
            try:
                self._check_schedule(schedule, timezone)
            except TimezoneError as error:
                without_zone = [] if timezone is None else self._schedule_faults(schedule, None)
                faults = [("timezone", error), *(fault for fault in without_zone if fault[0] == "schedule")]
            except ScheduleError as error:
                faults = [("schedule", error), *self._zone_faults(timezone)]
            self._schedules[key] = faults
        return self._schedules[key]

    def _zone_faults(self, timezone: str | None) -> list[tuple[str, ScheduleError]]:
        """What is wrong with a zone whose schedule is wrong too."""
        try:
            if timezone is not None:
                self._check_schedule("@daily", timezone)
        except TimezoneError as error:
            return [("timezone", error)]
        return []


@functools.cache
def _validator() -> tuple[Callable[[object], Job], Any]:
    """A function that makes a Job of an object, and the class of its errors.

    Types are strict: "120" and 180.0 are not integers. In pydantic's strict mode a dataclass must be an instance, so
    that mode is off for the dataclasses themselves.
    """
    from pydantic import TypeAdapter
    from pydantic_core import SchemaValidator, ValidationError

    core: Any = _accepting_objects(TypeAdapter(Job).core_schema)
    return SchemaValidator(core).validate_python, ValidationError


def _make(entry: object) -> Job:
    return _validator()[0](entry)


def _accepting_objects(schema: Any) -> Any:
    """pydantic's schema, with dataclasses that accept objects, and with all fields strict."""
    if isinstance(schema, list):
        return [_accepting_objects(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: _accepting_objects(part) for key, part in schema.items()}
    if copy.get("type") == "dataclass":
        copy |= {"strict": False, "config": {**copy.get("config", {}), "strict": True}}
    return copy
