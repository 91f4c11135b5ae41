"""A frame of `watch`, and the progress line of `run-now`, at a given instant."""

from __future__ import annotations

from datetime import timedelta

import pytest

from render.console import ViewContext
from render.progress import Step, line
from render.watching import frame, progress, share_lines
from tests.support_pictures import NOW, printed, running, text, watch_report

CONTEXT = ViewContext(NOW, "Europe/Madrid")
FULL = {
    "running": [running(usual_ms=120_000), running("mail", 90), running("slow", 300, usual_ms=60_000, attempt=2)],
    "next": [
        {"job_id": "backup", "next_run_at": text(0.25), "timezone": "UTC"},
        {"job_id": "late", "next_run_at": text(-0.25), "timezone": "UTC"},
    ],
    "recent_runs": [
        {"run_id": "a", "job_id": "prices", "status": "error", "started_at": text(-1), "finished_at": text(-0.5),
         "duration_ms": 1_800_000, "error_code": "NONZERO_EXIT", "error": "it failed"},
    ],
}  # fmt: skip


def test_a_frame() -> None:
    assert printed(frame(watch_report(**FULL), CONTEXT)).splitlines() == [
        "puruto-cron  Wed 2026-02-25 21:00 +01:00   last tick now",
        "",
        "RUNNING  ATTEMPT     ELAPSED  USUAL  PROGRESS",
        "backup    1 of 3       1 min  2 min  ████████░░░░░░░░ 50 %",
        "mail      1 of 3  1 min 30 s",
        "slow      2 of 3       5 min  1 min  ████████████████ longer than usual",
        "",
        "NEXT UP      IN  AT",
        "backup   15 min  Wed 2026-02-25 21:15 +01:00",
        "late        due  Wed 2026-02-25 20:45 +01:00",
        "",
        "LAST RESULTS  STATUS       ENDED    TOOK  ERROR",
        "prices        error   30 min ago  30 min  NONZERO_EXIT: it failed",
    ]


def test_a_frame_without_runs_and_without_ticks() -> None:
    report = watch_report(
        scheduler={"last_tick_at": None, "stale": True},
        overdue_count=2,
        events={"waiting": [{"channel": "telegram", "count": 3}]},
        notice="The database was replaced",
    )
    assert printed(frame(report, CONTEXT)).splitlines() == [
        "puruto-cron  Wed 2026-02-25 21:00 +01:00   last tick never",
        "! STALE: no tick has run lately, so no job starts by itself",
        "! The database was replaced",
        "! Overdue jobs: 2",
        "! Undelivered events for telegram: 3",
        "",
        "RUNNING",
        "No job is running.",
        "",
        "NEXT UP",
        "No run is planned.",
        "",
        "LAST RESULTS",
        "No runs.",
    ]


def test_a_problem_is_shown_above_the_last_data() -> None:
    problem = {"code": "DATABASE_LOCKED", "message": "cron.db is locked", "details": {}}
    shown = printed(frame(watch_report(**FULL, problem=problem, read_at=text(-1 / 360)), CONTEXT))
    assert "! DATABASE_LOCKED, trying again: cron.db is locked\n! The data below was read 10 s ago." in shown
    assert "prices" in shown


@pytest.mark.parametrize(
    ("elapsed", "usual", "shown"),
    [
        (30, 120_000, "████░░░░░░░░░░░░ 25 %"),
        (0, 120_000, "░░░░░░░░░░░░░░░░  0 %"),
        (119.99, 120_000, "███████████████░ 99 %"),
        (120, 120_000, "████████████████ 99 %"),
        (120.1, 120_000, "████████████████ longer than usual"),
        (5, None, ""),
        (5, 0, ""),
    ],
)
def test_progress_never_shows_100_percent(elapsed: float, usual: int | None, shown: str) -> None:
    assert progress(elapsed, usual).plain == shown


def test_a_waiting_run_and_one_without_its_scheduler_show_no_progress() -> None:
    rows = [running("waits", waiting=True, usual_ms=1_000), running("lost", lease_over=True, usual_ms=1_000)]
    shown = printed(frame(watch_report(running=rows), CONTEXT))
    assert "waiting for its retry" in shown
    assert "its scheduler may be gone" in shown
    assert "longer than usual" not in shown


def test_texts_of_jobs_cannot_move_the_cursor() -> None:
    evil = "x\x1b[2J\x1b[H\r\n\x9b5A\u202e"
    rows = {
        "running": [running(evil)],
        "next": [{"job_id": evil, "next_run_at": text(1), "timezone": "UTC"}],
        "recent_runs": [{**FULL["recent_runs"][0], "job_id": evil, "error": evil, "error_code": evil}],
    }
    shown = printed(frame(watch_report(**rows, notice=evil), CONTEXT))
    assert not set(shown) & set("\x1b\x9b\r\u202e")


@pytest.mark.parametrize("height", [10, 14, 24, 60])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_frame_fits_into_its_window(height: int, width: int) -> None:
    rows = {
        "running": [running("日本" * 20)] * 20,
        "next": FULL["next"] * 10,
        "recent_runs": FULL["recent_runs"] * 25,
    }
    shown = printed(frame(watch_report(**rows), CONTEXT, height), width).splitlines()
    assert len(shown) <= height
    for title in ("RUNNING", "NEXT UP", "LAST"):
        assert any(title in row for row in shown)


def test_rows_that_do_not_fit_are_counted() -> None:
    shown = printed(frame(watch_report(recent_runs=FULL["recent_runs"] * 25), CONTEXT, 14), 100)
    assert "LAST RESULTS (4 of 25)" in shown


@pytest.mark.parametrize(
    ("rows", "lines", "shares"),
    [
        ([9, 9, 9], None, [9, 9, 9]),
        ([0, 2, 30], 20, [0, 2, 17]),
        ([20, 12, 25], 20, [10, 5, 5]),
        ([1, 1, 1], 0, [1, 1, 1]),
    ],
)
def test_parts_share_the_lines(rows: list[int], lines: int | None, shares: list[int]) -> None:
    assert share_lines(rows, lines) == shares


LONG = "x" * 128
CROWDED = {
    "running": [running("daily", usual_ms=120_000), running(LONG, 5_400, usual_ms=60_000)],
    "next": [
        {"job_id": "daily", "next_run_at": text(0.25), "timezone": "UTC"},
        {"job_id": LONG, "next_run_at": text(30.3), "timezone": "UTC"},
    ],
    "recent_runs": [
        {**FULL["recent_runs"][0], "job_id": name, "status": "interrupted", "duration_ms": 1_799_000,
         "finished_at": text(-0.98), "error": "[/x] it failed " * 9}
        for name in ("daily", LONG)
    ],
}  # fmt: skip


@pytest.mark.parametrize("width", [80, 60])
def test_only_errors_and_long_names_are_cut(width: int) -> None:
    shown = printed(frame(watch_report(**CROWDED), CONTEXT), width).splitlines()
    assert max(map(len, shown)) <= width
    for title, words in (
        ("RUNNING", ("1 of 3", "1 min", "2 min", "50 %")),
        ("NEXT UP", ("15 min", "Wed 2026-02-25 21:15 +01:00")),
        ("LAST RESULTS", ("interrupted", "58 min 48 s ago", "29 min 59 s")),
    ):
        heading = next(number for number, row in enumerate(shown) if row.startswith(title))
        daily, long = shown[heading + 1 : heading + 3]
        assert all(word in daily for word in words), daily
        assert "daily" in daily
        assert long.startswith("xxxxxxxxxxxx")
        assert "…" in long
    assert shown[-2].endswith("29 min 59 s" if width == 60 else "29 min 59 s  NONZERO_E…")
    usual = (
        "1 h 30 min  1 min  longer than usual" if width == 60 else f"1 h 30 min  1 min  {'█' * 16} longer than usual"
    )
    assert any(row.endswith(usual) for row in shown)


# --- the progress line ---

STEP = Step("backup", attempt=1, attempts=3, began=1000.0, usual_ms=None)


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ({}, "backup  attempt 1 of 3  12 s  "),
        ({"usual_ms": 48_000}, "backup  attempt 1 of 3  12 s  ████░░░░░░░░░░░░ 25 % of 48.0 s"),
        ({"usual_ms": 6_000}, "backup  attempt 1 of 3  12 s  ████████████████ longer than usual of 6.0 s"),
        ({"retry_at": 1024.0}, "backup  attempt 1 of 3  12 s  retry in 12 s"),
        ({"retry_at": 1011.0}, "backup  attempt 1 of 3  12 s  too many runs: waiting"),
        ({"retry_at": 1024.0, "stopping": "SIGINT"}, "backup  attempt 1 of 3  12 s  stopping (SIGINT)"),
        ({"attempt": 3, "attempts": 1}, "backup  attempt 3 of 3  12 s  "),
        ({"job_id": "x\x1b[2Jy"}, "x\ufffd[2Jy  attempt 1 of 3  12 s  "),
    ],
)
def test_the_progress_line(step: dict[str, object], shown: str) -> None:
    from dataclasses import replace

    assert line(replace(STEP, **step), 1012.0).plain == shown  # type: ignore[arg-type]


def test_countdowns_run_between_two_reads() -> None:
    later = ViewContext(NOW + timedelta(seconds=30), "UTC")
    assert "14 min 30 s" in printed(frame(watch_report(**FULL), later))
