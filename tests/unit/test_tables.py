"""Tables on narrow screens: the ID of a run is never broken, other columns shrink; and COLUMNS is obeyed."""

from __future__ import annotations

from typing import Any

import pytest

from render.console import ViewContext
from render.grid import fit_widths
from render.screen import Screen, columns_setting, screen_of
from render.views import text_of, view_of
from tests.support_pictures import NOW, printed, text

CONTEXT = ViewContext(NOW, "Europe/Madrid")
RUN = "weekday-report-20261121T100841"


def _run(**fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "run_id": RUN, "job_id": "weekday-report", "status": "interrupted", "started_at": text(-23),
        "finished_at": text(-22), "duration_ms": 1_799_000, "cost_usd": 0.25, "attempt": 1,
        "error_code": "NONZERO_EXIT", "error": "[/x] it failed at length " * 6, "lease_owner": "a-machine:12345:67890",
    }  # fmt: skip
    return {**base, **fields}


def _status() -> dict[str, Any]:
    return {
        "scheduler": {"last_tick_at": text(0), "stale": False, "overdue_jobs": [], "anomalies": []},
        "events": {"waiting": []}, "sync": {"error": None}, "running": [_run()], "recent_runs": [_run()],
        "spending": [],
    }  # fmt: skip


EVENT = {"ts": text(-1), "job_id": "weekday-report", "run_id": RUN, "error": {"code": "X", "message": "y " * 99}}
REPORTS: dict[str, dict[str, Any]] = {
    "history": {"runs": [_run(), _run(error_code=None)]}, "status": _status(), "logs": {"events": [EVENT]},
}  # fmt: skip


@pytest.mark.parametrize("width", [200, 120, 80, 60, 40])
@pytest.mark.parametrize("view", REPORTS)
def test_the_name_of_a_run_is_never_broken(view: str, width: int) -> None:
    shown = printed(view_of(view)(REPORTS[view], CONTEXT), width)
    assert shown.count(RUN) == {"history": 2, "status": 2, "logs": 1}[view]
    # A status is not broken either.
    assert "interrupted" in shown or view == "logs" or width < 60
    assert width < 60 or max(map(len, shown.splitlines())) <= width


def test_an_error_is_printed_whole_below_its_row_and_not_parsed_as_markup() -> None:
    shown = printed(view_of("history")(REPORTS["history"], CONTEXT), 80)
    assert " ".join(shown.split()).count("[/x] it failed at length") >= 4
    assert f"    {RUN}\n    NONZERO_EXIT: [/x] it failed" in shown


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
