"""Mutated jobs files through `sync-jobs`: taken as a whole and usable, or refused as a whole with one error."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.acceptance.bad_input_cases_stage import GOOD_JOBS, Stage, copy_of, jobs_bytes, make_template
from tests.effort import examples

_FUZZ = settings(
    max_examples=examples(300),
    derandomize=False,
    print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)

_RICH_JOB: dict[str, Any] = {
    "job_id": "rich", "puruto_target": "puruto-data", "schedule": "*/5 8-18 * * mon-fri", "prompt": "Día ✓ 👍",
    "enabled": True, "notify_channel": "none", "timeout_sec": 180, "max_retries": 2, "retry_backoff_sec": 30,
    "timezone": "Europe/Madrid", "catch_up": "all", "catch_up_limit": 5, "max_lateness_sec": 600, "runner": "command",
    "command": ["python3", "report.py"], "env": {"MODE": "week"}, "allow_env": ["TOKEN"], "allow_empty_result": False,
}  # fmt: skip
_GOOD = jobs_bytes(*GOOD_JOBS, _RICH_JOB)

#: Pieces of bytes that parsers stumble over.
_PIECES = (
    b"", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"\\ud800", b"\\u0000", b"NaN", b"-Infinity", b"1e999", b"-0", b"9" * 40, b"0.1", b"null", b"true", b"//",
    b"/*", b"'", b"\r\n", b"\x1b", b"[" * 200, b'"job_id": "backup",', b'"next_run_at": "soon",',
    b'{"jobs": []}', "é".encode("latin-1"), "\u202e".encode(),
)  # fmt: skip
#: Texts that a schedule, a zone, a name or a prompt may meet.
_TEXTS = (
    "", " ", "backup", "../x", "a\0b", "\ud800", "x" * 129, "* * * * *", "@every 15m", "@every 1s",
    "@every 366d", "@daily", "@at 2026-02-15T14:30", "@at 2999-01-01T00:00Z", "@at 9999-12-31T23:59Z",
    "0 0 29 2 *", "0 0 30 2 *", "0 0 31 12 0", "59/15 * * * *", "5-5 * * * *", "0 0 1 1 7", "* * * * * *",
    "30 2 * * *", "UTC", "Australia/Lord_Howe", "Pacific/Apia", "Europe/Madird", "+01:00", "telegram", "none",
    "latest", "all", "command", "invoke", "120", "true", "NaN",
)  # fmt: skip
_KEYS = (*_RICH_JOB, "jobs", "next_run_at", "lease_owner", "$schema", "Schedule", "", "\0", "\udfff")

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-2, 700_000)
    | st.integers()
    | st.floats()
    | st.sampled_from(_TEXTS)
    | st.text(max_size=20)
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
_ByteChange = Callable[[bytes], bytes]
_Change = tuple[str, int, Any]


def _byte_change(kind: str, at: int, length: int, piece: bytes) -> _ByteChange:
    def change(data: bytes) -> bytes:
        start = at % (len(data) + 1)
        stop = min(start + length, len(data))
        if kind == "replace":
            return data[:start] + piece + data[stop:]
        if kind == "insert":
            return data[:start] + piece + data[start:]
        if kind == "repeat":
            return data[:stop] + data[start:]
        return data[:start]

    return change


_BYTE_CHANGES = st.lists(
    st.builds(
        _byte_change,
        st.sampled_from(("replace", "insert", "repeat", "replace", "insert", "cut")),
        st.integers(0, 10_000),
        st.integers(0, 40),
        st.sampled_from(_PIECES) | st.binary(max_size=4),
    ),
    min_size=1,
    max_size=3,
)


def _places(value: object) -> list[tuple[Any, Any]]:
    """Every (container, key) within a value, the outermost first."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    for container in waiting:
        pairs = (
            container.items()
            if isinstance(container, dict)
            else enumerate(container)
            if isinstance(container, list)
            else ()
        )
        for key, inner in pairs:
            found.append((container, key))
            waiting.append(inner)
    return found


def _changed(root: Any, changes: list[_Change]) -> Any:
    """The value with its structure changed: values set, removed, added under another key, or copied elsewhere."""
    for kind, at, new in changes:
        places = _places(root)
        if not places:
            break
        container, key = places[at % len(places)]
        if kind == "set":
            container[key] = new
        elif kind == "remove":
            del container[key]
        elif kind == "add" and isinstance(container, dict):
            container[_KEYS[at % len(_KEYS)]] = new
        elif kind == "copy" and isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
    return root


_CHANGES = st.lists(
    st.tuples(st.sampled_from(("set", "set", "remove", "add", "copy")), st.integers(0, 1_000), _VALUES),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """One copy for all examples; each leaves its database as it was."""
    template = make_template(tmp_path_factory.mktemp("template"))
    return copy_of(template, tmp_path_factory.mktemp("fuzz"))


@pytest.fixture(scope="module")
def good_database(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database before any example."""
    return Path(shutil.copy2(stage.database, tmp_path_factory.mktemp("good")))


def _sync(stage: Stage, good_database: Path, data: bytes, flags: tuple[str, ...]) -> bool:
    """Tries one file and checks what must be true of any; True if it was taken."""
    stage.write_jobs(data)
    outcome = stage.here("sync-jobs", *flags)
    answer = outcome.object()
    assert outcome.err == b""
    if outcome.code == 0:
        try:
            _check_taken(stage, answer, data)
        finally:
            _restore(stage, good_database)
        return True
    assert outcome.code == 2, answer
    assert set(answer) == {"status", "error"}, answer
    assert set(answer["error"]) == {"code", "message", "details"}, answer
    assert answer["error"]["code"] in {"JOBS_FILE_NOT_JSON", "JOBS_FILE_INVALID", "REMOVALS_REFUSED"}, answer
    assert answer["error"]["message"], answer
    assert _stored(stage.database) == _stored(good_database), answer
    assert stage.jobs_file.read_bytes() == data
    return False


def _stored(database: Path) -> tuple[bytes, bytes]:
    """The bytes of a database and of its write-ahead log."""
    log = database.with_name(f"{database.name}-wal")
    return database.read_bytes(), log.read_bytes() if log.exists() else b""


def _check_taken(stage: Stage, answer: dict[str, Any], data: bytes) -> None:
    """What was taken can be listed, and its next instants asked for."""
    assert answer["status"] == "ok"
    ids = [job["job_id"] for job in json.loads(data.decode("utf-8-sig"))["jobs"]]
    listed = stage.here("list")
    assert (listed.code, listed.err) == (0, b""), listed
    assert [job["job_id"] for job in listed.object()["jobs"]] == sorted(ids)
    coming = stage.here("next", "--count", "3")
    assert (coming.code, coming.err) == (0, b""), coming
    instants = [instant["utc"] for instant in coming.object()["instants"]]
    assert instants == sorted(instants)
    assert stage.here("status").code == 0


def _restore(stage: Stage, good_database: Path) -> None:
    for path in stage.database.parent.glob(f"{stage.database.name}*"):
        path.unlink()
    shutil.copy2(good_database, stage.database)


_FLAGS = st.sampled_from(((), ("--allow-removals",)))


def test_a_file_with_mutated_bytes_is_taken_whole_or_refused_whole(stage: Stage, good_database: Path) -> None:
    outcomes: set[bool] = set()

    @_FUZZ
    @given(changes=_BYTE_CHANGES, flags=_FLAGS)
    def mutate(changes: list[_ByteChange], flags: tuple[str, ...]) -> None:
        data = _GOOD
        for change in changes:
            data = change(data)
        outcomes.add(_sync(stage, good_database, data, flags))

    mutate()
    assert set(outcomes) == {True, False}


def test_a_file_with_a_mutated_structure_is_taken_whole_or_refused_whole(stage: Stage, good_database: Path) -> None:
    outcomes: set[bool] = set()

    @_FUZZ
    @given(changes=_CHANGES, flags=_FLAGS)
    def mutate(changes: list[_Change], flags: tuple[str, ...]) -> None:
        root = _changed(json.loads(_GOOD), copy.deepcopy(changes))
        outcomes.add(_sync(stage, good_database, json.dumps(root).encode("ascii"), flags))

    mutate()
    assert set(outcomes) == {True, False}


def test_a_job_of_odd_values_is_taken_whole_or_refused_whole(stage: Stage, good_database: Path) -> None:
    outcomes: set[bool] = set()

    @_FUZZ
    @given(
        schedule=st.sampled_from(_TEXTS) | st.from_regex(r"[0-9*/,-]{1,6}( [0-9*/,-]{1,4}){4}", fullmatch=True),
        zone=st.none() | st.sampled_from(_TEXTS),
        fields=st.dictionaries(st.sampled_from(_KEYS), _LEAVES, max_size=2),
    )
    def mutate(schedule: str, zone: str | None, fields: dict[str, Any]) -> None:
        job = {**_RICH_JOB, "schedule": schedule, "timezone": zone, **fields}
        outcomes.add(_sync(stage, good_database, json.dumps({"jobs": [*GOOD_JOBS, job]}).encode("ascii"), ()))

    mutate()
    assert set(outcomes) == {True, False}


def test_a_job_in_the_last_hours_of_the_calendar_is_taken_whole_or_refused_whole(
    stage: Stage, good_database: Path
) -> None:
    job = {**_RICH_JOB, "schedule": "@at 9999-12-31T23:59Z", "timezone": "Australia/Lord_Howe"}
    _sync(stage, good_database, jobs_bytes(*GOOD_JOBS, job), ())
