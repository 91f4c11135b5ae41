"""A job ↔ the text in which the database keeps its definition. A leaf, without pydantic: each tick reads these."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from core.errors import DefinitionUnreadable
from core.job import NESTED, Job

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=vars).encode


def _stored_types(hint: Any) -> frozenset[type]:
    """The types that a value of this annotation has when it comes from JSON."""
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
    """The definition as canonical JSON: sorted keys, no spaces, defaults included. Equal jobs give equal text."""
    return _ENCODE(vars(job))


def as_dict(job: Job) -> dict[str, Any]:
    """The fields of a job as JSON knows them."""
    return {name: vars(value) if name in NESTED and value is not None else value for name, value in vars(job).items()}


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
        known = _known(stored, _JOB)
        for name, (kind, types) in _NESTED.items():
            if known.get(name) is not None:
                known[name] = kind(**_known(known[name], types, f"{name}."))
        return Job(**known)
    except (ValueError, TypeError, RecursionError) as error:
        message = f"the stored definition{whose[:140]} can't be read: {error}"[:400]
        raise DefinitionUnreadable(
            message, hint="Run sync-jobs: it stores the definitions of .jobs.json again."
        ) from None


def _known(stored: dict[str, Any], types: dict[str, frozenset[type]], of: str = "") -> dict[str, Any]:
    """Those of the stored values that belong to a field. Raises TypeError when the type of one is wrong."""
    known = {name: stored[name] for name in types if name in stored}
    wrong = [of + name for name, value in known.items() if type(value) not in types[name]]
    if wrong:
        raise TypeError(f"{', '.join(wrong)} of the wrong type")
    return known
