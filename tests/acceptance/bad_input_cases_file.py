"""Jobs files that are wrong as a whole: not there, no file, not readable, no JSON, no object with a list of jobs."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing

from tests.acceptance.bad_input_cases import Case, as_process
from tests.acceptance.bad_input_cases_stage import GOOD_JOBS, TAKE_BACK, Stage, jobs_bytes

SYNC = ("sync-jobs",)
_JOB = b'{"job_id": "a", "puruto_target": "t", "schedule": "@daily", "prompt": "p"%s}'
_GOOD = jobs_bytes(*GOOD_JOBS)
_BOM = b"\xef\xbb\xbf"


def holding(data: bytes) -> Callable[[Stage], object]:
    """Writes these bytes as .jobs.json."""
    return lambda stage: stage.write_jobs(data)


def _instead(make: Callable[[Stage], object]) -> Callable[[Stage], None]:
    def prepare(stage: Stage) -> None:
        stage.jobs_file.unlink()
        make(stage)

    return prepare


def _huge(stage: Stage) -> None:
    with stage.jobs_file.open("wb") as file:
        file.truncate(256 * 1024 * 1024 + 1)


def _unreadable(name: str, prepare: Callable[[Stage], object], place: str) -> Case:
    return Case(f"jobs file {name}", SYNC, "JOBS_FILE_UNREADABLE", (".jobs.json", place), prepare=prepare)


def _no_json(name: str, data: bytes, *places: str) -> Case:
    return Case(f"jobs file {name}", SYNC, "JOBS_FILE_NOT_JSON", (".jobs.json", *places), prepare=holding(data))


def _invalid(name: str, data: bytes, code: str, path: str, *places: str) -> Case:
    names = (".jobs.json", path, *places)
    return Case(f"jobs file {name}", SYNC, "JOBS_FILE_INVALID", names, prepare=holding(data), problems=((code, path),))


def _at(line: int, column: int) -> tuple[str, str, str]:
    return (f"line {line}, column {column}: ", f"\nline: {line}\n", f"\ncolumn: {column}\n")


def _with_job(text: bytes) -> bytes:
    return b'{"jobs": [\n  ' + _JOB % (b', "timeout_sec": ' + text) + b"]}"


_PLACE = as_process(
    Case("jobs file missing", SYNC, "JOBS_FILE_MISSING", (".jobs.json", "does not exist"), prepare=_instead(id)),
    Case(
        "jobs file a link to nothing",
        SYNC,
        "JOBS_FILE_MISSING",
        (".jobs.json", "broken link"),
        prepare=_instead(lambda stage: stage.jobs_file.symlink_to("gone.json")),
    ),
    _unreadable("a folder", _instead(lambda stage: stage.jobs_file.mkdir()), "is a folder"),
    _unreadable("a FIFO", _instead(lambda stage: os.mkfifo(stage.jobs_file)), "is not a regular file"),
    _unreadable("a device", _instead(lambda stage: stage.jobs_file.symlink_to("/dev/zero")), "is not a regular file"),
    _unreadable("a link to itself", _instead(lambda stage: stage.jobs_file.symlink_to(".jobs.json")), "symbolic links"),
    _unreadable("of 256 MiB", _instead(_huge), "larger than 256 MiB"),
    Case(
        "jobs file of another user",
        SYNC,
        "JOBS_FILE_UNREADABLE",
        (".jobs.json can't be read: it belongs to ", "and you are ", TAKE_BACK),
        prepare=lambda stage: stage.give_away(stage.jobs_file, 0),
        plain_user=True,
    ),
)

_SYNTAX = [
    *as_process(
        _no_json("empty", b"", *_at(1, 1), '{"jobs": []}'),
        _no_json("of the word hello", b"hello", *_at(1, 1)),
        _no_json("cut in the middle", _GOOD[:300], "line 1", "column: "),
        _no_json("with a comma too many", b'{"jobs": [\n{"a": 1},\n]}', *_at(3, 1), "remove the comma"),
        _no_json("with NaN", _with_job(b"NaN"), "line 2", "NaN"),
        _no_json("with Infinity", _with_job(b"Infinity"), "line 2", "Infinity"),
        _no_json("with 1e999", _with_job(b"1e999"), "line 2", "out of range"),
        _no_json("with an int of 5000 digits", _with_job(b"9" * 5000), "line 2", "5000 digits"),
        _no_json("nested 100000 lists deep", b'{"jobs": ' + b"[" * 100_000, "line 1", "nested deeper than 64 levels"),
        _no_json("not UTF-8", b'{"jobs": [\n"\xff"]}', "line: 2", "offset: 12", "0xff"),
        _no_json("with a BOM and garbage", _BOM + b"garbage", *_at(1, 1)),
    ),
    _no_json("of white space", b" \n\t\n ", "line 3", '{"jobs": []}'),
    _no_json("of NULs", bytes(64), *_at(1, 1)),
    _no_json("with a NUL between", b'{"jobs":\n \0[]}', *_at(2, 2)),
    _no_json("with a raw NUL in a text", b'{"jobs": [{"job_id": "a\0b"}]}', *_at(1, 24)),
    _no_json("with a raw newline in a text", b'{"jobs": [{"prompt": "a\nb"}]}', *_at(1, 24), "as \\n"),
    _no_json("with a // comment", b'{"jobs": [\n// none\n]}', *_at(2, 1), "no comments"),
    _no_json("with a # comment", b'# mine\n{"jobs": []}', *_at(1, 1), "no comments"),
    _no_json("with single quotes", b"{'jobs': []}", *_at(1, 2), "double quotes"),
    _no_json("with typographic quotes", "{“jobs”: []}".encode(), *_at(1, 2), "double quotes"),
    _no_json("with Python's True", b'{"jobs": [{"enabled": True}]}', *_at(1, 23), "write true"),
    _no_json("with Python's None", b'{"jobs": None}', *_at(1, 10), "write null"),
    _no_json("with a missing comma", b'{"jobs": [{"a": 1}\n {"a": 2}]}', *_at(2, 2)),
    _no_json("with a missing colon", b'{"jobs" []}', *_at(1, 9)),
    _no_json("without its last bracket", b'{"jobs": []', "line 1", "column: 12"),
    _no_json("with text behind its end", b'{"jobs": []}\n{"jobs": []}', *_at(2, 1), "Extra data"),
    _no_json("with merge marks", b'<<<<<<< HEAD\n{"jobs": []}\n=======\n', *_at(1, 1)),
    _no_json("with a bad escape", b'{"jobs": ["\\x41"]}', *_at(1, 12)),
    _no_json("with half an escape", b'{"jobs": ["\\u12"]}', "line 1", "column: 1"),
    _no_json("with a leading zero", b'{"jobs": [012]}', *_at(1, 12)),
    _no_json("with a leading plus", b'{"jobs": [+1]}', *_at(1, 11)),
    _no_json("with a hexadecimal number", b'{"jobs": [0x1f]}', *_at(1, 12)),
    _no_json("with a bare word as key", b"{jobs: []}", *_at(1, 2)),
    _no_json("with -Infinity", _with_job(b"-Infinity"), "line 2", "-Infinity"),
    _no_json("with -1e999", _with_job(b"-1e999"), "line 2", "out of range"),
    _no_json("with a fraction of 5000 digits", _with_job(b"0." + b"3" * 5000), "line 2", "5002 digits"),
    _no_json("with an int of 310 digits", _with_job(b"1" * 310), "line 2", "310 digits"),
    _no_json("nested 100000 objects deep", b'{"a":' * 100_000, "line 1", "nested deeper than 64 levels"),
    _no_json("in Latin-1", '{"jobs": [\n{"prompt": "día"}]}'.encode("latin-1"), "line: 2", "0xed"),
    _no_json("in UTF-16", json.dumps({"jobs": []}).encode("utf-16"), "line: 1", "0xff"),
    _no_json("with an overlong encoding", b'{"jobs": ["\xc0\xaf"]}', "offset: 11", "0xc0"),
    _no_json("with an encoded surrogate", b'{"jobs": ["\xed\xa0\x80"]}', "offset: 11", "0xed"),
    _no_json("cut within a character", b'{"jobs": ["\xe2\x82', "offset: 11", "0xe2"),
    _no_json("with a BOM and a bad byte", _BOM + b'{"jobs":\n "\xff"}', "line: 2", "offset: 14"),
    _no_json("with two BOMs", _BOM * 2 + b'{"jobs": []}', *_at(1, 1)),
    _no_json("that is a gzip file", b"\x1f\x8b\x08\0\0\0\0\0", "0x8b", "offset: 1"),
    _no_json("that is YAML", b"jobs:\n  - job_id: a\n", *_at(1, 1)),
]

_ROOT = [
    *as_process(
        _invalid("that is a list", b"[]", "WRONG_TYPE", "$", "must be an object, not a list"),
        _invalid("without jobs", b"{}", "MISSING_FIELD", "jobs", '{"jobs": [ … ]}'),
        _invalid("with jobs as an object", b'{"jobs": {}}', "WRONG_TYPE", "jobs", "must be a list, not an object"),
        _invalid("with job for jobs", b'{"jobs": [], "job": []}', "UNKNOWN_FIELD", "job", "did you mean jobs?"),
    ),
    _invalid("that is null", b"null", "WRONG_TYPE", "$", "not null"),
    _invalid("that is a number", b"42", "WRONG_TYPE", "$", "not the number 42"),
    _invalid("that is a text", b'"jobs"', "WRONG_TYPE", "$", "not the text"),
    _invalid("that is true", b"true", "WRONG_TYPE", "$", "not true"),
    _invalid("with jobs as null", b'{"jobs": null}', "WRONG_TYPE", "jobs", "not null"),
    _invalid("with jobs as a text", b'{"jobs": "none"}', "WRONG_TYPE", "jobs", "not the text"),
    _invalid("with jobs twice", b'{"jobs": [], "jobs": []}', "DUPLICATE_KEY", "jobs", "occurs twice"),
    _invalid("with a schema that is a number", b'{"$schema": 1, "jobs": []}', "WRONG_TYPE", '["$schema"]', "not the"),
    _invalid("with an unknown key", b'{"jobs": [], "version": 1}', "UNKNOWN_FIELD", "version", "use one of: jobs"),
    _invalid("with a key of odd characters", b'{"jobs": [], "a\\nb": 1}', "UNKNOWN_FIELD", '["a\\u000ab"]'),
    _invalid("with a surrogate as key", b'{"jobs": [], "\\ud800": 1}', "UNKNOWN_FIELD", '["\\ud800"]'),
    _invalid("with a job that is null", b'{"jobs": [null]}', "WRONG_TYPE", "jobs[0]", "not null"),
    _invalid("with a job that is a text", b'{"jobs": ["a"]}', "WRONG_TYPE", "jobs[0]", "not the text"),
    _invalid("with a job that is a list", b'{"jobs": [[]]}', "WRONG_TYPE", "jobs[0]", "not a list"),
    _invalid("with lists 60 deep", b'{"jobs": [' + b"[" * 58 + b"]" * 59 + b"}", "WRONG_TYPE", "jobs[0]", "a list"),
    _no_json("with lists 900 deep", b'{"jobs": [' + b"[" * 900 + b"]" * 901 + b"}", *_at(1, 73), "deeper than 64"),
]


def _more_than_listed(stage: Stage) -> None:
    stage.write_jobs(jobs_bytes(*range(10_000)))


def _after_runs(data: bytes) -> Callable[[Stage], None]:
    """A file in place of one whose four jobs have all run; one of them is paused."""

    def prepare(stage: Stage) -> None:
        with closing(sqlite3.connect(stage.database)) as database, database:
            ran = "last_run_at = '2026-01-01T00:00:00+00:00'"
            database.execute(f"UPDATE jobs SET {ran}, paused_at = iif(enabled, NULL, '2026-01-01T00:00:00+00:00')")
        stage.write_jobs(data)

    return prepare


_RENAMED = [{**job, "job_id": f"my-{job['job_id']}", "timeout_sec": 77} for job in GOOD_JOBS]
_REMOVALS = [
    *as_process(
        Case(
            "removal of all",
            SYNC,
            "REMOVALS_REFUSED",
            ("4 of the 4", "backup", "more than half", "--allow-removals"),
            prepare=_after_runs(jobs_bytes()),
        ),
    ),
    Case(
        "removal of all while others are added",
        SYNC,
        "REMOVALS_REFUSED",
        ("4 of the 4", "digest"),
        prepare=_after_runs(jobs_bytes(*({**GOOD_JOBS[0], "job_id": f"new-{n}"} for n in range(9)))),
    ),
    Case(
        "renaming of all, with a change",
        SYNC,
        "REMOVALS_REFUSED",
        ("4 of the 4", "digest"),
        prepare=_after_runs(jobs_bytes(*_RENAMED)),
    ),
    Case(
        "ten thousand faults",
        SYNC,
        "JOBS_FILE_INVALID",
        ("problem_count: 10000", "10000 faults", "jobs[0]", "jobs[99]"),
        prepare=_more_than_listed,
    ),
]

CASES = [*_PLACE, *_SYNTAX, *_ROOT, *_REMOVALS]
