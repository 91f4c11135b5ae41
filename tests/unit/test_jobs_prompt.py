"""Where a job's prompt may come from, in the file and in its schema."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from core.errors import JobsFileInvalid
from jobs import jobs_file
from store.job_codec import job_from_json, job_json
from tests.support_jobs import GOOD, parse

VALIDATOR = Draft202012Validator(jobs_file.json_schema())
BARE = {name: value for name, value in GOOD.items() if name != "prompt"}


def problems(entry: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(JobsFileInvalid) as caught:
        parse({"jobs": [entry]})
    return [(problem["code"], problem["path"]) for problem in caught.value.details["problems"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "x"},
        {"prompt": "x", "prompt_file": None},
        {"prompt_file": "prompts/weekly report.md"},
        {"prompt_file": "..weekly"},
        {"command": ["true"]},
        {"command": ["true"], "runner": "command"},
        {"command": ["true"], "prompt_file": "p.md"},
        {"prompt": "x", "note": "Ask Ana\nbefore a change"},
    ],
)
def test_a_prompt_comes_from_one_place_and_a_command_needs_none(fields: dict[str, Any]) -> None:
    entry = {**BARE, **fields}
    (job,) = parse({"jobs": [entry]}).jobs
    assert (job.prompt, job.prompt_file) == (fields.get("prompt", ""), fields.get("prompt_file"))
    assert job_from_json(job_json(job)) == job
    assert VALIDATOR.is_valid({"jobs": [entry]})


@pytest.mark.parametrize(
    ("fields", "found", "in_schema"),
    [
        ({}, ("MISSING_FIELD", "jobs[0].prompt"), True),
        ({"prompt_file": None}, ("MISSING_FIELD", "jobs[0].prompt"), True),
        ({"command": None}, ("MISSING_FIELD", "jobs[0].prompt"), True),
        ({"runner": "invoke"}, ("MISSING_FIELD", "jobs[0].prompt"), True),
        ({"prompt": "x", "prompt_file": "p.md"}, ("CONFLICT", "jobs[0].prompt_file"), True),
        ({"prompt": "", "command": ["true"]}, ("EMPTY", "jobs[0].prompt"), True),
        ({"prompt_file": ""}, ("EMPTY", "jobs[0].prompt_file"), True),
        ({"prompt_file": 7}, ("WRONG_TYPE", "jobs[0].prompt_file"), True),
        ({"prompt_file": "/etc/passwd"}, ("BAD_PATH", "jobs[0].prompt_file"), False),
        ({"prompt_file": "../secrets"}, ("BAD_PATH", "jobs[0].prompt_file"), False),
        ({"prompt_file": "a/../../b"}, ("BAD_PATH", "jobs[0].prompt_file"), False),
        ({"prompt_file": "~/p.md"}, ("BAD_PATH", "jobs[0].prompt_file"), False),
        ({"prompt_file": "prompts/"}, ("BAD_PATH", "jobs[0].prompt_file"), False),
        ({"prompt_file": "."}, ("BAD_PATH", "jobs[0].prompt_file"), False),
        ({"prompt_file": "a\x00b"}, ("BAD_TEXT", "jobs[0].prompt_file"), False),
        ({"prompt": "x", "note": " "}, ("EMPTY", "jobs[0].note"), False),
        ({"prompt": "x", "note": "\x1b[2J"}, ("BAD_TEXT", "jobs[0].note"), False),
        ({"prompt": "x", "note": "n" * 2001}, ("TOO_LONG", "jobs[0].note"), True),
    ],
)
def test_what_can_be_no_prompt_is_said_with_its_field(
    fields: dict[str, Any], found: tuple[str, str], in_schema: bool
) -> None:
    entry = {**BARE, **fields}
    assert problems(entry) == [found]
    if in_schema:
        assert not VALIDATOR.is_valid({"jobs": [entry]})
