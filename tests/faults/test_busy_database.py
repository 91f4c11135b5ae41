"""A database that another process holds, a machine out of threads, a file that somebody has locked."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.errors import DatabaseLocked
from system.processes import Stop
from tests.support_machine import (
    COUNT,
    FAIL,
    GATED,
    Machine,
    answer_of,
    gated_pid,
    killed,
    prepare,
    release,
    shell,
    wait_for_run,
)
from tests.workspace import PATIENCE, FakeClock, Workspace, ended, is_running, wait_for

#: Makes a command wait a fifth of a second for a lock instead of five.
IMPATIENT = "import db; db.BUSY_TIMEOUT_MS = 200"


@contextmanager
def write_lock(workspace: Workspace) -> Iterator[None]:
    """Holds the database's write lock, as a person in the sqlite3 shell may."""
    with closing(sqlite3.connect(workspace.database, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


def test_a_tick_that_cannot_write_says_so_and_loses_nothing(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    workspace.make_due()
    with write_lock(workspace), ended(workspace.start("tick", before=IMPATIENT)) as tick:
        report = answer_of(tick)
        assert tick.returncode == 1
    assert report["error"]["code"] == "DATABASE_LOCKED"
    assert workspace.runs() == []
    assert [result["status"] for result in workspace.json("tick")["results"]] == ["ok"]


def test_a_verdict_waits_for_the_lock(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with ended(workspace.start("tick", before=IMPATIENT)) as process:
        run = wait_for_run(workspace)
        pid = gated_pid(workspace, run["run_id"])
        with killed(pid):
            with write_lock(workspace):
                release(workspace)
                wait_for(lambda: not is_running(pid), what="the end of the job")
                # Bounded, not timed: one that gives up ends at once, and one that keeps the verdict is still there.
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=1)
            answer_of(process)
    assert [row["status"] for row in workspace.runs()] == ["ok"]
    assert [event["run_id"] for event in workspace.events()] == [run["run_id"]]


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


@pytest.mark.parametrize("note", ["record_child", "release_permit", "take_permit"])
def test_a_busy_moment_ends_no_healthy_run(machine: Machine, workspace: Workspace, note: str) -> None:
    machine.ready(shell(FAIL if note != "record_child" else COUNT, max_retries=1, retry_backoff_sec=0))
    stop, app = Stop(), machine.app()
    with app.session() as session:
        scheduler = session.scheduler(stop)
        setattr(session.store.runs, note, busy_once(getattr(session.store.runs, note)))
        result = scheduler.run_now("job-0", force=False)
    stop.close()
    assert (result["status"], result.get("attempts")) == (("ok", None) if note == "record_child" else ("error", 2))
    assert len(workspace.starts()) == (1 if note == "record_child" else 2)


def busy_once(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, which finds the database locked the first time."""
    calls: list[object] = []

    def busy(*values: Any) -> Any:
        calls.append(values)
        if len(calls) == 1:
            raise DatabaseLocked("cron.db is locked by another process")
        return method(*values)

    return busy


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Holds the lock under which events are appended."""
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def settled(workspace: Workspace) -> bool:
    return [row["status"] for row in workspace.runs()] == ["ok"]


def test_a_busy_database_during_the_delivery_holds_up_no_tick(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    workspace.make_due()
    with ExitStack() as events, ended(workspace.start("tick", before=IMPATIENT)) as tick:
        events.enter_context(file_lock(workspace.events_file))
        wait_for(lambda: settled(workspace), what="the verdict")
        with write_lock(workspace):
            events.close()
            report = answer_of(tick)
    assert [result["status"] for result in report["results"]] == ["ok"]
    assert {entry["channel"] for entry in report["events"]["waiting"]} == {"local", "telegram"}
    assert len(workspace.events()) == 1, "it was written, and then could not be marked"
    assert workspace.json("tick")["events"]["waiting"] == []
    assert len(workspace.events()) == 1


def test_a_locked_file_of_events_holds_up_nobody_for_ever(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    with file_lock(workspace.events_file), ended(workspace.start("run-now", "job-0")) as process:
        wait_for(lambda: settled(workspace), what="the verdict")
        process.terminate()
        assert process.wait(timeout=PATIENCE) in (0, 143)
    assert workspace.json("tick")["events"] == {"delivered": 1, "waiting": []}


def test_a_machine_out_of_threads_runs_what_is_due_all_the_same(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT), shell(COUNT))
    workspace.make_due()
    refuse = (
        "import threading\n"
        'def start(self): raise RuntimeError("can\'t start new thread")\n'
        "threading.Thread.start = start"
    )
    with ended(workspace.start("tick", before=refuse)) as tick:
        report = answer_of(tick)
    assert report["status"] == "ok"
    assert [result["status"] for result in report["results"]] == ["ok", "ok"]
    assert [row["status"] for row in workspace.runs()] == ["ok", "ok"]
    assert len(workspace.events()) == 2
