"""What a jobs file may contain, and how its faults are reported."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from core.errors import ConfigurationError, JobsFileInvalid, JobsFileNotJson
from core.job import Job
from jobs import checker
from tests.support_jobs import (
    BAD_JOBS,
    BAD_ROOTS,
    FULL,
    FULL_AGENT,
    FULL_AGENT_JOB,
    FULL_JOB,
    GOOD,
    NOT_JSON,
    parse,
    parse_job,
)


def problems_of(data: bytes | str | dict[str, Any]) -> list[dict[str, Any]]:
    with pytest.raises(JobsFileInvalid) as caught:
        parse(data)
    problems = caught.value.details["problems"]
    assert isinstance(problems, list)
    assert caught.value.details["file"] == "x.json"
    json.dumps(caught.value.as_dict(), ensure_ascii=False).encode()
    for problem in problems:
        assert not any(word in problem["message"] for word in ("Input should", "pydantic", "keyword", "dataclass"))
    return problems


# --- good files ------------------------------------------------------------------------------------------------


def test_a_full_job_is_read_as_it_is_written() -> None:
    assert parse({"jobs": [FULL, FULL_AGENT]}).jobs == (FULL_JOB, FULL_AGENT_JOB)


def test_the_contracts_sample_is_read_with_its_defaults() -> None:
    sample = {
        "job_id": "sample-financial-weekly", "enabled": False, "puruto_target": "puruto-financial",
        "schedule": "0 9 * * 5", "prompt": "Revisa movimientos bancarios y resume anomalías de la semana",
        "notify_channel": "telegram", "timeout_sec": 180, "max_retries": 2, "retry_backoff_sec": 30,
    }  # fmt: skip
    (job,) = parse({"jobs": [sample]}).jobs
    assert (job.timeout_sec, job.max_retries, job.enabled, job.catch_up, job.command) == (180, 2, False, "latest", None)


def test_the_defaults_are_the_contracts() -> None:
    (job,) = parse_job().jobs
    found = (job.enabled, job.notify_channel, job.timeout_sec, job.max_retries, job.retry_backoff_sec)
    assert found == (True, "telegram", 120, 0, 30)


@pytest.mark.parametrize(
    "changes",
    [
        {"job_id": "x" * 128},
        {"job_id": "7"},
        {"job_id": "a..b"},
        {"schedule": "x" * 256},
        {"schedule": "0\t9 * * 5"},
        {"prompt": "x" * 100_000},
        {"prompt": " x "},
        {"timezone": None},
        {"max_lateness_sec": None},
        {"runner": None, "command": None},
        {"runner": "invoke"},
        {"runner": "command", "command": ["x"]},
        {"command": ["x"] * 256},
        {"command": ["x" * 32_768]},
        {"env": {}},
        {"env": {f"A{n}": "" for n in range(128)}},
        {"env": {"puruto_cron_x": "lower case is not ours"}},
        {"env": {"HOME": "\x1b[0m"}},
        {"allow_env": []},
        {"timeout_sec": 1, "max_retries": 0, "retry_backoff_sec": 0, "catch_up_limit": 1, "max_lateness_sec": 1},
    ],
    ids=lambda changes: str(changes)[:50],
)
def test_what_lies_just_inside_the_bounds_is_accepted(changes: dict[str, Any]) -> None:
    (job,) = parse_job(**changes).jobs
    assert job == Job(**{**GOOD, **changes})


def test_a_file_without_jobs_is_good() -> None:
    assert parse('{"jobs": []}').jobs == ()


def test_the_root_may_name_its_schema() -> None:
    assert parse({"$schema": "./docs/jobs.schema.json", "jobs": []}).warnings == ()


def test_a_byte_order_mark_is_accepted() -> None:
    assert parse(b"\xef\xbb\xbf" + b'{"jobs": []}').jobs == ()


def test_the_digest_is_that_of_the_bytes() -> None:
    data = b'\xef\xbb\xbf {"jobs": [ ] }\n'
    assert parse(data).digest == hashlib.sha256(data).hexdigest()


def test_jobs_keep_their_order() -> None:
    found = parse({"jobs": [{**GOOD, "job_id": name} for name in ("b", "a", "c")]})
    assert [job.job_id for job in found.jobs] == ["b", "a", "c"]


def test_an_escaped_pair_of_surrogates_is_one_character() -> None:
    (job,) = parse(json.dumps({"jobs": [{**GOOD, "prompt": "🐦"}]}, ensure_ascii=True)).jobs
    assert job.prompt == "🐦"


def test_runtime_keys_are_ignored_with_a_warning_each() -> None:
    found = parse_job(next_run_at=None, last_run_at="2026", lease_owner=5, lease_expires_at=[])
    assert found.jobs == (Job(**GOOD),)
    assert [(w["code"], w["path"], w["job_id"]) for w in found.warnings] == [
        ("RUNTIME_KEY_IGNORED", f"jobs[0].{key}", "a")
        for key in ("next_run_at", "last_run_at", "lease_owner", "lease_expires_at")
    ]


def test_each_schedule_is_checked_once_for_each_zone() -> None:
    asked: list[tuple[str, str | None]] = []
    entries = [{**GOOD, "job_id": f"j{n}", "timezone": zone} for n, zone in enumerate([None, None, "UTC", "UTC"])]
    parse({"jobs": entries}, lambda schedule, zone: asked.append((schedule, zone)))
    assert asked == [("0 9 * * 5", None), ("0 9 * * 5", "UTC")]


# --- not JSON -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "place", "hint"), [row[1:] for row in NOT_JSON], ids=[row[0] for row in NOT_JSON])
def test_bad_json_is_refused_with_line_and_column(data: bytes | str, place: tuple[int, int] | None, hint: str) -> None:
    with pytest.raises(JobsFileNotJson) as caught:
        parse(data)
    details = caught.value.details
    assert caught.value.message.startswith("x.json: ")
    assert hint in caught.value.hint
    assert caught.value.hint
    if place is not None:
        assert (details["line"], details["column"]) == place
        assert f"line {place[0]}, column {place[1]}" in caught.value.message
    assert isinstance(details["line"], int)
    assert len(caught.value.message) < 300


def test_bytes_that_are_not_utf8_are_refused_with_their_offset() -> None:
    with pytest.raises(JobsFileNotJson) as caught:
        parse(b'\xef\xbb\xbf{\n"jobs": ["\xff"]}')
    assert (caught.value.details["offset"], caught.value.details["line"]) == (15, 2)
    assert "0xff at offset 15 (line 2)" in caught.value.message


# --- JSON, but no jobs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("root", "expected"), BAD_ROOTS, ids=[str(root)[:50] for root, _ in BAD_ROOTS])
def test_the_top_level_of_the_file_must_be_right(root: Any, expected: set[tuple[str, str]]) -> None:
    assert {(p["code"], p["path"]) for p in problems_of(json.dumps(root))} == expected


@pytest.mark.parametrize(
    ("changes", "code", "place"), BAD_JOBS, ids=[f"{n}-{str(row[0])[:40]!a}" for n, row in enumerate(BAD_JOBS)]
)
def test_a_bad_field_is_refused_with_its_path(changes: dict[str, Any], code: str, place: str) -> None:
    path = "jobs[1]" + (place and (place if place.startswith("[") else f".{place}"))
    problems = problems_of({"jobs": [{**GOOD, "job_id": "first"}, {**GOOD, **changes}, {**GOOD, "job_id": "last"}]})
    assert [(problem["code"], problem["path"]) for problem in problems] == [(code, path)]
    assert len(problems[0]["message"]) < 300


@pytest.mark.parametrize("field", ["job_id", "puruto_target", "schedule", "prompt"])
def test_a_job_without_a_required_field_is_refused(field: str) -> None:
    entry = {key: value for key, value in GOOD.items() if key != field}
    (problem,) = problems_of({"jobs": [entry]})
    assert (problem["code"], problem["path"]) == ("MISSING_FIELD", f"jobs[0].{field}")
    assert problem.get("job_id") == entry.get("job_id")


def test_the_tables_are_as_broad_as_promised() -> None:
    assert len(NOT_JSON) + len(BAD_ROOTS) + len(BAD_JOBS) >= 200


# --- many faults at once, and words ------------------------------------------------------------------------------


def test_every_fault_of_every_job_is_reported_at_once() -> None:
    broken = {"job_id": "b", "puruto_target": 1, "schedule": "bad", "timezone": "Mars", "prompt": "", "enabled": 1,
              "runner": "command", "extra": 0, "env": {"PURUTO_CRON_X": 1}}  # fmt: skip
    found = {(p["code"], p["path"]) for p in problems_of({"jobs": [broken, {}], "top": 1})}
    assert found == {
        ("UNKNOWN_FIELD", "top"),
        ("WRONG_TYPE", "jobs[0].puruto_target"),
        ("SCHEDULE_INVALID", "jobs[0].schedule"),
        ("TIMEZONE_INVALID", "jobs[0].timezone"),
        ("EMPTY", "jobs[0].prompt"),
        ("WRONG_TYPE", "jobs[0].enabled"),
        ("CONFLICT", "jobs[0].runner"),
        ("UNKNOWN_FIELD", "jobs[0].extra"),
        ("WRONG_TYPE", "jobs[0].env.PURUTO_CRON_X"),
        ("RESERVED_VARIABLE", "jobs[0].env.PURUTO_CRON_X"),
        *(("MISSING_FIELD", f"jobs[1].{field}") for field in GOOD),
    }


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"runner": "invoke", "model": "opus"}, "CONFLICT", "model"),
        ({"command": ["true"], "max_budget_usd": 1}, "CONFLICT", "max_budget_usd"),
        ({"runner": "codex", "max_turns": 3}, "CONFLICT", "max_turns"),
        ({"runner": "gemini", "json_schema": {}}, "CONFLICT", "json_schema"),
        ({"runner": "claude", "agent_args": ["-v", "--resume=x"]}, "RESERVED_ARGUMENT", "agent_args[1]"),
        ({"agent_args": ["--"]}, "RESERVED_ARGUMENT", "agent_args[0]"),
        ({"append_system_prompt": "a\0b"}, "BAD_TEXT", "append_system_prompt"),
        ({"allowed_tools": ["a\0b"]}, "BAD_TEXT", "allowed_tools[0]"),
        ({"json_schema": {"type": "tall"}}, "BAD_SCHEMA", "json_schema.type"),
        ({"json_schema": {"$ref": "#/$defs/x"}}, "BAD_SCHEMA", "json_schema.$ref"),
    ],
    ids=str,
)
def test_fields_that_an_agent_does_not_support_are_refused(changes: dict[str, Any], code: str, path: str) -> None:
    problems = problems_of({"jobs": [{**GOOD, **changes}]})
    assert (code, f"jobs[0].{path}".replace(".$ref", '["$ref"]')) in {(p["code"], p["path"]) for p in problems}


def test_a_job_id_that_occurs_twice_is_reported_with_both_paths() -> None:
    entries = [{**GOOD, "job_id": name} for name in ("a", "b", "a", "a")]
    found = problems_of({"jobs": entries})
    assert [(p["code"], p["path"], p["first"], p["job_id"]) for p in found] == [
        ("DUPLICATE_JOB_ID", "jobs[2].job_id", "jobs[0].job_id", "a"),
        ("DUPLICATE_JOB_ID", "jobs[3].job_id", "jobs[0].job_id", "a"),
    ]
    assert "jobs[0].job_id" in found[0]["message"]


@pytest.mark.parametrize(
    ("text", "path", "job_id"),
    [
        ('{"jobs": [], "jobs": []}', "jobs", None),
        ('{"jobs": [{"job_id": "a", "prompt": "x", "prompt": "y"}]}', "jobs[0].prompt", "a"),
        ('{"jobs": [{"job_id": "a", "env": {"A": "1", "A": "1"}}]}', "jobs[0].env.A", "a"),
        ('{"jobs": [{"unknown": [0, {"a b": 1, "a b": 2}]}]}', 'jobs[0].unknown[1]["a b"]', None),
    ],
)
def test_a_key_that_occurs_twice_in_one_object_is_refused(text: str, path: str, job_id: str | None) -> None:
    found = [p for p in problems_of(text) if p["code"] == "DUPLICATE_KEY"]
    assert [(p["path"], p.get("job_id")) for p in found] == [(path, job_id)]


def test_a_duplicate_key_inside_a_replaced_value_still_refuses_the_file() -> None:
    found = problems_of('{"jobs": [{"x": 1, "x": 2}], "jobs": []}')
    assert [(p["code"], p["path"]) for p in found] == [("DUPLICATE_KEY", "jobs")]


def test_a_key_that_is_not_text_is_the_only_fault_reported() -> None:
    for entry in ({"\ud800": 1}, {"\ud800": 1, "schedule": 5}, {"\ud800": 1, **GOOD}):
        (problem,) = problems_of({"jobs": [entry]})
        assert (problem["code"], problem["path"]) == ("BAD_TEXT", "jobs[0]")


def test_of_very_many_duplicate_names_a_hundred_are_listed_and_all_are_counted() -> None:
    with pytest.raises(JobsFileInvalid) as caught:
        parse({"jobs": [GOOD] * 300})
    assert caught.value.details["problem_count"] == 299
    assert len(list(caught.value.details["problems"])) == 100  # type: ignore[call-overload]


def test_of_very_many_faults_a_hundred_are_listed_and_all_are_counted() -> None:
    with pytest.raises(JobsFileInvalid) as caught:
        parse({"jobs": [{**GOOD, "job_id": f"j{n}", "timeout_sec": 0, "x": 1} for n in range(300)]})
    problems = caught.value.details["problems"]
    assert isinstance(problems, list)
    assert (len(problems), caught.value.details["problem_count"]) == (100, 600)
    assert "600 faults" in caught.value.message


def test_beyond_ten_thousand_faults_the_rest_of_a_file_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []
    check = checker._Checker.check

    def counting(self: Any, index: int, entry: object) -> Any:
        checked.append(index)
        return check(self, index, entry)

    monkeypatch.setattr(checker._Checker, "check", counting)
    with pytest.raises(JobsFileInvalid) as caught:
        parse({"jobs": [{}] * 100_000})
    assert "10000 faults or more" in caught.value.message
    assert caught.value.details["problem_count"] == 10_000
    assert len(checked) <= 10_000


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"timeout_sec": "120"}, 'must be a whole number, not the text "120"', "write 120 without quotes"),
        ({"timeout_sec": 180.0}, "must be a whole number, not the number 180.0", "write 180"),
        ({"timeout_sec": 1e300}, "must be a whole number, not the number 1e+300", None),
        ({"timeout_sec": -5}, "must be at least 1, not -5", None),
        ({"timeout_sec": 700_000}, "must be at most 604800, not 700000", None),
        ({"enabled": 1}, "must be true or false, not the number 1", "write true"),
        ({"enabled": "False"}, 'must be true or false, not the text "False"', "write false without quotes"),
        ({"enabled": None}, "must be true or false, not null", None),
        ({"command": "a b"}, "must be a list, not text", 'write a list of texts, like ["python3", "report.py"]'),
        ({"prompt": 5}, "must be text, not a number", "put it in double quotes"),
        ({"timeout": 5}, "is not a field of a job", "did you mean timeout_sec?"),
        ({"jobId": "x"}, "is not a field of a job", "did you mean job_id?"),
        ({"catchup": "all"}, "is not a field of a job", "did you mean catch_up?"),
        ({"notify_channel": "tg"}, 'must be telegram or none, not the text "tg"', None),
        ({"runner": 1}, "must be command, invoke, claude, codex or gemini, not the number 1", None),
        ({"prompt": "ab\x07"}, "contains the control character U+0007 at position 3", "remove it"),
        ({"command": ["x"] * 300}, "has 300 entries; at most 256 are allowed", None),
        ({"env": {f"A{n}": "" for n in range(300)}}, "has 300 entries; at most 128 are allowed", None),
        ({"job_id": "x" * 200}, "has 200 characters; at most 128 are allowed", None),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_fault_is_described_with_its_fix(changes: dict[str, Any], message: str, hint: str | None) -> None:
    (problem,) = problems_of({"jobs": [{**GOOD, **changes}]})
    assert (problem["message"], problem.get("hint")) == (message, hint)


def test_a_bad_name_is_shown_with_its_rule() -> None:
    (problem,) = problems_of({"jobs": [{**GOOD, "job_id": "a/\u202eb"}]})
    assert problem["message"].startswith('is "a/\\u202eb", but must be letters a-z and A-Z, digits, dots')
    assert problem["job_id"] == "a/\\u202eb"


def test_an_unknown_key_without_a_similar_one_lists_all_fields() -> None:
    (problem,) = problems_of({"jobs": [{**GOOD, "zzz": 1}]})
    assert "job_id, puruto_target, schedule" in problem["hint"]


def test_the_error_names_file_job_and_path_of_the_first_fault() -> None:
    with pytest.raises(JobsFileInvalid) as caught:
        parse_job(timeout_sec="5")
    assert caught.value.message == 'x.json: jobs[0].timeout_sec (job a) must be a whole number, not the text "5"'
    assert caught.value.hint == "write 5 without quotes"
    assert (caught.value.code, caught.value.exit_code) == ("JOBS_FILE_INVALID", 2)


def test_a_schedule_error_keeps_its_own_message() -> None:
    (problem,) = problems_of({"jobs": [{**GOOD, "schedule": "61 * * * *"}]})
    assert problem["message"] == "is wrong: the minute is wrong"
    assert (problem["field"], problem["text"], problem["hint"]) == ("minute", "61 * * * *", "0 to 59")


def test_the_same_bad_schedule_is_reported_for_each_job_that_has_it() -> None:
    found = problems_of({"jobs": [{**GOOD, "job_id": name, "schedule": "bad"} for name in "ab"]})
    assert [problem["path"] for problem in found] == ["jobs[0].schedule", "jobs[1].schedule"]


@pytest.mark.parametrize(
    "changes",
    [
        {"env": {"BANK_TOKEN": 987654}},
        {"env": {"BANK_TOKEN": ["s3cret"]}},
        {"env": {"BANK_TOKEN": "s3cret\0"}},
        {"prompt": 987654},
        {"prompt": ["s3cret"]},
        {"prompt": "s3cret\x07"},
        {"command": "curl -H s3cret"},
        {"command": ["curl", 987654]},
        {"command": ["s3cret\0"]},
        {"allow_env": "s3cret"},
    ],
    ids=str,
)
def test_values_that_may_be_secret_are_never_repeated(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_job(**changes)
    told = json.dumps(caught.value.as_dict()) + str(caught.value)
    assert "s3cret" not in told
    assert "987654" not in told


def test_a_letter_that_no_name_may_have_is_not_called_a_letter() -> None:
    (problem,) = problems_of({"jobs": [{**GOOD, "job_id": "ñandú"}]})
    assert "letters a-z and A-Z" in problem["message"]


def test_the_fault_of_a_pause_names_the_command_that_takes_more_forms() -> None:
    (problem,) = problems_of({"jobs": [{**GOOD, "paused_until": "tomorrow"}]})
    assert "pause-job --until" in problem["hint"]
