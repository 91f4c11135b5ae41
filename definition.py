"""A job ↔ the text in which the database keeps its definition. A leaf, without pydantic: each tick reads these."""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields
from typing import Any

from errors import DefinitionUnreadable
from models import Job

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def _stored_type(field: Field[Any]) -> type | None:
    """The type that a field's default tells; text for a required field, None where null is allowed."""
    if field.default_factory is not MISSING:
        return type(field.default_factory())
    if field.default is MISSING:
        return str
    return None if field.default is None else type(field.default)


_STORED_TYPES = {field.name: _stored_type(field) for field in fields(Job)}


def job_json(job: Job) -> str:
    """The definition as canonical JSON: sorted keys, no spaces, defaults included. Equal jobs give equal text."""
    return _ENCODE(vars(job))


def job_from_json(text: str) -> Job:
    """The job that `job_json` wrote, also by another version: missing fields get their defaults, unknown ones go.

    Raises `DefinitionUnreadable` if a required field is missing, a type is wrong, or the text is no JSON object.
    """
    whose = ""
    try:
        stored = json.loads(text)
        if not isinstance(stored, dict):
            raise TypeError("it is no object")
        whose = f" of job {stored.get('job_id')!a}"
        known = {name: stored[name] for name in _STORED_TYPES if name in stored}
        wrong = [name for name, value in known.items() if _STORED_TYPES[name] not in (None, type(value))]
        if wrong:
            raise TypeError(f"{', '.join(wrong)} of the wrong type")
        return Job(**known)
    except (ValueError, TypeError, RecursionError) as error:
        message = f"the stored definition{whose[:140]} can't be read: {error}"[:400]
        raise DefinitionUnreadable(
            message, hint="Run sync-jobs: it stores the definitions of .jobs.json again."
        ) from None
