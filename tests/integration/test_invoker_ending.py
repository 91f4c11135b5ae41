"""Attempts that end otherwise than by themselves: nothing that they started may live on."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from core.errors import LeaseLost
from core.invocation import AttemptOutcome
from core.run import ProcessId
from system import process_tree, processes
from system.processes import Stop
from tests.support_invocation import Place, error_of, invoke_file, python, result_of, told, wait_for, when

FAMILY = """
def child(name, setsid=False, twice=False, ignore=False):
    if os.fork():
        return
    if setsid:
        os.setsid()
    if twice and os.fork():
        os._exit(0)
    if ignore:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell(name)
    sleep()
child("plain")
child("own_session", setsid=True)
child("daemon", setsid=True, twice=True)
child("deaf_daemon", setsid=True, twice=True, ignore=True)
"""
NAMES = ("plain", "own_session", "daemon", "deaf_daemon")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.grace = 0.3
    return place


def there(place: Place, *names: str) -> bool:
    return all((place.target / f"{name}.pid").exists() for name in names)


def assert_nothing_lives(place: Place, *names: str) -> None:
    for name in names:
        assert not processes.is_alive(told(place.target, name)), f"{name} is alive"
    assert processes.find_marked({processes.RUN_ID: place.run_id}) == []


def test_a_timeout_ends_the_whole_tree_and_tells_who_was_alive(place: Place) -> None:
    command = python(FAMILY + "print('half done', file=sys.stderr, flush=True)\ntell('root')\nsleep()")
    with place.expiring(*NAMES, "root"):
        outcome = place.run(command, timeout_sec=300)
    assert_nothing_lives(place, *NAMES, "root")
    code, message, details = error_of(outcome)
    assert code == "TIMEOUT"
    assert "300 s" in message
    assert details["timeout_sec"] == 300
    assert details["alive_count"] == 5
    alive = details["alive"]
    assert isinstance(alive, list)
    assert any(f"({told(place.target, 'deaf_daemon').pid})" in text for text in alive)
    assert details["stderr"] == "half done"
    assert outcome.exit_code in (-signal.SIGTERM, -signal.SIGKILL)
    assert not outcome.stopped
    assert outcome.survivors == ()


def test_a_timeout_is_one_for_invoke_too_whatever_it_answers_at_last(place: Place) -> None:
    invoke_file(
        place.target,
        """
def answer(number, frame):
    print('{"status": "ok", "result": {"a": 1}}', flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, answer)
tell("root")
sleep()
""",
    )
    place.grace = 60
    with place.expiring("root"):
        outcome = place.run(timeout_sec=300)
    assert error_of(outcome)[0] == "TIMEOUT"
    assert outcome.exit_code == 0
    assert (place.run_folder / "attempt-1.stdout").stat().st_size > 0
    assert_nothing_lives(place, "root")


def test_a_stopped_child_is_ended_too(place: Place) -> None:
    with place.expiring("root"):
        outcome = place.run(python("tell('root')\nos.kill(os.getpid(), signal.SIGSTOP)\nsleep()"), timeout_sec=300)
    assert error_of(outcome)[0] == "TIMEOUT"
    assert_nothing_lives(place, "root")


def test_what_a_successful_command_left_running_is_ended(place: Place) -> None:
    command = python(
        FAMILY + f"while not all(os.path.exists(n + '.pid') for n in {NAMES!r}): time.sleep(0.01)\nprint('ok')"
    )
    assert result_of(place.run(command))["stdout"] == "ok\n"
    assert_nothing_lives(place, *NAMES)


def test_a_background_process_that_holds_the_output_open_delays_nobody(place: Place) -> None:
    place.grace = 60
    assert result_of(place.run(("sh", "-c", "sleep 1000 & echo done")))["stdout"] == "done\n"
    assert processes.find_marked({processes.RUN_ID: place.run_id}) == []


def test_a_stop_from_another_thread_ends_the_attempt(place: Place) -> None:
    stop = Stop()
    with when(lambda: there(place, *NAMES, "root"), lambda: stop.set("SIGINT")):
        outcome = place.invoke(place.invocation(python(FAMILY + "tell('root')\nsleep()")), stop=stop, beat_every=1000)
    stop.close()
    assert outcome.stopped
    code, message, details = error_of(outcome)
    assert (code, details["reason"]) == ("CANCELLED", "SIGINT")
    assert "SIGINT" in message
    assert outcome.exit_code in (-signal.SIGTERM, -signal.SIGKILL)
    assert_nothing_lives(place, *NAMES, "root")


def test_a_stop_before_the_start_starts_nothing(place: Place) -> None:
    stop = Stop()
    stop.set("SIGTERM")
    outcome = place.invoke(place.invocation(("touch", "ran")), stop=stop)
    stop.close()
    assert outcome.stopped
    assert outcome.exit_code is None
    assert not (place.target / "ran").exists()


def test_the_child_is_made_known_before_anything_else_happens(place: Place) -> None:
    known: list[ProcessId] = []

    def on_start(child: ProcessId) -> None:
        assert processes.identify(child.pid) == child
        known.append(child)

    result_of(place.invoke(place.invocation(python("tell('root')")), on_start=on_start))
    assert known == [told(place.target, "root")]


def test_a_lost_lease_kills_the_child_without_asking_and_goes_through(place: Place) -> None:
    place.grace = 1000
    lost: list[LeaseLost] = []

    def beat() -> None:
        if there(place, *NAMES, "root") and not lost:
            lost.append(LeaseLost("settled by another"))
            raise lost[0]

    text = "signal.signal(signal.SIGTERM, lambda *_: tell('asked'))\ntell('root')\nsleep()"
    with pytest.raises(LeaseLost) as caught:
        place.invoke(place.invocation(python(FAMILY + text)), beat=beat)
    assert caught.value is lost[0]
    assert not there(place, "asked")
    assert_nothing_lives(place, *NAMES, "root")


def test_a_lease_lost_during_the_grace_kills_what_is_left(place: Place) -> None:
    place.grace = 1000
    stopped = threading.Event()
    stop = Stop()

    def beat() -> None:
        if stopped.is_set():
            raise LeaseLost("settled by another")

    def end() -> None:
        stop.set("SIGTERM")
        stopped.set()

    text = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntell('root')\nsleep()"
    with when(lambda: there(place, "root"), end), pytest.raises(LeaseLost):
        place.invoke(place.invocation(python(text)), stop=stop, beat=beat)
    stop.close()
    assert_nothing_lives(place, "root")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_whatever_on_start_raises_no_child_is_left(place: Place, error: type[BaseException]) -> None:
    def on_start(_child: ProcessId) -> None:
        wait_for(lambda: there(place, "root"))
        raise error

    with pytest.raises(error):
        place.invoke(place.invocation(python("tell('root')\nsleep()")), on_start=on_start)
    assert_nothing_lives(place, "root")


def test_without_memory_for_a_child_that_has_started_none_is_left(place: Place) -> None:
    def on_start(_child: ProcessId) -> None:
        wait_for(lambda: there(place, "root"))
        raise MemoryError

    outcome = place.invoke(place.invocation(python("tell('root')\nsleep()")), on_start=on_start)
    assert outcome.response.error is not None
    assert outcome.response.error.code == "MACHINE_EXHAUSTED"
    assert_nothing_lives(place, "root")


def test_beat_is_called_while_the_child_lives_and_during_the_grace(place: Place) -> None:
    place.grace = 1000
    stop = Stop()
    beats: list[str] = []

    def beat() -> None:
        beats.append("grace" if stop.is_set() else "life")
        # Not before it ignores the signal.
        if beats.count("life") >= 3 and (place.target / "deaf.pid").exists():
            stop.set("SIGTERM")
        if beats.count("grace") == 3:
            (place.target / "enough").touch()

    text = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
tell("deaf")
while not os.path.exists("enough"):
    time.sleep(0.01)
"""
    outcome = place.invoke(place.invocation(python(text)), stop=stop, beat=beat)
    stop.close()
    assert outcome.stopped
    assert outcome.exit_code == 0
    assert beats.count("life") >= 3
    assert beats.count("grace") >= 3


def test_two_attempts_at_once_do_not_end_each_other(place: Place, tmp_path: Path) -> None:
    other_home = tmp_path / "other"
    other_home.mkdir()
    other = Place(other_home)
    outcomes: list[AttemptOutcome] = []
    waiting = python("tell('root')\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('fine')")
    thread = threading.Thread(target=lambda: outcomes.append(other.run(waiting)))
    thread.start()
    root = told(other.target, "root")
    with place.expiring(*NAMES):
        assert error_of(place.run(python(FAMILY + "sleep()"), timeout_sec=300))[0] == "TIMEOUT"
    assert processes.is_alive(root)
    (other.target / "go").touch()
    thread.join()
    assert result_of(outcomes[0])["stdout"] == "fine\n"


def test_no_descriptor_is_lost_over_many_attempts(place: Place) -> None:
    place.run(("true",))
    before = len(os.listdir("/proc/self/fd"))
    for attempt in range(2, 12):
        place.run(("true",) if attempt % 2 else ("no-such-program",), attempt=attempt)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_process_that_can_not_be_ended_is_reported(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a child that became another user: the system refuses the signals."""
    from system import process_table

    table: Any = process_table.system_table()
    send = type(table).send

    def refused(self: Any, row: Any, number: int) -> None:
        if row.pid != told(place.target, "stuck").pid:
            send(self, row, number)

    monkeypatch.setattr(type(table), "send", refused)
    monkeypatch.setattr(process_tree, "_KILL_ROUNDS", 5)
    command = python("""
if not os.fork():
    os.setsid()
    tell("stuck")
    sleep()
while not os.path.exists("stuck.pid"):
    time.sleep(0.01)
sys.exit(1)
""")
    outcome = place.run(command)
    stuck = told(place.target, "stuck")
    try:
        assert processes.is_alive(stuck)
        assert len(outcome.survivors) == 1
        assert f"({stuck.pid})" in outcome.survivors[0]
        assert error_of(outcome)[2]["not_ended"] == list(outcome.survivors)
    finally:
        os.kill(stuck.pid, signal.SIGKILL)


def test_a_run_inside_a_run_ends_with_the_outer_one(place: Place) -> None:
    """An agent that starts another: the inner child has the inner run's mark and a session of its own."""
    inner = python("os.setsid()\ntell('inner')\nsleep()")
    text = f"""
import subprocess
subprocess.Popen({inner!r}, env={{"PURUTO_CRON_RUN_ID": "inner-run"}})
tell("outer")
sleep()
"""
    with place.expiring("inner", "outer"):
        place.run(python(text), timeout_sec=300)
    assert_nothing_lives(place, "inner", "outer")
