"""Where things stand in the text of a jobs file, so that one entry can be changed and the rest keeps its look."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
#: An entry is written on one line when the others are and it fits.
LONGEST_LINE = 120


@dataclass(frozen=True)
class Member:
    """`"key": value` of an object: where the key begins, and where the value begins and ends."""

    key: str
    start: int
    value_start: int
    end: int


@dataclass(frozen=True)
class Entry:
    """An object of the list `jobs`."""

    start: int
    end: int
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Layout:
    """The list `jobs` of a good file: where its brackets stand, and its entries."""

    list_start: int
    list_end: int
    entries: tuple[Entry, ...]


def layout_of(text: str) -> Layout:
    """The places in a text that is known to be a good jobs file."""
    root = _object(text, _skip(text, 0))
    # Of a key that stands twice the last one counts; a good file has none.
    jobs = next(member for member in reversed(root.members) if member.key == "jobs")
    entries = tuple(_object(text, start) for start, _ in _items(text, jobs.value_start))
    return Layout(jobs.value_start, jobs.end, entries)


def set_members(text: str, entry: Entry, changes: dict[str, Any], removed: frozenset[str]) -> str:
    """The text with these members of an entry changed, added behind the others, or gone."""
    edits: list[tuple[int, int, str]] = []
    known = {member.key: member for member in entry.members}
    for key, value in changes.items():
        if key in known:
            member = known[key]
            edits.append((member.value_start, member.end, _value(value, _indent_at(text, member.start), text)))
    kept = [member for member in entry.members if member.key not in removed]
    edits += _cuts(entry, removed)
    added = {key: value for key, value in changes.items() if key not in known}
    if added:
        edits.append(_addition(text, entry, kept, added))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def add_entries(text: str, layout: Layout, entries: Sequence[dict[str, Any]]) -> str:
    """The text with more entries at the end of the list, in the look of the others; at least one is given."""
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
    """The text without the entry of that number, and without the comma that it needed."""
    entries = layout.entries
    if len(entries) == 1:
        return text[: layout.list_start] + "[]" + text[layout.list_end :]
    if number == 0:
        return text[: entries[0].start] + text[entries[1].start :]
    return text[: entries[number - 1].end] + text[entries[number].end :]


# --- reading ---


def _skip(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _object(text: str, start: int) -> Entry:
    place, members = _skip(text, start + 1), []
    while text[place] != "}":
        key, after = scanstring(text, place + 1)
        value_start = _skip(text, _skip(text, after) + 1)
        _, end = _DECODER.raw_decode(text, value_start)
        members.append(Member(key, place, value_start, end))
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)
    return Entry(start, place + 1, tuple(members))


def _items(text: str, start: int) -> Iterator[tuple[int, int]]:
    place = _skip(text, start + 1)
    while text[place] != "]":
        _, end = _DECODER.raw_decode(text, place)
        yield place, end
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)


# --- writing ---


def _line_indent(text: str, place: int) -> str:
    """The white space at the beginning of the line on which a place stands."""
    line = text[text.rfind("\n", 0, place) + 1 : place]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _indent_at(text: str, place: int) -> str:
    return _line_indent(text, place)


def _newlines(made: str, text: str) -> str:
    return made.replace("\n", "\r\n") if "\r\n" in text else made


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
    inner = _step_of(like) or indent + step
    members = [f"{inner}{_one_line(key)}: {_value(value, inner, '')}" for key, value in entry.items()]
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"


def _step_of(like: str) -> str:
    """How far the members of another entry stand from the left."""
    found = re.search(r"\{[ \t]*\r?\n([ \t]+)", like)
    return found[1] if found else ""


def _cuts(entry: Entry, removed: frozenset[str]) -> Iterator[tuple[int, int, str]]:
    """What goes with these members; each takes one comma with it."""
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
