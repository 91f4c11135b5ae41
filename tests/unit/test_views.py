"""The texts of reports, whole; the ID of a run is never broken, other columns shrink; what the environment says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from core.listing import sentences
from render.console import ViewContext
from render.grid import fit_widths
from render.parts import Excerpt
from render.screen import Screen, columns_setting, screen_of, wants_colour
from render.views import text_of
from render.words import counted, short, size, when
from tests.support_pictures import NOW, text

RUN = "weekday-report-20261121T100841"


def _run(**fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "run_id": RUN, "job_id": "weekday-report", "status": "interrupted", "started_at": text(-23),
        "finished_at": text(-22), "duration_ms": 1_799_000, "cost_usd": 0.25, "attempt": 1,
        "error_code": "NONZERO_EXIT", "error": "[/x] it failed at length " * 6, "lease_owner": "a-machine:12345:67890",
    }  # fmt: skip
    return {**base, **fields}


def _job(job_id: str = "weekday-report", **fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "job_id": job_id, "enabled": True, "schedule": "45 20 * * 1-5", "timezone": "Europe/Madrid", "paused": None,
        "consecutive_failures": 0, "problem": None, "next_run": {"utc": text(23.75)}, "next_run_at": text(23.75),
        "last_run": {"status": "ok", "finished_at": text(-3)},
    }  # fmt: skip
    return {**base, **fields}


def _status(**fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "scheduler": {"last_tick_at": text(0), "stale": False, "overdue_jobs": [], "anomalies": []},
        "events": {"waiting": []}, "sync": {"error": None, "in_step": True}, "running": [_run()],
        "recent_runs": [_run()], "spending": [{"job_id": "weekday-report", "cost_usd": 1.25}], "jobs": [_job()],
        "paths": {"database": "/home/me/purutos/puruto-cron/db/cron.db"}, "ping": None,
    }  # fmt: skip
    return {**base, **fields}


EVENT = {"ts": text(-1), "job_id": "weekday-report", "run_id": RUN, "error": {"code": "X", "message": "y " * 99}}
REPORTS: dict[str, dict[str, Any]] = {
    "history": {"runs": [_run(), _run(error_code=None)]}, "status": _status(), "logs": {"events": [EVENT]},
}  # fmt: skip


def _shown(view: str, report: dict[str, Any], width: int = 80) -> list[str]:
    return text_of(view, report, ViewContext(NOW, "Europe/Madrid", Screen(width, 24))).split("\n")


@pytest.mark.parametrize("width", [200, 120, 80, 60, 40])
@pytest.mark.parametrize("view", REPORTS)
def test_the_name_of_a_run_is_never_broken(view: str, width: int) -> None:
    lines = _shown(view, REPORTS[view], width)
    assert "\n".join(lines).count(RUN) == {"history": 2, "status": 2, "logs": 1}[view]
    # A status is not broken either.
    assert "interrupted" in "\n".join(lines) or view == "logs"
    assert width < 60 or max(map(len, lines)) <= width


def test_an_error_is_printed_whole_below_its_row_and_not_parsed_as_markup() -> None:
    lines = _shown("history", REPORTS["history"], 80)
    assert " ".join(" ".join(lines).split()).count("[/x] it failed at length") == 6
    assert lines[2].startswith("    NONZERO_EXIT: [/x] it failed") or "NONZERO_EXIT: [/x] it failed" in lines[2]


# --- whole texts ---


def test_the_text_of_status() -> None:
    assert _shown("status", _status()) == [
        "puruto-cron  ok  last tick: now",
        "  jobs        1 job, 1 enabled",
        "  .jobs.json  as loaded",
        "  database    /home/me/purutos/puruto-cron/db/cron.db",
        "  spent       $1.25 in 7 days: weekday-report $1.25",
        "",
        "RUNNING                         SINCE     ATTEMPT  OWNER",
        "weekday-report-20261121T100841  23 h ago        1  a-machine:12345:67890",
        "",
        "NEXT UP         AT         IN",
        "weekday-report  Thu 20:45  in 23 h",
        "",
        "LAST RUNS                       STATUS       STARTED",
        "weekday-report-20261121T100841  interrupted  Tue 22:00 (23 h ago)",
    ]


def test_the_text_of_status_names_what_is_wrong() -> None:
    error = {"error": {"code": "JOBS_FILE_NOT_JSON", "message": "line 3: a comma is missing",
                       "details": {"hint": "did you mean ,?", "problem_count": 2}}}  # fmt: skip
    wrong = _status(
        scheduler={"last_tick_at": None, "stale": True, "overdue_jobs": [{"job_id": "late"}],
                   "anomalies": [{"message": f"The clock was set back at {text(-1)}.", "hint": "Look at it."}]},
        events={"waiting": [{"channel": "local", "count": 1, "last_error": None},
                            {"channel": "telegram", "count": 2, "last_error": "no space"}]},
        sync={"error": error, "in_step": False},
        jobs=[_job(problem={"message": "no such zone"}), _job("p", paused={"since": text(-1), "reason": "x"})],
    )  # fmt: skip
    lines = _shown("status", wrong)
    assert lines[0] == "puruto-cron  STALE  no job starts by itself; no tick so far"
    assert lines[1] == "  jobs      2 jobs, 1 enabled, 1 paused"
    assert lines[4:12] == [
        "! .jobs.json was not loaded: line 3: a comma is missing [JOBS_FILE_NOT_JSON]",
        "  fix: did you mean ,?",
        "  All its faults: python3 main.py sync-jobs",
        "! Overdue: late",
        "! The clock was set back at 20:00. Look at it.",
        "! 1 event not in notifications/events.jsonl yet: the next tick does it",
        "! 2 events for telegram not told yet: no space",
        "! weekday-report: no such zone",
    ]


@pytest.mark.parametrize(("state", "shown"), [
    ({}, "changed since it was loaded; to load it now: python3 main.py sync-jobs"),
    ({"missing": True}, "does not exist; the jobs go on as they were loaded"),
])  # fmt: skip
def test_status_says_what_became_of_the_file(state: dict[str, Any], shown: str) -> None:
    report = _status(sync={"error": None, "in_step": False, **state})
    assert f"  .jobs.json  {shown}" in _shown("status", report, 100)


FAULT = {"code": "JOBS_FILE_INVALID", "message": "timout_sec is not a known field",
         "details": {"hint": "did you mean timeout_sec?"}}  # fmt: skip


def test_whoever_could_not_load_the_file_says_what_to_do() -> None:
    tick = {"results": [], "sync": {"status": "error", "error": FAULT}}
    assert _shown("tick", tick, 200) == [
        f".jobs.json was not loaded: {FAULT['message']} [JOBS_FILE_INVALID] fix: did you mean timeout_sec?"
    ]
    row = {"run_id": "r", "job_id": "a", "status": "ok", "started_at": text(-1)}
    ran = {"status": "ok", "job_id": "a", "run_id": "r", "row": row, "error": None, "sync": {"error": FAULT}}
    lines = _shown("run-now", ran, 200)
    assert lines[-3:-1] == [f"! .jobs.json could not be loaded: {FAULT['message']}", "  fix: did you mean timeout_sec?"]


def test_a_tick_that_only_renamed_a_job_says_so() -> None:
    sync = {"renamed": [{"from": "hello", "to": "buenos-dias"}], "added": [], "changed": [], "removed": []}
    assert _shown("tick", {"sync": sync}) == [".jobs.json was loaded: renamed hello to buenos-dias"]


@pytest.mark.parametrize(("texts", "shown"), [
    (("did you mean x?", "All: y"), "did you mean x? All: y"), (("Do it.", "Then z"), "Do it. Then z"),
    (("Do it", "Then z."), "Do it. Then z."), (("", "Then z"), "Then z"), (("Do it", " "), "Do it"),
])  # fmt: skip
def test_sentences_end_in_one_sign(texts: tuple[str, ...], shown: str) -> None:
    assert sentences(*texts) == shown


def test_a_pause_with_an_end_is_told_until_it_is_over() -> None:
    jobs = [_job("a", paused_until=text(84)), _job("b", paused_until=text(-1)),
            _job("c", paused={"since": text(-1), "until": text(84)}, note="ask Eva first")]  # fmt: skip
    lines = _shown("list", {"jobs": jobs}, 120)
    assert [line.split("  ")[-1].strip() for line in lines[:1]] == ["NOTE"]
    assert "paused until Sun 09:00" in lines[1]
    assert "Thu 20:45 (in 23 h)" in lines[2]
    assert "paused until Sun 09:00" in lines[3]
    assert lines[3].endswith("ask Eva first")
    assert lines[5] == "3 jobs: 1 enabled, 2 paused"


def test_the_text_of_list() -> None:
    jobs = [
        _job(),
        _job("a", enabled=False, timezone="Asia/Tokyo", last_run=None),
        _job("b", paused={"since": text(-1), "reason": "it failed"}, consecutive_failures=3,
             last_run={"status": "error", "finished_at": text(-1)}),
    ]  # fmt: skip
    more = {"next_page": "b", "next_command": "python3 main.py list --limit 3 --after b"}
    assert _shown("list", {"jobs": jobs, **more, "warnings": [{"message": "look"}]}, 100) == [
        "JOB             SCHEDULE                    NEXT                 LAST",
        "weekday-report  45 20 * * 1-5               Thu 20:45 (in 23 h)  ok 3 h ago",
        "a               45 20 * * 1-5 (Asia/Tokyo)  disabled             never ran",
        "b               45 20 * * 1-5               paused               error 1 h ago, failed 3 times",
        "",
        "3 jobs: 1 disabled, 1 enabled, 1 paused",
        "There are more: python3 main.py list --limit 3 --after b",
        "! look",
    ]


ROW = {"status": "ok", "duration_ms": 3_200, "cost_usd": 0.25, "turns": 3, "input_tokens": 1_200, "output_tokens": 30,
       "output_dir": "/home/me/runs/r"}  # fmt: skip


def test_the_text_of_a_run_that_ended_well() -> None:
    response = {"status": "ok", "result": {"summary": "Three oddities found.\n\nNone is urgent."}}
    report = {"status": "ok", "job_id": "weekday-report", "run_id": RUN, "attempt": 1, "row": ROW,
              "result": {"status": "ok", "response": response},
              "events_waiting": [{"channel": "telegram", "error": "no answer"}]}  # fmt: skip
    assert _shown("run-now", report) == [
        "ok  weekday-report in 3.2 s",
        "",
        "  Three oddities found.",
        "",
        "  None is urgent.",
        "",
        "  cost   $0.25, 3 turns, tokens: 1,200 in, 30 out",
        "  files  /home/me/runs/r",
        "! telegram was not told yet: no answer",
        "More: python3 main.py show weekday-report-20261121T100841",
    ]


def test_the_text_of_a_run_that_failed() -> None:
    details = {"stderr": "line 1\nline 2\n", "hint": "See the log", "not_retried": "no retries left"}
    report = {"status": "error", "job_id": "weekday-report", "run_id": RUN, "attempts": 2,
              "row": {**ROW, "status": "error"},
              "error": {"code": "NONZERO_EXIT", "message": "sh ended with exit code 3", "details": details},
              "processes_ended": 1}  # fmt: skip
    assert _shown("run-now", report) == [
        "error  weekday-report in 3.2 s after 2 attempts",
        "  error: sh ended with exit code 3 [NONZERO_EXIT]",
        "  fix: See the log",
        "  not tried again: no retries left",
        "  its stderr ends with",
        "    line 1",
        "    line 2",
        "  cost   $0.25, 3 turns, tokens: 1,200 in, 30 out",
        "  files  /home/me/runs/r",
        "! 1 process that the run left behind was ended",
        "More: python3 main.py show weekday-report-20261121T100841",
    ]


def test_a_report_whose_view_fails_is_printed_as_fields() -> None:
    assert _shown("", {"status": "ok", "answer_count": 0, "jobs": ["a", {"b": True}], "at": text(1)}, 40) == [
        "status        ok",
        "answer count  0",
        "jobs",
        "  - a",
        "  -",
        "    b  yes",
        "at            22:00 (in 1 h)",
    ]


# --- words and screens ---


@pytest.mark.parametrize(
    ("instant", "shown"),
    [
        ("2026-02-25T20:30:00+00:00", "21:30 (in 30 min)"),
        ("2026-02-25T21:59:59+00:00", "22:59 (in 2 h)"),
        ("2026-02-25T21:59:00+00:00", "22:59 (in 1 h)"),
        ("2026-02-25T20:00:59.600000+00:00", "21:00 (in 1 min)"),
        ("2026-02-27T08:00:00+00:00", "Fri 09:00 (in 1 d)"),
        ("2026-06-01T07:00:00+00:00", "1 Jun 09:00 (in 95 d)"),
        ("2027-02-25T20:00:00+00:00", "25 Feb 2027 21:00 (in 365 d)"),
        ("2026-02-25T19:59:59.500000+00:00", "20:59 (now)"),
        ("soon", ""),
        (None, ""),
        ("2026-99-99T99:99:99+00:00", ""),
    ],
)
def test_an_instant_in_few_words(instant: object, shown: str) -> None:
    assert when(instant, NOW, "Europe/Madrid") == shown


def test_sizes_and_counts_in_words() -> None:
    assert [size(n) for n in (0, 999, 1_234, 56_789_000, None)] == ["0 B", "999 B", "1.2 KB", "57 MB", ""]
    assert (counted(1, "run"), counted(1_200, "run"), counted(2, "entry", "entries")) == (
        "1 run",
        "1,200 runs",
        "2 entries",
    )


@pytest.mark.parametrize(
    ("environ", "is_terminal", "coloured"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(environ: dict[str, str], is_terminal: bool, coloured: bool) -> None:
    assert wants_colour(is_terminal, environ) is coloured


@pytest.mark.parametrize(
    ("environ", "encoding"),
    [
        ({"LANG": "C.UTF-8"}, "utf-8"),
        ({"LC_ALL": "C", "LANG": "es_ES.UTF-8"}, "ascii"),
        ({"LC_CTYPE": "POSIX"}, "ascii"),
        ({}, "ascii"),
        ({"LANG": "es_ES.ISO-8859-1"}, "iso8859-1"),
        ({"LANG": "es_ES.ISO-8859-15@euro"}, "iso8859-15"),
        ({"LANG": "es_ES.nonsense"}, "utf-8"),
        ({"LANG": "en_US"}, "utf-8"),
    ],
)
def test_the_locale_says_which_signs_there_are(environ: dict[str, str], encoding: str) -> None:
    screen = screen_of(None, environ)
    assert screen.encoding == encoding
    assert screen.shown("a…→█ ñ日") == {"utf-8": "a…→█ ñ日", "ascii": "a~># ??"}.get(encoding, "a~># ñ?")


def test_a_name_that_is_wider_than_the_screen_is_not_cut() -> None:
    long = f"{'x' * 128}-20261121T100841"
    report = {"runs": [_run(job_id="x" * 128, run_id=long)]}
    assert long in text_of("history", report, ViewContext(NOW, "Europe/Madrid", Screen(80)))


def test_columns_shrink_in_their_order_down_to_their_minimum() -> None:
    assert fit_widths([10, 10, 10], {2: 4, 0: 6}, 34) == [10, 10, 10]
    assert fit_widths([10, 10, 10], {2: 4, 0: 6}, 30) == [10, 10, 6]
    assert fit_widths([10, 10, 10], {2: 4, 0: 6}, 26) == [8, 10, 4]
    assert fit_widths([10, 10, 10], {2: 4, 0: 6}, 5) == [6, 10, 4]
    assert fit_widths([3, 10], {0: 6}, 5) == [3, 10]


@pytest.mark.parametrize(
    ("setting", "width"),
    [
        ("80", 80),
        ("120", 120),
        ("0", None),
        ("-5", None),
        ("19", None),
        ("wide", None),
        ("9" * 5_000, None),
        ("", None),
    ],
)
def test_columns_is_obeyed_if_it_is_a_width(setting: str, width: int | None) -> None:
    assert columns_setting({"COLUMNS": setting}) == width
    assert screen_of(None, {"COLUMNS": setting}).width == (width or 200)


def test_the_slot_is_a_column_where_the_start_does_not_say_it() -> None:
    on_time = _run(scheduled_for=text(-23), started_at=text(-23), error_code=None)
    late = _run(status="ok", scheduled_for=text(-30), started_at=text(-23), error_code=None)
    missed = _run(status="missed", scheduled_for=text(-26), slots=3, started_at=text(-2), error_code=None)
    context = ViewContext(NOW, "UTC", Screen(160))

    def cells(*rows: dict[str, Any]) -> list[list[str]]:
        lines = text_of("history", {"runs": list(rows)}, context).splitlines()
        return [re.split(" {2,}", line.strip()) for line in lines]

    assert cells(on_time)[0] == ["RUN", "STATUS", "STARTED", "TOOK", "COST"]
    heads, first, second, third = cells(on_time, late, missed)
    assert heads == ["RUN", "STATUS", "SLOT", "STARTED", "TOOK", "COST"]
    assert first[2] == when(text(-23), NOW, "UTC")
    assert second[2:4] == [short(text(-30), NOW, "UTC"), when(text(-23), NOW, "UTC")]
    assert third[2] == f"{short(text(-26), NOW, 'UTC')} (3 slots)"


def test_dollars_that_no_agent_reported_are_not_shown_as_none_spent() -> None:
    rows = [_run(cost_usd=0.0, error_code=None), _run(cost_usd=None, error_code=None)]
    assert "COST" not in text_of("history", {"runs": rows}, ViewContext(NOW, "UTC", Screen(160)))
    mixed = text_of("history", {"runs": [*rows, _run(cost_usd=0.25)]}, ViewContext(NOW, "UTC", Screen(160)))
    assert ("$0.25" in mixed, "$0.00" in mixed) == (True, False)


@pytest.mark.parametrize("view", ["show", "logs"])
def test_a_file_that_can_not_be_read_is_shown_with_its_reason(view: str) -> None:
    problem = "/home/me/runs/a/attempt-1.stdout can't be read: it belongs to root (mode 600), and you are me"
    file = {"file": "attempt-1.stdout", "path": "/home/me/runs/a/attempt-1.stdout", "bytes": 0, "text": ""}
    report = {"run": _run(), "events": [], "calls": [], "output": [{**file, "problem": problem}], "note": None}
    told = " ".join(text_of(view, report, ViewContext(NOW, "Europe/Madrid", Screen(100))).split())
    assert problem in told


@pytest.mark.parametrize("last", [False, True])
def test_what_an_excerpt_leaves_out_is_counted_in_lines_of_the_text(last: bool) -> None:
    def shown(text: str, lines: int, *, is_part: bool = False) -> list[str]:
        context = ViewContext(NOW, "UTC", Screen(60))
        drawn = text_of(lambda *_: Excerpt(text, lines, 0, last=last, is_part=is_part), {}, context)
        return drawn.splitlines()[:: -1 if last else 1]

    many = "\n".join(str(number) for number in range(100_001))
    assert shown(many, 3)[3] == "… 99,998 more lines"
    assert shown(many, 3, is_part=True)[3] == "… more"
    assert shown("one\ntwo", 2) in (["one", "two"], ["two", "one"])
    assert shown("one\ntwo", 1)[1] == "… 1 more line"
    assert shown("word " * 100, 2)[2] == "… more", "a part of one line"


def test_each_condition_of_success_that_was_not_met_is_shown() -> None:
    failed = [
        {"check": "stdout_matches", "expected": "DONE", "found": "all fine"},
        {"check": "file_changed", "expected": "out.txt", "found": "it can't be accessed: No such file or directory"},
    ]
    error = {"code": "SUCCESS_CHECK_FAILED", "message": "it did not", "details": {"failed": failed}}
    report: dict[str, Any] = {"run": _run(error=error), "events": [], "calls": [], "output": [], "note": None}
    told = text_of("show", report, ViewContext(NOW, "UTC", Screen(120)))
    assert '- stdout_matches: expected "DONE"; found: all fine' in told
    assert '- file_changed: expected "out.txt"; found: it can\'t be accessed' in told


def test_a_slot_that_was_missed_is_not_said_to_have_started() -> None:
    run = _run(status="missed", scheduled_for=text(-26), slots=3, error=None, error_code=None)
    told = text_of("show", {"run": run, "events": [], "calls": [], "output": [], "note": "Ask Ana"},
                   ViewContext(NOW, "UTC", Screen(120)))  # fmt: skip
    assert "started" not in told.replace("did not start", "")
    assert "logs --run" not in told
    assert "and 2 slots before it; it did not start" in told
    columns = [line.index("Ask Ana") for line in told.splitlines() if "Ask Ana" in line]
    assert columns == [line.rindex("weekday-report") for line in told.splitlines() if line.startswith("  job ")]
