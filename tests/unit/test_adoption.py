"""Whose an orphan is, by its birth, on a table that tests make up."""

from __future__ import annotations

import threading

import pytest

import adoption
from adoption import Adoption
from models import ProcessId
from tests.unit.test_processes_family import ME, FakeTable, our_pid  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def reaped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """No real subreaper; who would have been reaped."""
    reaped: list[int] = []
    monkeypatch.setattr(adoption, "_become_subreaper", lambda: None)
    monkeypatch.setattr(adoption, "_reap", reaped.append)
    return reaped


@pytest.fixture
def table() -> FakeTable:
    return FakeTable()


@pytest.fixture
def ours() -> Adoption:
    return Adoption()


def begin(ours: Adoption, table: FakeTable, pid: int, started: str) -> ProcessId:
    with ours.starting(table):
        child = table.add(pid, ppid=ME, started=started)
        ours.started(child)
    return child


def test_an_orphan_of_the_only_run_is_found_when_that_ends(ours: Adoption, table: FakeTable) -> None:
    child = begin(ours, table, 300, "100")
    table.add(400, ppid=ME, started="150")
    assert ours.orphans(table) == [], "its run goes on"
    ours.ending(child)
    assert ours.orphans(table) == [400]


def test_an_orphan_born_in_two_runs_is_found_when_the_last_ends(ours: Adoption, table: FakeTable) -> None:
    first, second = begin(ours, table, 300, "100"), begin(ours, table, 301, "120")
    table.add(400, ppid=ME, started="150")
    ours.ending(first)
    assert ours.orphans(table) == []
    ours.ending(second)
    assert ours.orphans(table) == [400]


def test_an_orphan_that_is_older_than_every_living_run_is_found_though_they_go_on(
    ours: Adoption, table: FakeTable
) -> None:
    first = begin(ours, table, 300, "100")
    table.add(400, ppid=ME, started="150")
    begin(ours, table, 301, "151")
    ours.ending(first)
    assert ours.orphans(table) == [400]


def test_births_in_one_tick_of_the_kernels_clock_decide_nothing(ours: Adoption, table: FakeTable) -> None:
    first = begin(ours, table, 300, "100")
    table.add(400, ppid=ME, started="150")
    second = begin(ours, table, 301, "150")
    ours.ending(first)
    assert ours.orphans(table) == []
    ours.ending(second)
    assert ours.orphans(table) == [400]


def test_births_are_compared_as_numbers(ours: Adoption, table: FakeTable) -> None:
    first = begin(ours, table, 300, "99")
    table.add(400, ppid=ME, started="101")
    begin(ours, table, 301, "1000")
    ours.ending(first)
    assert ours.orphans(table) == [400]


def test_children_of_ours_are_no_orphans_before_and_after_their_attempt(ours: Adoption, table: FakeTable) -> None:
    child = begin(ours, table, 300, "100")
    ours.ending(child)
    assert ours.orphans(table) == []
    ours.reaped(300)
    assert ours.orphans(table) == [300], "the pid is somebody else's now"


def test_children_from_before_the_first_run_are_left_alone(ours: Adoption, table: FakeTable) -> None:
    table.add(250, ppid=ME, started="50")
    ours.ending(begin(ours, table, 300, "100"))
    assert ours.orphans(table) == []


def test_before_the_first_run_nobody_is_an_orphan(ours: Adoption, table: FakeTable) -> None:
    table.add(250, ppid=ME, started="50")
    assert ours.orphans(table) == []


def test_dead_orphans_are_reaped_and_not_listed(ours: Adoption, table: FakeTable, reaped: list[int]) -> None:
    child = begin(ours, table, 300, "100")
    table.add(400, ppid=ME, started="150", state="Z")
    assert ours.orphans(table) == []
    assert reaped == [400], "at once, also while runs go on"
    ours.ending(child)


def test_a_child_that_is_just_being_started_is_never_taken_for_an_orphan(ours: Adoption, table: FakeTable) -> None:
    ours.ending(begin(ours, table, 300, "100"))
    inside, go_on = threading.Event(), threading.Event()

    def start() -> None:
        with ours.starting(table):
            child = table.add(301, ppid=ME, started="200")
            inside.set()
            assert go_on.wait(30)
            ours.started(child)

    thread = threading.Thread(target=start)
    thread.start()
    assert inside.wait(30)
    found: list[list[int]] = []
    looker = threading.Thread(target=lambda: found.append(ours.orphans(table)))
    looker.start()
    go_on.set()
    thread.join(30)
    looker.join(30)
    assert found == [[]]
