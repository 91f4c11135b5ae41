"""After a run nothing of it lives, however it ended and whatever its processes did to get away. With real commands."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.run import ProcessId
from system import processes
from tests.support_invocation import TELL, told
from tests.support_machine import answer_of, killed, prepare, target_folder
from tests.workspace import PATIENCE, Workspace, ended, is_running, wait_for

ZOO = """
def away(name, *, sessions=1, deaf=False, bare=False, silent=False, stopped=False, zombie=False):
    # A child in a session of its own, whose parent ends at once.
    if os.fork():
        return
    for _ in range(sessions):
        os.setsid()
        if os.fork():
            os._exit(0)
    if deaf:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    if silent:
        os.closerange(0, 64)
    if zombie and not os.fork():
        os._exit(0)
    tell(name)
    if bare:
        os.execve(sys.executable, [sys.executable, "-ISc", "import time; time.sleep(10**6)"], {})
    if stopped:
        os.kill(os.getpid(), signal.SIGSTOP)
    sleep()

def near(name, **marks):
    # The same, but still a child of the one that was started.
    if not os.fork():
        if marks.get("deaf"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        tell(name)
        if marks.get("flood"):
            with open("/dev/stdout", "ab", buffering=0) as out:
                for _ in range(200):
                    out.write(bytes(1 << 20))
        if marks.get("stopped"):
            os.kill(os.getpid(), signal.SIGSTOP)
        sleep()

near("deaf", deaf=True)
near("flood", flood=True)
near("stopped", stopped=True)
away("daemon")
away("deaf_daemon", deaf=True)
away("two_sessions", sessions=2)
away("bare", bare=True)
away("deaf_bare", sessions=2, bare=True, deaf=True)
away("silent", silent=True)
away("stopped_daemon", stopped=True)
away("leaves_zombies", zombie=True)
while len([n for n in os.listdir(".") if n.endswith(".pid")]) < 11:
    time.sleep(0.01)
"""
NAMES = ("deaf", "flood", "stopped", "daemon", "deaf_daemon", "two_sessions", "bare", "deaf_bare", "silent",
         "stopped_daemon", "leaves_zombies")  # fmt: skip


def job(text: str, **fields: object) -> dict[str, object]:
    return {"schedule": "@yearly", "command": [sys.executable, "-ISc", TELL + text], **fields}


def members(workspace: Workspace, *names: str) -> list[ProcessId]:
    return [told(target_folder(workspace), name) for name in names]


def started(workspace: Workspace, names: tuple[str, ...] = NAMES) -> bool:
    return all((target_folder(workspace) / f"{name}.pid").exists() for name in names)


def alive(found: list[ProcessId]) -> list[ProcessId]:
    return [process for process in found if processes.is_alive(process)]


@pytest.mark.parametrize("words", [("tick",), ("run-now", "job-0")], ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("how", "status", "code"),
    [("own end", "ok", None), ("timeout", "error", None), ("cancel", "cancelled", None),
     ("SIGINT", "cancelled", 130), ("SIGTERM", "cancelled", 143)],
)  # fmt: skip
def test_nothing_of_a_run_lives_when_it_has_ended(
    workspace: Workspace, words: tuple[str, ...], how: str, status: str, code: int | None
) -> None:
    text = ZOO if how == "own end" else ZOO + "tell('root')\nsleep()"
    prepare(workspace, job(text, timeout_sec=4 if how == "timeout" else 300))
    workspace.make_due()
    with ended(workspace.start(*words)) as process:
        wait_for(lambda: started(workspace), what="all of the family")
        found = members(workspace, *NAMES)
        with killed(*(member.pid for member in found)):
            if how == "cancel":
                (run,) = workspace.runs()
                assert workspace.json("cancel", run["run_id"])["run_status"] == "cancelled"
            elif how.startswith("SIG"):
                wait_for(lambda: started(workspace, ("root",)), what="the root")
                process.send_signal(getattr(signal, how))
            answer_of(process)
            assert alive(found) == []
    (row,) = workspace.runs()
    assert row["status"] == status
    if code is not None:
        assert process.returncode == code


def test_a_flood_costs_disk_but_no_memory(workspace: Workspace) -> None:
    """5 GB, most of it a hole, because what counts is that nobody reads it; the end is written for real."""
    text = "os.ftruncate(1, 5 << 30)\nfor _ in range(64): os.write(1, bytes(1 << 20))\nprint('the end', flush=True)"
    prepare(workspace, job(text))
    # Not ru_maxrss: it begins with what this process had when it forked.
    measure = """
import atexit, pathlib, sys
peak = lambda: pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
atexit.register(lambda: sys.stderr.write(peak()))
"""
    with ended(workspace.start("run-now", "job-0", before=measure, fresh=True)) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert json.loads(out)["status"] == "ok"
    (file,) = (workspace.root / "runs" / "job-0").glob("*/attempt-1.stdout")
    assert file.stat().st_size > 5 << 30
    assert int(err) < 150_000, "KiB"


BARE_ORPHAN = """
def bare_orphan(name, silent=True):
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        if silent:
            os.closerange(0, 3)
        tell(name)
        os.execve(sys.executable, [sys.executable, "-ISc", "import time; time.sleep(10**6)"], {})
    while not os.path.exists(name + ".pid"):
        time.sleep(0.01)
"""


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "printing"])
def test_two_runs_at_once_do_not_end_each_others_orphans(workspace: Workspace, silent: bool) -> None:
    """Which of the two a bare orphan comes from is told by its output alone. Without it, it is ended with the last."""

    def text(me: str, other: str) -> str:
        wait = "while not os.path.exists('{}'): time.sleep(0.01)\n"
        orphan = f"tell('{me}')\n{wait.format(other + '.pid')}bare_orphan('{me}_orphan', {silent})\n"
        return BARE_ORPHAN + orphan + wait.format(f"end_{me}")

    prepare(workspace, job(text("a", "b")), job(text("b", "a")))
    workspace.make_due()
    with ended(workspace.start("tick")) as tick:
        wait_for(lambda: started(workspace, ("a_orphan", "b_orphan")), what="both orphans")
        found = members(workspace, "a_orphan", "b_orphan")
        with killed(*(member.pid for member in found)):
            (target_folder(workspace) / "end_a").touch()
            wait_for(lambda: [row["status"] for row in workspace.runs("job-0")] == ["ok"], what="the end of the first")
            assert alive(found) == (found if silent else found[1:])
            (target_folder(workspace) / "end_b").touch()
            assert {result["status"] for result in answer_of(tick)["results"]} == {"ok"}
            assert alive(found) == []


def test_two_installations_with_the_same_job_leave_each_other_alone(tmp_path: Path) -> None:
    """Both start a run of the same name when they do it in the same second."""
    one, other = Workspace(tmp_path / "one"), Workspace(tmp_path / "other")
    gated = "tell('root')\nwhile not os.path.exists('end'): time.sleep(0.01)\n"
    for workspace in (one, other):
        prepare(workspace, job(gated))
    with ended(one.start("run-now", "job-0")) as first, ended(other.start("run-now", "job-0")) as second:
        wait_for(lambda: started(one, ("root",)) and started(other, ("root",)), what="both runs")
        (target_folder(one) / "end").touch()
        assert answer_of(first)["status"] == "ok"
        assert is_running(members(other, "root")[0].pid)
        (target_folder(other) / "end").touch()
        assert answer_of(second)["status"] == "ok"


def test_a_run_inside_a_run_ends_its_own_orphans_and_no_others(workspace: Workspace) -> None:
    """Both schedulers adopt: the inner one what descends from it, the outer one all else."""
    gate = "while not os.path.exists('end'): time.sleep(0.01)\n"
    inner = [sys.executable, str(workspace.root / "main.py"), "run-now", "job-1"]
    outer = f"import subprocess\nbare_orphan('outer')\nsubprocess.run({inner!r}, check=True)\ntell('inner_over')\n"
    prepare(workspace, job(BARE_ORPHAN + outer + gate), job(BARE_ORPHAN + "bare_orphan('inner')"))
    with ended(workspace.start("run-now", "job-0")) as process:
        wait_for(lambda: started(workspace, ("outer", "inner", "inner_over")), what="the end of the inner run")
        found = members(workspace, "outer", "inner")
        with killed(*(member.pid for member in found)):
            assert alive(found) == found[:1]
            (target_folder(workspace) / "end").touch()
            assert answer_of(process)["status"] == "ok"
            assert alive(found) == []


def test_the_runs_of_a_scheduler_that_dies_inside_a_run_end_with_that(workspace: Workspace) -> None:
    """The outer one adopts them. They carry the marks of another run, and were born in this one."""
    inner = [sys.executable, str(workspace.root / "main.py"), "run-now", "job-1"]
    outer = f"""
import subprocess
process = subprocess.Popen({inner!r})
while not os.path.exists("bare.pid"):
    time.sleep(0.01)
process.kill()
process.wait()
"""
    text = BARE_ORPHAN + "tell('root')\nbare_orphan('bare')\nsleep()"
    prepare(workspace, job(outer), job(text))
    assert workspace.json("run-now", "job-0")["status"] == "ok"
    found = members(workspace, "root", "bare")
    with killed(*(member.pid for member in found)):
        assert alive(found) == []


def test_orphans_that_have_died_are_reaped_while_their_run_goes_on(workspace: Workspace) -> None:
    """An agent that runs for a day must not fill the table of processes."""
    text = """
for _ in range(20):
    if not os.fork():
        os.setsid()
        if not os.fork():
            time.sleep(0.05)
        os._exit(0)
    os.wait()
tell("root")
sleep()
"""
    prepare(workspace, job(text))
    workspace.make_due()
    with ended(workspace.start("tick")) as tick:
        root = members(workspace, "root")[0]
        threads = Path(f"/proc/{tick.pid}/task")
        wait_for(
            lambda: "".join(file.read_text() for file in threads.glob("*/children")).split() == [str(root.pid)],
            what="the zombies to go",
        )
        tick.terminate()
        answer_of(tick)


def test_orphans_that_have_died_are_reaped_while_the_tick_goes_on(workspace: Workspace) -> None:
    text = """
for _ in range(20):
    if not os.fork():
        os.setsid()
        if not os.fork():
            time.sleep(0.05)
        os._exit(0)
    os.wait()
sys.exit(1)
"""
    prepare(workspace, job(text, max_retries=1, retry_backoff_sec=3600))
    workspace.make_due()
    with ended(workspace.start("tick")) as tick:
        wait_for(lambda: any(row["waiting"] for row in workspace.runs()), what="the wait between attempts")
        children = Path(f"/proc/{tick.pid}/task/{tick.pid}/children").read_text().split()
        assert children == [], "neither alive nor zombies"
        tick.terminate()
        answer_of(tick)


def test_a_child_from_before_is_not_ours(workspace: Workspace) -> None:
    """A shell that started something and then became the tick."""
    prepare(workspace, job("print('done')"))
    workspace.make_due()
    line = 'setsid sleep 1000 >/dev/null 2>&1 & echo $! > "$0.pid"; exec "$@"'
    note = workspace.root / "sleep"
    command = ["sh", "-c", line, str(note), sys.executable, str(workspace.root / "main.py"), "tick"]
    process = subprocess.Popen(command, env=workspace.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with ended(process):
        (result,) = answer_of(process)["results"]
    pid = int(note.with_suffix(".pid").read_text())
    with killed(pid):
        assert result["status"] == "ok"
        assert is_running(pid)


def test_what_is_left_by_a_killed_scheduler_and_what_is_not_found(workspace: Workspace) -> None:
    """docs/targets.md says so: without its scheduler a bare orphan is nobody's."""
    prepare(workspace, job(ZOO + "tell('root')\nsleep()"))
    workspace.make_due()
    with ended(workspace.start("tick")) as tick:
        wait_for(lambda: started(workspace, (*NAMES, "root")), what="all of the family")
        found = members(workspace, *NAMES, "root")
        with killed(*(member.pid for member in found)):
            (run,) = wait_for(lambda: [row for row in workspace.runs() if row["child_pid"]], what="the noted child")
            tick.kill()
            tick.wait(timeout=PATIENCE)
            workspace.json("unlock", run["job_id"])
            names = {name for name, member in zip((*NAMES, "root"), found, strict=True) if processes.is_alive(member)}
            # "bare" is found by the session that a zombie of its family still leads.
            assert names == {"deaf_bare"}


def test_what_a_run_within_a_run_left_ends_with_the_outer_one(workspace: Workspace) -> None:
    """The inner `invoker.py` is killed, and what it had started carries the inner one's marks."""
    inner = "#!/bin/sh\ncat > /dev/null\necho $$ > ../puruto-target/inner.pid\nexec sleep 1000\n"
    workspace.add_target("puruto-inner", invoke=inner)
    program = str(workspace.root / "invoker.py")
    script = (
        f"import os, subprocess, sys, time\n"
        f"inner = subprocess.Popen([sys.executable, {program!r}, '--target', 'puruto-inner', '--prompt', 'x'])\n"
        "while not os.path.exists('inner.pid') or not open('inner.pid').read().strip(): time.sleep(0.01)\n"
        "inner.kill(); inner.wait()\nprint('left', flush=True)\n"
    )
    prepare(workspace, {"schedule": "@yearly", "command": [sys.executable, "-c", script]})
    answer = workspace.json("run-now", "job-0")
    assert answer["status"] == "ok"
    pid = int((workspace.home / "puruto-target" / "inner.pid").read_text())
    assert not is_running(pid)


@pytest.mark.parametrize("hop", ["2", "many"])
def test_a_tick_within_a_run_starts_slots_that_nobody_asked_for(workspace: Workspace, hop: str) -> None:
    workspace.add_target()
    workspace.ready({"schedule": "@yearly"})
    workspace.make_due()
    report = workspace.json("tick", env={"PURUTO_CRON_HOP": hop})
    (result,) = report["results"]
    (row,) = workspace.runs()
    with open(f"{row['output_dir']}/attempt-1.request.json", encoding="utf-8") as file:
        assert (result["status"], json.load(file)["hop"]) == ("ok", 0)
