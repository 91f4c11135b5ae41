"""Faults of a jobs file: where they are, what is wrong, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NotRequired, TypedDict, cast, get_args

from core import job as model
from core.errors import JobsFileInvalid


class JobProblem(TypedDict):
    """A fault or a warning about a jobs file, as `sync-jobs` prints it. `path` is like `jobs[3].env.NAME`.

    `first` is the path of the first of two equal names. `field` and `text` belong to a fault in a schedule.
    """

    code: str
    path: str
    message: str
    job_id: NotRequired[str]
    hint: NotRequired[str]
    first: NotRequired[str]
    field: NotRequired[str]
    text: NotRequired[str]


MAX_PROBLEMS = 100
#: A file with so many faults is not checked to its end: that would take minutes, and nobody would read them.
MAX_COUNTED = 10_000

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")
#: The names of fields by the field that contains them; "" is the job itself.
_FIELD_NAMES = {
    "": tuple(field.name for field in fields(model.Job)),
    **{name: tuple(field.name for field in fields(kind)) for name, kind in model.NESTED.items()},
}

#: Fields whose values may be secret, so that no message repeats them.
_PRIVATE = frozenset({"prompt", "note", "command", "env", "allow_env"})
_TYPE_NAMES = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "dataclass_type": "an object",
}

_BOUNDS = {"greater_than_equal": "at least", "greater_than": "more than", "less_than_equal": "at most"}


class Faults:
    """The faults of one file. The first hundred are listed, and at least `MAX_COUNTED` are counted."""

    def __init__(self) -> None:
        self.listed: list[JobProblem] = []
        self.count = 0

    @property
    def full(self) -> bool:
        """Whether further faults are only counted."""
        return len(self.listed) >= MAX_PROBLEMS

    def add(self, code: str, path: str, message: str, hint: str = "", job_id: str = "", **details: str) -> None:
        """Adds one fault. `message` continues after the path: "must be …"."""
        self.count += 1
        if not self.full:
            whose = {"job_id": job_id} if job_id else {}
            advice = {"hint": hint} if hint else {}
            problem = {"code": code, "path": path, **whose, "message": message, **advice, **details}
            self.listed.append(cast("JobProblem", problem))

    def error(self, name: str) -> JobsFileInvalid:
        """The error for the file `name`, with all listed faults in its details."""
        first = self.listed[0]
        whose = f" (job {first['job_id']})" if "job_id" in first else ""
        number = f"{self.count} faults" if self.count < MAX_COUNTED else f"{MAX_COUNTED} faults or more"
        many = f"{number}; the first: " if self.count > 1 else ""
        message = f"{name}: {many}{first['path']}{whose} {first['message']}"
        counted = min(self.count, MAX_COUNTED)
        details: dict[str, object] = {"file": name, "problem_count": counted, "problems": self.listed}
        return JobsFileInvalid(message, hint=first.get("hint", ""), details=details)


def escaped(text: str, most: int = 128) -> str:
    """At most `most` characters of `text`, with unprintable ones as escapes."""
    if len(text) <= most and text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:most]) + "…" * (len(text) > most)


def quoted(text: str) -> str:
    """At most 80 characters of `text`, in double quotes."""
    return '"' + escaped(text, 80).replace('"', '\\"') + '"'


def child(path: str, key: str | int) -> str:
    """The path of a member of `path`: `jobs[3].env.NAME`, or `jobs[3]["a b"]` if the key is not a plain word."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}" if path else key
    return f"{path}[{quoted(key)}]"


def describe(value: object, *, private: bool = False) -> str:
    """A value for people, like `the text "120"`; if it is private, only its type."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return "a number" if private else f"the number {value}"
    if isinstance(value, str):
        return "text" if private else f"the text {quoted(value)}"
    return "a list" if isinstance(value, list) else "an object"


def suggestion(word: str, known: Sequence[str]) -> str:
    """A hint that names the known word most similar to `word`, or all known words."""
    import difflib

    similar = difflib.get_close_matches(word[:64].lower().replace("-", "_"), known, n=1)
    return f"did you mean {similar[0]}?" if similar else f"remove it, or use one of: {', '.join(known)}"


def explain(error: Mapping[str, Any]) -> tuple[str, str, str]:
    """(code, message, hint) for one entry of pydantic's `ValidationError.errors()`."""
    kind, value, loc, limits = error["type"], error["input"], error["loc"], error.get("ctx", {})
    if kind == "missing":
        return "MISSING_FIELD", "is missing", f'add "{loc[-1]}": …'
    if kind == "unexpected_keyword_argument":
        parent = ".".join(map(str, loc[:-1]))
        hint = suggestion(str(loc[-1]), _FIELD_NAMES[parent])
        return "UNKNOWN_FIELD", f"is not a field of {parent or 'a job'}", hint
    if kind == "string_unicode":
        return "BAD_TEXT", "contains half of a surrogate pair, which is not a character", "remove the \\ud… escape"
    if kind in _BOUNDS:
        bound = f"{_BOUNDS[kind]} {next(iter(limits.values())):.15g}"
        return "OUT_OF_RANGE", f"must be {bound}, not {value}", ""
    if kind in ("string_too_long", "too_long"):
        unit = "characters" if isinstance(value, str) else "entries"
        return "TOO_LONG", f"has {len(value)} {unit}; at most {limits['max_length']} are allowed", ""
    if kind in ("string_too_short", "too_short") or (kind == "string_pattern_mismatch" and not value.strip()):
        return "EMPTY", "is blank" if value else "is empty", "give it a value, or remove it"
    if kind == "string_pattern_mismatch":
        return "BAD_NAME", f"is {quoted(value)}, but must be {meaning(limits['pattern'])}", ""
    private = bool(loc) and loc[0] in _PRIVATE
    expected = _TYPE_NAMES.get(kind) or limits.get("expected", "of another kind").replace("'", "")
    code = "UNKNOWN_VALUE" if kind == "literal_error" and isinstance(value, str) else "WRONG_TYPE"
    return code, f"must be {expected}, not {describe(value, private=private)}", _correction(kind, value)


def meaning(pattern: str) -> str:
    """The meaning of the pattern of a name, in words."""
    for alias in (model.Name, model.EnvName):
        for constraint in get_args(alias)[1:]:
            if isinstance(constraint, model.Matches) and constraint.regex == pattern:
                return constraint.meaning
    return "of another form"


def _correction(kind: str, value: object) -> str:
    """What to write instead of a value of the wrong type; "" if that is not obvious."""
    if kind in ("int_type", "float_type") and isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return f"write {value} without quotes"
    if kind == "int_type" and isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"write {int(value)}"
    if kind == "bool_type" and isinstance(value, str) and value.lower() in ("true", "false"):
        return f"write {value.lower()} without quotes"
    if kind == "bool_type" and value in (0, 1):
        return "write true" if value else "write false"
    if kind == "list_type" and isinstance(value, str):
        return 'write a list of texts, like ["python3", "report.py"]'
    if kind == "string_type" and isinstance(value, int | float):
        return "put it in double quotes"
    return ""
