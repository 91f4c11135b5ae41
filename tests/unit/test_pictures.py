"""The picture of the timeline: its axis on days with clock changes, its marks, in a terminal and as SVG."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from render.axis import Axis
from render.console import ViewContext
from render.marks import KINDS, Mark, marks_of, merged
from render.screen import Screen
from render.svg import picture
from render.timeline import lines, whole
from tests.fakes import at
from tests.support_pictures import NOW, gap, job, printed, report, run, text

SVG = "{http://www.w3.org/2000/svg}"
HOUR = timedelta(hours=1)
CONTEXT = ViewContext(NOW, "UTC", Screen(100))
NARROW = ViewContext(NOW, "UTC", Screen(80))


def _axis(start: str, end: str, zone: str = "UTC") -> Axis:
    return Axis(at(start), at(end), zone)


# --- the axis ---


def test_every_hour_has_the_same_width_when_the_clock_is_put_forward() -> None:
    axis = _axis("03-28 23:00", "03-29 05:00", "Europe/Madrid")
    ticks = axis.hours(12)
    assert [tick.text for tick in ticks] == ["00:00", "00:30", "01:00", "01:30", "03:00", "03:30", "04:00", "04:30",
                                             "05:00", "05:30", "06:00", "06:30", "07:00"]  # fmt: skip
    positions = [axis.position(tick.at) * 12 for tick in ticks]
    assert positions == pytest.approx(range(13))


def test_the_hour_that_comes_twice_is_on_the_axis_twice() -> None:
    axis = _axis("10-24 23:00", "10-25 05:00", "Europe/Madrid")
    assert [tick.text for tick in axis.hours(6)] == ["01:00", "02:00", "02:00", "03:00", "04:00", "05:00", "06:00"]
    assert [(tick.text, tick.at.isoformat()) for tick in axis.clock_changes()] == [
        ("+02:00 → +01:00", "2026-10-25T02:00:00+01:00")
    ]


def test_a_day_begins_at_its_local_midnight_or_right_after_a_skipped_one() -> None:
    assert [tick.at.isoformat() for tick in _axis("03-27 12:00", "03-30 12:00", "Europe/Madrid").days(9)] == [
        "2026-03-28T00:00:00+01:00", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00",
    ]  # fmt: skip
    (tick,) = _axis("2026-09-05 12:00", "2026-09-06 12:00", "America/Santiago").days(9)
    assert (tick.at.isoformat(), tick.text) == ("2026-09-06T01:00:00-03:00", "Sun 6 Sep")


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns"])
def test_zones_with_offsets_of_part_of_an_hour_get_labels_at_full_local_hours(zone: str) -> None:
    ticks = _axis("02-25 00:00", "02-26 00:00", zone).hours(24)
    assert len(ticks) in (24, 25)
    assert all(tick.text.endswith(":00") for tick in ticks)


def test_there_are_fewer_labels_on_a_narrow_axis() -> None:
    axis = _axis("02-01 00:00", "02-15 00:00")
    assert axis.hours(10) == []
    assert len(axis.hours(60)) == 57
    assert [tick.text for tick in axis.days(5)] == ["Tue 3 Feb", "Fri 6 Feb", "Mon 9 Feb", "Thu 12 Feb", "Sun 15 Feb"]


# --- marks ---


def test_marks_are_clipped_to_the_axis_and_a_running_one_ends_now() -> None:
    row = job(runs=[run("ok", -20, -11), run("ok", -30, -20), run("running", -1, None)], upcoming=[text(13)])
    axis = Axis(NOW - 12 * HOUR, NOW + 12 * HOUR, "UTC")
    marks = [(mark.kind, (mark.start - NOW) / HOUR, (mark.end - NOW) / HOUR) for mark in marks_of(row, axis, NOW)]
    assert marks == [("ok", -12, -11), ("running", -1, 0)]


def test_marks_that_are_close_together_are_merged_and_counted() -> None:
    axis = Axis(NOW, NOW + HOUR, "UTC")
    minute = timedelta(minutes=1)
    marks = [Mark("upcoming", NOW + minute * n, NOW + minute * n, note=str(n)) for n in range(60)]
    (mark,) = merged(marks, 2 / 60, axis)
    assert (mark.count, mark.start, mark.end, mark.note) == (60, NOW, NOW + minute * 59, "")
    assert len(merged(marks, 0.9 / 60, axis)) == 60
    # A mark of another kind between them stays as it is.
    mixed = [marks[0], Mark("error", NOW, NOW), marks[1]]
    assert [(mark.kind, mark.count) for mark in merged(mixed, 1, axis)] == [("upcoming", 2), ("error", 1)]


def test_rows_that_cannot_be_read_are_left_out() -> None:
    row = job(runs=[run("ok", -1, 0) | {"started_at": "yesterday"}, run("strange", -1, 0)], upcoming=["soon"])
    assert marks_of(row, Axis(NOW - HOUR, NOW + HOUR, "UTC"), NOW) == []


# --- in a terminal ---


def test_the_picture_in_a_terminal() -> None:
    jobs = [
        job(runs=[run("ok", -12, -6), run("error", -6, -5.9), run("running", -2, None)], upcoming=[text(6)]),
        job("mail", missed=[gap("missed", -10, -8, 3), gap("skipped", -4, -4)], overdue=text(-1), state="enabled"),
        job("minutely", upcoming=[text(hour / 60) for hour in range(1, 720)]),
    ]
    rows = [line.plain.rstrip() for line in lines(report(*jobs), 34)]
    assert rows[1] == "          Wed 25 Feb"
    assert rows[4:7] == [
        "backup    ██████E   ▶▶│     ·",
        "mail        MMM   S  !│",
        "minutely              ::::::::::::",
    ]
    assert rows[3].index("▼") == rows[4].index("│") == 22


def test_a_cell_shows_its_worst_mark() -> None:
    row = job(runs=[run("ok", -12, -11.9), run("error", -11.8, -11.7), run("ok", -11.6, -11.5)])
    line = lines(report(row), 32)[4]
    assert line.plain.split()[1][0] == "E"


def test_every_kind_has_its_own_letter_and_is_in_the_legend() -> None:
    letters = [kind.letter for kind in KINDS.values()]
    assert len(set(letters)) == len(letters)
    statuses = ("ok", "error", "interrupted", "cancelled", "running")
    row = job(
        runs=[run(status, -2, -1) for status in statuses],
        missed=[gap("missed", -3, -3), gap("skipped", -3, -3)],
        overdue=text(-1),
        runs_left_out=5,
    )
    legend = printed(whole(report(row), CONTEXT), 100)
    for kind in KINDS.values():
        assert f"{kind.letter} {kind.label}" in legend


def test_wide_characters_keep_the_rows_in_line_and_no_name_moves_the_cursor() -> None:
    shown = printed(
        whole(report(job("日次バックアップ"), job("a\x1b[2J\x1b]0;x\x07\nb"), job("n" * 60), job("plain")), NARROW),
        80,
        colours=True,
    )
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    from rich.cells import cell_len
    from rich.text import Text

    rows = [Text.from_ansi(line).plain for line in shown.splitlines()]
    columns = {cell_len(row[: row.index("│")]) for row in rows if "│" in row}
    assert len(columns) == 1
    assert max(map(cell_len, rows)) <= 80


def test_the_picture_says_what_is_left_out() -> None:
    row = job(runs=[run("ok", -1, 0)], runs_left_out=12_345, upcoming_left_out=6, upcoming=[text(1)])
    shown = printed(whole(report(row, jobs_left_out=3), CONTEXT), 100)
    assert "backup: 12,345 older runs are not drawn" in shown
    assert "backup: 6 later slots are not drawn" in shown
    assert "3 more jobs are not shown" in shown
    assert "░░░" in shown


@pytest.mark.parametrize("hours", [1, 12, 336])
@pytest.mark.parametrize("width", [20, 40, 100, 250])
def test_every_span_fits_into_every_width(hours: float, width: int) -> None:
    row = job("a-name-of-some-length", runs=[run("ok", -hours, -hours / 2)], upcoming=[text(hours)])
    head, *rest = lines(report(row, hours=hours, zone="America/Santiago"), width)
    assert max(line.cell_len for line in rest[:4]) <= max(width, 30)
    assert head.plain.endswith("America/Santiago")
    ET.fromstring(picture(report(row, hours=hours)))


def test_no_jobs_is_a_picture_too() -> None:
    assert "No jobs." in printed(whole(report(), CONTEXT), 100)
    ET.fromstring(picture(report()))


# --- as SVG ---


def _drawn(**fields: Any) -> ET.Element:
    return ET.fromstring(picture(report(job(**fields))))


def _rects(svg: ET.Element, kind: str) -> list[dict[str, float]]:
    (row,) = svg.findall(f"{SVG}g")
    rects = [rect for rect in row.findall(f"{SVG}rect") if f"k-{kind}" in rect.get("class", "").split()]
    return [{name: float(rect.get(name, "0")) for name in ("x", "width", "height")} for rect in rects]


def test_bars_have_the_length_of_their_runs() -> None:
    svg = _drawn(runs=[run("ok", -12, -6), run("error", -6, -3), run("ok", -1, -1)])
    (long, tiny), (half,) = _rects(svg, "ok"), _rects(svg, "error")
    assert half["width"] * 2 == pytest.approx(long["width"], abs=0.3)
    assert half["x"] == pytest.approx(long["x"] + long["width"], abs=0.3)
    # A run shorter than a pixel is still visible.
    assert tiny["width"] == 3
    line = svg.find(f".//{SVG}line[@class='now']")
    assert line is not None
    assert float(line.get("x1", "0")) == pytest.approx(long["x"] + 2 * long["width"], abs=0.3)


def test_tooltips_say_what_when_and_how_long() -> None:
    svg = ET.fromstring(picture(report(job(runs=[run("error", -2, -1, "backup-1")]), zone="Europe/Madrid")))
    (tooltip,) = [title.text for title in svg.findall(f".//{SVG}rect/{SVG}title")]
    assert tooltip == ("error\nWed 2026-02-25 19:00 +01:00 – Wed 2026-02-25 20:00 +01:00 (1 h)\nbackup-1")


def test_a_job_each_minute_is_one_mark() -> None:
    svg = _drawn(upcoming=[text(minute / 60) for minute in range(1, 720)])
    assert len(_rects(svg, "upcoming")) == 1
    assert "719 × to come" in picture(report(job(upcoming=[text(minute / 60) for minute in range(1, 720)])))


def test_names_of_all_kinds_make_good_xml() -> None:
    names = ['<script>alert("x")</script>', "a&b", "\x00\x1b[31m\ufffe\ud800", "]]>", "日" * 60]
    written = picture(report(*map(job, names)))
    svg = ET.fromstring(written.encode())
    assert "<script" not in written
    assert not list(svg.iter(f"{SVG}script"))
    labels = [title.text for title in svg.findall(f".//{SVG}g/{SVG}text/{SVG}title")]
    assert labels[:2] == ['<script>alert("x")</script> (enabled)', "a&b (enabled)"]


def test_the_document_is_self_contained_and_has_its_size() -> None:
    written = picture(report(job()))
    svg = ET.fromstring(written)
    assert svg.get("viewBox") == f"0 0 {svg.get('width')} {svg.get('height')}"
    assert written.count("http") == 1
    assert "prefers-color-scheme:dark" in written
    for what in ("href", "url(", "@import", "onload"):
        assert what not in written


def test_letters_stand_beside_colours() -> None:
    svg = _drawn(runs=[run("error", -8, -6), run("interrupted", -4, -3.99), run("cancelled", -2, -1)])
    (row,) = svg.findall(f"{SVG}g")
    letters = [element.text for element in row.findall(f"{SVG}text") if element.get("class") != "text"]
    assert letters == ["E", "I", "C"]


@pytest.mark.parametrize("count", [1, 5, 40])
def test_rows_have_room_for_all_jobs(count: int) -> None:
    svg = ET.fromstring(picture(report(*(job(f"job-{n}") for n in range(count)))))
    labels = [element for element in svg.findall(f"{SVG}g/{SVG}text") if element.get("class") == "text"]
    feet = [float(element.get("y", "0")) for element in labels]
    assert len(feet) == count
    assert all(low - high == 32 for high, low in itertools.pairwise(feet))
    assert feet[-1] < float(svg.get("height", "0")) - 50
