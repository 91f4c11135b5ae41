"""Edits the text of a jobs file: changes one entry, and keeps the formatting of the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
#: The longest value that is written on one line.
LONGEST_LINE = 120


@dataclass(frozen=True)
class Member:
    """A member `"key": value` of an object: the offsets of the key's start and of the value's start and end."""

    key: str
    start: int
    value_start: int
    end: int


@dataclass(frozen=True)
class Entry:
    """An object in the list `jobs`: the offsets of its start and end, and its members."""

    start: int
    end: int
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Layout:
    """The list `jobs` of a valid file: the offsets of its start and end, and its entries."""

    list_start: int
    list_end: int
    entries: tuple[Entry, ...]


def layout_of(text: str) -> Layout:
    """The layout of the text of a valid jobs file."""
    root = _object(text, _skip(text, 0))
    # The last of two equal keys counts; a valid file has none.
    jobs = next(member for member in reversed(root.members) if member.key == "jobs")
    entries = tuple(_object(text, start) for start, _ in _items(text, jobs.value_start))
    return Layout(jobs.value_start, jobs.end, entries)


def set_members(text: str, entry: Entry, changes: dict[str, Any], removed: frozenset[str]) -> str:
    """The text with members of an entry changed, added after the others, or removed."""
    edits: list[tuple[int, int, str]] = []
    known = {member.key: member for member in entry.members}
    for key, value in changes.items():
        if key in known:
            member = known[key]
            edits.append((member.value_start, member.end, _value(value, _line_indent(text, member.start), text)))
    kept = [member for member in entry.members if member.key not in removed]
    edits += _cuts(entry, removed)
    added = {key: value for key, value in changes.items() if key not in known}
    if added:
        edits.append(_addition(text, entry, kept, added))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def add_entries(text: str, layout: Layout, entries: Sequence[dict[str, Any]]) -> str:
    """The text with one or more entries added at the end of the list, formatted like the others."""
    if not layout.entries:
        base = _line_indent(text, layout.list_start)
        inner = base + "  "
        made = f",\n{inner}".join(_object_text(entry, inner, one_line=False) for entry in entries)
        return text[: layout.list_start] + _newlines(f"[\n{inner}{made}\n{base}]", text) + text[layout.list_end :]
    last = layout.entries[-1]
    indent = _line_indent(text, last.start)
    one_line = "\n" not in text[last.start : last.end]
    gap = text[layout.entries[-2].end : last.start] if len(layout.entries) > 1 else f",\n{indent}"
    if "\n" not in gap and not one_line:
        gap = f",\n{indent}"
    like = text[last.start : last.end]
    gap = gap.replace("\r\n", "\n")
    made = "".join(gap + _object_text(entry, indent, one_line=one_line, like=like) for entry in entries)
    return text[: last.end] + _newlines(made, text) + text[last.end :]


def remove_entry(text: str, layout: Layout, number: int) -> str:
    """The text without the entry of this index, and without its comma."""
    entries = layout.entries
    if len(entries) == 1:
        return text[: layout.list_start] + "[]" + text[layout.list_end :]
    if number == 0:
        return text[: entries[0].start] + text[entries[1].start :]
    return text[: entries[number - 1].end] + text[entries[number].end :]


# --- reading ---


def _skip(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    return match.end() if match else offset


def _object(text: str, start: int) -> Entry:
    offset, members = _skip(text, start + 1), []
    while text[offset] != "}":
        key, after = scanstring(text, offset + 1)
        value_start = _skip(text, _skip(text, after) + 1)
        _, end = _DECODER.raw_decode(text, value_start)
        members.append(Member(key, offset, value_start, end))
        offset = _skip(text, end)
        if text[offset] == ",":
            offset = _skip(text, offset + 1)
    return Entry(start, offset + 1, tuple(members))


def _items(text: str, start: int) -> Iterator[tuple[int, int]]:
    offset = _skip(text, start + 1)
    while text[offset] != "]":
        _, end = _DECODER.raw_decode(text, offset)
        yield offset, end
        offset = _skip(text, end)
        if text[offset] == ",":
            offset = _skip(text, offset + 1)


# --- writing ---


def _line_indent(text: str, offset: int) -> str:
    """The whitespace at the beginning of the line of an offset."""
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _newlines(addition: str, text: str) -> str:
    """`addition` with the line ends of `text`."""
    return addition.replace("\n", "\r\n") if "\r\n" in text else addition


def _one_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _value(value: Any, indent: str, text: str) -> str:
    flat = _one_line(value)
    if not isinstance(value, dict | list) or len(indent) + len(flat) <= LONGEST_LINE:
        return flat
    step = "\t" if indent.startswith("\t") else "  "
    return _newlines(json.dumps(value, ensure_ascii=False, indent=step).replace("\n", f"\n{indent}"), text)


def _object_text(entry: dict[str, Any], indent: str, *, one_line: bool, like: str = "") -> str:
    if one_line:
        flat = ", ".join(f"{_one_line(key)}: {_one_line(value)}" for key, value in entry.items())
        return f"{{ {flat} }}" if like.startswith("{ ") else f"{{{flat}}}"
    step = "\t" if indent.startswith("\t") else "  "
    inner = _member_indent(like) or indent + step
    members = [f"{inner}{_one_line(key)}: {_value(value, inner, '')}" for key, value in entry.items()]
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"


def _member_indent(like: str) -> str:
    """The indentation of the members of an entry; "" if it is on one line."""
    match = re.search(r"\{[ \t]*\r?\n([ \t]+)", like)
    return match[1] if match else ""


def _cuts(entry: Entry, removed: frozenset[str]) -> Iterator[tuple[int, int, str]]:
    """The edits that remove these members, each with one comma."""
    kept = [member for member in entry.members if member.key not in removed]
    for member, following in zip(entry.members, entry.members[1:], strict=False):
        if member.key in removed and member.start < kept[-1].start:
            yield member.start, following.start, ""
    if entry.members[-1].key in removed:
        yield kept[-1].end, entry.members[-1].end, ""


def _addition(text: str, entry: Entry, kept: list[Member], added: dict[str, Any]) -> tuple[int, int, str]:
    last = kept[-1]
    indent = _line_indent(text, last.start)
    several_lines = "\n" in text[entry.start : last.start]
    gap = f",\n{indent}" if several_lines else ", "
    made = "".join(f"{gap}{_one_line(key)}: {_value(value, indent, '')}" for key, value in added.items())
    return last.end, last.end, _newlines(made, text)
