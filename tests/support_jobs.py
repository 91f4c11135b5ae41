"""Jobs files for the tests of `jobs`: a valid job, a full one, and tables of invalid ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from core.errors import ScheduleError, TimezoneError
from core.job import Heartbeat, Job, Success
from jobs import jobs_file

GOOD: dict[str, Any] = {"job_id": "a", "puruto_target": "puruto-data", "schedule": "0 9 * * 5", "prompt": "Do it"}


def check_schedule(schedule: str, timezone: str | None) -> None:
    """A stand-in that knows two bad schedules and two zones."""
    if timezone not in (None, "Europe/Madrid"):
        raise TimezoneError(f"no zone {timezone}", field="timezone", text=str(timezone), hint="an IANA name")
    if schedule in ("bad", "61 * * * *"):
        raise ScheduleError("the minute is wrong", field="minute", text=schedule, hint="0 to 59")


def parse(
    data: bytes | str | dict[str, Any], check: Callable[[str, str | None], None] = check_schedule
) -> jobs_file.JobsFile:
    if isinstance(data, dict):
        data = json.dumps(data)
    return jobs_file.parse_jobs(data.encode() if isinstance(data, str) else data, "x.json", check)


def parse_job(**changes: Any) -> jobs_file.JobsFile:
    return parse({"jobs": [{**GOOD, **changes}]})


FULL: dict[str, Any] = {
    "job_id": "Full.job_1-x",
    "puruto_target": "puruto-financial",
    "schedule": "*/5 * * * *",
    "prompt": "Revisa movimientos bancarios\ty resume anomalías\nde la semana 🐦",
    "enabled": False,
    "notify_channel": "none",
    "timeout_sec": 604_800,
    "max_retries": 100,
    "retry_backoff_sec": 3_600,
    "timezone": "Europe/Madrid",
    "catch_up": "all",
    "catch_up_limit": 1_000,
    "max_lateness_sec": 31_536_000,
    "runner": "command",
    "command": ["python3", "report.py", "", "line\nbreak"],
    "env": {"LANG": "es_ES.UTF-8", "_x1": ""},
    "allow_env": ["BANK_TOKEN"],
    "allow_empty_result": True,
    "retry_interrupted": True,
    "success": {
        "exit_codes": [0, 255],
        "stdout_matches": "^hecho: \\d+$",
        "stdout_not_matches": "(?i)traceback|ñ🐦",
        "file_changed": "out/report.html",
        "json_schema": {
            "type": "object",
            "properties": {"filas": {"$ref": "#/$defs/número"}, "id": {"enum": [1.5, None, "🐦"]}},
            "$defs": {"número": {"type": "integer", "minimum": 1}},
        },
    },
    "pause_after_failures": 1_000,
}
FULL_JOB = Job(**{**FULL, "success": Success(**FULL["success"])})

FULL_AGENT: dict[str, Any] = {
    **GOOD,
    "job_id": "agent",
    "runner": "claude",
    "model": "sonnet",
    "allowed_tools": ["Read", "Bash(git *)"],
    "permission_mode": "acceptEdits",
    "fail_on_permission_denial": True,
    "max_budget_usd": 0.5,
    "max_cost_usd_per_day": 100_000.0,
    "max_turns": 10_000,
    "append_system_prompt": "Responde en español\n🐦",
    "json_schema": {"type": "object", "properties": {"a": {"type": "integer"}}},
    "agent_args": ["--add-dir", "/tmp/x y", ""],
    "session_mode": "shared_persistent",
    "heartbeat": {"enabled": False, "context_mode": "fully_ephemeral", "max_iterations": 1_000},
}
FULL_AGENT_JOB = Job(**{**FULL_AGENT, "heartbeat": Heartbeat(**FULL_AGENT["heartbeat"])})


#: (name, file, (line, column) if it is told there, part of the hint)
NOT_JSON: list[tuple[str, bytes | str, tuple[int, int] | None, str]] = [
    ("empty", "", (1, 1), "empty"),
    ("blank", " \n\n ", (3, 2), "empty"),
    ("only a byte order mark", b"\xef\xbb\xbf", (1, 1), "empty"),
    ("cut", '{"jobs": [', (1, 11), ""),
    ("cut in a text", '{"jobs": ["ab', (1, 11), ""),
    ("word", "jobs", (1, 1), ""),
    ("two values", "{} {}", (1, 4), ""),
    ("comma after the last entry", '{"jobs": [\n  1,\n]}', None, "comma"),
    ("comma after the last key", '{"jobs": [],\n}', None, "comma"),
    ("missing comma", '{"jobs": []\n"x": 1}', (2, 1), ""),
    ("missing colon", '{"jobs" []}', (1, 9), ""),
    ("line comment", '{\n  // mine\n  "jobs": []}', (2, 3), "comments"),
    ("block comment", '{"jobs": /* none */ []}', (1, 10), "comments"),
    ("hash comment", '# mine\n{"jobs": []}', (1, 1), "comments"),
    ("single quotes", "{'jobs': []}", (1, 2), "double quotes"),
    ("curly quotes", "{“jobs”: []}", (1, 2), "double quotes"),
    ("python's true", '{"jobs": True}', (1, 10), "true"),
    ("python's none", '{"jobs": None}', (1, 10), "null"),
    ("unquoted key", "{jobs: []}", (1, 2), ""),
    ("line break in a text", '{"jobs": ["a\nb"]}', (1, 13), "\\n"),
    ("tab in a text", '{"jobs": ["a\tb"]}', (1, 13), "\\t"),
    ("bad escape", '{"jobs": ["\\x41"]}', None, ""),
    ("short unicode escape", '{"jobs": ["\\u12"]}', None, ""),
    ("hexadecimal", '{"jobs": [0x10]}', (1, 12), ""),
    ("leading zero", '{"jobs": [01]}', (1, 12), ""),
    ("leading plus", '{"jobs": [+1]}', (1, 11), ""),
    ("NaN", '{"jobs": [{"job_id": "NaN",\n "timeout_sec": NaN}]}', (2, 17), "plain number"),
    ("Infinity", '{"a": "\\"Infinity", "jobs": Infinity}', (1, 29), "plain number"),
    ("minus Infinity", '{"jobs": -Infinity}', (1, 10), "plain number"),
    ("overflowing float", '{"jobs": [1, 1e999]}', (1, 14), "plain number"),
    ("overflowing negative float", '{"jobs": [-1e999]}', (1, 11), "plain number"),
    ("number of 5000 digits", '{"jobs":\n [%s]}' % ("9" * 5000), (2, 3), "plain number"),
    ("number of 310 digits", '{"jobs": [%s]}' % ("9" * 310), (1, 11), "plain number"),
    ("float of 5000 digits", '{"jobs": [0.%s]}' % ("9" * 5000), (1, 11), "plain number"),
    ("nested lists", '{"jobs": ' + "[" * 100_000 + "]" * 100_000 + "}", (1, 73), "flat"),
    ("nested lists without end", "[" * 100_000, (1, 65), "flat"),
    ("nested objects", '{"jobs":' * 100_000 + "1" + "}" * 100_000, (1, 513), "flat"),
    ("nested 65 deep", '{"jobs": ["[[", ' + "[" * 63 + "]" * 63 + "]}", (1, 79), "flat"),
    ("Latin-1", '{"jobs": ["año"]}'.encode("latin-1"), None, "UTF-8"),
    ("UTF-16", '{"jobs": []}'.encode("utf-16"), None, "UTF-8"),
    ("UTF-16 without a mark", '{"jobs": []}'.encode("utf-16-le"), (1, 2), ""),
    ("an encoded surrogate", b'{"jobs": ["\xed\xa0\x80"]}', None, "UTF-8"),
    ("an overlong slash", b'{"jobs": ["\xc0\xaf"]}', None, "UTF-8"),
    ("NUL", b'{"jobs": []}\0', (1, 13), ""),
    ("NUL in a text", b'{"jobs": ["\0"]}', (1, 12), "check"),
    ("a picture", b"\x89PNG\r\n\x1a\n\0\0", None, "UTF-8"),
    ("a database", b"SQLite format 3\0", (1, 1), ""),
]

#: (root, {(code, path)})
BAD_ROOTS: list[tuple[Any, set[tuple[str, str]]]] = [
    ([], {("WRONG_TYPE", "$")}),
    ([GOOD], {("WRONG_TYPE", "$")}),
    ("jobs", {("WRONG_TYPE", "$")}),
    (1, {("WRONG_TYPE", "$")}),
    (1.5, {("WRONG_TYPE", "$")}),
    (True, {("WRONG_TYPE", "$")}),
    (None, {("WRONG_TYPE", "$")}),
    ({}, {("MISSING_FIELD", "jobs")}),
    ({"Jobs": []}, {("MISSING_FIELD", "jobs"), ("UNKNOWN_FIELD", "Jobs")}),
    ({"jobs": {}}, {("WRONG_TYPE", "jobs")}),
    ({"jobs": None}, {("WRONG_TYPE", "jobs")}),
    ({"jobs": "[]"}, {("WRONG_TYPE", "jobs")}),
    ({"jobs": 0}, {("WRONG_TYPE", "jobs")}),
    ({"jobs": False}, {("WRONG_TYPE", "jobs")}),
    ({"jobs": [], "job": []}, {("UNKNOWN_FIELD", "job")}),
    ({"jobs": [], "version": 1, "a b": 2}, {("UNKNOWN_FIELD", "version"), ("UNKNOWN_FIELD", '["a b"]')}),
    ({"jobs": [], "": 1}, {("UNKNOWN_FIELD", '[""]')}),
    ({"jobs": [], "\ud800": 1}, {("UNKNOWN_FIELD", '["\\ud800"]')}),
    ({"jobs": [], "$schema": 1}, {("WRONG_TYPE", '["$schema"]')}),
    ({"jobs": [], "$schema": None}, {("WRONG_TYPE", '["$schema"]')}),
    ({"jobs": [None]}, {("WRONG_TYPE", "jobs[0]")}),
    ({"jobs": [GOOD, "a", 1, [], True]}, {("WRONG_TYPE", f"jobs[{n}]") for n in (1, 2, 3, 4)}),
    ({"jobs": [GOOD], "unknown": 1, "$schema": 1}, {("UNKNOWN_FIELD", "unknown"), ("WRONG_TYPE", '["$schema"]')}),
]

LONE = "\ud83d"


def nested(schema: dict[str, Any], depth: int) -> dict[str, Any]:
    """A schema of this depth around `schema`."""
    for _ in range(depth - 1):
        schema = {"not": schema}
    return schema


NUMBERS = (
    "timeout_sec", "max_retries", "retry_backoff_sec", "catch_up_limit", "max_lateness_sec", "pause_after_failures",
    "max_turns",
)  # fmt: skip
SWITCHES = ("enabled", "allow_empty_result", "retry_interrupted", "fail_on_permission_denial")
AMOUNTS = ("max_budget_usd", "max_cost_usd_per_day")
NO_AMOUNTS: tuple[Any, ...] = ("5", True, [], {})
NO_OBJECTS: tuple[Any, ...] = ([], "{}", 0, True, 1.5)
NO_NUMBERS: tuple[Any, ...] = ("120", 180.0, 1.5, True, [], {}, "", 1e300)
NO_SWITCHES: tuple[Any, ...] = (1, 0, "true", "yes", "", None, [], {}, 1.0)

#: (what is changed in a good job, code, path below the job)
BAD_JOBS: list[tuple[dict[str, Any], str, str]] = [
    # names
    ({"job_id": ""}, "EMPTY", "job_id"),
    ({"job_id": "  "}, "EMPTY", "job_id"),
    ({"job_id": "x" * 129}, "TOO_LONG", "job_id"),
    ({"job_id": "x" * 1_000_000}, "TOO_LONG", "job_id"),
    ({"job_id": "a/b"}, "BAD_NAME", "job_id"),
    ({"job_id": "../a"}, "BAD_NAME", "job_id"),
    ({"job_id": ".."}, "BAD_NAME", "job_id"),
    ({"job_id": ".hidden"}, "BAD_NAME", "job_id"),
    ({"job_id": "-rf"}, "BAD_NAME", "job_id"),
    ({"job_id": "_a"}, "BAD_NAME", "job_id"),
    ({"job_id": "a\\b"}, "BAD_NAME", "job_id"),
    ({"job_id": "a b"}, "BAD_NAME", "job_id"),
    ({"job_id": "a\n"}, "BAD_NAME", "job_id"),
    ({"job_id": "a\0b"}, "BAD_NAME", "job_id"),
    ({"job_id": "a\x1b[2J"}, "BAD_NAME", "job_id"),
    ({"job_id": "año"}, "BAD_NAME", "job_id"),
    ({"job_id": "a\u202eb"}, "BAD_NAME", "job_id"),
    ({"job_id": LONE}, "BAD_TEXT", "job_id"),
    ({"job_id": 7}, "WRONG_TYPE", "job_id"),
    ({"job_id": None}, "WRONG_TYPE", "job_id"),
    ({"job_id": ["a"]}, "WRONG_TYPE", "job_id"),
    ({"job_id": {"a": 1}}, "WRONG_TYPE", "job_id"),
    ({"job_id": True}, "WRONG_TYPE", "job_id"),
    ({"puruto_target": ""}, "EMPTY", "puruto_target"),
    ({"puruto_target": "../puruto-data"}, "BAD_NAME", "puruto_target"),
    ({"puruto_target": "/etc"}, "BAD_NAME", "puruto_target"),
    ({"puruto_target": "~"}, "BAD_NAME", "puruto_target"),
    ({"puruto_target": "puruto-data/"}, "BAD_NAME", "puruto_target"),
    ({"puruto_target": "puruto\tdata"}, "BAD_NAME", "puruto_target"),
    ({"puruto_target": "x" * 129}, "TOO_LONG", "puruto_target"),
    ({"puruto_target": None}, "WRONG_TYPE", "puruto_target"),
    ({"puruto_target": 1.5}, "WRONG_TYPE", "puruto_target"),
    ({"puruto_target": ["puruto-data"]}, "WRONG_TYPE", "puruto_target"),
    # schedule and zone
    ({"schedule": ""}, "EMPTY", "schedule"),
    ({"schedule": "bad"}, "SCHEDULE_INVALID", "schedule"),
    ({"schedule": "x" * 257}, "TOO_LONG", "schedule"),
    ({"schedule": "0 9 * * 5\0"}, "BAD_TEXT", "schedule"),
    ({"schedule": "0 9 * * 5\x7f"}, "BAD_TEXT", "schedule"),
    ({"schedule": LONE}, "BAD_TEXT", "schedule"),
    ({"schedule": None}, "WRONG_TYPE", "schedule"),
    ({"schedule": 5}, "WRONG_TYPE", "schedule"),
    ({"schedule": ["0 9 * * 5"]}, "WRONG_TYPE", "schedule"),
    ({"schedule": {"cron": "0 9 * * 5"}}, "WRONG_TYPE", "schedule"),
    ({"timezone": "Mars/Olympus"}, "TIMEZONE_INVALID", "timezone"),
    ({"timezone": ""}, "EMPTY", "timezone"),
    ({"timezone": "x" * 65}, "TOO_LONG", "timezone"),
    ({"timezone": "Europe/Madrid\0"}, "BAD_TEXT", "timezone"),
    ({"timezone": LONE}, "BAD_TEXT", "timezone"),
    ({"timezone": 1}, "WRONG_TYPE", "timezone"),
    ({"timezone": []}, "WRONG_TYPE", "timezone"),
    ({"timezone": False}, "WRONG_TYPE", "timezone"),
    # prompt
    ({"prompt": ""}, "EMPTY", "prompt"),
    ({"prompt": " \n\t "}, "EMPTY", "prompt"),
    ({"prompt": "\u00a0\u3000"}, "EMPTY", "prompt"),
    ({"prompt": "x" * 100_001}, "TOO_LONG", "prompt"),
    ({"prompt": "a\0b"}, "BAD_TEXT", "prompt"),
    ({"prompt": "a\x1b[31mb"}, "BAD_TEXT", "prompt"),
    ({"prompt": "a\r\nb"}, "BAD_TEXT", "prompt"),
    ({"prompt": "a\x08b"}, "BAD_TEXT", "prompt"),
    ({"prompt": "a\x7fb"}, "BAD_TEXT", "prompt"),
    ({"prompt": "a\x85b"}, "BAD_TEXT", "prompt"),
    ({"prompt": "a" + LONE}, "BAD_TEXT", "prompt"),
    ({"prompt": "\udc00"}, "BAD_TEXT", "prompt"),
    ({"prompt": None}, "WRONG_TYPE", "prompt"),
    ({"prompt": 1}, "WRONG_TYPE", "prompt"),
    ({"prompt": ["a", "b"]}, "WRONG_TYPE", "prompt"),
    # yes or no
    *[({name: value}, "WRONG_TYPE", name) for name in SWITCHES for value in NO_SWITCHES],
    # numbers
    *[({name: value}, "WRONG_TYPE", name)
      for name in NUMBERS
      for value in NO_NUMBERS],
    *[({name: None}, "WRONG_TYPE", name) for name in ("timeout_sec", "max_retries", "retry_backoff_sec")],
    *[({name: value}, "OUT_OF_RANGE", name)
      for name in NUMBERS
      for value in (-1, 10**9, -(10**30), 10**31)],
    *[({name: 0}, "OUT_OF_RANGE", name)
      for name in ("timeout_sec", "catch_up_limit", "max_lateness_sec", "pause_after_failures")],
    ({"timeout_sec": 604_801}, "OUT_OF_RANGE", "timeout_sec"),
    # agents
    *[({name: value}, "OUT_OF_RANGE", name) for name in AMOUNTS for value in (0, -1.5, 100_000.5, 10**9)],
    *[({name: value}, "WRONG_TYPE", name) for name in AMOUNTS for value in NO_AMOUNTS],
    ({"model": ""}, "EMPTY", "model"),
    ({"model": "x" * 129}, "TOO_LONG", "model"),
    ({"allowed_tools": "Read"}, "WRONG_TYPE", "allowed_tools"),
    ({"allowed_tools": [""]}, "EMPTY", "allowed_tools[0]"),
    ({"permission_mode": "yolo"}, "UNKNOWN_VALUE", "permission_mode"),
    ({"append_system_prompt": 1}, "WRONG_TYPE", "append_system_prompt"),
    ({"json_schema": []}, "WRONG_TYPE", "json_schema"),
    ({"agent_args": "--verbose"}, "WRONG_TYPE", "agent_args"),
    ({"session_mode": "none"}, "UNKNOWN_VALUE", "session_mode"),
    ({"session_mode": None}, "WRONG_TYPE", "session_mode"),
    ({"heartbeat": True}, "WRONG_TYPE", "heartbeat"),
    ({"heartbeat": {"max_iterations": 0}}, "OUT_OF_RANGE", "heartbeat.max_iterations"),
    ({"heartbeat": {"context_mode": "x"}}, "UNKNOWN_VALUE", "heartbeat.context_mode"),
    ({"heartbeat": {"every": 5}}, "UNKNOWN_FIELD", "heartbeat.every"),
    ({"max_retries": 101}, "OUT_OF_RANGE", "max_retries"),
    ({"retry_backoff_sec": 3_601}, "OUT_OF_RANGE", "retry_backoff_sec"),
    ({"catch_up_limit": 1_001}, "OUT_OF_RANGE", "catch_up_limit"),
    ({"max_lateness_sec": 31_536_001}, "OUT_OF_RANGE", "max_lateness_sec"),
    ({"pause_after_failures": 1_001}, "OUT_OF_RANGE", "pause_after_failures"),
    # words
    ({"notify_channel": "slack"}, "UNKNOWN_VALUE", "notify_channel"),
    ({"notify_channel": "Telegram"}, "UNKNOWN_VALUE", "notify_channel"),
    ({"notify_channel": ""}, "UNKNOWN_VALUE", "notify_channel"),
    ({"notify_channel": None}, "WRONG_TYPE", "notify_channel"),
    ({"notify_channel": ["telegram"]}, "WRONG_TYPE", "notify_channel"),
    ({"notify_channel": LONE}, "BAD_TEXT", "notify_channel"),
    ({"catch_up": "newest"}, "UNKNOWN_VALUE", "catch_up"),
    ({"catch_up": None}, "WRONG_TYPE", "catch_up"),
    ({"catch_up": True}, "WRONG_TYPE", "catch_up"),
    ({"catch_up": {}}, "WRONG_TYPE", "catch_up"),
    ({"runner": "shell"}, "UNKNOWN_VALUE", "runner"),
    ({"runner": "Claude"}, "UNKNOWN_VALUE", "runner"),
    ({"runner": 1}, "WRONG_TYPE", "runner"),
    # command
    ({"command": []}, "EMPTY", "command"),
    ({"command": ["x"] * 257}, "TOO_LONG", "command"),
    ({"command": "python3 report.py"}, "WRONG_TYPE", "command"),
    ({"command": {"0": "x"}}, "WRONG_TYPE", "command"),
    ({"command": 1}, "WRONG_TYPE", "command"),
    ({"command": ["x", 1]}, "WRONG_TYPE", "command[1]"),
    ({"command": ["x", None]}, "WRONG_TYPE", "command[1]"),
    ({"command": ["x", ["y"]]}, "WRONG_TYPE", "command[1]"),
    ({"command": ["x", "a\0b"]}, "BAD_TEXT", "command[1]"),
    ({"command": [LONE]}, "BAD_TEXT", "command[0]"),
    ({"command": ["x" * 32_769]}, "TOO_LONG", "command[0]"),
    ({"command": ["x" * 32_769 + "\0"]}, "TOO_LONG", "command[0]"),
    ({"runner": "command"}, "CONFLICT", "runner"),
    ({"runner": "command", "command": None}, "CONFLICT", "runner"),
    ({"runner": "invoke", "command": ["x"]}, "CONFLICT", "command"),
    ({"runner": "codex", "command": ["x"]}, "CONFLICT", "command"),
    # env and allow_env
    ({"env": []}, "WRONG_TYPE", "env"),
    ({"env": None}, "WRONG_TYPE", "env"),
    ({"env": "A=b"}, "WRONG_TYPE", "env"),
    ({"env": [["A", "b"]]}, "WRONG_TYPE", "env"),
    ({"env": {"A": 1}}, "WRONG_TYPE", "env.A"),
    ({"env": {"A": None}}, "WRONG_TYPE", "env.A"),
    ({"env": {"A": True}}, "WRONG_TYPE", "env.A"),
    ({"env": {"A": {}}}, "WRONG_TYPE", "env.A"),
    ({"env": {"A": "x" * 32_769}}, "TOO_LONG", "env.A"),
    ({"env": {"A": "a\0"}}, "BAD_TEXT", "env.A"),
    ({"env": {"A": LONE}}, "BAD_TEXT", "env.A"),
    ({"env": {"A B": "x"}}, "BAD_NAME", 'env["A B"]'),
    ({"env": {"A=B": "x"}}, "BAD_NAME", 'env["A=B"]'),
    ({"env": {"1A": "x"}}, "BAD_NAME", 'env["1A"]'),
    ({"env": {"A\0": "x"}}, "BAD_NAME", 'env["A\\u0000"]'),
    ({"env": {"": "x"}}, "EMPTY", 'env[""]'),
    ({"env": {"A" * 129: "x"}}, "TOO_LONG", 'env["' + "A" * 80 + '…"]'),
    ({"env": {f"A{n}": "" for n in range(129)}}, "TOO_LONG", "env"),
    ({"env": {"PURUTO_CRON_RUN_ID": "x"}}, "RESERVED_VARIABLE", "env.PURUTO_CRON_RUN_ID"),
    ({"env": {"PURUTO_CRON_": "x"}}, "RESERVED_VARIABLE", "env.PURUTO_CRON_"),
    ({"allow_env": {}}, "WRONG_TYPE", "allow_env"),
    ({"allow_env": None}, "WRONG_TYPE", "allow_env"),
    ({"allow_env": "TOKEN"}, "WRONG_TYPE", "allow_env"),
    ({"allow_env": [1]}, "WRONG_TYPE", "allow_env[0]"),
    ({"allow_env": [None]}, "WRONG_TYPE", "allow_env[0]"),
    ({"allow_env": [""]}, "EMPTY", "allow_env[0]"),
    ({"allow_env": ["A", "*"]}, "BAD_NAME", "allow_env[1]"),
    ({"allow_env": ["A B"]}, "BAD_NAME", "allow_env[0]"),
    ({"allow_env": ["A" * 129]}, "TOO_LONG", "allow_env[0]"),
    ({"allow_env": ["A"] * 129}, "TOO_LONG", "allow_env"),
    ({"allow_env": ["PURUTO_CRON_TIMEZONE"]}, "RESERVED_VARIABLE", "allow_env[0]"),
    # success
    *[({"success": value}, "WRONG_TYPE", "success") for value in NO_OBJECTS],
    ({"success": {}}, "EMPTY", "success"),
    ({"success": {"exit_code": [0]}}, "UNKNOWN_FIELD", "success.exit_code"),
    ({"success": {"": 0}}, "UNKNOWN_FIELD", 'success[""]'),
    ({"success": {"job_id": "a"}}, "UNKNOWN_FIELD", "success.job_id"),
    ({"success": {"exit_codes": 0}}, "WRONG_TYPE", "success.exit_codes"),
    ({"success": {"exit_codes": None}}, "WRONG_TYPE", "success.exit_codes"),
    ({"success": {"exit_codes": []}}, "EMPTY", "success.exit_codes"),
    ({"success": {"exit_codes": [0] * 257}}, "TOO_LONG", "success.exit_codes"),
    ({"success": {"exit_codes": [0, -1]}}, "OUT_OF_RANGE", "success.exit_codes[1]"),
    ({"success": {"exit_codes": [256]}}, "OUT_OF_RANGE", "success.exit_codes[0]"),
    ({"success": {"exit_codes": ["0"]}}, "WRONG_TYPE", "success.exit_codes[0]"),
    ({"success": {"exit_codes": [True]}}, "WRONG_TYPE", "success.exit_codes[0]"),
    ({"success": {"exit_codes": [0.0]}}, "WRONG_TYPE", "success.exit_codes[0]"),
    *[({"success": {name: value}}, code, f"success.{name}")
      for name in ("stdout_matches", "stdout_not_matches")
      for value, code in (
          (1, "WRONG_TYPE"), (["a"], "WRONG_TYPE"), ("", "EMPTY"), ("x" * 1_001, "TOO_LONG"), (LONE, "BAD_TEXT"),
          ("(", "BAD_PATTERN"), ("*", "BAD_PATTERN"), ("[z-a]", "BAD_PATTERN"), ("a{99999999999}", "BAD_PATTERN"),
          ("(?P<a>b)(?P<a>c)", "BAD_PATTERN"), ("x(?i)", "BAD_PATTERN"), ("(?<=a*)b", "BAD_PATTERN"),
      )],
    ({"success": {"stdout_matches": "a", "stdout_not_matches": "a"}}, "CONFLICT", "success.stdout_not_matches"),
    ({"success": {"file_changed": 1}}, "WRONG_TYPE", "success.file_changed"),
    ({"success": {"file_changed": ""}}, "EMPTY", "success.file_changed"),
    ({"success": {"file_changed": "x" * 4_097}}, "TOO_LONG", "success.file_changed"),
    ({"success": {"file_changed": "a\0"}}, "BAD_TEXT", "success.file_changed"),
    ({"success": {"file_changed": LONE}}, "BAD_TEXT", "success.file_changed"),
    *[({"success": {"file_changed": path}}, "BAD_PATH", "success.file_changed")
      for path in ("out/", "/", ".", "..", "out/..", "~/report", "~ana/report")],
    *[({"success": {"json_schema": value}}, "WRONG_TYPE", "success.json_schema") for value in NO_OBJECTS],
    ({"success": {"json_schema": {"type": "strin"}}}, "BAD_SCHEMA", "success.json_schema.type"),
    ({"success": {"json_schema": {"pattern": "("}}}, "BAD_SCHEMA", "success.json_schema.pattern"),
    ({"success": {"json_schema": {"properties": {"a b": {"minimum": "1"}}}}}, "BAD_SCHEMA",
     'success.json_schema.properties["a b"].minimum'),
    ({"success": {"json_schema": {"$schema": "draft-5"}}}, "BAD_SCHEMA", 'success.json_schema["$schema"]'),
    ({"success": {"json_schema": {"$schema": 5}}}, "BAD_SCHEMA", 'success.json_schema["$schema"]'),
    *[({"success": {"json_schema": {"items": {"$ref": target}}}}, "BAD_SCHEMA", 'success.json_schema.items["$ref"]')
      for target in ("http://localhost:9/x.json", "file:///etc/passwd", "other.json", "#/$defs/none", "#none")],
    ({"success": {"json_schema": {"$id": "http://[bad", "$ref": "x"}}}, "BAD_SCHEMA", "success.json_schema"),
    ({"success": {"json_schema": nested({}, 33)}}, "BAD_SCHEMA", "success.json_schema" + 32 * ".not"),
    ({"success": {"json_schema": {"enum": list(range(5_000))}}}, "TOO_LONG", "success.json_schema"),
    ({"success": {"json_schema": {"title": LONE}}}, "BAD_TEXT", "success.json_schema.title"),
    ({"success": {"json_schema": {"properties": {LONE: {}}}}}, "BAD_TEXT", "success.json_schema.properties"),
    # keys that no job has
    ({"timeout": 5}, "UNKNOWN_FIELD", "timeout"),
    ({"Prompt": "x"}, "UNKNOWN_FIELD", "Prompt"),
    ({"job-id": "x"}, "UNKNOWN_FIELD", '["job-id"]'),
    ({"": 1}, "UNKNOWN_FIELD", '[""]'),
    ({"$schema": "x"}, "UNKNOWN_FIELD", '["$schema"]'),
    ({"job_id ": "x"}, "UNKNOWN_FIELD", '["job_id "]'),
    ({"a\nb": "x"}, "UNKNOWN_FIELD", '["a\\u000ab"]'),
    ({"self": 1}, "UNKNOWN_FIELD", "self"),
    ({"__class__": "x"}, "UNKNOWN_FIELD", "__class__"),
    ({"x" * 500: 1}, "UNKNOWN_FIELD", '["' + "x" * 80 + '…"]'),
    ({LONE: 1}, "BAD_TEXT", ""),
]  # fmt: skip
