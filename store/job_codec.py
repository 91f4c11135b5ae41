"""Encodes a job as the JSON that the database stores, and decodes it. Without pydantic, as every tick decodes jobs."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from core.errors import DefinitionUnreadable
from core.job import NESTED, Job

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=vars).encode


def _stored_types(hint: Any) -> frozenset[type]:
    """The types that a JSON value may have for a field with this annotation."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return frozenset().union(*map(_stored_types, get_args(hint)))
    if origin is Literal:
        return frozenset(map(type, get_args(hint)))
    return frozenset({dict if is_dataclass(hint) else origin or hint})


def _types_of(kind: type) -> dict[str, frozenset[type]]:
    hints = get_type_hints(kind)
    return {field.name: _stored_types(hints[field.name]) for field in fields(kind)}


_JOB = _types_of(Job)
_NESTED = {name: (kind, _types_of(kind)) for name, kind in NESTED.items()}


def job_json(job: Job) -> str:
    """The job as canonical JSON: sorted keys, no spaces, with defaults. Equal jobs give equal text."""
    return _ENCODE(vars(job))


def as_dict(job: Job) -> dict[str, Any]:
    """The fields of a job as a JSON object."""
    return {name: vars(value) if name in NESTED and value is not None else value for name, value in vars(job).items()}


def job_from_json(text: str) -> Job:
    """The job in a text of `job_json`, also of another version.

    Missing fields get their defaults, unknown ones are ignored. Raises `DefinitionUnreadable` if a required field is
    missing, a type is wrong, or the text is not a JSON object.
    """
    of_job = ""
    try:
        stored = json.loads(text)
        if not isinstance(stored, dict):
            raise TypeError("it is not an object")
        of_job = f" of job {stored.get('job_id')!a}"
        values = _checked_values(stored, _JOB)
        for name, (kind, types) in _NESTED.items():
            if values.get(name) is not None:
                values[name] = kind(**_checked_values(values[name], types, f"{name}."))
        return Job(**values)
    except (ValueError, TypeError, RecursionError) as error:
        message = f"the stored definition{of_job[:140]} can't be read: {error}"[:400]
        raise DefinitionUnreadable(
            message, hint="`python3 main.py sync-jobs` stores the definitions of .jobs.json again."
        ) from None


def _checked_values(stored: dict[str, Any], types: dict[str, frozenset[type]], prefix: str = "") -> dict[str, Any]:
    """The stored values of known fields. Raises TypeError if one has the wrong type."""
    values = {name: stored[name] for name in types if name in stored}
    mistyped = [prefix + name for name, value in values.items() if type(value) not in types[name]]
    if mistyped:
        raise TypeError(f"{', '.join(mistyped)} of the wrong type")
    return values
