"""Any jobs file is read, or refused with one of our errors, which can be printed."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import ConfigurationError, CronError
from core.job import Job
from jobs import jobs_file
from store import job_codec
from tests.effort import examples
from tests.support_jobs import FULL, GOOD, check_schedule, parse

pytestmark = pytest.mark.slow

VALID = json.dumps({"$schema": "x", "jobs": [GOOD, FULL, {**GOOD, "job_id": "b"}]}, indent=1).encode()

FRAGMENTS = [bytes([mark]) for mark in b"{}[]\",:\\-'\0\xff\xc0\n\r"] + [
    *(b"\\u", b"\\ud800", b"NaN", b"-Infinity", b"1e999", b"9" * 40, b"1.0", b"null", b"true", b"//", b"/*"),
    *(b"\xef\xbb\xbf", b"\xe2\x80\xae", b'"job_id":"a",', b'"jobs":', b"[" * 3000, b'{"a":' * 3000),
]
TEXTS = st.text(st.characters(codec=None, categories=None), max_size=8) | st.sampled_from(
    ["", "a", "../x", "\0", "\ud800", "PURUTO_CRON_X", "bad", "Mars", "command", "invoke", "telegram", "x" * 200]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | st.sampled_from([*FULL]), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def mutated_bytes(draw: st.DrawFn) -> bytes:
    data = VALID
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 0, 1, 2, 10, 200])))
        data = data[:start] + draw(st.sampled_from(FRAGMENTS) | st.binary(max_size=4)) + data[end:]
    return data


def places(value: Any) -> list[tuple[Any, Any]]:
    """Each (container, key) in `value`."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        here = waiting.pop()
        pairs = list(here.items() if isinstance(here, dict) else enumerate(here) if isinstance(here, list) else ())
        found.extend((here, key) for key, _ in pairs)
        waiting.extend(inner for _, inner in pairs)
    return found


@st.composite
def mutated_structures(draw: st.DrawFn) -> Any:
    root = copy.deepcopy({"$schema": "x", "jobs": [GOOD, FULL, {**GOOD, "job_id": "b"}]})
    for _ in range(draw(st.integers(1, 4))):
        container, key = draw(st.sampled_from(places(root)))
        action = draw(st.sampled_from(["replace", "replace", "remove", "rename", "add"]))
        if action == "replace":
            container[key] = draw(VALUES)
        elif action == "remove" or isinstance(container, list):
            del container[key]
        elif action == "rename":
            container[draw(TEXTS)] = container.pop(key)
        else:
            container[draw(TEXTS | st.sampled_from([*FULL, *jobs_runtime_keys()]))] = draw(VALUES)
        if not places(root):
            break
    return root


def jobs_runtime_keys() -> list[str]:
    return ["next_run_at", "last_run_at", "lease_owner", "lease_expires_at"]


def read_or_refused(data: bytes) -> jobs_file.JobsFile | None:
    """The file, or None if it was refused properly; anything else is raised."""
    found = None
    try:
        found = jobs_file.parse_jobs(data, "x.json", check_schedule)
        told: Any = found.warnings
    except ConfigurationError as error:
        told = {**error.as_dict(), "details": {}}
        json.dumps(error.details, ensure_ascii=False).encode()
    assert len(json.dumps(told, ensure_ascii=False).encode()) < 10_000
    return found


@settings(max_examples=examples(200))
@given(mutated_bytes())
@example(b"")
@example(VALID[:-1])
def test_a_file_with_damaged_bytes_is_read_or_refused(data: bytes) -> None:
    read_or_refused(data)


@settings(max_examples=examples(200))
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert read_or_refused(data) is None or json.loads(data.decode("utf-8-sig"))["jobs"] == []


@settings(max_examples=examples(200))
@given(mutated_structures())
def test_a_file_of_another_shape_is_read_or_refused(root: Any) -> None:
    found = read_or_refused(json.dumps(root).encode())
    if found is not None:
        assert len(found.jobs) == len(root["jobs"])


@settings(max_examples=examples(200))
@given(mutated_structures())
def test_what_is_read_comes_back_whole_from_its_stored_form(root: Any) -> None:
    found = read_or_refused(json.dumps(root).encode())
    for job in found.jobs if found else ():
        assert job_codec.job_from_json(job_codec.job_json(job)) == job
        stored = json.loads(job_codec.job_json(job))
        # In a file a prompt that is not needed is left out.
        entry = {key: value for key, value in stored.items() if key != "prompt" or value}
        assert parse({"jobs": [entry]}).jobs == (job,)


@settings(max_examples=examples(200))
@given(VALUES | mutated_structures().map(lambda root: root.get("jobs")), st.booleans())
def test_any_stored_text_gives_a_job_or_one_of_our_errors(value: Any, cut: bool) -> None:
    entry = value[0] if isinstance(value, list) and value else value
    text = json.dumps(entry)
    try:
        assert isinstance(job_codec.job_from_json(text[:-1] if cut else text), Job)
    except CronError as error:
        json.dumps(error.as_dict(), ensure_ascii=False).encode("utf-8")
