"""Jobs whose fields are wrong: names, types, texts, numbers, and fields that do not go together.

The wrong job is always the second of the file, and the first one was changed too: neither may be written.
"""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance.bad_input_cases import Case, as_process
from tests.acceptance.bad_input_cases_file import SYNC, holding
from tests.acceptance.bad_input_cases_stage import GOOD_JOBS, jobs_bytes

_FIRST, _SECOND, *_REST = GOOD_JOBS
_CHANGED = {**_FIRST, "prompt": "Another prompt", "timeout_sec": 7}
_RAW = "raw JSON stands here"


def with_fields(**fields: object) -> bytes:
    """The good file with its first job changed and these fields in the second."""
    return jobs_bytes(_CHANGED, {**_SECOND, **fields}, *_REST)


def with_raw(field: str, text: str) -> bytes:
    """The same, with a value that is written in the file as `text`."""
    return with_fields(**{field: _RAW}).replace(json.dumps(_RAW).encode(), text.encode())


def _refused(name: str, data: bytes, problems: tuple[tuple[str, str], ...], *places: str) -> Case:
    names = (".jobs.json", problems[0][1], *places)
    return Case(name, SYNC, "JOBS_FILE_INVALID", names, prepare=holding(data), problems=problems)


def wrong(field: str, value: object, code: str, *places: str, inside: str = "", name: str = "") -> Case:
    """One wrong field. `inside` is the place within it, like `[0]`."""
    shown = name or f"of {json.dumps(value)[:40]}"
    problems = ((code, f"jobs[1].{field}{inside}"),)
    whose = () if field == "job_id" else ("job_id: report",)
    return _refused(f"{field} {shown}", with_fields(**{field: value}), problems, *whose, *places)


def _raw(field: str, text: str, code: str, *places: str) -> Case:
    return _refused(f"{field} of raw {text[:20]}", with_raw(field, text), ((code, f"jobs[1].{field}"),), *places)


def conflict(name: str, fields: dict[str, object], place: str, *places: str) -> Case:
    """Fields that do not go together; `place` is the one that is named, like `.model`."""
    return _refused(name, with_fields(**fields), (("CONFLICT", f"jobs[1]{place}"),), "job_id: report", *places)


def _unknown(key: str, near: str, place: str = "") -> Case:
    problems = (("UNKNOWN_FIELD", place or f"jobs[1].{key}"),)
    return _refused(f"unknown key {key}", with_fields(**{key: 1}), problems, near, "job_id: report")


def _missing(field: str) -> Case:
    job = {key: value for key, value in _SECOND.items() if key != field}
    data = jobs_bytes(_CHANGED, job, *_REST)
    return _refused(f"{field} missing", data, (("MISSING_FIELD", f"jobs[1].{field}"),), "is missing")


#: Of each field some values of the wrong type, and what the message says it must be.
_TYPES: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("job_id", "text", (5, None, True, ["a"], {})),
    ("puruto_target", "text", (5, None, ["puruto-data"])),
    ("schedule", "text", (5, None, ["* * * * *"], {"minute": 5})),
    ("prompt", "text", (5, None, ["a"], {})),
    ("enabled", "true or false", ("true", 1, 0, None, [], "yes")),
    ("timeout_sec", "a whole number", ("120", 1.5, 180.0, None, True, [], {})),
    ("max_retries", "a whole number", ("2", 0.5, None, False)),
    ("retry_backoff_sec", "a whole number", ("30s", None, 1e300)),
    ("timezone", "text", (2, True, ["UTC"])),
    ("catch_up_limit", "a whole number", ("10", None)),
    ("max_lateness_sec", "a whole number", ("60", 1.25)),
    ("command", "a list", ("python3 report.py", 1, {"0": "ls"}, True)),
    ("env", "an object", ("A=1", [], None, 1)),
    ("allow_env", "a list", ("TOKEN", {"TOKEN": ""}, None)),
    ("allow_empty_result", "true or false", ("false", 0, None)),
)
_WRONG_TYPES = [
    wrong(field, value, "WRONG_TYPE", f"must be {wanted}, not") for field, wanted, values in _TYPES for value in values
]

_NAMES = [
    wrong(field, text, code, name=name)
    for field in ("job_id", "puruto_target")
    for text, code, name in (
        ("", "EMPTY", "empty"),
        ("../escape", "BAD_NAME", "with path parts"),
        ("..", "BAD_NAME", "that is the folder above"),
        ("a/b", "BAD_NAME", "with a slash"),
        ("a\\b", "BAD_NAME", "with a backslash"),
        ("/etc/passwd", "BAD_NAME", "that is an absolute path"),
        (".hidden", "BAD_NAME", "with a leading dot"),
        ("-rf", "BAD_NAME", "with a leading dash"),
        ("a b", "BAD_NAME", "with a blank"),
        ("report\n", "BAD_NAME", "with a newline at its end"),
        ("a\x1b[31mb", "BAD_NAME", "with an escape character"),
        ("a\0b", "BAD_NAME", "with a NUL"),
        ("día", "BAD_NAME", "with a letter of Spanish"),
        ("a\u202eb", "BAD_NAME", "with a mark of writing direction"),
        ("\ud800", "BAD_TEXT", "with a lone surrogate"),
        ("a" * 129, "TOO_LONG", "of 129 characters"),
        ("a" * 1_000_000, "TOO_LONG", "of a million characters"),
    )
]

_TEXTS = [
    wrong("prompt", "", "EMPTY", "is empty"),
    wrong("prompt", " \t\n ", "EMPTY", "is blank", name="of blanks"),
    wrong("prompt", "x" * 100_001, "TOO_LONG", "100001 characters; at most 100000", name="of 100001 characters"),
    wrong("prompt", "a\0b", "BAD_TEXT", "U+0000 at position 2"),
    wrong("prompt", "a\x1b]0;b", "BAD_TEXT", "U+001B at position 2"),
    wrong("prompt", "a\x7fb", "BAD_TEXT", "U+007F"),
    wrong("prompt", "a\x85b", "BAD_TEXT", "U+0085"),
    wrong("prompt", "a\ud83d", "BAD_TEXT", "surrogate", name="with half an emoji"),
    wrong("prompt", "\udcff", "BAD_TEXT", "surrogate", name="with a lone low surrogate"),
    wrong("notify_channel", "slack", "UNKNOWN_VALUE", "telegram", "slack"),
    wrong("notify_channel", "", "UNKNOWN_VALUE", "telegram"),
    wrong("notify_channel", "Telegram", "UNKNOWN_VALUE", "telegram or none"),
    wrong("notify_channel", 5, "WRONG_TYPE", "telegram or none"),
    wrong("notify_channel", None, "WRONG_TYPE", "not null"),
    wrong("notify_channel", ["telegram"], "WRONG_TYPE", "not a list"),
    wrong("notify_channel", "\ud800", "BAD_TEXT", "surrogate", name="of a lone surrogate"),
    wrong("catch_up", "never", "UNKNOWN_VALUE", "latest, none or all"),
    wrong("catch_up", True, "WRONG_TYPE", "latest, none or all"),
    wrong("catch_up", None, "WRONG_TYPE", "latest, none or all"),
    wrong("runner", "gpt", "UNKNOWN_VALUE", "command, invoke, claude, codex or gemini"),
    wrong("runner", 1, "WRONG_TYPE", "codex or gemini"),
    wrong("runner", ["invoke"], "WRONG_TYPE", "codex or gemini"),
]

_NUMBERS = [
    wrong(field, value, "OUT_OF_RANGE", bound)
    for field, bound, values in (
        ("timeout_sec", "at least 1", (0, -1, -(10**9))),
        ("timeout_sec", "at most 604800", (604_801, 2**31, 2**63, 2**64, 10**30)),
        ("max_retries", "at least 0", (-1,)),
        ("max_retries", "at most 100", (101, 10**18)),
        ("retry_backoff_sec", "at least 0", (-30,)),
        ("retry_backoff_sec", "at most 3600", (3601,)),
        ("catch_up_limit", "at least 1", (0, -5)),
        ("catch_up_limit", "at most 1000", (1001,)),
        ("max_lateness_sec", "at least 1", (0, -1)),
        ("max_lateness_sec", "at most 31536000", (31_536_001, 10**31)),
    )
    for value in values
]

_RAW_NUMBERS = [
    _raw("timeout_sec", "-0.0", "WRONG_TYPE", "a whole number"),
    _raw("timeout_sec", "1E2", "WRONG_TYPE", "write 100"),
    _raw("max_retries", "1e-400", "WRONG_TYPE", "a whole number"),
    _raw("max_retries", "-9999999999999999999999999999999", "OUT_OF_RANGE", "at least 0"),
]

_PROCESS = [
    wrong("command", [], "EMPTY", "is empty"),
    wrong("command", ["ls", 1], "WRONG_TYPE", "must be text", inside="[1]"),
    wrong("command", [None], "WRONG_TYPE", "must be text", inside="[0]"),
    wrong("command", ["ls", ["-l"]], "WRONG_TYPE", "must be text", inside="[1]"),
    wrong("command", ["a\0b"], "BAD_TEXT", "NUL", inside="[0]"),
    wrong("command", ["\ud800"], "BAD_TEXT", "surrogate", inside="[0]", name="with a lone surrogate"),
    wrong("command", ["x" * 32_769], "TOO_LONG", "at most 32768", inside="[0]", name="with a huge argument"),
    wrong("command", ["x"] * 257, "TOO_LONG", "257 entries; at most 256", name="of 257 arguments"),
    wrong("env", {"A": 1}, "WRONG_TYPE", "must be text", inside=".A"),
    wrong("env", {"A": None}, "WRONG_TYPE", "must be text", inside=".A"),
    wrong("env", {"A": True}, "WRONG_TYPE", "must be text", inside=".A"),
    wrong("env", {"A=B": "1"}, "BAD_NAME", "name of an environment variable", inside='["A=B"]'),
    wrong("env", {"": "1"}, "EMPTY", "is empty", inside='[""]'),
    wrong("env", {"1A": "1"}, "BAD_NAME", "name of an environment variable", inside='["1A"]'),
    wrong("env", {"A\nB": "1"}, "BAD_NAME", inside='["A\\u000aB"]'),
    wrong("env", {"A" * 129: "1"}, "TOO_LONG", "129 characters", inside=f'["{"A" * 80}…"]', name="with a long name"),
    Case(
        "env with a surrogate as name",
        SYNC,
        "JOBS_FILE_INVALID",
        ("jobs[1].env[", "surrogate"),
        prepare=holding(with_fields(env={"\ud800": "1"})),
    ),
    wrong("env", {"A": "a\0b"}, "BAD_TEXT", "NUL", inside=".A"),
    wrong("env", {"A": "\ud800"}, "BAD_TEXT", "surrogate", inside=".A", name="with a lone surrogate"),
    wrong("env", {"A": "x" * 32_769}, "TOO_LONG", "at most 32768", inside=".A", name="with a huge value"),
    wrong("env", {"PURUTO_CRON_RUN_ID": "1"}, "RESERVED_VARIABLE", "reserved for", inside=".PURUTO_CRON_RUN_ID"),
    wrong("env", {f"A{n}": "" for n in range(129)}, "TOO_LONG", "129 entries", name="of 129 variables"),
    wrong("allow_env", [1], "WRONG_TYPE", "must be text", inside="[0]"),
    wrong("allow_env", [""], "EMPTY", inside="[0]"),
    wrong("allow_env", ["GOOD", "A B"], "BAD_NAME", "name of an environment variable", inside="[1]"),
    wrong("allow_env", ["A=secret"], "BAD_NAME", inside="[0]"),
    wrong("allow_env", ["PURUTO_CRON_TOKEN"], "RESERVED_VARIABLE", inside="[0]"),
    wrong("allow_env", ["A"] * 129, "TOO_LONG", "129 entries", name="of 129 names"),
]

_NO_OBJECTS: tuple[Any, ...] = ([], "stdout", 0, True)
_SUCCESS = [
    *(wrong("success", value, "WRONG_TYPE", "must be an object, not") for value in _NO_OBJECTS),
    wrong("success", {}, "EMPTY", "name at least one check"),
    wrong("success", {"exit_code": [0]}, "UNKNOWN_FIELD", "did you mean exit_codes?", inside=".exit_code"),
    wrong("success", {"matches": "x"}, "UNKNOWN_FIELD", "did you mean stdout_matches?", inside=".matches"),
    wrong("success", {"xyzzy": 1}, "UNKNOWN_FIELD", "use one of: exit_codes, stdout_matches", inside=".xyzzy"),
    wrong("success", {"exit_codes": 0}, "WRONG_TYPE", "must be a list, not the number 0", inside=".exit_codes"),
    wrong("success", {"exit_codes": []}, "EMPTY", "is empty", inside=".exit_codes"),
    wrong("success", {"exit_codes": [0, 256]}, "OUT_OF_RANGE", "at most 255, not 256", inside=".exit_codes[1]"),
    wrong("success", {"exit_codes": ["0"]}, "WRONG_TYPE", "write 0 without quotes", inside=".exit_codes[0]"),
    wrong("success", {"stdout_matches": "("}, "BAD_PATTERN", "at position 0", inside=".stdout_matches"),
    wrong("success", {"stdout_matches": "x" * 1_001}, "TOO_LONG", "1001 characters", inside=".stdout_matches"),
    wrong(
        "success", {"stdout_not_matches": "[z-a]"}, "BAD_PATTERN", "bad character range", inside=".stdout_not_matches"
    ),
    wrong("success", {"stdout_not_matches": "\ud800"}, "BAD_TEXT", "surrogate", inside=".stdout_not_matches"),
    wrong(
        "success",
        {"stdout_matches": "a", "stdout_not_matches": "a"},
        "CONFLICT",
        "no run could succeed",
        inside=".stdout_not_matches",
        name="of two expressions that are the same",
    ),
    wrong("success", {"file_changed": "out/"}, "BAD_PATH", "name a file", inside=".file_changed"),
    wrong("success", {"file_changed": "~/out"}, "BAD_PATH", "write the full path", inside=".file_changed"),
    wrong("success", {"file_changed": "a\0b"}, "BAD_TEXT", "NUL", inside=".file_changed"),
    wrong("success", {"json_schema": True}, "WRONG_TYPE", "must be an object, not true", inside=".json_schema"),
    wrong("success", {"json_schema": {"type": "strin"}}, "BAD_SCHEMA", "'strin'", inside=".json_schema.type"),
    wrong(
        "success",
        {"json_schema": {"$ref": "http://localhost:9/x.json"}},
        "BAD_SCHEMA",
        "nothing is fetched",
        inside='.json_schema["$ref"]',
        name="of a schema elsewhere",
    ),
    wrong("success", {"json_schema": {"title": "\ud800"}}, "BAD_TEXT", "surrogate", inside=".json_schema.title"),
    wrong("pause_after_failures", 0, "OUT_OF_RANGE", "at least 1"),
    wrong("pause_after_failures", 1_001, "OUT_OF_RANGE", "at most 1000"),
    wrong("pause_after_failures", "3", "WRONG_TYPE", "write 3 without quotes"),
    wrong("pause_after_failures", True, "WRONG_TYPE", "a whole number"),
]

_TOGETHER = [
    _refused("runner command without one", with_fields(runner="command"), (("CONFLICT", "jobs[1].runner"),)),
    _refused(
        "runner invoke with a command",
        with_fields(runner="invoke", command=["ls"]),
        (("CONFLICT", "jobs[1].command"),),
        "remove one of the two",
    ),
    _refused(
        "job_id twice",
        jobs_bytes(_CHANGED, _SECOND, *_REST, _SECOND),
        (("DUPLICATE_JOB_ID", "jobs[4].job_id"),),
        "report",
        "first: jobs[1].job_id",
    ),
    _refused(
        "job_id three times",
        jobs_bytes(_CHANGED, _SECOND, _SECOND, *_REST, _SECOND),
        (("DUPLICATE_JOB_ID", "jobs[2].job_id"), ("DUPLICATE_JOB_ID", "jobs[5].job_id")),
    ),
    _refused(
        "key twice in a job",
        with_fields(max_retries=1).replace(b'"max_retries": 1', b'"max_retries": 1, "max_retries": 2'),
        (("DUPLICATE_KEY", "jobs[1].max_retries"),),
        "occurs twice",
        "job_id: report",
    ),
    _refused(
        "key twice in env",
        with_raw("env", '{"A": "1", "A": "2"}'),
        (("DUPLICATE_KEY", "jobs[1].env.A"),),
        "occurs twice",
    ),
    _refused(
        "job_id twice in a job",
        jobs_bytes(_CHANGED, _SECOND, *_REST).replace(b'"job_id": "report"', b'"job_id": "x", "job_id": "report"'),
        (("DUPLICATE_KEY", "jobs[1].job_id"),),
    ),
    _refused(
        "several faults at once",
        with_fields(timeout_sec=-1, prompt="", schedule="61 * * * *", colour="red"),
        (
            ("EMPTY", "jobs[1].prompt"),
            ("OUT_OF_RANGE", "jobs[1].timeout_sec"),
            ("UNKNOWN_FIELD", "jobs[1].colour"),
            ("SCHEDULE_INVALID", "jobs[1].schedule"),
        ),
        "4 faults; the first",
    ),
    _refused(
        "empty job",
        jobs_bytes(_CHANGED, {}, *_REST),
        tuple(("MISSING_FIELD", f"jobs[1].{field}") for field in ("job_id", "puruto_target", "schedule", "prompt")),
    ),
    *(_missing(field) for field in ("job_id", "puruto_target", "schedule", "prompt")),
]

_UNKNOWN = [
    *(
        _unknown(key, f"did you mean {near}?")
        for key, near in (
            ("timeout", "timeout_sec"),
            ("retries", "max_retries"),
            ("Schedule", "schedule"),
            ("promt", "prompt"),
            ("time_zone", "timezone"),
            ("target", "puruto_target"),
            ("enable", "enabled"),
        )
    ),
    _unknown("max-retries", "did you mean max_retries?", 'jobs[1]["max-retries"]'),
    _unknown("xyzzy", "use one of: job_id"),
    _refused(
        "unknown key of a NUL", with_fields(**{"\0": 1}), (("UNKNOWN_FIELD", 'jobs[1]["\\u0000"]'),), "use one of"
    ),
    _refused(
        "unknown key that is a surrogate",
        with_fields(**{"\udfff": 1}),
        (("BAD_TEXT", "jobs[1]"),),
        "surrogate",
    ),
    _refused(
        "unknown key that is huge",
        with_fields(**{"k" * 100_000: 1}),
        (("UNKNOWN_FIELD", f'jobs[1]["{"k" * 80}…"]'),),
    ),
]

CASES = [
    *_WRONG_TYPES, *_NAMES, *_TEXTS, *_NUMBERS, *_RAW_NUMBERS, *_PROCESS, *_SUCCESS, *_TOGETHER, *_UNKNOWN,
    *as_process(_WRONG_TYPES[0], _NAMES[1], _TEXTS[2], _NUMBERS[0], _PROCESS[4], _TOGETHER[2], _UNKNOWN[0]),
]  # fmt: skip
