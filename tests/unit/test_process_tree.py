"""Which processes belong to a run, on a made-up process table."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from core.run import ProcessId
from system import processes, subreaper
from system.awaitables import run_blocking
from system.process_table import Row, identify, is_alive
from system.process_tree import SLICE, ProcessTree
from system.subreaper import Subreaper

RUN = "daily-20260225T200000"
MARKS = {"PURUTO_CRON_RUN_ID": RUN, "PURUTO_CRON_RUN_FOLDER": "/runs/daily"}
MARKED = f"PATH=/bin\0PURUTO_CRON_RUN_ID={RUN}\0LANG=C\0PURUTO_CRON_RUN_FOLDER=/runs/daily\0".encode()
ME = 77


@pytest.fixture(autouse=True)
def our_pid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one may be any of the made-up ones, in a container even 1."""
    monkeypatch.setattr(os, "getpid", lambda: ME)


class Clock:
    """Advances by a tenth of a second with each call."""

    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self) -> float:
        self.time += 0.1
        return self.time

    def now(self) -> Any:
        raise AssertionError("wall time is of no matter here")


class FakeTable:
    """Processes that die of the signals in `deadly`, and of KILL unless they are `stuck`."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.environs: dict[int, bytes] = {}
        self.printing: dict[int, list[str]] = {}
        self.cgroups: dict[int, str] = {}
        self.sent: list[tuple[int, str, int]] = []
        self.groups: list[int] = []
        self.deadly: set[int] = {signal.SIGTERM, signal.SIGKILL}
        self.stuck: set[int] = set()
        self.pending: set[int] = set()
        self.on_wait: Callable[[], None] = lambda: None
        self.add(1, ppid=0, session=1)
        self.add(ME, ppid=1, session=50)

    def add(
        self,
        pid: int,
        *,
        ppid: int = 1,
        session: int = 0,
        started: str = "100",
        environ: bytes = b"",
        state: str = "S",
        threads: int = 1,
    ) -> ProcessId:
        self.rows[pid] = Row(pid, started, ppid, session or pid, state, threads, f"p{pid}")
        self.environs[pid] = environ
        return ProcessId(pid, started, processes.boot_id())

    def pids(self) -> list[int]:
        return sorted(self.rows)

    def children(self, pid: int) -> list[int]:
        return [row.pid for row in self.rows.values() if row.ppid == pid]

    def row(self, pid: int) -> Row | None:
        return self.rows.get(pid)

    def session(self, pid: int) -> int:
        return self.rows[pid].session if pid in self.rows else 0

    def outputs(self, pid: int) -> list[str]:
        return self.printing.get(pid, [])

    def environ(self, pid: int) -> bytes:
        return self.environs.get(pid, b"")

    def group(self, pid: int) -> str:
        return self.cgroups.get(pid, "")

    def send(self, row: Row, number: int) -> None:
        self.sent.append((row.pid, row.started, number))
        found = self.rows.get(row.pid)
        if found is None or found.started != row.started:
            return
        if found.state == "T" and number == signal.SIGTERM:
            self.pending.add(row.pid)
            return
        resumes = number == signal.SIGCONT and row.pid in self.pending
        if resumes or (number in self.deadly and row.pid not in self.stuck):
            del self.rows[row.pid]

    def send_group(self, leader: int, number: int) -> None:
        self.groups.append(leader)

    def wait_gone(self, _row: Row, _seconds: float) -> None:
        self.on_wait()

    @property
    def hit(self) -> set[int]:
        return {pid for pid, _, _ in self.sent}


def sweep(table: FakeTable, root: ProcessId | None = None, grace: float = 2.0) -> processes.EndedTree:
    return processes.sweep(MARKS, grace, Clock(), root=root, table=table)


def test_nothing_is_signalled_when_nothing_belongs_to_the_run() -> None:
    table = FakeTable()
    table.add(300, environ=b"PATH=/bin\0")
    assert sweep(table) == processes.EndedTree()
    assert table.sent == []


def test_a_marked_process_is_found_wherever_it_is() -> None:
    table = FakeTable()
    table.add(300, environ=MARKED)
    assert sweep(table) == (("p300 (300)",), (), (300,), ("p300 (300)",))
    assert table.sent == [(300, "100", signal.SIGTERM)]


def test_only_the_exact_mark_counts() -> None:
    table = FakeTable()
    for pid, text in enumerate(
        [
            f"PURUTO_CRON_RUN_ID={RUN}-2",
            f"PURUTO_CRON_RUN_ID={RUN[:-1]}",
            f"XPURUTO_CRON_RUN_ID={RUN}",
            f"NOTE=PURUTO_CRON_RUN_ID={RUN}",
            f"PURUTO_CRON_RUN_ID=x{RUN}",
            f"PURUTO_CRON_RUN_ID= {RUN}",
        ],
        start=300,
    ):
        table.add(pid, environ=b"A=1\0" + text.encode() + b"\0B=2\0")
    assert sweep(table).alive == ()
    assert table.sent == []


def test_the_mark_is_found_as_first_and_as_last_variable() -> None:
    table = FakeTable()
    run, folder = f"PURUTO_CRON_RUN_ID={RUN}".encode(), b"PURUTO_CRON_RUN_FOLDER=/runs/daily"
    table.add(300, environ=run + b"\0" + folder)
    table.add(301, environ=folder + b"\0" + run + b"\0A=1\0")
    table.add(302, environ=b"A=1\0" + run + b"\0" + folder + b"\0")
    assert set(sweep(table).pids) == {300, 301, 302}


def test_the_session_of_the_root_and_all_descendants_belong_to_it() -> None:
    table = FakeTable()
    root = table.add(300, ppid=ME)
    table.add(301, ppid=1, session=300)  # its parent has died, it stayed in the session
    table.add(302, ppid=300, session=302)  # setsid
    table.add(303, ppid=302, session=302)
    table.add(304, ppid=1, session=302)  # orphaned in the session that 302 made
    table.add(400, ppid=1)
    assert set(sweep(table, root).pids) == {300, 301, 302, 303, 304}
    assert set(table.rows) == {1, ME, 400}


def test_the_root_that_is_dead_and_not_yet_waited_for_still_leads_to_its_session() -> None:
    table = FakeTable()
    root = table.add(300, ppid=ME, state="Z")
    table.add(301, ppid=1, session=300)
    assert sweep(table, root).pids == (301,)
    assert table.hit == {301}


def test_a_root_whose_pid_was_used_again_is_ignored() -> None:
    table = FakeTable()
    root = table.add(300, ppid=ME)
    table.add(300, ppid=1, started="999")
    table.add(301, ppid=300, session=300)
    assert sweep(table, root).alive == ()
    assert table.sent == []


def test_a_root_of_another_boot_is_ignored() -> None:
    table = FakeTable()
    table.add(300, ppid=1)
    assert sweep(table, ProcessId(300, "100", "another boot")).alive == ()
    assert table.sent == []


def test_a_pid_that_is_used_again_while_we_wait_is_left_alone() -> None:
    table = FakeTable()
    root = table.add(300, ppid=ME)
    table.add(301, ppid=300, session=301)
    table.deadly = {signal.SIGKILL}

    def recycle() -> None:
        table.rows.pop(301, None)
        table.add(301, ppid=1, session=301, started="999")
        table.add(302, ppid=1, session=301, started="999")

    table.on_wait = recycle
    assert set(sweep(table, root).pids) == {300, 301}
    assert {(pid, started) for pid, started, _ in table.sent} == {(300, "100"), (301, "100")}
    assert {301, 302} <= set(table.rows)


def test_a_stranger_with_the_roots_pid_does_not_hide_the_rest_of_its_session() -> None:
    table = FakeTable()
    root = table.add(300, ppid=ME)

    def recycle() -> None:
        table.add(300, ppid=1, started="999")
        table.add(305, ppid=1, session=300, started="999")

    table.deadly = {signal.SIGKILL}
    table.on_wait = recycle
    sweep(table, root)
    assert table.hit == {300}
    assert table.groups == []
    assert {300, 305} <= set(table.rows)


def test_we_and_our_ancestors_are_never_signalled_though_they_carry_the_mark() -> None:
    table = FakeTable()
    table.add(ME, ppid=200, session=200, environ=MARKED)
    table.add(200, ppid=150, environ=MARKED)
    table.add(150, ppid=1, environ=MARKED)
    table.add(201, ppid=200, session=200, environ=MARKED)
    assert sweep(table).pids == (201,)
    assert table.hit == {201}


def test_children_of_ours_that_belong_to_other_runs_are_left_alone() -> None:
    table = FakeTable()
    table.add(300, ppid=ME, environ=MARKED)
    table.add(400, ppid=ME, environ=MARKED.replace(b"daily", b"other"))
    assert sweep(table).pids == (300,)
    assert 400 in table.rows


def test_a_run_of_another_installation_with_the_same_name_is_left_alone() -> None:
    table = FakeTable()
    table.add(300, environ=MARKED)
    table.add(400, environ=MARKED.replace(b"/runs/daily", b"/other/runs/daily"))
    table.add(401, environ=MARKED.replace(b"/runs/daily", b"/runs/daily-2"))
    assert sweep(table).pids == (300,)
    assert {400, 401} <= set(table.rows)


def test_kernel_threads_are_not_examined() -> None:
    table = FakeTable()
    table.rows[2] = Row(2, "0", 0, 0, "S", 1, "kthreadd")
    table.environs[2] = MARKED
    assert sweep(table).alive == ()


def test_a_process_that_ignores_term_is_killed_after_the_grace_period() -> None:
    table = FakeTable()
    table.add(300, environ=MARKED)
    table.deadly = {signal.SIGKILL}
    assert sweep(table).survivors == ()
    signals = [number for _, _, number in table.sent]
    assert signals == [signal.SIGTERM, signal.SIGKILL]


def test_without_a_grace_period_no_term_is_sent() -> None:
    table = FakeTable()
    table.add(300, environ=MARKED)
    sweep(table, grace=0)
    assert table.sent == [(300, "100", signal.SIGKILL)]


def test_a_stopped_process_gets_term_and_is_then_continued() -> None:
    table = FakeTable()
    table.add(300, environ=MARKED, state="T")
    sweep(table)
    assert [number for _, _, number in table.sent] == [signal.SIGTERM, signal.SIGCONT]


def test_a_process_started_during_the_grace_period_is_ended_too() -> None:
    table = FakeTable()
    root = table.add(300, ppid=ME)
    table.deadly = {signal.SIGKILL}
    born: list[int] = []

    def give_birth() -> None:
        if not born:
            born.append(301)
            table.add(301, ppid=300, session=301)

    table.on_wait = give_birth
    sweep(table, root)
    assert set(table.rows) == {1, ME}
    assert (301, "100", signal.SIGTERM) in table.sent


def test_a_child_of_a_run_inside_the_run_is_followed_after_its_parent_died() -> None:
    """It has the inner run's marks and a session of its own: only its ancestors show that it is ours."""
    table = FakeTable()
    root = table.add(300, ppid=ME)
    table.add(301, ppid=300, session=301, environ=MARKED.replace(b"daily", b"inner"))
    table.deadly = {signal.SIGKILL}

    def orphan() -> None:
        table.rows.pop(300, None)
        if 301 in table.rows:
            table.rows[301] = table.rows[301]._replace(ppid=1)

    table.on_wait = orphan
    sweep(table, root)
    assert 301 not in table.rows


def test_what_can_not_be_killed_is_reported_after_a_bounded_time() -> None:
    table = FakeTable()
    table.add(300, environ=MARKED)
    table.stuck = {300}
    table.deadly = {signal.SIGKILL}
    assert sweep(table, grace=0).survivors == ("p300 (300)",)


def test_on_wait_that_raises_leaves_nothing_alive() -> None:
    table = FakeTable()
    table.add(300, environ=MARKED)
    table.deadly = {signal.SIGKILL}

    def lost() -> None:
        raise KeyboardInterrupt

    family = ProcessTree(MARKS, None, table)
    try:
        run_blocking(family.end(1000, Clock(), lost))
    except KeyboardInterrupt:
        assert 300 not in table.rows
    else:
        raise AssertionError("the exception was swallowed")


def test_find_marked_names_the_living_and_their_descendants_only() -> None:
    table = FakeTable()
    table.add(300, environ=MARKED)
    table.add(301, ppid=300, session=301)
    table.add(302, environ=MARKED, state="Z")
    found = processes.find_marked(MARKS, table=table)
    assert {process.pid for process in found} == {300, 301}
    assert {process.started for process in found} == {"100"}


def test_a_process_is_alive_only_with_its_start_time_its_boot_and_some_thread_that_runs() -> None:
    table = FakeTable()
    process = table.add(300)
    assert identify(300, table) == process
    assert is_alive(process, table)
    assert not is_alive(ProcessId(300, "101", process.boot_id), table)
    assert not is_alive(ProcessId(300, "100", "another boot"), table)
    assert not is_alive(ProcessId(301, "100", process.boot_id), table)
    table.add(300, state="Z")
    assert not is_alive(process, table)
    table.add(300, state="Z", threads=2)
    assert is_alive(process, table)
    assert identify(301, table) is None


class CountingTable(FakeTable):
    """Counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def row(self, pid: int) -> Row | None:
        self.asked += 1
        return super().row(pid)

    def environ(self, pid: int) -> bytes:
        self.asked += 1
        return super().environ(pid)

    def session(self, pid: int) -> int:
        self.asked += 1
        return super().session(pid)

    def send(self, row: Row, number: int) -> None:
        self.asked += 1
        super().send(row, number)


@pytest.mark.parametrize("adopted", [False, True], ids=["in one session", "adopted"])
def test_a_tree_of_thousands_is_ended_in_slices_between_which_others_get_their_turn(
    adopted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subreaper, "_become_subreaper", lambda: True)
    monkeypatch.setattr(os, "getsid", lambda _pid: 50)
    table, record, processes_of_it = CountingTable(), Subreaper(), 3_000
    with record.starting(table):
        root = table.add(300, ppid=ME)
        record.started(root)
    for pid in range(1_000, 1_000 + processes_of_it):
        table.add(pid, ppid=ME if adopted else 300, session=pid if adopted else 300)
    record.ending(root)
    task = ProcessTree({"A": "b"}, root, table, lambda: record.find_orphans(table)).end(0.0, Clock(), None)
    most, before, ended = 0, 0, None
    while ended is None:
        try:
            task.send(None)
        except StopIteration as end:
            ended = end.value
        most, before = max(most, table.asked - before), table.asked
    assert len(ended.left) == processes_of_it
    assert set(table.rows) == {1, ME}
    # Each process of a slice is asked for a few things. The end as a whole asks for tens of thousands.
    assert most <= 8 * SLICE
    assert table.asked > 5 * processes_of_it
