"""Checks of a job's `success` that types and bounds can't express: regular expressions, schemas, contradictions."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jobs.messages import child, escaped, quoted

#: A fault: code, path below the checked object, message that continues after the path, and hint.
Fault = tuple[str, str, str, str]

MAX_SCHEMA_DEPTH = 32
MAX_SCHEMA_PARTS = 5_000
_NO_TEXT = re.compile("[\ud800-\udfff]")
#: Keywords whose values are plain data, not schemas: a `$ref` in them has no meaning.
_DATA = frozenset({"const", "enum", "default", "examples"})


def faults(success: Mapping[str, Any], has_fault: Callable[[str], bool]) -> Iterator[Fault]:
    """The faults of a `success` object. `has_fault` says whether a field already has a fault."""
    if not success:
        yield "EMPTY", "", "is empty", 'name at least one check, like "stdout_matches": "done", or leave it out'
    texts = {name: success[name] for name in _CHECKS if isinstance(success.get(name), str) and not has_fault(name)}
    for name, text in texts.items():
        yield from _CHECKS[name](f".{name}", text)
    if len(texts) > 1 and texts.get("stdout_matches") == texts.get("stdout_not_matches"):
        message = "is the same as stdout_matches, so no run could succeed"
        yield "CONFLICT", ".stdout_not_matches", message, "remove one of the two"
    schema = success.get("json_schema")
    if isinstance(schema, dict) and not has_fault("json_schema"):
        yield from schema_faults(".json_schema", schema)


def _pattern(path: str, text: str) -> Iterator[Fault]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        message = f"is not a regular expression: {error}"
        yield (
            "BAD_PATTERN",
            path,
            message,
            "a backslash removes the special meaning of a character: write \\\\( in JSON",
        )


def _file(path: str, text: str) -> Iterator[Fault]:
    if "\0" in text:
        yield "BAD_TEXT", path, "contains a NUL character", "remove it"
    elif text.startswith("~"):
        yield "BAD_PATH", path, "begins with ~, which is not replaced here", "write the full path, from /"
    elif text.rpartition("/")[2] in ("", ".", ".."):
        yield "BAD_PATH", path, f"is {quoted(text)}, which is a folder", "name a file"


_CHECKS: dict[str, Callable[[str, str], Iterator[Fault]]] = {
    "stdout_matches": _pattern,
    "stdout_not_matches": _pattern,
    "file_changed": _file,
}


def schema_faults(path: str, schema: dict[str, Any]) -> Iterator[Fault]:
    """The faults of a JSON Schema at `path`."""
    form = next(_form(path, schema), None)
    if form is not None:
        yield form
        return
    from jsonschema import exceptions, validators

    draft = schema.get("$schema")
    validator = validators.validator_for(schema, default=None) if isinstance(draft, str | None) else None
    if validator is None and draft is None:
        validator = validators.Draft202012Validator
    if validator is None:
        hint = "remove it, or write https://json-schema.org/draft/2020-12/schema"
        yield "BAD_SCHEMA", child(path, "$schema"), "is not a supported draft of JSON Schema", hint
        return
    try:
        validator.check_schema(schema)
    except exceptions.SchemaError as error:
        for part in error.absolute_path:
            path = child(path, part)
        yield "BAD_SCHEMA", path, f"is not a valid JSON Schema: {escaped(error.message, 200)}", ""
    except RecursionError:
        yield "BAD_SCHEMA", path, "is nested too deeply to be checked", "make it flatter"
    else:
        try:
            yield from list(_references(path, schema, validator))
        except ValueError as error:
            # An `$id` that can't be parsed.
            yield "BAD_SCHEMA", path, f"has an $id that can't be parsed: {escaped(str(error), 200)}", ""


def _form(path: str, schema: dict[str, Any]) -> Iterator[Fault]:
    """Faults that make a schema impossible to store or to check."""
    pending: list[tuple[str, object, int]] = [(path, schema, 1)]
    for number, (part_path, value, depth) in enumerate(pending):
        if number == MAX_SCHEMA_PARTS:
            yield "TOO_LONG", path, f"has more than {MAX_SCHEMA_PARTS} parts", "let the target check its result itself"
            return
        texts = [value] if isinstance(value, str) else list(value) if isinstance(value, dict) else []
        if any(_NO_TEXT.search(text) for text in texts):
            message = "contains half of a surrogate pair, which is not a character"
            yield "BAD_TEXT", part_path, message, "remove the \\ud… escape"
        if not isinstance(value, dict | list):
            continue
        if depth > MAX_SCHEMA_DEPTH:
            yield "BAD_SCHEMA", part_path, f"is nested more than {MAX_SCHEMA_DEPTH} deep", "make it flatter"
            return
        items = value.items() if isinstance(value, dict) else enumerate(value)
        pending.extend((child(part_path, key), item, depth + 1) for key, item in items)


def _references(path: str, schema: dict[str, Any], validator: Any) -> Iterator[Fault]:
    """References without a target in the schema itself: nothing is ever fetched."""
    from referencing import Registry
    from referencing.jsonschema import specification_with

    specification = specification_with(validator.META_SCHEMA.get("$id") or validator.META_SCHEMA["id"])
    root = specification.create_resource(schema)
    registry: Registry[Any] = Registry().with_resource(root.id() or "", root)
    pending: list[tuple[str, Any, Any]] = [(path, schema, registry.resolver_with_root(root))]
    for part_path, value, outer_resolver in pending:
        resolver = outer_resolver
        items: Any = enumerate(value)
        if isinstance(value, dict):
            # Inside an object with an id, references are relative to that id.
            has_id = any(isinstance(value.get(key), str) for key in ("$id", "id"))
            if has_id and value is not schema:
                resolver = outer_resolver.in_subresource(specification.create_resource(value))
            yield from _unresolvable(part_path, value, resolver)
            items = ((key, item) for key, item in value.items() if key not in _DATA)
        pending.extend((child(part_path, key), item, resolver) for key, item in items if isinstance(item, dict | list))


def _unresolvable(path: str, schema: dict[str, Any], resolver: Any) -> Iterator[Fault]:
    from referencing.exceptions import Unresolvable

    for key in ("$ref", "$dynamicRef", "$recursiveRef"):
        target = schema.get(key)
        if isinstance(target, str):
            try:
                resolver.lookup(target)
            except Unresolvable:
                message = f"has no target in this schema: {quoted(target)}"
                yield "BAD_SCHEMA", child(path, key), message, "nothing is fetched; put the target under $defs"
