"""To which run an orphan belongs, by its start time, on a made-up process table."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from core.run import ProcessId
from system import subreaper
from system.subreaper import Subreaper
from tests.unit.test_process_tree import ME, FakeTable, our_pid  # noqa: F401 - a fixture
from tests.workspace import PATIENCE

OUR_SESSION = 50


@pytest.fixture(autouse=True)
def reaped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """No real subreaper; the pids that would have been reaped."""
    reaped: list[int] = []
    monkeypatch.setattr(os, "getsid", lambda _pid: OUR_SESSION)
    monkeypatch.setattr(subreaper, "_become_subreaper", lambda: None)
    monkeypatch.setattr(subreaper, "_reap", reaped.append)
    return reaped


@pytest.fixture
def table() -> FakeTable:
    return FakeTable()


@pytest.fixture
def ours() -> Subreaper:
    return Subreaper()


def orphans(ours: Subreaper, table: FakeTable, *outputs: str) -> list[int]:
    """The living ones."""
    return [row.pid for row in ours.orphans(table, [Path(output) for output in outputs]) if row.alive]


def begin(ours: Subreaper, table: FakeTable, pid: int, started: str) -> ProcessId:
    with ours.starting(table):
        child = table.add(pid, ppid=ME, started=started)
        ours.started(child)
    return child


def test_an_orphan_of_the_only_run_is_found_when_that_ends(ours: Subreaper, table: FakeTable) -> None:
    child = begin(ours, table, 300, "100")
    table.add(400, ppid=ME, started="150")
    assert orphans(ours, table) == [], "its run goes on"
    ours.ending(child)
    assert orphans(ours, table) == [400]


def test_an_orphan_born_in_two_runs_is_found_when_the_last_ends(ours: Subreaper, table: FakeTable) -> None:
    first, second = begin(ours, table, 300, "100"), begin(ours, table, 301, "120")
    table.add(400, ppid=ME, started="150")
    ours.ending(first)
    assert orphans(ours, table) == []
    ours.ending(second)
    assert orphans(ours, table) == [400]


def test_an_orphan_older_than_every_running_run_is_found_while_they_run(ours: Subreaper, table: FakeTable) -> None:
    first = begin(ours, table, 300, "100")
    table.add(400, ppid=ME, started="150")
    begin(ours, table, 301, "151")
    ours.ending(first)
    assert orphans(ours, table) == [400]


def test_start_times_in_the_same_kernel_tick_decide_nothing(ours: Subreaper, table: FakeTable) -> None:
    first = begin(ours, table, 300, "100")
    table.add(400, ppid=ME, started="150")
    second = begin(ours, table, 301, "150")
    ours.ending(first)
    assert orphans(ours, table) == []
    ours.ending(second)
    assert orphans(ours, table) == [400]


def test_start_times_are_compared_as_numbers(ours: Subreaper, table: FakeTable) -> None:
    first = begin(ours, table, 300, "99")
    table.add(400, ppid=ME, started="101")
    begin(ours, table, 301, "1000")
    ours.ending(first)
    assert orphans(ours, table) == [400]


def test_our_children_are_not_orphans_before_and_after_their_attempt(ours: Subreaper, table: FakeTable) -> None:
    child = begin(ours, table, 300, "100")
    ours.ending(child)
    assert orphans(ours, table) == []
    ours.reaped(300)
    assert orphans(ours, table) == [300], "the pid is somebody else's now"


def test_children_from_before_the_first_run_are_left_alone(ours: Subreaper, table: FakeTable) -> None:
    table.add(250, ppid=ME, started="50")
    ours.ending(begin(ours, table, 300, "100"))
    assert orphans(ours, table) == []


def test_before_the_first_run_there_are_no_orphans(ours: Subreaper, table: FakeTable) -> None:
    table.add(250, ppid=ME, started="50")
    assert orphans(ours, table) == []


def test_dead_orphans_are_reaped_at_once_even_while_runs_are_running(
    ours: Subreaper, table: FakeTable, reaped: list[int]
) -> None:
    begin(ours, table, 300, "100")
    table.add(400, ppid=ME, started="150", state="Z")
    assert ours.orphans(table) == [], "its run goes on"
    assert reaped == [400]


def test_an_orphan_that_has_just_died_is_reported_as_it_may_have_left_a_child(
    ours: Subreaper, table: FakeTable, reaped: list[int]
) -> None:
    ours.ending(begin(ours, table, 300, "100"))
    table.add(400, ppid=ME, started="150", state="Z")
    assert [(row.pid, row.alive) for row in ours.orphans(table)] == [(400, False)]
    assert reaped == [400]


def test_a_process_whose_first_thread_is_dead_but_others_run_is_not_reaped(
    ours: Subreaper, table: FakeTable, reaped: list[int]
) -> None:
    ours.ending(begin(ours, table, 300, "100"))
    table.add(400, ppid=ME, started="150", state="Z", threads=2)
    assert orphans(ours, table) == [400]
    assert reaped == []


def test_an_orphan_that_still_writes_into_its_runs_files_is_found_while_others_run(
    ours: Subreaper, table: FakeTable
) -> None:
    first = begin(ours, table, 300, "100")
    begin(ours, table, 301, "100")
    table.add(400, ppid=ME, started="150")
    table.add(401, ppid=ME, started="150")
    table.printing = {400: ["/nowhere/r1.out", "/dev/null"], 401: ["/nowhere/r2.out"]}
    ours.ending(first)
    assert orphans(ours, table, "/nowhere/r1.out", "/nowhere/r1.err") == [400]


@pytest.mark.parametrize("dead", [False, True])
def test_a_child_that_something_else_of_this_program_started_is_left_alone(
    ours: Subreaper, table: FakeTable, reaped: list[int], dead: bool
) -> None:
    """It stays in our session, which no process of a run can enter. Its exit code belongs to its parent."""
    ours.ending(begin(ours, table, 300, "100"))
    table.add(400, ppid=ME, session=OUR_SESSION, started="150", state="Z" if dead else "S")
    assert ours.orphans(table) == []
    assert reaped == []


def test_session_0_is_a_session_too(ours: Subreaper, table: FakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container our session may read 0; then our own children are in 0 too, those of runs never."""
    monkeypatch.setattr(os, "getsid", lambda _pid: 0)
    ours.ending(begin(ours, table, 300, "100"))
    table.add(400, ppid=ME, started="150")
    table.add(401, ppid=ME, started="150")
    table.rows[401] = table.rows[401]._replace(session=0)
    assert orphans(ours, table) == [400]


def test_grandchildren_and_strangers_are_not_our_orphans(ours: Subreaper, table: FakeTable) -> None:
    ours.ending(begin(ours, table, 300, "100"))
    table.add(400, ppid=1, started="150")
    table.add(401, ppid=300, started="150")
    assert orphans(ours, table) == []


def test_a_process_that_got_another_parent_since_is_not_an_orphan(
    ours: Subreaper, table: FakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pid was used again."""
    ours.ending(begin(ours, table, 300, "100"))
    table.add(400, ppid=1, started="150")
    monkeypatch.setattr(table, "children", lambda _pid: [300, 400])
    assert orphans(ours, table) == []


def test_a_child_that_was_closed_without_an_end_does_not_protect_orphans(ours: Subreaper, table: FakeTable) -> None:
    begin(ours, table, 300, "100")
    table.add(400, ppid=ME, started="150")
    ours.reaped(300)
    del table.rows[300]
    assert orphans(ours, table) == [400]


def test_a_child_that_is_just_being_started_is_never_taken_for_an_orphan(ours: Subreaper, table: FakeTable) -> None:
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
    looker = threading.Thread(target=lambda: found.append(orphans(ours, table)))
    looker.start()
    go_on.set()
    thread.join(PATIENCE)
    looker.join(30)
    assert found == [[]]


# --- where orphans of somebody else may become our children ---


@pytest.fixture
def mixed(ours: Subreaper, table: FakeTable) -> ProcessId:
    """A child of somebody else, from before the first run, and a run that has ended."""
    other = table.add(250, ppid=ME, started="50")
    ours.ending(begin(ours, table, 300, "100"))
    return other


def others(ours: Subreaper, table: FakeTable) -> list[int]:
    return [row.pid for row in ours.others(table)]


def test_an_orphan_of_which_nothing_tells_that_it_is_a_runs_is_left_alone_and_named(
    ours: Subreaper, table: FakeTable, mixed: ProcessId
) -> None:
    table.add(400, ppid=ME, started="150")
    assert orphans(ours, table) == []
    assert others(ours, table) == [mixed.pid, 400]


def test_what_the_child_of_somebody_else_left_when_it_died_is_not_taken_for_a_runs(
    ours: Subreaper, table: FakeTable, mixed: ProcessId
) -> None:
    table.add(400, ppid=ME, started="150")
    del table.rows[mixed.pid]
    assert orphans(ours, table) == []
    table.add(401, ppid=ME, started="160")
    del table.rows[400]
    assert orphans(ours, table) == []
    assert others(ours, table) == [401]


def test_when_all_of_somebody_else_have_gone_every_orphan_is_a_runs_again(
    ours: Subreaper, table: FakeTable, mixed: ProcessId
) -> None:
    del table.rows[mixed.pid]
    # Its orphans would be there by now.
    assert orphans(ours, table) == []
    assert orphans(ours, table) == []
    table.add(400, ppid=ME, started="150")
    assert orphans(ours, table) == [400]


@pytest.mark.parametrize("sign", ["mark", "session", "output", "cgroup"])
def test_what_carries_a_sign_of_a_run_is_still_ended(
    ours: Subreaper, table: FakeTable, mixed: ProcessId, sign: str
) -> None:
    assert mixed.pid in table.rows
    session = 300 if sign == "session" else 0
    environ = b"A=1\0PURUTO_CRON_RUN_FOLDER=/runs/x\0" if sign == "mark" else b""
    table.add(400, ppid=ME, started="150", session=session, environ=environ)
    if sign == "output":
        table.printing = {400: ["/nowhere/out"]}
    if sign == "cgroup":
        ours.group, table.cgroups = "puruto-cron.1.2", {400: "/system/puruto-cron.1.2"}
    assert orphans(ours, table, "/nowhere/out") == [400]


def test_as_process_1_every_orphan_may_be_somebody_elses(
    ours: Subreaper, table: FakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)
    ours.ending(begin(ours, table, 300, "100"))
    table.rows.pop(ME)
    table.add(400, ppid=1, started="150")
    table.add(401, ppid=1, started="150", environ=b"PURUTO_CRON_RUN_FOLDER=/runs/x\0")
    assert orphans(ours, table) == [401]


@pytest.mark.parametrize("all_of_them", [False, True])
def test_dead_children_that_nobody_waits_for_are_reaped(
    ours: Subreaper, table: FakeTable, reaped: list[int], all_of_them: bool
) -> None:
    ours.prepare(table, reaps_all=all_of_them)
    begin(ours, table, 300, "100")
    table.rows[300] = table.rows[300]._replace(state="Z")
    table.add(400, ppid=ME, state="Z")
    table.add(401, ppid=ME, state="Z", session=OUR_SESSION)
    table.add(402, ppid=ME)
    ours.started_helper(table.add(403, ppid=ME, state="Z", session=OUR_SESSION).pid)
    ours.reap(table)
    assert sorted(reaped) == ([400, 401] if all_of_them else [400])
