"""Options for the fields of a job, made from the schema of .jobs.json, and the sync that follows an edit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

import click

from app.app import App
from app.schedule_warnings import schedule_warnings
from app.start_warnings import start_warnings
from commands.names import target_names
from commands.words import Choice
from core.boundary import Failure, guarded
from core.bounded_file import UnfitFile, read_bounded
from core.errors import NotSynced, UsageError
from core.job import Job
from core.strict_json import excerpt

if TYPE_CHECKING:
    from reports.health import WarningEntry
    from schedules.calendar import LocalInstant
    from store.definitions import Pause

F = TypeVar("F", bound=Callable[..., Any])
#: An entry is never longer: the whole file may have 256 MiB.
_MOST_BYTES = 16 << 20
_NOT_AN_OPTION = ("job_id", "enabled")
#: Fields whose value is a JSON object, each with an example.
_OBJECTS = {
    "success": '{"stdout_matches": "^Done"}',
    "heartbeat": '{"max_iterations": 5}',
    "json_schema": '{"type": "object"}',
}


class Preview(TypedDict):
    """The next instants of a job, each in UTC and local time, and the zone of its schedule."""

    timezone: str
    enabled: bool
    instants: list[LocalInstant]


class SyncedEdit(TypedDict):
    """The outcome of an edit and its sync: the next instants of the job (null if removed), its pause, warnings."""

    synced: bool
    next: object
    paused: Pause | None
    warnings: list[WarningEntry]


_ENTRY = '{"job_id": "report", "puruto_target": "reports", "schedule": "@daily", "prompt": "x"}'


def field_options(command: F) -> F:
    """Adds an option for each field of a job except its name and `enabled`: `--timeout-sec 120`, `--command A`.

    The option of a list is given once for each entry, `env` as NAME=VALUE, an object as JSON.
    """
    from jobs.jobs_file import json_schema

    fields = json_schema()["$defs"]["Job"]["properties"]
    for name in reversed([name for name in fields if name not in _NOT_AN_OPTION and "deprecated" not in fields[name]]):
        command = cast(Any, _option(name, fields[name]))(command)
    return command


def _option(name: str, field: Mapping[str, Any]) -> Callable[[Any], Any]:
    flag, help_text = f"--{name.replace('_', '-')}", str(field.get("description", ""))
    kind = _kind(field)
    if kind == "boolean":
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=help_text)
    if kind in ("array", "env"):
        metavar = "NAME=VALUE" if kind == "env" else "TEXT"
        again = "May be given again." if kind == "env" else "May be given again, or once as a JSON list of texts."
        return click.option(flag, name, multiple=True, metavar=metavar, help=f"{help_text} {again}")
    types: dict[str, Any] = {"integer": click.INT, "number": click.FLOAT}
    choices = _choices(field)
    form = Choice(choices) if choices else types.get(kind, click.STRING)
    complete = target_names if name == "puruto_target" else None
    return click.option(
        flag, name, type=form, metavar="JSON" if kind == "object" else None, help=help_text, shell_complete=complete
    )


def _choices(field: Mapping[str, Any]) -> list[str]:
    """The values that a field may have, if they are few words."""
    parts = [field, *field.get("anyOf", ())]
    return [str(value) for part in parts for value in part.get("enum", ())]


def _kind(field: Mapping[str, Any]) -> str:
    if "propertyNames" in field:
        return "env"
    if "$ref" in field:
        return "object"
    if "anyOf" in field:
        return next(_kind(part) for part in field["anyOf"] if part.get("type") != "null")
    return str(field.get("type", "string"))


def given_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were given as options, with values as in .jobs.json. Raises `UsageError`."""
    fields: dict[str, Any] = {}
    for name, value in options.items():
        if value is None or value == ():
            continue
        option = f"--{name.replace('_', '-')}"
        if name == "env":
            fields[name] = dict(_pair(text) for text in value)
        elif isinstance(value, tuple):
            fields[name] = _list(option, value)
        elif isinstance(value, str) and name in _OBJECTS:
            fields[name] = parsed(value, option, _OBJECTS[name])
        else:
            fields[name] = value
    return fields


def _list(option: str, values: tuple[str, ...]) -> list[str]:
    """Entries that were given one by one, or all at once as a JSON list. Raises `UsageError`."""
    lists = [entries for text in values if (entries := _json_list(text)) is not None]
    if lists and len(values) > 1:
        hint = f"Write {option} A {option} B, or {option} once with a JSON list."
        raise UsageError(f"{option} was given as a JSON list and once more", hint=hint)
    return lists[0] if lists else list(values)


def _json_list(text: str) -> list[str] | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and all(isinstance(entry, str) for entry in value) else None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--env {excerpt(text)} has no =", hint="Write it as --env NAME=VALUE.")
    return name, value


def parsed(text: str, option: str, example: str) -> dict[str, Any]:
    """A JSON object that was given on the command line. Raises `UsageError`."""
    hint = f"Write it like '{example}'."
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option} is not valid JSON: {error}", hint=hint) from None
    if not isinstance(value, dict):
        raise UsageError(f"{option} must be a JSON object", hint=hint)
    return value


def from_json(source: str) -> dict[str, Any]:
    """One entry of .jobs.json: from a file, from standard input (`-`), or given as JSON. Raises `UsageError`."""
    if source.lstrip()[:1] in ("{", "["):
        return parsed(source, "--from-json", _ENTRY)
    hint = "Name a file with one JSON object, or - for standard input."
    try:
        text = (sys.stdin.buffer.read(_MOST_BYTES) if source == "-" else read_bounded(source, _MOST_BYTES)[0]).decode()
    except UnfitFile as error:
        raise UsageError(f"--from-json {source} {error.reason}", hint=hint) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"--from-json {source} can't be read: {reason}", hint=hint) from None
    return parsed(text, f"--from-json {source}", _ENTRY)


def synced(
    app: App,
    job_id: str,
    entry: Mapping[str, Any] | None,
    *,
    allow_removals: bool = False,
    renames: Mapping[str, str] = MappingProxyType({}),
) -> SyncedEdit:
    """Syncs after an edit of one job; reports its next instants. Raises `NotSynced`: the next tick tries again.

    `renames` are its old and new name, if it was renamed.
    """
    report = synced_all(app, allow_removals=allow_removals, renames=renames)
    # The report of the sync has only jobs that are new or changed.
    own = report["next"].get(job_id) or (preview(app, entry) if entry else None)
    warnings = [*report["warnings"], *(entry_warnings(app, entry) if entry else ())]
    return {"synced": True, "next": own, "paused": pause_of(app, job_id), "warnings": warnings}


def pause_of(app: App, job_id: str) -> Pause | None:
    """The pause of a stored job; None if it has none, or that can't be read."""

    def stored() -> Pause | None:
        with app.session(read_only=True) as session:
            return session.store.definitions.pause(job_id, app.clock.now())

    pause = guarded(stored)
    return None if isinstance(pause, Failure) else pause


def synced_all(
    app: App, *, allow_removals: bool = False, renames: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Syncs after an edit: `synced`, `warnings`, and `next` with the instants of each new or changed job by job_id.

    Raises `NotSynced`.
    """
    now = app.clock.now()

    def sync() -> dict[str, Any]:
        with app.session() as session:
            report = session.sync_jobs(now, allow_removals=allow_removals, renames=renames)
        return {"synced": True, "next": report.next, "warnings": [*report.warnings, *app.no_tick_warning(now)]}

    report = guarded(sync)
    if not isinstance(report, Failure):
        return report
    message = f"The edit was written to .jobs.json, but could not be synced: {report.message}"
    hint = f"The next tick tries again. {report.details.get('hint', '')}".strip()
    raise NotSynced(message, hint=hint, details={"sync_error": report.as_dict()})


def masked(app: App, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """An entry of the file as it is printed: texts that look like secrets are masked."""
    return app.redactor(_job(entry))(entry)


def entry_warnings(app: App, entry: Mapping[str, Any]) -> list[WarningEntry]:
    """Warnings about an entry: what it needs is missing, and its runs would fail or be missed."""
    job = _job(entry)
    schedule = schedule_warnings(app, [(job.job_id, job.schedule)])
    return [*target_warnings(app, entry), *start_warnings(app, [job]), *schedule]


def target_warnings(app: App, entry: Mapping[str, Any]) -> list[WarningEntry]:
    """A warning if the target of an entry or its prompt file is missing: the job would fail."""
    from invocation.prompt_file import read

    job = _job(entry)

    def look() -> None:
        folder = app.targets().resolve(job.puruto_target)
        if job.prompt_file:
            read(folder, job.prompt_file)

    fault = guarded(look)
    if not isinstance(fault, Failure):
        return []
    hint = str(fault.details.get("hint") or "")
    # Else the message says enough, and the target may be made later.
    advice = f". {hint}" if hint.startswith("Did you mean") else ""
    return [{"code": fault.code, "message": f"{fault.message}{advice}"}]


def _job(entry: Mapping[str, Any]) -> Job:
    from jobs.jobs_file import parse_jobs

    # The edit has checked the entry already: schedules need no second check.
    (job,) = parse_jobs(json.dumps({"jobs": [entry]}).encode(), "", lambda *_: None).jobs
    return job


def preview(app: App, entry: Mapping[str, Any]) -> Preview:
    """The next three instants of an entry that need not be in the file."""
    from scheduling.planner import start_of

    job = _job(entry)
    zone = job.timezone or app.default_zone
    now = app.clock.now()
    instants = app.calendar.next_instants(job.schedule, zone, start_of(job, now), 3, anchor=now)
    return {"timezone": zone, "enabled": job.enabled, "instants": instants}
