"""The checks of a job's `success` that its fields alone don't tell: expressions, schemas, and what can't be meant."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jobs.messages import escaped, inner, quoted

#: A fault: code, path below `success`, message that goes on after the path, and hint.
Fault = tuple[str, str, str, str]

MAX_SCHEMA_DEPTH = 32
MAX_SCHEMA_PARTS = 5_000
_NO_TEXT = re.compile("[\ud800-\udfff]")
#: Keywords whose values are no schemas: a `$ref` in them is plain data.
_DATA = frozenset({"const", "enum", "default", "examples"})


def faults(success: Mapping[str, Any], wrong: Callable[[str], bool]) -> Iterator[Fault]:
    """The faults of a `success` object; `wrong` tells of which fields the type is known to be wrong already."""
    if not success:
        yield "EMPTY", "", "is empty", 'name at least one check, like "stdout_matches": "done", or leave it out'
    texts = {name: success[name] for name in _CHECKS if isinstance(success.get(name), str) and not wrong(name)}
    for name, text in texts.items():
        yield from _CHECKS[name](f".{name}", text)
    if len(texts) > 1 and texts.get("stdout_matches") == texts.get("stdout_not_matches"):
        message = "is the same as stdout_matches, so that no run could succeed"
        yield "CONFLICT", ".stdout_not_matches", message, "remove one of the two"
    schema = success.get("json_schema")
    if isinstance(schema, dict) and not wrong("json_schema"):
        yield from schema_faults(".json_schema", schema)


def _pattern(path: str, text: str) -> Iterator[Fault]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        message = f"is no regular expression: {error}"
        yield "BAD_PATTERN", path, message, "a backslash before a character takes its meaning away: \\\\( in JSON"


def _file(path: str, text: str) -> Iterator[Fault]:
    if "\0" in text:
        yield "BAD_TEXT", path, "holds a NUL character", "remove it"
    elif text.startswith("~"):
        yield "BAD_PATH", path, "begins with ~, which stands for no folder here", "write the whole path, from /"
    elif text.rpartition("/")[2] in ("", ".", ".."):
        yield "BAD_PATH", path, f"is {quoted(text)}, which is a folder", "name a file"


_CHECKS: dict[str, Callable[[str, str], Iterator[Fault]]] = {
    "stdout_matches": _pattern,
    "stdout_not_matches": _pattern,
    "file_changed": _file,
}


def schema_faults(path: str, schema: dict[str, Any]) -> Iterator[Fault]:
    """What is wrong with a JSON Schema."""
    form = next(_form(path, schema), None)
    if form is not None:
        yield form
        return
    from jsonschema import exceptions, validators

    named = schema.get("$schema")
    kind = validators.validator_for(schema, default=None) if isinstance(named, str | None) else None
    if kind is None and named is None:
        kind = validators.Draft202012Validator
    if kind is None:
        hint = "leave it out, or write https://json-schema.org/draft/2020-12/schema"
        yield "BAD_SCHEMA", inner(path, "$schema"), "names no draft of JSON Schema that is known here", hint
        return
    try:
        kind.check_schema(schema)
    except exceptions.SchemaError as error:
        for part in error.absolute_path:
            path = inner(path, part)
        yield "BAD_SCHEMA", path, f"is no JSON Schema: {escaped(error.message, 200)}", ""
    except RecursionError:
        yield "BAD_SCHEMA", path, "is nested too deeply to be checked", "make it flatter"
    else:
        try:
            yield from list(_references(path, schema, kind))
        except ValueError as error:
            # An `$id` that can't be taken apart.
            yield "BAD_SCHEMA", path, f"names itself in a way that can't be read: {escaped(str(error), 200)}", ""


def _form(path: str, schema: dict[str, Any]) -> Iterator[Fault]:
    """What would make it impossible to store or to check."""
    waiting: list[tuple[str, object, int]] = [(path, schema, 1)]
    for number, (place, value, depth) in enumerate(waiting):
        if number == MAX_SCHEMA_PARTS:
            yield "TOO_LONG", path, f"has more than {MAX_SCHEMA_PARTS} parts", "let the target itself check that much"
            return
        texts = [value] if isinstance(value, str) else list(value) if isinstance(value, dict) else []
        if any(_NO_TEXT.search(text) for text in texts):
            yield "BAD_TEXT", place, "holds half of a surrogate pair, which is no character", "remove the \\ud… escape"
        if not isinstance(value, dict | list):
            continue
        if depth > MAX_SCHEMA_DEPTH:
            yield "BAD_SCHEMA", place, f"is nested more than {MAX_SCHEMA_DEPTH} deep", "make it flatter"
            return
        items = value.items() if isinstance(value, dict) else enumerate(value)
        waiting.extend((inner(place, key), item, depth + 1) for key, item in items)


def _references(path: str, schema: dict[str, Any], kind: Any) -> Iterator[Fault]:
    """References that lead nowhere: what is not in the schema itself is never fetched."""
    from referencing import Registry
    from referencing.jsonschema import specification_with

    made = specification_with(kind.META_SCHEMA.get("$id") or kind.META_SCHEMA["id"])
    root = made.create_resource(schema)
    registry: Registry[Any] = Registry().with_resource(root.id() or "", root)
    waiting: list[tuple[str, Any, Any]] = [(path, schema, registry.resolver_with_root(root))]
    for place, value, above in waiting:
        resolver = above
        items: Any = enumerate(value)
        if isinstance(value, dict):
            # Below a name of its own, references start there.
            named = any(isinstance(value.get(key), str) for key in ("$id", "id"))
            if named and value is not schema:
                resolver = above.in_subresource(made.create_resource(value))
            yield from _lost(place, value, resolver)
            items = ((key, item) for key, item in value.items() if key not in _DATA)
        waiting.extend((inner(place, key), item, resolver) for key, item in items if isinstance(item, dict | list))


def _lost(path: str, schema: dict[str, Any], resolver: Any) -> Iterator[Fault]:
    from referencing.exceptions import Unresolvable

    for key in ("$ref", "$dynamicRef", "$recursiveRef"):
        target = schema.get(key)
        if isinstance(target, str):
            try:
                resolver.lookup(target)
            except Unresolvable:
                message = f"leads to nothing in this schema: {quoted(target)}"
                yield "BAD_SCHEMA", inner(path, key), message, "nothing is fetched; put it under $defs"
