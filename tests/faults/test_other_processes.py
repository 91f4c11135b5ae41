"""A daemon that becomes the parent of processes of somebody else: after an `exec`, and as process 1 of a container."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support_daemon import NEVER, OFTEN, RunningDaemon, daemon, wait_for_rows
from tests.support_machine import YEARLY, shell
from tests.workspace import Workspace, is_running, wait_for

pytestmark = pytest.mark.process

#: Starts a process that starts another one, in a session of its own and without a mark, and ends when there is a file.
STRANGER = """
import os, time
if not os.fork():
    os.setsid()
    if not os.fork():
        os.setsid()
        nothing = os.open("/dev/null", os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        with open({folder!r} + "/new", "w") as file:
            file.write(str(os.getpid()))
        os.rename({folder!r} + "/new", {folder!r} + "/stranger")
        os.execve({sleep!r}, ["sleep", "7777"], {{}})
    while not os.path.exists({folder!r} + "/leave"):
        time.sleep(0.02)
    os._exit(0)
"""
#: A job that leaves a process without a mark, which prints into its file.
LEAVES = "env -i setsid sh -c 'echo $$ >&2; exec sleep 7777' & sleep 0.1"


def read_pid(path: Path) -> int:
    wait_for(path.exists, what=path.name)
    return int(path.read_text())


def anomalies(workspace: Workspace) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = workspace.json("status")["scheduler"]["anomalies"]
    return found


@contextmanager
def killed(pid: int) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_process_of_somebody_else_that_becomes_the_daemons_child_is_left_alone_and_named(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.add_target(invoke=None)
    workspace.ready(shell("true"), shell(LEAVES))
    script = STRANGER.format(folder=str(tmp_path), sleep=shutil.which("sleep"))
    with daemon(workspace, OFTEN, script=script) as there:
        stranger = read_pid(tmp_path / "stranger")
        with killed(stranger):
            there.make_due("job-0", minutes_ago=2)
            wait_for_rows(workspace, "job-0", "ok")
            (tmp_path / "leave").touch()
            wait_for(lambda: str(stranger) in children_of(there.pid), what="its adoption")
            there.make_due(minutes_ago=1)
            wait_for_rows(workspace, "job-0", "ok", "ok")
            wait_for_rows(workspace, "job-1", "ok")
            assert is_running(stranger)
            there.wait_for_poll()
            (named,) = anomalies(workspace)
            assert named["code"] == "PROCESS_LEFT_ALONE"
            assert f"sleep ({stranger})" in named["message"]
            assert f"sleep ({stranger})" in (workspace.root / "db" / "puruto-cron.log").read_text()
            (run,) = workspace.runs("job-1")
            left = (workspace.root / "runs" / "job-1" / run["run_id"] / "attempt-1.stderr").read_text()
            assert not is_running(int(left)), "what can be told to be a run's is still ended"
            assert run["processes_ended"] == 1
    with killed(stranger):
        assert anomalies(workspace) == [], "it is nobody's child any more"


def test_dead_children_of_somebody_else_are_reaped(workspace: Workspace) -> None:
    workspace.ready()
    script = "import os\nfor _ in range(3):\n    if not os.fork():\n        os._exit(0)"
    with daemon(workspace, NEVER, script=script) as there:
        wait_for(lambda: children_of(there.pid) == [], what="no zombies")


def children_of(pid: int) -> list[str]:
    """The children that a process adopted, or its first thread started."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def unshare() -> list[str]:
    """What starts a command as process 1 of a namespace. Skips the test where that is not allowed."""
    program = shutil.which("unshare")
    if program is None:
        pytest.skip("unshare: not installed")
    words = [program, *([] if os.geteuid() == 0 else ["-Ur"]), "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let this user make a PID namespace")
    return words


@contextmanager
def first_process(workspace: Workspace, before: str) -> Iterator[RunningDaemon]:
    """A daemon as process 1, started by `exec` in a shell that runs `before` first. `pid` is that of this namespace."""
    out = workspace.home / "daemon.out"
    main = workspace.root / "main.py"
    words = [*unshare(), "sh", "-c", f'{before}\nexec "$@"', "sh", sys.executable, str(main), "daemon"]
    with out.open("wb") as stdout, (workspace.home / "daemon.err").open("wb") as stderr:
        process = subprocess.Popen(words, env={**workspace.environ, **NEVER}, cwd="/", stdout=stdout, stderr=stderr)
    there = RunningDaemon(workspace, process, out)
    try:
        there.wait_for_line(lambda line: line["status"] == "ready", "a daemon that is ready")
        (pid,) = children_of(process.pid)
        there.pid = int(pid)
        yield there
    finally:
        process.kill()
        process.wait()


def test_as_process_1_the_daemon_reaps_orphans_and_keeps_the_exit_codes_of_its_runs(workspace: Workspace) -> None:
    workspace.add_target(invoke=None)
    workspace.ready(
        shell("for n in 1 2 3 4 5; do (sleep 0.1 & exec setsid sleep 0.1) & done; exit 3"), {"schedule": YEARLY}
    )
    orphans = "for n in $(seq 20); do (sleep 0.$n &) ; (setsid sleep 0.$n &) ; done"
    with first_process(workspace, orphans) as there:
        wait_for(lambda: children_of(there.pid) == [], what="no zombies")
        for number in range(1, 4):
            there.make_due("job-0", minutes_ago=4 - number)
            wait_for_rows(workspace, "job-0", *["error"] * number)
        wait_for(lambda: children_of(there.pid) == [], what="no zombies")
        assert [run["exit_code"] for run in workspace.runs("job-0")] == [3, 3, 3]


def test_as_process_1_the_daemon_leaves_what_others_started_alone_and_ends_when_asked(workspace: Workspace) -> None:
    workspace.add_target(invoke=None)
    workspace.ready(shell("true"), shell("exec sleep 7777"))
    with first_process(workspace, "(env -i setsid sleep 7777 >/dev/null 2>&1 &)") as there:
        (stranger,) = children_of(there.pid)
        there.make_due("job-0")
        wait_for_rows(workspace, "job-0", "ok")
        assert is_running(int(stranger))
        there.make_due("job-1")
        wait_for_rows(workspace, "job-1", "running")
        os.kill(there.pid, signal.SIGTERM)
        there.wait_for_line(lambda line: line["status"] == "stopping", "that it stops")
        os.kill(there.pid, signal.SIGTERM)
        assert there.wait() == 0
        wait_for_rows(workspace, "job-1", "cancelled")
        wait_for(lambda: not is_running(int(stranger)), what="the end of the namespace")
