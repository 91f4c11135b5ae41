"""The machine refuses the scheduler what it needs: no job is to blame, and the slot runs once when that is over."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from typing import Any

import pytest

import invoker
from core.errors import MachineExhausted, machine_fault
from invocation import run_files
from tests.fakes import answered, failed, make_bench, make_run
from tests.support_machine import COUNT, YEARLY, Machine, shell, utc
from tests.workspace import FakeClock, Workspace

pytestmark = pytest.mark.process


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def refuse_starts(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def popen(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("system.processes.subprocess.Popen", popen)


def refuse_files(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def write(path: str, data: bytes) -> None:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(run_files, "_write", write)


def refuse_pipes(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def require(*_: Any) -> None:
        fault = machine_fault(OSError(number, os.strerror(number)))
        assert fault is not None
        raise fault

    monkeypatch.setattr(invoker, "require_descriptors", require)


FAULTS = [
    (refuse_starts, errno.EAGAIN),
    (refuse_starts, errno.ENOMEM),
    (refuse_starts, errno.EMFILE),
    (refuse_pipes, errno.ENFILE),
    (refuse_files, errno.ENOSPC),
    (refuse_files, errno.EFBIG),
]


def named(fault: Any) -> str:
    return errno.errorcode[fault] if isinstance(fault, int) else str(fault.__name__)


@pytest.mark.parametrize(("refuse", "number"), FAULTS, ids=named)
def test_no_job_is_blamed_and_the_slot_runs_once_when_it_is_over(
    machine: Machine, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, refuse: Any, number: int
) -> None:
    machine.ready(shell(COUNT, pause_after_failures=1))
    slot = machine.clock.now()
    workspace.make_due(at=slot)
    with monkeypatch.context() as patch:
        refuse(patch, number)
        for _ in range(2):
            code, report = machine.run("tick")
            assert (code, report["status"], report["results"]) == (1, "ok", [])
            assert report["left_due"] == ["job-0"]
            (problem,) = report["problems"]
            assert problem["job_id"] is None
            assert problem["error"]["code"] == "MACHINE_EXHAUSTED"
            assert problem["error"]["details"]["errno"] == errno.errorcode[number]
            assert problem["error"]["details"]["hint"]
        assert workspace.runs() == []
        assert workspace.events() == []
        assert list((workspace.root / "runs").glob("*/*")) == []
        (job,) = workspace.sql("SELECT * FROM jobs")
        assert (job["next_run_at"], job["last_run_at"], job["lease_owner"]) == (slot.isoformat(), None, None)
        assert (job["consecutive_failures"], job["paused_at"], job["problem_json"]) == (0, None, None)
        (anomaly,) = machine.run("status")[1]["scheduler"]["anomalies"]
        assert anomaly["code"] == "MACHINE_EXHAUSTED"
    code, report = machine.run("tick")
    assert code == 0
    assert [result["status"] for result in report["results"]] == ["ok"]
    assert [(run["status"], run["scheduled_for"]) for run in workspace.runs()] == [("ok", slot.isoformat())]
    assert len(workspace.starts()) == 1
    assert machine.run("status")[1]["scheduler"]["anomalies"] == []


def test_a_run_by_hand_is_refused_and_leaves_no_row(
    machine: Machine, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.ready(shell(COUNT))
    refuse_starts(monkeypatch, errno.EAGAIN)
    with pytest.raises(MachineExhausted):
        machine.run("run-now", "job-0")
    assert workspace.runs() == []


def test_the_retry_of_an_interrupted_run_stays_due(
    machine: Machine, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.ready(shell(COUNT, retry_interrupted=True))
    workspace.make_due(at=machine.clock.now())
    machine.tick()
    workspace.sql("UPDATE runs SET status = 'interrupted', retry_due = 1")
    with monkeypatch.context() as patch:
        refuse_starts(patch, errno.EAGAIN)
        machine.run("tick")
    assert [(run["status"], run["retry_due"]) for run in workspace.runs()] == [("interrupted", 1)]
    machine.tick()
    assert [(run["status"], run["retry_due"]) for run in workspace.runs()] == [("interrupted", 0), ("ok", 0)]


@pytest.mark.parametrize("number", [3, 9])
def test_a_later_call_of_a_run_is_tried_again_and_its_end_does_not_count_for_a_pause(number: int) -> None:
    """The first call has started something, so the slot can't be given back."""
    faults = [MachineExhausted("no processes", details={"errno": "EAGAIN"})] * number
    bench = make_bench(failed(), *faults, answered())
    bench.run(make_run(max_retries=1))
    if number == 3:
        assert bench.event["result"]["status"] == "ok"
    else:
        assert bench.event["error"]["code"] == "MACHINE_EXHAUSTED"


def test_what_fails_after_the_start_is_no_reason_to_start_again(
    machine: Machine, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.ready(shell(COUNT, pause_after_failures=1))
    workspace.make_due(at=machine.clock.now())

    def read_tail(*_: Any) -> str:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("invoker.read_tail", read_tail)
    machine.tick()
    (run,) = workspace.runs()
    assert (run["status"], json.loads(run["error_json"])["code"]) == ("error", "MACHINE_EXHAUSTED")
    assert len(workspace.starts()) == 1
    assert [job["paused_at"] for job in workspace.sql("SELECT paused_at FROM jobs")] == [None]


@pytest.mark.parametrize("files", [4, 6, 8, 10, 12, 14, 16, 20])
def test_a_tick_with_few_open_files_has_no_fault_of_its_own_and_loses_no_slot(workspace: Workspace, files: int) -> None:
    workspace.add_target(invoke=None)
    workspace.ready(*(shell(COUNT, pause_after_failures=1) for _ in range(3)), {"schedule": YEARLY, "enabled": False})
    workspace.make_due("job-_", at=utc(2026, 2, 25, 20, 0))
    workspace.sql("UPDATE jobs SET next_run_at = NULL WHERE enabled = 0")
    limited = [
        "sh",
        "-c",
        f'ulimit -n {files}; exec "$@"',
        "sh",
        sys.executable,
        str(workspace.root / "main.py"),
        "tick",
    ]
    done = subprocess.run(limited, env=workspace.environ, capture_output=True, check=False, cwd="/")
    assert b"INTERNAL_ERROR" not in done.stdout + done.stderr
    assert {run["status"] for run in workspace.runs()} <= {"ok"}
    workspace.run("tick")
    assert [run["status"] for run in workspace.runs()] == ["ok"] * 3
    assert len(workspace.starts()) == 3
    assert [job["paused_at"] for job in workspace.sql("SELECT paused_at FROM jobs")] == [None] * 4


def test_only_what_the_machine_lacks_is_its_fault() -> None:
    assert machine_fault(OSError(errno.ENOENT, "gone")) is None
    assert machine_fault(ValueError("no")) is None
    assert machine_fault(RuntimeError("can't start new thread")) is not None
    assert machine_fault(MemoryError()) is not None
