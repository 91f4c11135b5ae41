"""The JSON Schema of a jobs file and the table of a job's fields, made from the definitions in `core.job`."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from core.job import NESTED, Job
from core.kinds import RUNNERS
from jobs.checker import RESERVED_PREFIX, RUNTIME_KEYS
from jobs.messages import meaning

RUNTIME_NOTE = "Belongs to the database. Ignored, with a warning."
SCHEMA_OF_SCHEMAS = "https://json-schema.org/draft/2020-12/schema"
_DESCRIPTIONS = {
    "success": "What a run must have done to count as a success.",
    "heartbeat": "Calling the agent again within a slot.",
}


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of the whole file.

    It can't express all checks: only `parse_jobs` checks schedules, zones, regular expressions, unique `job_id`s,
    control characters and duplicate keys; and JSON Schema accepts 180.0 as a whole number.
    """
    return {
        "$schema": SCHEMA_OF_SCHEMAS,
        "title": ".jobs.json of puruto-cron",
        "description": "The jobs that puruto-cron runs.",
        "type": "object",
        "properties": {
            "$schema": {"type": "string", "description": "Where this schema is, for editors."},
            "jobs": {"type": "array", "description": "The jobs.", "items": {"$ref": "#/$defs/Job"}},
        },
        "required": ["jobs"],
        "additionalProperties": False,
        "$defs": _schemas(),
    }


def _schemas() -> dict[str, Any]:
    """The schemas of a job and of the objects in it."""
    job, nested = _plain_schemas()
    for name, part in nested.items():
        job["properties"][name]["title"] = part["title"]
    success = nested["success"]
    # An empty `success` checks nothing.
    success["minProperties"] = 1
    # A schema that names its draft may use an older one.
    for holder in (job, success):
        holder["properties"]["json_schema"]["anyOf"][0] |= {
            "if": {"not": {"required": ["$schema"]}},
            "then": {"$ref": SCHEMA_OF_SCHEMAS},
        }
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
        *(_if_runner(name, {"properties": {"command": {"type": "null"}}}) for name in RUNNERS if name != "command"),
        {"anyOf": [{"required": ["prompt"]}, _given("prompt_file"), _given("command")]},
        {"not": {"allOf": [{"required": ["prompt"]}, _given("prompt_file")]}},
    ]
    return {"Job": job, **{part["title"]: part for part in nested.values()}}


def _if_runner(runner: str, then: dict[str, Any]) -> dict[str, Any]:
    return {"if": {"properties": {"runner": {"const": runner}}, "required": ["runner"]}, "then": then}


def _given(name: str) -> dict[str, Any]:
    return {"properties": {name: {"not": {"type": "null"}}}, "required": [name]}


def _plain_schemas() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """pydantic's schemas of `Job`, and of the objects in it by field.

    The defaults of lists and objects are added, because pydantic omits them.
    """
    from pydantic import TypeAdapter

    made = TypeAdapter(Job).json_schema()
    parts = made.pop("$defs")
    nested = {name: {**parts[kind.__name__], "description": _DESCRIPTIONS[name]} for name, kind in NESTED.items()}
    for kind, schema in ((Job, made), *((NESTED[name], part) for name, part in nested.items())):
        for field in fields(kind):
            if field.default_factory is not MISSING:
                schema["properties"][field.name]["default"] = field.default_factory()
    # Sorted, because versions of pydantic differ in the order of these keys and the schema is compared as text.
    job = dict(sorted({**made, "description": "One job."}.items()))
    return job, {name: dict(sorted(part.items())) for name, part in nested.items()}


def fields_table() -> str:
    """A Markdown table of a job's fields. The fields of an object follow it."""
    job, nested = _plain_schemas()
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in job["properties"].items():
        rows.append(_row(name, field, job))
        if name in nested:
            rows += [_row(f"{name}.{inner}", part, nested[name]) for inner, part in nested[name]["properties"].items()]
    return "\n".join(rows) + "\n"


def _row(name: str, field: dict[str, Any], schema: dict[str, Any]) -> str:
    import json

    default = "required" if name in schema.get("required", ()) else f"`{json.dumps(field['default'])}`"
    return f"| `{name}` | {_type_words(field)} | {default} | {field['description']} |"


def _type_words(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type_words(kind) for kind in field["anyOf"])
    if "enum" in field:
        return " or ".join(f"`{choice}`" for choice in field["enum"])
    match field.get("type", "object"):
        case "string":
            name = f": {meaning(field['pattern'])}" if field.get("pattern", "").endswith("$") else ""
            return f"text, at most {field['maxLength']:,} characters{name}"
        case "integer":
            return f"whole number, {_bounds(field)}"
        case "number":
            return f"number above {field['exclusiveMinimum']:,}, at most {field['maximum']:,}"
        case "boolean":
            return "true or false"
        case "array":
            item = field["items"]
            what = "texts" if item["type"] == "string" else f"whole numbers, {_bounds(item)}"
            return f"list of at most {field['maxItems']:,} {what}"
        case "object":
            return f"object of at most {field['maxProperties']:,} texts" if "maxProperties" in field else "object"
    return str(field["type"])


def _bounds(number: dict[str, Any]) -> str:
    return f"{number['minimum']:,} to {number['maximum']:,}"
