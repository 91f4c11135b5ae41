"""The written forms of a job: its stored text, the JSON Schema, and the table of fields."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from core.errors import ConfigurationError, CronError
from core.job import NESTED, Job, Success
from jobs import jobs_file
from store import job_codec
from tests.effort import examples
from tests.support_jobs import BAD_JOBS, BAD_ROOTS, FULL, FULL_AGENT, FULL_AGENT_JOB, FULL_JOB, GOOD

SCHEMA = jobs_file.json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def accepted(root: Any) -> bool:
    try:
        jobs_file.parse_jobs(json.dumps(root).encode(), "x.json", lambda _schedule, _timezone: None)
    except ConfigurationError:
        return False
    return True


# --- stored text -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("job", [Job(**GOOD), FULL_JOB, FULL_AGENT_JOB], ids=["least", "full", "agent"])
def test_a_job_comes_back_from_its_stored_text(job: Job) -> None:
    assert job_codec.job_from_json(job_codec.job_json(job)) == job


def test_the_stored_text_has_every_field_sorted_and_without_spaces() -> None:
    text = job_codec.job_json(Job(**GOOD))
    assert list(json.loads(text)) == sorted(field.name for field in fields(Job))
    assert text.startswith('{"agent_args":[],"allow_empty_result":false,"allow_env":[],')


def test_equal_jobs_have_equal_texts_whatever_the_order_of_their_variables() -> None:
    one, other = (replace(Job(**GOOD), env=env) for env in ({"A": "1", "B": "2"}, {"B": "2", "A": "1"}))
    assert job_codec.job_json(one) == job_codec.job_json(other)


def test_letters_of_every_language_stay_readable_in_the_stored_text() -> None:
    assert '"anomalías 🐦"' in job_codec.job_json(replace(Job(**GOOD), prompt="anomalías 🐦"))


def test_a_stored_job_of_an_older_version_gets_defaults_for_missing_fields() -> None:
    assert job_codec.job_from_json(json.dumps(GOOD)) == Job(**GOOD)


def test_a_stored_job_of_a_newer_version_loses_unknown_fields() -> None:
    assert job_codec.job_from_json(json.dumps({**GOOD, "added_later": [1]})) == Job(**GOOD)


def test_a_stored_success_gets_defaults_for_missing_fields_and_loses_unknown_ones() -> None:
    text = json.dumps({**GOOD, "success": {"stdout_matches": "x", "added_later": 1}})
    assert job_codec.job_from_json(text).success == Success(exit_codes=[0], stdout_matches="x")
    assert job_codec.job_from_json(json.dumps({**GOOD, "success": None})).success is None


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**31), 10**31) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
SUCCESSES = st.builds(
    Success,
    exit_codes=st.lists(st.integers(0, 255), min_size=1, max_size=3),
    stdout_matches=st.none() | st.text(min_size=1, max_size=8),
    stdout_not_matches=st.none() | st.text(min_size=1, max_size=8),
    file_changed=st.none() | st.text(min_size=1, max_size=8),
    json_schema=st.none() | st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3),
)


@given(st.none() | SUCCESSES, st.none() | st.integers(1, 1_000))
def test_any_success_comes_back_from_its_stored_text_and_is_shown_as_json(
    success: Success | None, pause: int | None
) -> None:
    job = Job(**GOOD, success=success, pause_after_failures=pause)
    text = job_codec.job_json(job)
    assert job_codec.job_from_json(text) == job
    assert job_codec.job_json(job_codec.job_from_json(text)) == text
    assert json.loads(json.dumps(job_codec.as_dict(job))) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "can't be read"),
        ("{", "can't be read"),
        ("null", "not an object"),
        ("[]", "not an object"),
        ('"a"', "not an object"),
        ("[" * 100_000, "can't be read"),
        ("{}", "job_id"),
        (json.dumps({key: GOOD[key] for key in ("job_id", "prompt", "schedule")}), "puruto_target"),
        (json.dumps({**GOOD, "timeout_sec": "120"}), "of job 'a' can't be read: timeout_sec of the wrong type"),
        (json.dumps({**GOOD, "timeout_sec": True}), "timeout_sec of the wrong type"),
        (json.dumps({**GOOD, "enabled": 1}), "enabled of the wrong type"),
        (json.dumps({**GOOD, "env": []}), "env of the wrong type"),
        (json.dumps({**GOOD, "prompt": None}), "prompt of the wrong type"),
        (json.dumps({**GOOD, "timezone": 1}), "timezone of the wrong type"),
        (json.dumps({**GOOD, "max_lateness_sec": "1"}), "max_lateness_sec of the wrong type"),
        (json.dumps({**GOOD, "command": "ls"}), "command of the wrong type"),
        (json.dumps({**GOOD, "pause_after_failures": True}), "pause_after_failures of the wrong type"),
        (json.dumps({**GOOD, "success": []}), "success of the wrong type"),
        (json.dumps({**GOOD, "success": {"exit_codes": None}}), r"success\.exit_codes of the wrong type"),
        (json.dumps({**GOOD, "success": {"json_schema": True}}), r"success\.json_schema of the wrong type"),
        (
            json.dumps({**GOOD, "success": {"stdout_matches": 1, "file_changed": []}}),
            r"success\.stdout_matches, success\.file_changed of the wrong type",
        ),
    ],
)
def test_a_damaged_stored_job_is_one_of_our_errors(text: str, said: str) -> None:
    with pytest.raises(CronError, match=said) as caught:
        job_codec.job_from_json(text)
    assert "sync-jobs" in caught.value.hint


# --- schema ----------------------------------------------------------------------------------------------------


def test_the_schema_is_a_valid_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


def test_every_field_is_documented_in_the_schema_with_its_default() -> None:
    described = SCHEMA["$defs"]["Job"]["properties"]
    required = SCHEMA["$defs"]["Job"]["required"]
    assert required == ["job_id", "puruto_target", "schedule"]
    for field in fields(Job):
        assert described[field.name]["description"]
        assert described[field.name]["title"]
        assert ("default" in described[field.name]) == (field.name not in required)
    defaults = {name: described[name]["default"] for name in described if "default" in described[name]}
    assert Job(**{**defaults, **GOOD}) == Job(**GOOD)


def test_runtime_keys_are_allowed_by_the_schema_and_marked_as_deprecated() -> None:
    described = SCHEMA["$defs"]["Job"]["properties"]
    for key in ("next_run_at", "last_run_at", "lease_owner", "lease_expires_at"):
        assert described[key]["deprecated"] is True
        assert VALIDATOR.is_valid({"jobs": [{**GOOD, key: None}]})


@pytest.mark.parametrize(
    "entry", [GOOD, FULL, FULL_AGENT, {**GOOD, "runner": "invoke"}, {**GOOD, "runner": None, "command": ["x"]}]
)
def test_the_schema_accepts_good_jobs(entry: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid({"$schema": "x", "jobs": [entry]})


def sayable(changes: dict[str, Any], code: str) -> bool:
    """Whether JSON Schema can express the fault: it can't check schedules or characters, and takes 180.0 for 180."""
    whole = any(isinstance(value, float) and value.is_integer() for value in changes.values())
    # Python's $ also matches before a last newline; that of JSON Schema's regular expressions does not.
    newline = any(isinstance(value, str) and value.endswith("\n") for value in changes.values())
    unsaid = {"SCHEDULE_INVALID", "TIMEZONE_INVALID", "BAD_TEXT", "BAD_PATTERN", "BAD_PATH", "BAD_SCHEMA"}
    success = changes.get("success")
    if isinstance(success, dict):
        whole = success.get("exit_codes") == [0.0] and type(success["exit_codes"][0]) is float
        # How large a schema may be, and that two expressions may not be the same.
        unsaid |= {"CONFLICT"} | ({"TOO_LONG"} if "json_schema" in success else set())
    return code not in unsaid and not whole and not newline


SAYABLE = [changes for changes, code, _ in BAD_JOBS if sayable(changes, code)]


@pytest.mark.parametrize("changes", SAYABLE, ids=[f"{n}-{str(c)[:40]!a}" for n, c in enumerate(SAYABLE)])
def test_the_schema_refuses_the_fields_that_the_check_refuses(changes: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({"jobs": [{**GOOD, **changes}]})


def test_the_schema_can_express_most_of_what_is_refused() -> None:
    assert len(SAYABLE) > 0.7 * len(BAD_JOBS)


@pytest.mark.parametrize("root", [root for root, _ in BAD_ROOTS], ids=[str(root)[:40] for root, _ in BAD_ROOTS])
def test_the_schema_refuses_the_roots_that_the_check_refuses(root: Any) -> None:
    assert not VALIDATOR.is_valid(root)


def test_the_schema_refuses_jobs_without_a_required_field() -> None:
    for field in GOOD:
        assert not VALIDATOR.is_valid({"jobs": [{key: GOOD[key] for key in GOOD if key != field}]})


NAMES = st.sampled_from(["a", "", "a/b", ".x", "x" * 128, "x" * 129, "A_b-9.c", " ", "PURUTO_CRON_X", "_A", "9"])
ODD = st.none() | st.booleans() | st.integers(-2, 700_000) | st.floats(0.1, 0.9) | NAMES | st.lists(NAMES, max_size=2)
ENTRIES = st.fixed_dictionaries(
    {key: st.just(value) | NAMES for key, value in GOOD.items()},
    optional={
        "enabled": st.booleans() | ODD,
        "notify_channel": st.sampled_from(["telegram", "none", "None"]) | ODD,
        **dict.fromkeys(
            [
                "timeout_sec",
                "max_retries",
                "retry_backoff_sec",
                "catch_up_limit",
                "max_lateness_sec",
                "pause_after_failures",
            ],
            st.integers(0, 101) | st.sampled_from([3_600, 3_601, 604_800, 604_801, 31_536_000, 31_536_001]) | ODD,
        ),
        "timezone": NAMES | ODD,
        "catch_up": st.sampled_from(["latest", "none", "all", "ALL"]) | ODD,
        "runner": st.sampled_from(["command", "invoke", None]) | ODD,
        "command": st.lists(NAMES, max_size=3) | st.none() | ODD,
        "env": st.dictionaries(NAMES, NAMES | ODD, max_size=2) | ODD,
        "allow_env": st.lists(NAMES, max_size=2) | ODD,
        "allow_empty_result": st.booleans() | ODD,
        "success": ODD
        | st.fixed_dictionaries(
            {},
            optional={
                "exit_codes": st.lists(st.integers(-1, 256) | ODD, max_size=2) | ODD,
                "stdout_matches": st.just("a+") | st.none() | st.just(""),
                "stdout_not_matches": st.just("b$") | st.none() | st.integers(),
                "file_changed": st.sampled_from(["out", "a/b", "", None, 1]),
                "json_schema": st.sampled_from([{}, {"type": "object"}, {"type": 1}, None, [], {"minimum": "x"}]),
                "exit_code": ODD,
            },
        ),
        "unknown": ODD,
        "lease_owner": ODD,
    },
)


@settings(max_examples=examples(200))
@given(ENTRIES)
def test_schema_and_check_agree_on_any_job(entry: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid({"jobs": [entry]}) == accepted({"jobs": [entry]})


@settings(max_examples=examples(200))
@given(st.data())
def test_schema_and_check_agree_on_a_good_job_with_one_odd_field(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*FULL]))
    entry = {**FULL, name: data.draw(ODD)}
    assert VALIDATOR.is_valid({"jobs": [entry]}) == accepted({"jobs": [entry]})


# --- table -----------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_field_and_after_an_object_a_row_for_each_of_its_fields() -> None:
    rows = jobs_file.fields_table().splitlines()
    names = [row.split("|")[1].strip(" `") for row in rows[2:]]
    wanted: list[str] = []
    for field in fields(Job):
        wanted.append(field.name)
        if field.name in NESTED:
            wanted += [f"{field.name}.{inner.name}" for inner in fields(NESTED[field.name])]
    assert names == wanted
    assert len(wanted) > len(fields(Job))
    assert all(row.count("|") == 5 for row in rows)


def test_the_table_gives_type_default_and_meaning() -> None:
    rows = jobs_file.fields_table().splitlines()

    def row(name: str) -> str:
        (found,) = [row for row in rows if row.startswith(f"| `{name}` |")]
        return found

    assert "| whole number, 1 to 604,800 | `120` | Seconds that one attempt may take; then" in row("timeout_sec")
    assert '| `telegram` or `none` | `"telegram"` |' in row("notify_channel")
    assert "| text, at most 128 characters: letters a-z and A-Z, digits, dots" in row("job_id")
    assert "| required |" in row("schedule")
    assert "| list of at most 256 whole numbers, 0 to 255 | `[0]` | The exit codes of a success." in row(
        "success.exit_codes"
    )
    assert "| object or null | `null` |" in row("success.json_schema")
    assert "| whole number, 1 to 1,000 | `10` |" in row("heartbeat.max_iterations")
