"""What `make bench-check` complains of: a goal that is missed, a ratio that fell by more than a fifth."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bench.check import complaints
from bench.measure import Ratio, Spread
from bench.report import Row
from bench.run import CHOICES, _benches, _short


def _spread(value: float) -> Spread:
    return Spread(value, value, value, value)


def _row(ratio: float | None = None, name: str = "tick", **more: Any) -> Row:
    found = None if ratio is None else Ratio(_spread(ratio), ratio, None)
    return Row(name, _spread(0.01), "python", found, **more)


def _last(*rows: Row) -> list[dict[str, Any]]:
    return [dataclasses.asdict(row) for row in rows]


def test_a_good_table_gives_no_reason_to_complain() -> None:
    rows = [_row(1.1, goal=1.15), _row(None, name="alone"), _row(0.6, name="claims", share=True, goal_least=0.6)]
    assert complaints(rows, []) == []
    assert complaints(rows, _last(*rows)) == []


@pytest.mark.parametrize(
    "row", [_row(1.2, goal=1.15), _row(0.5, share=True, goal_least=0.6), _row(goal_sec=0.005), _row(1.0, fault="slow")]
)
def test_a_goal_that_is_missed_is_named(row: Row) -> None:
    (said,) = complaints([row], [])
    assert said.startswith("tick: misses its goal")
    assert row.fault in said


@pytest.mark.parametrize(
    ("share", "old", "new", "fell"),
    [
        (False, 1.0, 1.19, False), (False, 1.0, 1.21, True), (False, 1.0, 0.5, False),
        (True, 1.0, 0.84, False), (True, 1.0, 0.83, True), (True, 1.0, 2.0, False),
    ],
)  # fmt: skip
def test_a_ratio_that_got_worse_by_more_than_a_fifth_has_fallen(
    share: bool, old: float, new: float, fell: bool
) -> None:
    said = complaints([_row(new, share=share)], _last(_row(old, share=share)))
    assert [text.startswith("tick: ") for text in said] == [True] * fell


def test_only_rows_that_say_the_same_are_compared() -> None:
    last = _last(_row(1.0), _row(None, name="alone"))
    assert (
        complaints([_row(9.0, name="tock"), dataclasses.replace(_row(9.0), against="perl"), _row(2.0, "alone")], last)
        == []
    )
    assert complaints([_row(9.0, share=True)], last) == []


def test_each_bench_can_be_chosen() -> None:
    assert set(_benches(quick=False, peers=False)) == set(CHOICES)
    assert set(_short()) <= set(CHOICES)
