"""Options for the fields of a job, made from its one definition, and what becomes of an edit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from boundary import guarded
from errors import UsageError
from models import Failure
from wiring import App

F = TypeVar("F", bound=Callable[..., Any])
_NOT_AN_OPTION = ("job_id", "enabled")


def field_options(command: F) -> F:
    """An option for each field of a job but its name and `enabled`: `--timeout-sec 120`, `--command A --command B`.

    Lists are given an entry at a time, `env` as NAME=VALUE, objects as JSON.
    """
    from jobs import json_schema

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
        return click.option(flag, name, multiple=True, metavar=metavar, help=f"{help_text} May be given again.")
    types: dict[str, Any] = {"integer": click.INT, "number": click.FLOAT}
    form = types.get(kind, click.STRING)
    return click.option(flag, name, type=form, metavar="JSON" if kind == "object" else None, help=help_text)


def _kind(field: Mapping[str, Any]) -> str:
    if "propertyNames" in field:
        return "env"
    if "$ref" in field:
        return "object"
    if "anyOf" in field:
        return next(_kind(part) for part in field["anyOf"] if part.get("type") != "null")
    return str(field.get("type", "string"))


def given_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were given as options, as they stand in the file. Raises `UsageError`."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        if value is None or value == ():
            continue
        if name == "env":
            found[name] = dict(_pair(text) for text in value)
        elif isinstance(value, tuple):
            found[name] = list(value)
        elif isinstance(value, str) and name in ("success", "heartbeat", "json_schema"):
            found[name] = parsed(value, f"--{name.replace('_', '-')}")
        else:
            found[name] = value
    return found


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--env {text!r} has no =", hint="Write it as --env NAME=VALUE.")
    return name, value


def parsed(text: str, option: str) -> dict[str, Any]:
    """A JSON object that was given on the command line. Raises `UsageError`."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option} is no JSON: {error}", hint="Write it like '{\"max_iterations\": 5}'.") from None
    if not isinstance(found, dict):
        raise UsageError(f"{option} must be a JSON object", hint="Write it like '{\"max_iterations\": 5}'.")
    return found


def from_json(source: str) -> dict[str, Any]:
    """One entry, from a file, from standard input (`-`), or as it stands. Raises `UsageError`."""
    if source.lstrip().startswith("{"):
        return parsed(source, "--from-json")
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--from-json {source}: {error}", hint="Name a file with one JSON object, or -.") from None
    return parsed(text, f"--from-json {source}")


def synced(
    app: App, job_id: str, entry: Mapping[str, Any] | None, *, allow_removals: bool = False
) -> dict[str, object]:
    """The sync that follows an edit, and the job's next instants. The next tick makes up for one that fails now."""
    report = synced_all(app, allow_removals=allow_removals)
    # The sync itself speaks of jobs that have changed.
    own = report["next"].get(job_id) or (preview(app, entry) if entry else None) if report["synced"] else None
    return {**report, "next": own}


def synced_all(app: App, *, allow_removals: bool = False) -> dict[str, Any]:
    """The same for several jobs: `next` holds what it says of each that is new or changed, by job_id."""
    now = app.clock.now()

    def sync() -> dict[str, Any]:
        with app.store() as store:
            report = app.sync_jobs(store, now, allow_removals=allow_removals)
        return {"synced": True, "next": report.next, "warnings": [*report.warnings, *app.no_tick_warning(now)]}

    report = guarded(sync)
    if not isinstance(report, Failure):
        return report
    return {"synced": False, "sync_error": report.as_dict(), "next": {}, "warnings": app.no_tick_warning(now)}


def preview(app: App, entry: Mapping[str, Any]) -> dict[str, object]:
    """The next three instants of an entry that is not in the file yet."""
    from instants import show_instant
    from jobs import parse_jobs
    from planner import start_of

    # The edit has checked it: here it only becomes a job.
    (job,) = parse_jobs(json.dumps({"jobs": [entry]}).encode(), "", lambda *_: None).jobs
    zone = job.timezone or app.default_zone
    instants: list[dict[str, str]] = []
    now = app.clock.now()
    after = start_of(job, now)
    while len(instants) < 3:
        found = app.calendar.next_fire(job.schedule, zone, after, anchor=now)
        if found is None:
            break
        instants.append(show_instant(found, zone))
        after = found
    return {"timezone": zone, "enabled": job.enabled, "instants": instants}
