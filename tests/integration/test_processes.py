"""Real processes: started, waited for, and all of them ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from core.invocation_errors import IpcError
from core.run import ProcessId
from system import process_table, processes
from system.awaitables import run_blocking
from system.process_table import ProcTable, PsutilTable, Table
from system.processes import Child, Stop
from system.subreaper import SUBREAPER
from tests.support_invocation import TELL, Clock, python, told, wait_for, when
from tests.workspace import PATIENCE

LINUX = os.path.exists("/proc/self/stat")
TABLES: list[Table] = [PsutilTable(), *([ProcTable()] if LINUX else [])]


@pytest.fixture(autouse=True)
def no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have started here, like the fork server, has no orphans that could be taken for a run's."""
    SUBREAPER.prepare(TABLES[-1])
    monkeypatch.setattr(SUBREAPER, "_ours", SUBREAPER._ours | SUBREAPER._inherited)
    monkeypatch.setattr(SUBREAPER, "_inherited", set())
    monkeypatch.setattr(SUBREAPER, "_adopts_others", False)


@pytest.fixture
def run_id(tmp_path: Path) -> str:
    return f"run-{os.getpid()}-{tmp_path.name}"


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        if processes.is_alive(child.identity):
            os.kill(child.identity.pid, signal.SIGKILL)
            child.wait(PATIENCE)
        child.close()


class Starter:
    def __init__(self, folder: Path, run_id: str, children: list[Child]) -> None:
        self.folder, self.run_id, self.children = folder, run_id, children

    def __call__(self, text: str, *, stdin: Path | None = None, name: str = "out", mark: str | None = None) -> Child:
        child = processes.start(
            python(text),
            cwd=self.folder,
            env={"PURUTO_CRON_RUN_ID": mark or self.run_id, "PATH": os.environ["PATH"]},
            stdin_path=stdin,
            stdout_path=self.folder / f"{name}.stdout",
            stderr_path=self.folder / f"{name}.stderr",
        )
        self.children.append(child)
        return child

    def end(self, child: Child, grace: float) -> processes.EndedTree:
        return run_blocking(processes.end_tree(child, {"PURUTO_CRON_RUN_ID": self.run_id}, grace, Clock()))


@pytest.fixture
def start(tmp_path: Path, run_id: str, children: list[Child]) -> Starter:
    return Starter(tmp_path, run_id, children)


FAMILY = """
def child(name, *, setsid=False, twice=False, ignore=False, bare=False, stop=False, ready=True):
    if os.fork():
        return
    if setsid:
        os.setsid()
    if twice and os.fork():
        os._exit(0)
    if ignore:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    tell(name)
    if bare:
        os.execve(sys.executable, [sys.executable, "-ISc", "import time; time.sleep(10**6)"], {})
    if stop:
        os.kill(os.getpid(), signal.SIGSTOP)
    sleep()

child("plain")
child("own_session", setsid=True)
child("daemon", setsid=True, twice=True)
child("deaf", ignore=True)
child("deaf_daemon", setsid=True, twice=True, ignore=True)
child("bare", setsid=True, bare=True)
child("stopped", stop=True)
child("stopped_daemon", setsid=True, twice=True, stop=True)
"""
NAMES = ("plain", "own_session", "daemon", "deaf", "deaf_daemon", "bare", "stopped", "stopped_daemon")


def is_stopped(pid: int) -> bool:
    row = TABLES[-1].row(pid)
    return row is not None and row.state == "T"


def family(start: Starter) -> tuple[Child, list[ProcessId]]:
    child = start(FAMILY + "tell('root')\nsleep()")
    members = [told(start.folder, name) for name in (*NAMES, "root")]
    for name in ("stopped", "stopped_daemon"):
        wait_for(partial(is_stopped, told(start.folder, name).pid), f"{name} to stop")
    assert all(processes.is_alive(member) for member in members)
    return child, members


def alive(members: list[ProcessId]) -> list[ProcessId]:
    return [member for member in members if processes.is_alive(member)]


def test_a_whole_tree_is_ended_whatever_its_processes_did_to_escape(start: Starter) -> None:
    child, members = family(start)
    ended = start.end(child, grace=0.5)
    assert alive(members) == []
    assert ended.survivors == ()
    assert set(ended.pids) == {member.pid for member in members}
    assert child.exit_code() in (-signal.SIGTERM, -signal.SIGKILL)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: type(table).__name__)
def test_every_table_finds_a_whole_tree(table: Table, start: Starter) -> None:
    child, members = family(start)
    ended = processes.sweep({"PURUTO_CRON_RUN_ID": start.run_id}, 0.5, Clock(), root=child.identity, table=table)
    if isinstance(table, ProcTable):
        assert set(ended.pids) == {member.pid for member in members}
    else:
        # psutil writes start times in its own way; without a root the mark alone has to find them.
        assert processes.find_marked({"PURUTO_CRON_RUN_ID": start.run_id}) == []
    start.end(child, grace=0)
    assert alive(members) == []


def test_without_grace_a_tree_is_killed_at_once(start: Starter) -> None:
    child, members = family(start)
    start.end(child, grace=0)
    assert alive(members) == []
    assert child.exit_code() == -signal.SIGKILL


def test_processes_that_obey_get_time_to_clean_up(start: Starter) -> None:
    child = start("""
def tidy(number, frame):
    open("tidied", "w").close()
    sys.exit(3)
signal.signal(signal.SIGTERM, tidy)
tell("root")
sleep()
""")
    root = told(start.folder, "root")
    start.end(child, grace=60)
    assert not processes.is_alive(root)
    assert (start.folder / "tidied").exists()
    assert child.exit_code() == 3


def test_what_a_process_left_behind_when_it_ended_is_ended(start: Starter) -> None:
    child = start(FAMILY + "sys.exit(0)")
    left = [told(start.folder, name) for name in NAMES]
    wait_for(lambda: child.wait(1) == 0)
    start.end(child, grace=0.5)
    assert alive(left) == []
    assert child.exit_code() == 0


def ended_for_good(start: Starter, child: Child, links: Path) -> None:
    """On a busy machine a chain may escape one end, see docs/targets.md, but not three."""
    for _ in range(3):
        start.end(child, grace=0.2)
        before = links.stat().st_size
        left = [processes.find_marked({"PURUTO_CRON_RUN_ID": start.run_id}) for _ in range(50)]
        if not any(left) and links.stat().st_size == before:
            return
    raise AssertionError("it goes on")


def test_a_chain_of_forks_with_ever_new_pids_is_ended(start: Starter) -> None:
    """Each process lives for less time than one read of the table takes."""
    flag = start.folder / "go_on"
    flag.touch()
    try:
        child = start("""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
links = os.open("links", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while os.path.exists("go_on"):
    os.write(links, b".")
    if os.fork():
        os._exit(0)
""")
        links = start.folder / "links"
        wait_for(lambda: links.exists() and links.stat().st_size > 50)
        ended_for_good(start, child, links)
    finally:
        flag.unlink()


@pytest.mark.skipif(not isinstance(TABLES[-1], ProcTable), reason="orphans are adopted on Linux alone")
def test_a_chain_of_forks_in_ever_new_sessions_with_no_mark_is_ended(start: Starter) -> None:
    """Each process is an orphan, identified only by its adoption."""
    flag = start.folder / "go_on"
    flag.touch()
    chain = """
import os
os.closerange(0, 3)
links = os.open("links", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while os.path.exists("go_on"):
    os.write(links, b".")
    if os.fork():
        os._exit(0)
    os.setsid()
"""
    try:
        child = start(f"""
if not os.fork():
    os.setsid()
    os.execve(sys.executable, [sys.executable, "-ISc", {chain!r}], {{}})
sleep()
""")
        links = start.folder / "links"
        wait_for(lambda: links.exists() and links.stat().st_size > 50)
        ended_for_good(start, child, links)
    finally:
        flag.unlink()


def test_another_child_of_this_program_lives_on_and_keeps_its_exit_code(start: Starter) -> None:
    with (
        subprocess.Popen([sys.executable, "-ISc", "input(); raise SystemExit(7)"], stdin=subprocess.PIPE) as living,
        subprocess.Popen([sys.executable, "-ISc", "raise SystemExit(8)"]) as dead,
    ):
        wait_for(lambda: (row := TABLES[-1].row(dead.pid)) is not None and not row.alive, "its end")
        child = start("")
        wait_for(lambda: child.wait(1) == 0)
        assert start.end(child, grace=60).pids == ()
        assert dead.wait(PATIENCE) == 8
        assert living.poll() is None
        living.communicate(b"\n", timeout=PATIENCE)
    assert living.returncode == 7


def test_processes_of_other_runs_with_similar_names_and_other_variables_are_left_alone(
    start: Starter, run_id: str
) -> None:
    others = [
        start("tell('longer')\nsleep()", name="a", mark=run_id + "-2"),
        start("tell('shorter')\nsleep()", name="b", mark=run_id[:-1]),
    ]
    with subprocess.Popen(
        [*python("tell('other_variable')\nsleep()")],
        cwd=start.folder,
        env={"NOT_PURUTO_CRON_RUN_ID": run_id, "NOTE": f"PURUTO_CRON_RUN_ID={run_id}"},
    ) as other:
        try:
            strangers = [told(start.folder, name) for name in ("longer", "shorter", "other_variable")]
            mine = start("tell('mine')\nsleep()", name="c")
            told(start.folder, "mine")
            assert [found.pid for found in processes.find_marked({"PURUTO_CRON_RUN_ID": run_id})] == [mine.identity.pid]
            assert start.end(mine, grace=5).pids == (mine.identity.pid,)
            assert processes.sweep({"PURUTO_CRON_RUN_ID": run_id}, 5, Clock()).pids == ()
            assert alive(strangers) == strangers
            assert processes.is_alive(others[0].identity)
        finally:
            other.kill()


def test_a_run_whose_scheduler_has_died_is_found_and_ended_by_its_marks(start: Starter, run_id: str) -> None:
    # A session of its own, as `processes.start` gives one: where the tests run as guests of a container, their session
    # has its leader outside and reads 0, and a run's process tree never has that.
    starter = subprocess.Popen(
        [sys.executable, "-ISc", TELL + FAMILY],
        cwd=start.folder,
        env={"PURUTO_CRON_RUN_ID": run_id},
        start_new_session=True,
    )
    starter.wait()
    members = [told(start.folder, name) for name in NAMES if name != "bare"]
    bare = told(start.folder, "bare")
    try:
        assert {found.pid for found in processes.find_marked({"PURUTO_CRON_RUN_ID": run_id})} == {
            member.pid for member in members
        }
        processes.sweep({"PURUTO_CRON_RUN_ID": run_id}, 0.2, Clock())
        assert alive(members) == []
        assert processes.find_marked({"PURUTO_CRON_RUN_ID": run_id}) == []
    finally:
        os.kill(bare.pid, signal.SIGKILL)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: type(table).__name__)
def test_a_signal_reaches_only_the_process_with_that_start_time(table: Table, start: Starter) -> None:
    child = start("tell('root')\nsleep()")
    told(start.folder, "root")
    row = table.row(child.identity.pid)
    assert row is not None
    table.send(row._replace(started="1"), signal.SIGKILL)
    assert child.wait(0.2) is None
    table.send(row, signal.SIGKILL)
    wait_for(lambda: child.wait(1) == -signal.SIGKILL)
    table.send(row, signal.SIGKILL)  # a zombie: nothing happens
    child.close()
    table.send(row, signal.SIGKILL)  # gone: nothing happens
    assert table.row(child.identity.pid) is None


@pytest.mark.parametrize("table", TABLES, ids=lambda table: type(table).__name__)
def test_every_table_gives_the_same_row_of_a_process(table: Table, start: Starter) -> None:
    child = start("tell('root')\nsleep()")
    told(start.folder, "root")
    pid = child.identity.pid
    row = table.row(pid)
    assert row is not None
    assert (row.pid, row.ppid, row.session, row.alive) == (pid, os.getpid(), pid, True)
    assert row == table.row(pid)._replace(state=row.state)  # type: ignore[union-attr]
    assert f"PURUTO_CRON_RUN_ID={start.run_id}".encode() in table.environ(pid).split(b"\0")
    assert pid in table.pids()
    assert table.session(pid) == pid
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: (found := table.row(pid)) is not None and found.state == "T")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: (found := table.row(pid)) is not None and not found.alive)


def test_a_name_with_spaces_and_parentheses_does_not_shift_the_fields(start: Starter) -> None:
    child = start("open('/proc/self/comm', 'w').write(') R 1 (x y')\ntell('root')\nsleep()")
    told(start.folder, "root")
    row = process_table.system_table().row(child.identity.pid)
    assert row is not None
    assert (row.name, row.ppid) == (") R 1 (x y", os.getpid())


def test_identity_is_stable_and_ends_with_the_process(start: Starter) -> None:
    child = start("tell('root')\nsys.stdin.read()\nsleep()")
    assert told(start.folder, "root") == child.identity == processes.identify(child.identity.pid)
    start.end(child, grace=0)
    assert not processes.is_alive(child.identity)
    assert processes.identify(child.identity.pid) is not None, "a zombie keeps its pid"
    child.close()
    assert processes.identify(child.identity.pid) is None


def test_a_process_whose_first_thread_ended_is_still_alive(start: Starter) -> None:
    child = start("""
import ctypes, threading
def work():
    while open(f"/proc/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    tell("thread")
    sleep()
threading.Thread(target=work).start()
ctypes.CDLL(None).pthread_exit(None)
""")
    wait_for(lambda: (row := process_table.system_table().row(child.identity.pid)) is not None and row.state == "Z")
    assert processes.is_alive(child.identity)
    assert child.exit_code() is None
    assert child.identity.pid in start.end(child, grace=0).pids
    assert not processes.is_alive(child.identity)


def test_waiting_ends_when_the_process_ends_or_a_stop_is_set(start: Starter) -> None:
    stop = Stop()
    child = start("tell('root')\nsleep()")
    root = told(start.folder, "root")
    with when(lambda: True, lambda: stop.set("Ctrl-C")):
        assert child.wait(600, stop) is None
    assert (stop.is_set(), stop.reason) == (True, "Ctrl-C")
    stop.set("later")
    assert stop.reason == "Ctrl-C"
    assert child.wait(600, stop) is None, "a stop can't be taken back"
    os.kill(root.pid, signal.SIGUSR1)
    wait_for(lambda: child.wait(600) == -signal.SIGUSR1)
    stop.close()


def test_a_stop_wakes_every_wait_for_it() -> None:
    stop = Stop()
    assert stop.wait(0) is False
    assert stop.wait(0.001) is False
    with when(lambda: True, lambda: stop.set("TERM")):
        assert stop.wait(600) is True
    assert stop.wait(600) is True
    stop.close()


def test_a_stop_can_be_set_from_a_signal_handler() -> None:
    stop = Stop()
    old = signal.signal(signal.SIGUSR1, lambda number, _frame: stop.set(signal.Signals(number).name))
    try:
        with when(lambda: True, lambda: os.kill(os.getpid(), signal.SIGUSR1)):
            assert stop.wait(600)
        assert stop.reason == "SIGUSR1"
    finally:
        signal.signal(signal.SIGUSR1, old)
        stop.close()


def test_without_pidfd_waiting_still_works(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", unknown)
    child, members = family(start)
    assert child.wait(0.01) is None
    start.end(child, grace=0.2)
    assert alive(members) == []
    assert child.wait(PATIENCE) in (-signal.SIGTERM, -signal.SIGKILL)


def test_output_files_are_new_and_for_us_alone(start: Starter) -> None:
    child = start("print('out'); print('err', file=sys.stderr)")
    wait_for(lambda: child.wait(1) == 0)
    for name, text in (("out.stdout", "out\n"), ("out.stderr", "err\n")):
        path = start.folder / name
        assert path.read_text() == text
        assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(IpcError, match=r"out\.stdout can't be opened: File exists"):
        start("")
    (start.folder / "b.stdout").symlink_to(start.folder / "elsewhere")
    with pytest.raises(IpcError, match=r"b\.stdout"):
        start("", name="b")
    assert not (start.folder / "elsewhere").exists()


def test_standard_input_is_empty_or_the_file(start: Starter) -> None:
    text = "sys.stdout.write(repr(sys.stdin.read()))"
    (start.folder / "in").write_text("hello")
    for child in (start(text), start(text, stdin=start.folder / "in", name="b")):
        assert child.wait(PATIENCE) == 0
    assert (start.folder / "out.stdout").read_text() == "''"
    assert (start.folder / "b.stdout").read_text() == "'hello'"


def test_a_child_inherits_no_descriptor_and_leads_its_own_session(start: Starter) -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    child = start("print(sorted(os.listdir('/proc/self/fd')), os.getsid(0) == os.getpgid(0) == os.getpid())")
    os.close(descriptor)
    wait_for(lambda: child.wait(1) == 0)
    assert (start.folder / "out.stdout").read_text() == "['0', '1', '2', '3'] True\n"  # 3 is the listing itself


def test_output_that_is_truncated_by_the_child_has_no_hole(start: Starter) -> None:
    child = start("print('x' * 100, flush=True)\nopen('/dev/stdout', 'w').close()\nprint('y', flush=True)")
    wait_for(lambda: child.wait(1) == 0)
    assert (start.folder / "out.stdout").read_bytes() == b"y\n"


def test_a_sweep_with_nothing_to_do_reads_no_more_than_one_file_for_each_process(
    run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ProcTable()
    asked: list[int] = []
    monkeypatch.setattr(table, "row", asked.append)
    processes.sweep({"PURUTO_CRON_RUN_ID": run_id}, 5, Clock(), table=table)
    assert asked == []
