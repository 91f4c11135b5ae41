"""The JSON Schema of a jobs file and the table of a job's fields, from the one definition in `models`."""

from __future__ import annotations

from typing import Any

from jobfile.checker import RESERVED_PREFIX, RUNTIME_KEYS
from jobfile.words import meaning
from models import Job

RUNTIME_NOTE = "Belongs to the database. Ignored, with a warning."


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of the whole file.

    It can't say everything that is checked: schedules, zones, unique `job_id`s, control characters and doubled keys are
    for `parse_jobs` alone, and JSON Schema takes 180.0 for a whole number.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": ".jobs.json of puruto-cron",
        "description": "The jobs that puruto-cron runs.",
        "type": "object",
        "properties": {
            "$schema": {"type": "string", "description": "Where this schema is, for editors."},
            "jobs": {"type": "array", "description": "The jobs.", "items": {"$ref": "#/$defs/Job"}},
        },
        "required": ["jobs"],
        "additionalProperties": False,
        "$defs": {"Job": _job_schema()},
    }


def _job_schema() -> dict[str, Any]:
    job = _plain_job_schema()
    reserved = {"pattern": f"^{RESERVED_PREFIX}"}
    env = job["properties"]["env"]
    (pattern, value), *_ = env.pop("patternProperties").items()
    env["propertyNames"] = {**env.get("propertyNames", {}), "pattern": pattern, "not": reserved}
    env["additionalProperties"] = value
    job["properties"]["allow_env"]["items"]["not"] = reserved
    for key in RUNTIME_KEYS:
        job["properties"][key] = {"description": RUNTIME_NOTE, "deprecated": True}
    job["allOf"] = [
        _if_runner("command", {"required": ["command"], "properties": {"command": {"type": "array"}}}),
        _if_runner("invoke", {"properties": {"command": {"type": "null"}}}),
    ]
    return job


def _if_runner(runner: str, then: dict[str, Any]) -> dict[str, Any]:
    return {"if": {"properties": {"runner": {"const": runner}}, "required": ["runner"]}, "then": then}


def _plain_job_schema() -> dict[str, Any]:
    """pydantic's schema of `Job`, and the defaults of its lists and objects, which pydantic leaves out."""
    from pydantic import TypeAdapter

    # Sorted, because versions of pydantic differ in the order of these keys and the schema is compared as text.
    job = dict(sorted({**TypeAdapter(Job).json_schema(), "description": "One job."}.items()))
    for name, empty in (("env", {}), ("allow_env", [])):
        job["properties"][name]["default"] = empty
    return job


def fields_table() -> str:
    """A Markdown table of a job's fields."""
    import json

    job = _plain_job_schema()
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in job["properties"].items():
        default = "required" if name in job["required"] else f"`{json.dumps(field['default'])}`"
        rows.append(f"| `{name}` | {_type_words(field)} | {default} | {field['description']} |")
    return "\n".join(rows) + "\n"


def _type_words(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type_words(kind) for kind in field["anyOf"])
    if "enum" in field:
        return " or ".join(f"`{choice}`" for choice in field["enum"])
    match field["type"]:
        case "string":
            name = f": {meaning(field['pattern'])}" if field.get("pattern", "").endswith("$") else ""
            return f"text, at most {field['maxLength']:,} characters{name}"
        case "integer":
            return f"whole number, {field['minimum']:,} to {field['maximum']:,}"
        case "boolean":
            return "true or false"
        case "array":
            return f"list of at most {field['maxItems']:,} texts"
        case "object":
            return f"object of at most {field['maxProperties']:,} texts"
    return str(field["type"])
