"""`has_only_own_children` on real processes: False while any descendant of an ended child is alive.

Each scene has a scheduler's process of its own, because a process is a subreaper for good. Whatever stays of a scene
is a `sleep` of a length that nothing else has, with an empty environment and nothing of the run's left open: only
where it came from tells whose it is.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.workspace import PATIENCE, PROJECT

MACHINE = {"x86_64": (56, 60), "aarch64": (220, 93)}
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux alone"),
    pytest.mark.skipif(platform.machine() not in MACHINE, reason="the numbers of two system calls are not known here"),
]

#: What every process of a test may call. `stayers` are the living of all scenes with this length.
COMMON = """
import ctypes, json, os, signal, sys, threading, time
LENGTH = sys.argv[1]
CLONE, EXIT = int(sys.argv[2]), int(sys.argv[3])
SUBREAPER, CLONE_PARENT, NEWPID = 36, 0x8000, 0x20000000
libc = ctypes.CDLL(None, use_errno=True)
STAYS = ["/bin/sleep", LENGTH]

def alive(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] not in "ZX"

def stayers():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", errors="replace") as file:
                if file.read().split(chr(0))[:2] == STAYS and alive(pid):
                    found.append(int(pid))
        except OSError:
            pass
    return found

def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)
"""

#: What a scene is made of.
WORDS = (
    COMMON
    + """
def stay():
    os.setsid() if os.getsid(0) != os.getpid() else None
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.execve(STAYS[0], STAYS, {})

def spawn():
    return os.posix_spawn(STAYS[0], STAYS, {}, setsid=True)

def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid

def sibling(work):
    pid = libc.syscall(CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    assert pid > 0

def subreaper():
    assert libc.prctl(SUBREAPER, 1, 0, 0, 0) == 0

def ready(count):
    wait_for(lambda: len(stayers()) >= count)
"""
)

#: The scheduler: starts a scene, waits for its end, and tells what it found.
DRIVER = (
    COMMON
    + f"""
sys.path.insert(0, {str(PROJECT)!r})
"""
    + """
import warnings
warnings.simplefilter("error")
from system import processes
from pathlib import Path
from system.subreaper import SUBREAPER
from system.process_table import system_table
from system.awaitables import run_blocking

class Clock:
    monotonic = staticmethod(time.monotonic)

TABLE = system_table()
numbers = iter(range(1000))

def start(scene):
    number = next(numbers)
    return processes.start(
        [sys.executable, "-S", "-W", "ignore", "-c", scene, *sys.argv[1:4]], cwd=Path.cwd(), env=dict(os.environ),
        stdin_path=None, stdout_path=Path(f"{number}.out"), stderr_path=Path(f"{number}.err"))

def end(child):
    ended = run_blocking(processes.end_tree(child, {"NEVER": "set"}, 0, Clock()))
    child.close()
    return ended

def play(scene):
    child = start(scene)
    wait_for(lambda: child.exit_code() is not None)
    alone = SUBREAPER.has_only_own_children(TABLE)
    lived = stayers()
    parents = [TABLE.row(pid).ppid == os.getpid() for pid in lived]
    code = child.exit_code()
    ended = end(child)
    print(json.dumps({"code": code, "alone": alone, "lived": len(lived), "ours": sum(parents), "left": stayers(),
                      "found": len(ended.alive), "alone_then": SUBREAPER.has_only_own_children(TABLE),
                      "said": Path("0.err").read_text()}))
"""
)


@pytest.fixture
def length() -> Iterator[str]:
    """A number of seconds that no other `sleep` on this machine has; what is left of it is killed by pid."""
    length = f"100.{os.getpid()}{os.urandom(3).hex().translate({ord(c): str(n) for n, c in enumerate('abcdef')})}"
    yield length
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == f"/bin/sleep\0{length}\0".encode():
                os.kill(int(entry.name), signal.SIGKILL)


def run_blocking(folder: Path, length: str, script: str) -> dict[str, Any]:
    """The output of a scheduler process with that script."""
    numbers = MACHINE[platform.machine()]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER + script, length, *map(str, numbers)],
        cwd=folder, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def play(folder: Path, length: str, scene: str) -> dict[str, Any]:
    return run_blocking(folder, length, f"play({WORDS + scene!r})")


#: Each leaves one process behind, unless its name says two.
SCENES = {
    "a grandchild": "child(lambda: child(stay)); ready(1)",
    "a double fork that left its session": """
def daemon():
    os.setsid()
    child(stay)
os.waitpid(child(daemon), 0)
ready(1)""",
    "a double fork of a parent that ignores its children": """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
child(lambda: child(lambda: child(stay)))
ready(1)""",
    "two: a subreaper that goes on, and what it has adopted": """
def reaper():
    subreaper()
    os.waitpid(child(lambda: child(stay)), 0)
    ready(1)
    stay()
child(reaper)
ready(2)""",
    "what nested subreapers have left that ended from within": """
def inner():
    subreaper()
    os.waitpid(child(lambda: child(stay)), 0)
    ready(1)
def outer():
    subreaper()
    os.waitpid(child(inner), 0)
subreaper()
os.waitpid(child(outer), 0)""",
    "what nested subreapers have left that ended from without": """
def inner():
    subreaper()
    os.waitpid(child(lambda: child(stay)), 0)
    ready(1)
    wait_for(lambda: os.getppid() == OUTERS)
def outer():
    subreaper()
    child(inner)
    ready(1)
OUTERS = os.getpid()
subreaper()
pid = child(outer)
os.waitpid(pid, 0)
os.wait()
ready(1)""",
    "a child by vfork": "spawn(); ready(1)",
    "a child by vfork of a process that is gone": "os.waitpid(child(spawn), 0); ready(1)",
    "a child of a thread": """
thread = threading.Thread(target=spawn)
thread.start()
thread.join()
ready(1)""",
    "a child of a thread that has outlived the first one": """
def work():
    wait_for(lambda: open(f"/proc/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] == "Z")
    time.sleep(0.05)
    os.posix_spawn("/bin/sh", ["sh", "-c", f"/bin/sleep {LENGTH} & exit"], {}, setsid=True)
    ready(1)
    os._exit(0)
threading.Thread(target=work).start()
libc.syscall(EXIT, 0)""",
    "a sibling (CLONE_PARENT)": "sibling(stay); ready(1)",
    "a sibling of a grandchild": "child(lambda: child(lambda: (sibling(stay), ready(1)))); ready(1)",
    "a sibling's sibling, by a subreaper": "subreaper(); sibling(lambda: sibling(stay)); ready(1)",
    "the child of a sibling that is gone": "sibling(lambda: child(stay)); ready(1)",
    "the first process of a namespace": """
if libc.unshare(NEWPID) != 0:
    sys.exit(77)
child(stay)
ready(1)""",
    "two: a process in a namespace and its first, whose parent is gone": """
def first():
    child(lambda: child(stay))
    stay()
def maker():
    if libc.unshare(NEWPID) != 0:
        os._exit(77)
    child(first)
    ready(2)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child(maker), 0)[1]))""",
    "a child of a process that was killed": """
def killed():
    child(stay)
    ready(1)
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child(killed), 0)
os.kill(os.getpid(), signal.SIGKILL)""",
    "a stopped process": """
pid = child(stay)
ready(1)
os.kill(pid, signal.SIGSTOP)""",
}


@pytest.mark.parametrize("name", SCENES)
def test_it_is_false_while_any_descendant_of_the_child_is_alive(tmp_path: Path, length: str, name: str) -> None:
    told = play(tmp_path, length, SCENES[name])
    if told["code"] == 77:
        pytest.skip("only root makes a namespace here")
    assert told["lived"] == (2 if name.startswith("two:") else 1), told
    assert not told["alone"], told
    assert told["ours"] >= 1, "somebody of it is our child, which is how it was seen"
    assert (told["left"], told["alone_then"]) == ([], True), told
    assert told["found"] == told["lived"]


@pytest.mark.parametrize(
    "scene", ["", "os.waitpid(child(lambda: None), 0)", "pid = spawn(); ready(1); os.kill(pid, 9); os.waitpid(pid, 0)"]
)
def test_it_is_true_when_nothing_of_the_child_is_left(tmp_path: Path, length: str, scene: str) -> None:
    told = play(tmp_path, length, scene)
    assert (told["code"], told["lived"], told["alone"]) == (0, 0, True), told


def test_a_chain_of_forks_is_never_missed(tmp_path: Path, length: str) -> None:
    """Each process forks the next one, leaves its session and ends, while a loop searches and reaps."""
    scene = """
def hop(left):
    while left:
        if os.fork():
            os._exit(0)
        os.setsid()
        left -= 1
    open("over", "w").close()
for number in range(2):
    child(lambda: hop(300))
"""
    told = run_blocking(
        tmp_path,
        length,
        f"""
child = start({(WORDS + scene)!r})
wait_for(lambda: child.exit_code() is not None)
SUBREAPER.ending(child.identity)
looks = 0
while not SUBREAPER.has_only_own_children(TABLE):
    looks += 1
    SUBREAPER.orphans(TABLE)
early = not os.path.exists("over")
rows = [TABLE.row(pid) for pid in TABLE.pids()]
mine = [row for row in rows if row and row.ppid == os.getpid() and row.session != os.getsid(0)]
child.close()
print(json.dumps({{"looks": looks, "early": early, "children": len(mine)}}))
""",
    )
    assert told["looks"] > 10, "the chain was there to be seen"
    assert (told["early"], told["children"]) == (False, 1), told


def test_earlier_children_and_other_children_are_not_taken_for_a_runs(tmp_path: Path, length: str) -> None:
    told = run_blocking(
        tmp_path,
        length,
        f"""
import subprocess
before = subprocess.Popen(["/bin/sleep", LENGTH], start_new_session=True)
first = start({WORDS!r})
beside = subprocess.Popen(["/bin/sleep", LENGTH])
other = start({(WORDS + "time.sleep(100)")!r})
wait_for(lambda: first.exit_code() is not None)
alone = SUBREAPER.has_only_own_children(TABLE)
ended = end(first)
kept = len(stayers())
lives = other.exit_code() is None
os.kill(other.identity.pid, 9)
other.wait(120)
end(other)
for process in (before, beside):
    process.kill()
    process.wait()
print(json.dumps({{"alone": alone, "kept": kept, "found": len(ended.alive), "lives": lives}}))
""",
    )
    assert told == {"alone": True, "kept": 2, "found": 0, "lives": True}


def test_one_runs_orphan_lets_others_end_and_is_seen_by_all(tmp_path: Path, length: str) -> None:
    """An orphan stays while a run that may have left it is running; runs that end meanwhile must search."""
    leaves = WORDS + SCENES["a double fork that left its session"] + "\nwait_for(lambda: os.path.exists('go'))"
    told = run_blocking(
        tmp_path,
        length,
        f"""
leaver = start({leaves!r})
wait_for(lambda: len(stayers()) == 1)
other = start({WORDS!r})
wait_for(lambda: other.exit_code() is not None)
alone = SUBREAPER.has_only_own_children(TABLE)
ended = end(other)
kept = len(stayers())
open("go", "w").close()
wait_for(lambda: leaver.exit_code() is not None)
last = end(leaver)
print(json.dumps({{"alone": alone, "kept": kept, "found": len(ended.alive), "last": len(last.alive),
                   "left": stayers(), "then": SUBREAPER.has_only_own_children(TABLE)}}))
""",
    )
    assert told == {"alone": False, "kept": 1, "found": 0, "last": 1, "left": [], "then": True}
