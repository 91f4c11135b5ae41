"""The daemon's timer, wake-up pipe, lock and messages to systemd, on a real system with real processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import system.wall_clock_timer
from core.errors import DaemonFileUnusable, DaemonRunning
from core.system_clock import SystemClock
from scheduling import cancelling
from system.daemon_lock import DaemonLock, daemon_state, identity_file, lock_file
from system.systemd import Systemd
from system.wakeup import Wakeup, notify, wakeup_file
from system.wall_clock_timer import KernelTimer, SteppingTimer, WallClockTimer, make_timer
from tests.support_machine import COUNT, GATED, Machine, gated_tick, prepare, shell
from tests.workspace import PATIENCE, PROJECT, FakeClock, Workspace

LIMIT_SEC = 20.0
SINCE = datetime(2026, 2, 25, 20, 0, tzinfo=UTC)
NOBODY = {"running": False, "pid": None, "host": None, "since": None}


@pytest.fixture
def db_path(tmp_path: Path) -> str:
    return str(tmp_path / "cron.db")


def readable(descriptor: int | None, seconds: float = 0.0) -> bool:
    """Whether it becomes readable within this time."""
    assert descriptor is not None
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


# --- the timer ---


@pytest.fixture
def timer() -> Iterator[WallClockTimer]:
    made = make_timer(SystemClock())
    yield made
    made.close()


linux = pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux'")


@linux
def test_linux_has_the_kernels_timer(timer: WallClockTimer) -> None:
    assert isinstance(timer, KernelTimer)
    assert os.get_inheritable(timer.descriptor) is False
    assert os.get_blocking(timer.descriptor) is False


@linux
def test_it_wakes_on_the_instant_and_not_before(timer: WallClockTimer) -> None:
    clock = SystemClock()
    instant = clock.now() + timedelta(milliseconds=150)
    timer.set(instant)
    assert readable(timer.descriptor, LIMIT_SEC)
    assert clock.now() >= instant
    assert timer.clear() is False, "the clock was not set"
    assert not readable(timer.descriptor), "and then it is silent"


@linux
@pytest.mark.parametrize("year", [1, 1969, 1970, 2020])
def test_an_instant_that_is_past_wakes_at_once(timer: WallClockTimer, year: int) -> None:
    timer.set(datetime(year, 1, 1, tzinfo=UTC))
    assert readable(timer.descriptor, LIMIT_SEC)
    assert timer.clear() is False


@linux
@pytest.mark.parametrize("instant", [None, datetime(2999, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_a_distant_instant_does_not_wake(timer: WallClockTimer, instant: datetime | None) -> None:
    timer.set(datetime(2020, 1, 1, tzinfo=UTC))
    assert readable(timer.descriptor, LIMIT_SEC)
    timer.set(instant)
    assert not readable(timer.descriptor, 0.05), "a new instant takes the place of the old one"
    assert timer.clear() is False


@linux
def test_an_instant_of_another_zone_is_the_same_instant(timer: WallClockTimer) -> None:
    from zoneinfo import ZoneInfo

    clock = SystemClock()
    timer.set((clock.now() + timedelta(hours=1)).astimezone(ZoneInfo("Pacific/Kiritimati")))
    assert not readable(timer.descriptor)
    timer.set((clock.now() - timedelta(hours=1)).astimezone(ZoneInfo("Pacific/Kiritimati")))
    assert readable(timer.descriptor, LIMIT_SEC)


@linux
def test_the_descriptor_is_closed_once() -> None:
    timer = make_timer(SystemClock())
    descriptor = timer.descriptor
    assert descriptor is not None
    timer.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)
    timer.close()


@linux
def test_what_the_kernel_refuses_is_an_error_with_its_number() -> None:
    from system.timerfd import Timers

    with pytest.raises(OSError, match="Bad file") as caught:
        Timers().arm(-1, 1)
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("why", ["platform", "timers"])
def test_without_such_timers_it_sleeps_in_short_steps(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "platform":
        monkeypatch.setattr(system.wall_clock_timer.sys, "platform", "darwin")  # type: ignore[attr-defined]
    else:
        # Simulates an import that fails.
        monkeypatch.setitem(sys.modules, "system.timerfd", None)
    assert isinstance(make_timer(FakeClock()), SteppingTimer)


# --- the wake-up pipe ---


@pytest.fixture
def wakeup(db_path: str) -> Iterator[Wakeup]:
    made = Wakeup(db_path)
    yield made
    made.close()


def test_several_wakeups_wake_the_daemon_once(wakeup: Wakeup, db_path: str) -> None:
    assert not readable(wakeup.descriptor)
    assert wakeup.clear() is False
    assert [notify(db_path) for _ in range(3)] == [True] * 3
    assert readable(wakeup.descriptor)
    assert wakeup.clear() is True
    assert not readable(wakeup.descriptor), "that a ringer has gone is no ring"
    assert wakeup.clear() is False


def test_a_full_pipe_does_not_block_notify(wakeup: Wakeup, db_path: str) -> None:
    assert wakeup.descriptor is not None
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(wakeup.descriptor, fcntl.F_SETPIPE_SZ, 4096)
        assert all(notify(db_path) for _ in range(5000))
    assert wakeup.clear() is False or not readable(wakeup.descriptor)


def test_without_a_daemon_notify_does_nothing_and_creates_no_file(db_path: str) -> None:
    assert notify(db_path) is False
    assert os.listdir(os.path.dirname(db_path)) == []
    assert notify("/nonexistent/folder/cron.db") is False
    assert notify("/etc/passwd/cron.db") is False


def test_the_pipe_is_its_owners_alone_whatever_the_umask_and_goes_with_the_daemon(db_path: str) -> None:
    for mask in (0o000, 0o777):
        old = os.umask(mask)
        try:
            wakeup = Wakeup(db_path)
        finally:
            os.umask(old)
        found = os.stat(wakeup_file(db_path))
        assert (stat.S_ISFIFO(found.st_mode), stat.S_IMODE(found.st_mode)) == (True, 0o600)
        assert wakeup.descriptor is not None
        assert os.get_inheritable(wakeup.descriptor) is False
        wakeup.close()
        assert not os.path.lexists(wakeup_file(db_path))
        wakeup.close()
        assert (wakeup.clear(), notify(db_path)) == (False, False)


HANG = """
import sys
from system.wakeup import Wakeup
wakeup = Wakeup(sys.argv[1])
print("hung", flush=True)
sys.stdin.read()
"""


def child(program: str, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", program, *words]
    return subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_what_a_killed_daemon_leaves_does_no_harm(db_path: str) -> None:
    with child(HANG, db_path) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"hung\n"
        assert notify(db_path) is True, "another process hears it"
        daemon.kill()
    assert os.path.exists(wakeup_file(db_path))
    assert notify(db_path) is False, "and nobody waits"
    os.chmod(wakeup_file(db_path), 0o666)
    wakeup = Wakeup(db_path)
    assert stat.S_IMODE(os.stat(wakeup_file(db_path)).st_mode) == 0o600
    assert notify(db_path) is True
    assert wakeup.clear() is True
    wakeup.close()


def _file(path: Path) -> None:
    path.write_text("mine")


def _folder(path: Path) -> None:
    path.mkdir()


def _socket(path: Path) -> None:
    # A relative path, because that of a socket has at most 107 bytes.
    with socket.socket(socket.AF_UNIX) as there, contextlib.chdir(path.parent):
        there.bind(path.name)


def _link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


FOREIGN = [_file, _folder, _socket, _link_to_a_pipe, _link_to_nothing]


@pytest.mark.parametrize("put", FOREIGN)
def test_another_file_at_the_pipes_path_is_refused_and_kept(
    db_path: str, put: Callable[[Path], None], tmp_path: Path
) -> None:
    put(Path(wakeup_file(db_path)))
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(DaemonFileUnusable) as caught:
        Wakeup(db_path)
    assert caught.value.details == {"path": wakeup_file(db_path)}
    assert wakeup_file(db_path) in caught.value.message
    assert caught.value.hint
    assert notify(db_path) is False
    assert sorted(os.listdir(tmp_path)) == before
    if put is _file:
        assert Path(wakeup_file(db_path)).read_text() == "mine"


def test_notify_follows_no_link(db_path: str, tmp_path: Path) -> None:
    _link_to_a_pipe(Path(wakeup_file(db_path)))
    reader = os.open(tmp_path / "elsewhere", os.O_RDONLY | os.O_NONBLOCK)
    assert notify(db_path) is False
    assert not readable(reader)
    os.close(reader)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_pipe_of_another_user_is_refused_and_not_kept_open(db_path: str) -> None:
    os.mkfifo(wakeup_file(db_path), 0o666)
    os.chown(wakeup_file(db_path), 12345, 12345)
    with pytest.raises(DaemonFileUnusable, match="another user"):
        Wakeup(db_path)
    assert notify(db_path) is False, "nobody listens"


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DaemonFileUnusable, match="No such file"):
        Wakeup(str(tmp_path / "none" / "cron.db"))


def test_on_a_file_system_without_pipes_there_are_no_wakeups(db_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "mkfifo", refuses)
    wakeup = Wakeup(db_path)
    assert (wakeup.descriptor, wakeup.clear(), wakeup.is_in_place()) == (None, False, True)
    wakeup.close()


def test_a_removed_pipe_is_noticed_and_another_daemons_pipe_is_kept(db_path: str) -> None:
    wakeup = Wakeup(db_path)
    assert wakeup.is_in_place()
    os.unlink(wakeup_file(db_path))
    assert not wakeup.is_in_place()
    other = Wakeup(db_path)
    assert not wakeup.is_in_place()
    wakeup.close()
    assert other.is_in_place()
    assert notify(db_path) is True
    other.close()


def test_a_path_may_be_longer_than_a_sockets(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["f" * 100] * 3)
    folder.mkdir(parents=True)
    wakeup = Wakeup(str(folder / "cron.db"))
    assert notify(str(folder / "cron.db")) is True
    wakeup.close()


def test_notify_imports_nothing_new() -> None:
    code = (
        "import __future__, sys, os, stat, errno, contextlib; before = set(sys.modules)\n"
        "import system.wakeup; system.wakeup.notify('/nonexistent/cron.db')\n"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['system', 'system.wakeup']"


# --- the daemon lock ---


def test_the_daemon_is_identified_while_it_holds_the_lock(db_path: str) -> None:
    assert daemon_state(db_path) == NOBODY
    assert os.listdir(os.path.dirname(db_path)) == [], "a look makes no file"
    with DaemonLock(db_path, SINCE):
        assert daemon_state(db_path) == {
            "running": True,
            "pid": os.getpid(),
            "host": os.uname().nodename,
            "since": "2026-02-25T20:00:00+00:00",
        }
        for path in (lock_file(db_path), identity_file(db_path)):
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert daemon_state(db_path) == NOBODY
    assert os.listdir(os.path.dirname(db_path)) == [os.path.basename(lock_file(db_path))]
    with DaemonLock(db_path, SINCE):
        assert daemon_state(db_path)["running"] is True


HOLD = """
import datetime, sys
from core.errors import CronError
from system.daemon_lock import DaemonLock
try:
    with DaemonLock(sys.argv[1], datetime.datetime(2026, 2, 25, 19, tzinfo=datetime.UTC)):
        print("held", flush=True)
        sys.stdin.read()
except CronError as error:
    print(error.code, flush=True)
"""


@pytest.mark.process
def test_a_second_daemon_learns_which_the_first_is_and_a_killed_one_blocks_none(db_path: str) -> None:
    with child(HOLD, db_path) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(DaemonRunning) as caught, DaemonLock(db_path, SINCE):
            pytest.fail("two daemons")
        error = caught.value
        assert error.as_dict()["code"] == "DAEMON_RUNNING"
        assert error.exit_code == 1
        assert error.details == {
            "database": db_path,
            "pid": first.pid,
            "host": os.uname().nodename,
            "since": "2026-02-25T19:00:00+00:00",
        }
        for part in (db_path, str(first.pid), os.uname().nodename, "2026-02-25T19:00:00+00:00"):
            assert part in error.message
        assert f"kill {first.pid}" in error.hint
        assert daemon_state(db_path)["pid"] == first.pid, "a refused one leaves the other's name"
        first.kill()
    assert Path(identity_file(db_path)).exists()
    assert daemon_state(db_path) == NOBODY, "what a killed one wrote is not believed"
    with DaemonLock(db_path, SINCE):
        assert daemon_state(db_path)["pid"] == os.getpid()


@pytest.mark.process
def test_a_daemon_without_its_identity_file_is_still_found(db_path: str) -> None:
    with child(HOLD, db_path) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        for content in (None, b"", b"[]", b"{", b'{"pid": "x", "host": 1}', b"\xff", b"[" * 4096):
            Path(identity_file(db_path)).unlink(missing_ok=True)
            if content is not None:
                Path(identity_file(db_path)).write_bytes(content)
            assert daemon_state(db_path) == {**NOBODY, "running": True}
        with pytest.raises(DaemonRunning, match=r"already serves .*cron\.db$"), DaemonLock(db_path, SINCE):
            pytest.fail("two daemons")
        assert first.stdin is not None
        first.stdin.close()
        assert first.wait(LIMIT_SEC) == 0


def test_the_same_database_by_a_link_has_the_same_daemon(db_path: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "link.db").symlink_to(db_path)
    with DaemonLock(db_path, SINCE), closing(Wakeup(db_path)):
        assert daemon_state(str(other / "link.db"))["running"] is True
        assert notify(str(other / "link.db")) is True
        with pytest.raises(DaemonRunning), DaemonLock(str(other / "link.db"), SINCE):
            pytest.fail("two daemons")
    assert os.listdir(other) == ["link.db"]


def test_reading_the_state_does_not_keep_a_daemon_from_starting(db_path: str) -> None:
    with DaemonLock(db_path, SINCE):
        pass
    looker = os.open(lock_file(db_path), os.O_RDONLY)
    fcntl.flock(looker, fcntl.LOCK_SH)
    assert daemon_state(db_path) == NOBODY, "one who looks is no daemon to another"
    ended = threading.Timer(0.2, os.close, (looker,))
    ended.start()
    with DaemonLock(db_path, SINCE):
        assert daemon_state(db_path)["running"] is True
    ended.join()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link_to_a_file(path: Path) -> None:
    path.with_name("elsewhere").write_text("mine")
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("put", [_folder, _socket, _pipe, _link_to_a_file, _link_to_nothing])
def test_another_file_at_the_locks_path_is_refused(db_path: str, put: Callable[[Path], None], tmp_path: Path) -> None:
    put(Path(lock_file(db_path)))
    before = sorted(os.listdir(tmp_path))
    assert daemon_state(db_path) == NOBODY
    with pytest.raises(DaemonFileUnusable, match="not a regular file") as caught, DaemonLock(db_path, SINCE):
        pytest.fail("it is locked")
    assert caught.value.details == {"path": lock_file(db_path)}
    assert sorted(os.listdir(tmp_path)) == before
    if put is _link_to_a_file:
        assert (tmp_path / "elsewhere").read_text() == "mine"


def test_a_folder_that_can_not_be_written_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DaemonFileUnusable, match="can't be locked"), DaemonLock("/proc/self/cron.db", SINCE):
        pytest.fail("it is locked")


def test_what_a_killed_daemon_wrote_halfway_is_removed(db_path: str) -> None:
    Path(f"{identity_file(db_path)}.new").write_text("{")
    Path(identity_file(db_path)).write_text('{"pid": 1}')
    with DaemonLock(db_path, SINCE):
        assert daemon_state(db_path)["pid"] == os.getpid()
    assert os.listdir(os.path.dirname(db_path)) == [os.path.basename(lock_file(db_path))]


@pytest.mark.parametrize("name", ["who", "new"])
def test_a_daemon_works_without_its_identity_file(db_path: str, name: str) -> None:
    Path(identity_file(db_path) + (".new" if name == "new" else "")).mkdir()
    with DaemonLock(db_path, SINCE):
        assert daemon_state(db_path) == {**NOBODY, "running": True}


# --- who wakes it ---


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT))
    machine.tick()
    return machine


@pytest.fixture
def heard(machine: Machine) -> Iterator[Callable[[], bool]]:
    """Whether the daemon of the machine's database was woken since the last call."""
    wakeup = Wakeup(str(machine.workspace.database))
    yield wakeup.clear
    wakeup.close()


def test_a_sync_that_changes_something_wakes_the_daemon(machine: Machine, heard: Callable[[], bool]) -> None:
    machine.run("sync-jobs")
    assert not heard()
    machine.workspace.write_jobs(shell(COUNT, schedule="0 5 * * *"))
    machine.run("sync-jobs")
    assert heard()


@pytest.mark.parametrize("words", [("pause-job",), ("edit-job", "--schedule", "0 5 * * *"), ("remove-job",)])
def test_an_edit_wakes_the_daemon(machine: Machine, heard: Callable[[], bool], words: tuple[str, ...]) -> None:
    code, answer = machine.run(words[0], "job-0", *words[1:])
    assert code == 0, answer
    assert heard()


@pytest.mark.process
def test_ticks_and_reading_commands_do_not_wake_the_daemon(machine: Machine, heard: Callable[[], bool]) -> None:
    machine.clock.advance(minutes=1)
    machine.tick()
    machine.workspace.run("tick")
    for words in (["status"], ["list"], ["sync-jobs"], ["prune"]):
        machine.run(*words)
    assert not heard()


@pytest.mark.process
def test_a_tick_that_finds_a_changed_file_wakes_the_daemon(machine: Machine, heard: Callable[[], bool]) -> None:
    machine.workspace.write_jobs(shell(COUNT, schedule="0 5 * * *"))
    machine.workspace.json("tick")
    assert heard(), "a daemon that sleeps is to learn of the new instants"


def test_the_end_of_a_pause_wakes_the_daemon(machine: Machine, heard: Callable[[], bool]) -> None:
    machine.workspace.sql("UPDATE jobs SET paused_at = ?, next_run_at = NULL", ("2026-02-25T20:00:00+00:00",))
    code, answer = machine.run("resume-job", "job-0")
    assert (code, answer["failures_forgotten"]) == (0, True)
    assert heard()
    machine.run("resume-job", "job-0")
    assert not heard(), "nothing was changed"


@pytest.mark.process
@pytest.mark.parametrize("words", [("cancel",), ("unlock", "--yes")], ids=lambda words: words[0])
def test_a_cancel_and_an_unlock_wake_the_daemon(workspace: Workspace, words: tuple[str, ...]) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with closing(Wakeup(str(workspace.database))) as wakeup, gated_tick(workspace) as (process, run):
        assert wakeup.clear() is False
        workspace.json(words[0], run["run_id"] if words[0] == "cancel" else "job-0", *words[1:])
        assert wakeup.clear() is True
        process.communicate(timeout=PATIENCE)


def test_a_cancel_wakes_the_daemon_before_it_waits(machine: Machine, heard: Callable[[], bool]) -> None:
    order: list[str] = []
    ledger: Any = SimpleNamespace(
        find=lambda _: {"status": "running"},
        running=lambda: [] if "ring" in order else pytest.fail("it waits, and the daemon sleeps"),
        request_cancel=lambda *_: order.append("request"),
    )
    unused: Any = None
    made = cancelling.Control(
        ledger, unused, unused, machine.clock, lambda _: None, "me", 1, lambda: order.append("ring")
    )
    made.cancel("run")
    assert order == ["request", "ring"]


# --- systemd ---


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_receives_the_messages(tmp_path: Path, kind: str) -> None:
    if kind == "abstract" and sys.platform != "linux":
        pytest.skip("names without a path are Linux'")
    name = str(tmp_path / "notify") if kind == "path" else f"\0puruto-cron-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(LIMIT_SEC)
        there = Systemd({"NOTIFY_SOCKET": name.replace("\0", "@"), "WATCHDOG_USEC": "2000000"}, os.getpid())
        assert (there.listens, there.alive_every_sec) == (True, 1.0)
        for told, heard in (
            (there.ready(), b"READY=1"),
            (there.ready("3 jobs,\nnext at noon \udcff"), b"READY=1\nSTATUS=3 jobs, next at noon ?"),
            (there.reloading(12.3456789), b"RELOADING=1\nMONOTONIC_USEC=12345678"),
            (there.status("2 runs"), b"STATUS=2 runs"),
            (there.alive(), b"WATCHDOG=1"),
            (there.alive("idle"), b"WATCHDOG=1\nSTATUS=idle"),
            (there.stopping("waits for 1 run"), b"STOPPING=1\nSTATUS=waits for 1 run"),
        ):
            assert told is True
            assert manager.recv(4096) == heard
    assert there.ready() is False, "nobody listens any more"


def test_a_service_manager_that_can_not_be_reached_is_no_error(tmp_path: Path) -> None:
    for address in (str(tmp_path / "none"), "/" + "x" * 300, "@" + "x" * 300, "/\udcff", str(tmp_path)):
        there = Systemd({"NOTIFY_SOCKET": address}, os.getpid())
        assert (there.listens, there.ready(), there.status("")) == (True, False, False)
