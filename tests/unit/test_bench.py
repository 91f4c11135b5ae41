"""The arithmetic of the benches: shares, percentiles, goals, and what a table says of rows that do not count."""

from __future__ import annotations

import pytest

from bench import latency
from bench.measure import Samples, spread
from bench.report import Row, absent, compared, shared, table


def samples(**fault: str) -> dict[str, Samples]:
    """`slow` takes twice, four times and five times as long as `fast`."""
    return {
        "slow": Samples([2.0, 4.0, 10.0], [1.0, 1.0, 1.0], fault.get("slow", "")),
        "fast": Samples([1.0, 1.0, 2.0], [0.5, 0.5, 0.5], fault.get("fast", "")),
    }


def test_a_share_is_the_speed_of_one_by_that_of_the_other_round_by_round() -> None:
    row = shared("slow", samples(), "fast", count=8)
    assert row.ratio is not None
    assert (row.ratio.rounds.median, row.ratio.fastest, row.ratio.cpu) == (0.25, 0.5, 0.5)


@pytest.mark.parametrize(("least", "met"), [(0.25, True), (0.26, False), (None, None)])
def test_a_share_has_to_reach_its_goal(least: float | None, met: bool | None) -> None:
    assert shared("slow", samples(), "fast", goal_least=least).met is met


@pytest.mark.parametrize(("most", "met"), [(4.0, True), (3.9, False)])
def test_a_multiple_must_not_exceed_its_goal(most: float, met: bool) -> None:
    assert compared("slow", samples(), "fast", goal=most).met is met


@pytest.mark.parametrize("which", ["slow", "fast"])
def test_a_share_does_not_count_when_either_did_not_do_its_work(which: str) -> None:
    row = shared("slow", samples(**{which: "7 of 8 ok"}), "fast", goal_least=0.1)
    assert row.met is False
    assert "7 of 8 ok" in table([row])


@pytest.mark.parametrize(("most", "met"), [(3.0, True), (2.9, False)])
def test_a_goal_in_milliseconds_bounds_the_median_and_not_the_least(most: float, met: bool) -> None:
    assert Row("x", spread([0.001, 0.003, 0.009]), goal_ms=most).met is met


def test_all_goals_of_a_row_have_to_be_met() -> None:
    assert Row("x", spread([0.003]), goal_ms=5, goal_sec=0.002).met is False
    assert Row("x", spread([0.003]), goal_ms=5, goal_sec=0.004).met is True


def test_where_processor_time_was_not_measured_there_is_none() -> None:
    row = compared("a", {"a": Samples([2.0]), "b": Samples([1.0])}, "b")
    assert row.ratio is not None
    assert row.ratio.cpu is None
    assert "2.000" in table([row])


def test_what_was_not_measured_says_why_and_neither_meets_nor_misses_a_goal() -> None:
    row = absent("huey", "bare loop", "left out", share=True)
    assert row.met is None
    lines = table([row]).splitlines()
    assert "as a share of the speed of: bare loop" in lines
    assert lines[-1].split() == ["huey", "left", "out"]


def test_a_share_and_a_multiple_of_the_same_stand_under_headings_of_their_own() -> None:
    text = table([shared("slow", samples(), "fast", count=8), compared("slow", samples(), "fast")])
    assert "as a share of the speed of: fast\n" in text
    assert "as a multiple of: fast\n" in text


def test_runs_a_second_go_by_the_median_time() -> None:
    row = shared("slow", samples(), "fast", count=8)
    assert "2" in table([row]).splitlines()[-1].split()


def test_a_note_stands_once_under_the_table() -> None:
    rows = [Row(name, spread([1.0]), note="a bare loop records nothing") for name in ("one", "two")]
    assert table(rows).count("records nothing") == 1


@pytest.mark.parametrize(("count", "percent", "place"), [(200, 99, 198), (200, 50, 100), (30, 99, 30), (1, 50, 1)])
def test_a_percentile_is_a_value_that_was_measured(count: int, percent: int, place: int) -> None:
    values = [float(number) for number in range(count, 0, -1)]
    assert latency.percentile(values, percent) == place


def test_slots_are_seconds_in_a_row_without_full_minutes() -> None:
    assert latency.seconds_from(58, 4) == [58, 59, 61, 62]
