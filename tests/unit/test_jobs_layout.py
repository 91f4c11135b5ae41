"""Edits of a jobs file's text: only what should change does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import layout
from tests.support_jobs import GOOD

KEYS = st.sampled_from(["job_id", "prompt", "model", "env", "command", 'a"b', "ñ"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 10**6) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
ENTRIES = st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=5), max_size=4)
SPACES = st.sampled_from(["", " ", "\n", "\n  ", "\r\n\t", "  \n"])


@st.composite
def files(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A file as json.dumps writes it, or with whitespace wherever JSON allows it."""
    root = {"$schema": "x", "jobs": draw(ENTRIES), **({"more": [1, {"jobs": []}]} if draw(st.booleans()) else {})}
    style = draw(st.sampled_from(["flat", "two", "tab", "odd"]))
    if style != "odd":
        indent = {"flat": None, "two": 2, "tab": "\t"}[style]
        return json.dumps(root, indent=indent, ensure_ascii=draw(st.booleans())), root
    space = draw(SPACES)
    text = json.dumps(root, indent=None, separators=(f"{space},{space}", f"{space}:{space}"))
    return f"{space}{text}{space}", root


@pytest.mark.slow
@given(files(), st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_an_added_entry_is_the_last_and_the_rest_is_unchanged(file: tuple[str, Any], entry: dict[str, Any]) -> None:
    text, root = file
    made = layout.add_entries(text, layout.layout_of(text), [entry])
    assert json.loads(made) == {**root, "jobs": [*root["jobs"], entry]}
    found = layout.layout_of(text)
    end = found.entries[-1].end if found.entries else found.list_start
    assert made.startswith(text[:end])
    assert made.endswith(text[found.list_end - 1 if found.entries else found.list_end :])


@pytest.mark.slow
@given(files(), st.data())
def test_a_removed_entry_takes_only_its_comma_with_it(file: tuple[str, Any], data: st.DataObject) -> None:
    text, root = file
    if not root["jobs"]:
        return
    number = data.draw(st.integers(0, len(root["jobs"]) - 1))
    made = layout.remove_entry(text, layout.layout_of(text), number)
    assert json.loads(made) == {**root, "jobs": root["jobs"][:number] + root["jobs"][number + 1 :]}


@pytest.mark.slow
@given(files(), st.dictionaries(KEYS, VALUES, max_size=3), st.data())
def test_changed_fields_are_changed_and_others_are_the_same_text(
    file: tuple[str, Any], changes: dict[str, Any], data: st.DataObject
) -> None:
    text, root = file
    if not root["jobs"]:
        return
    number = data.draw(st.integers(0, len(root["jobs"]) - 1))
    keys = sorted(set(root["jobs"][number]) - set(changes))
    # The name stays: an entry is never left empty.
    removed = frozenset(data.draw(st.sets(st.sampled_from(keys), max_size=len(keys) - 1)) if len(keys) > 1 else ())
    made = layout.set_members(text, layout.layout_of(text).entries[number], changes, removed)
    wanted = {key: value for key, value in {**root["jobs"][number], **changes}.items() if key not in removed}
    jobs = [*root["jobs"][:number], wanted, *root["jobs"][number + 1 :]]
    assert json.loads(made) == {**root, "jobs": jobs}
    before, after = layout.layout_of(text), layout.layout_of(made)
    for place in range(len(jobs)):
        if place != number:
            old, new = before.entries[place], after.entries[place]
            assert made[new.start : new.end] == text[old.start : old.end]


@pytest.mark.slow
@given(files(), st.dictionaries(KEYS, VALUES, min_size=1, max_size=3))
def test_an_entry_that_is_added_and_removed_leaves_the_file_as_it_was(
    file: tuple[str, Any], entry: dict[str, Any]
) -> None:
    text, root = file
    if not root["jobs"]:
        return
    made = layout.add_entries(text, layout.layout_of(text), [entry])
    assert layout.remove_entry(made, layout.layout_of(made), len(root["jobs"])) == text


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ('{"jobs": []}', '{"jobs": [\n  {\n    "job_id": "b",\n    "env": {"A": "1"}\n  }\n]}'),
        (
            '{\n    "jobs": [\n        {\n            "job_id": "a"\n        }\n    ]\n}\n',
            '{\n    "jobs": [\n        {\n            "job_id": "a"\n        },\n'
            '        {\n            "job_id": "b",\n'
            '            "env": {"A": "1"}\n        }\n    ]\n}\n',
        ),
        (
            '{"jobs": [\n  {"job_id": "a"},\n  {"job_id": "c"}\n]}',
            '{"jobs": [\n  {"job_id": "a"},\n  {"job_id": "c"},\n  {"job_id": "b", "env": {"A": "1"}}\n]}',
        ),
        (
            '{\r\n\t"jobs": [\r\n\t\t{\r\n\t\t\t"job_id": "a"\r\n\t\t}\r\n\t]\r\n}',
            '{\r\n\t"jobs": [\r\n\t\t{\r\n\t\t\t"job_id": "a"\r\n\t\t},\r\n\t\t{\r\n\t\t\t"job_id": "b",\r\n'
            '\t\t\t"env": {"A": "1"}\r\n\t\t}\r\n\t]\r\n}',
        ),
    ],
    ids=["empty", "four spaces", "a line each", "tabs and CRLF"],
)
def test_a_new_entry_looks_like_the_others(text: str, made: str) -> None:
    assert layout.add_entries(text, layout.layout_of(text), [{"job_id": "b", "env": {"A": "1"}}]) == made


def test_a_new_field_comes_after_the_others_and_a_changed_one_stays_in_place() -> None:
    text = json.dumps({"jobs": [GOOD]}, indent=2)
    made = layout.set_members(text, layout.layout_of(text).entries[0], {"prompt": "ñ", "model": "m"}, frozenset())
    assert made == json.dumps({"jobs": [{**GOOD, "prompt": "ñ", "model": "m"}]}, indent=2, ensure_ascii=False)
