"""The daemon, and what may happen to it: killed, without its database, unheard, and with a clock that jumps."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from commands.lines import Lines
from daemon.daemon import Daemon
from daemon.program import Program
from system.processes import Stop
from system.systemd import Systemd
from system.wakeup import Wakeup, notify
from system.wall_clock_timer import SteppingTimer
from tests.faults.test_busy_database import IMPATIENT, write_lock
from tests.support_daemon import NEVER, OFTEN, RunningDaemon, daemon, rows, wait_for_rows, wait_until_told
from tests.support_ledger import PAST, every_end_is_told_once, every_row_has_an_end, no_job_is_stuck, nothing_lives
from tests.support_machine import (
    COUNT,
    GATED,
    Machine,
    fill,
    gated_pid,
    killed,
    prepare,
    release,
    shell,
    small_disk,
    wait_for_run,
)
from tests.workspace import FakeClock, Workspace, ended, is_running, wait_for

#: A poll that failed is repeated at once, and the wait for a lock is short.
HASTY = f"{IMPATIENT}; from daemon import background, daemon; background.RETRY_SEC = daemon.RETRY_SEC = 0.2"


def let_leases_run_out(workspace: Workspace) -> None:
    """As time would."""
    workspace.sql("UPDATE runs SET lease_expires_at = ? WHERE status = 'running'", (PAST,))


def the_ledger_is_whole(workspace: Workspace) -> None:
    """Every run has ended and is reported once; no process is left, and no job is stuck."""
    found = workspace.runs()
    every_row_has_an_end(found)
    every_end_is_told_once(workspace, found)
    nothing_lives(workspace)
    no_job_is_stuck(workspace)


# --- kills ---


def test_runs_of_a_killed_daemon_are_settled_by_the_next_one(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED, job_id="long"), shell(COUNT, job_id="other"))
    with daemon(workspace) as first:
        first.make_due("long", minutes_ago=5)
        pid = gated_pid(workspace, wait_for_run(workspace, "long")["run_id"])
        first.process.kill()
        first.wait()
        with killed(pid), daemon(workspace) as second:
            second.make_due()
            wait_for_rows(workspace, "other", "ok")
            assert rows(workspace, "long") == ["running"], "its lease is not over"
            let_leases_run_out(workspace)
            release(workspace)
            assert second.notify()
            wait_for_rows(workspace, "long", "interrupted", "ok")
            wait_until_told(workspace)
            assert not is_running(pid)
            told = second.wait_for_line(lambda line: line.get("settled"), "what was settled")
            assert [row["error"]["code"] for row in told["settled"]] == ["INTERRUPTED"]
    the_ledger_is_whole(workspace)


def test_runs_of_a_killed_daemon_are_settled_by_a_tick(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED), shell(GATED))
    with daemon(workspace) as first:
        first.make_due()
        wait_for(lambda: len(workspace.starts()) == 2, what="two runs")
        first.process.kill()
        first.wait()
        let_leases_run_out(workspace)
        report = workspace.json("tick")
        assert [row["error"]["code"] for row in report["settled"]] == ["INTERRUPTED"] * 2
        nothing_lives(workspace)
    the_ledger_is_whole(workspace)


def test_a_killed_tick_is_settled_when_its_lease_has_expired_and_delays_no_other_job(workspace: Workspace) -> None:
    """No poll explains it: the daemon sleeps until exactly that time."""
    prepare(workspace, shell(GATED, job_id="long"), shell(COUNT, job_id="other"))
    workspace.make_due("long", minutes_ago=5)
    env = {**NEVER, "PURUTO_CRON_LEASE_SECONDS": "5"}
    with ended(workspace.start("tick", env=env)) as tick:
        pid = gated_pid(workspace, wait_for_run(workspace, "long")["run_id"])
        with killed(pid), daemon(workspace, env) as served:
            tick.kill()
            tick.wait()
            served.make_due()
            wait_for_rows(workspace, "other", "ok")
            release(workspace)
            # Its next slot waits as well, and is not written off as one that came while it ran.
            wait_for_rows(workspace, "long", "interrupted", "ok")
            wait_until_told(workspace)
            assert not is_running(pid)
    the_ledger_is_whole(workspace)


# --- the database ---


def test_a_database_that_is_removed_is_reported_once_and_the_next_one_is_served(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    with daemon(workspace, OFTEN, script=HASTY) as served:
        for path in workspace.database.parent.glob("cron.db*"):
            if "daemon" not in path.name:
                path.unlink()
        wait_for(served.errors, what="an error")
        assert served.notify(), "it listens still"
        workspace.json("init-db")
        served.wait_for_line(lambda line: line.get("recovered"), "its recovery")
        wait_for(lambda: workspace.sql("SELECT 1 FROM jobs"), what="the jobs of the file")
        served.make_due()
        wait_for_rows(workspace, "job-0", "ok")
        served.signal(signal.SIGTERM)
        assert served.wait() == 0
    assert served.errors() == ["DATABASE_REPLACED"]


def test_a_locked_database_is_reported_once_and_due_slots_are_started_afterwards(workspace: Workspace) -> None:
    prepare(workspace, *(shell(COUNT, job_id=f"j{n}") for n in range(5)))
    with daemon(workspace, NEVER, script=HASTY) as served:
        workspace.make_due()
        with write_lock(workspace):
            assert served.notify()
            wait_for(served.errors, what="an error")
            before = served.last_poll()
            wait_for(lambda: served.last_poll() != before, what="another poll")
        wait_for(lambda: rows(workspace) == ["ok"] * 5, what="all runs")
        served.wait_for_line(lambda line: line.get("recovered"), "its recovery")
        assert workspace.sql("SELECT 1 FROM jobs WHERE problem_json IS NOT NULL") == [], "no job is at fault"
    assert served.errors() == ["DATABASE_LOCKED"]


def test_a_verdict_that_a_locked_database_refuses_is_stored_when_it_is_free_again(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED, job_id="long"), shell(COUNT, job_id="other"))
    impatient = f"{HASTY}; import executor; executor.VERDICT_ATTEMPTS = 1; executor.VERDICT_PAUSE_SEC = 0.01"
    with daemon(workspace, NEVER, script=impatient) as served:
        served.make_due("long", minutes_ago=5)
        wait_for_run(workspace, "long")
        with write_lock(workspace):
            release(workspace)
            kept = served.wait_for_line(lambda line: line.get("problems"), "that its end is not stored")
            assert [problem["error"]["code"] for problem in kept["problems"]] == ["VERDICT_NOT_STORED"]
        wait_for_rows(workspace, "long", "ok")
        served.make_due("other")
        served.make_due("long")
        wait_for_rows(workspace, "long", "ok", "ok")
        wait_until_told(workspace)
    the_ledger_is_whole(workspace)


def fill_before_a_slot(workspace: Workspace, served: RunningDaemon, disk: Path) -> Path:
    """Fills the disk while a slot is a few seconds ahead: again with another slot where that took too long."""
    while True:
        runs = len(rows(workspace))
        served.make_due("job-0", at=datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4))
        filler = fill(disk)
        if len(rows(workspace)) == runs:
            return filler
        filler.unlink()
        wait_for(lambda: set(rows(workspace)) <= {"ok"}, what="the end of a run that came too early")


def test_a_full_disk_is_reported_once_and_due_slots_are_started_afterwards(workspace: Workspace) -> None:
    workspace.add_target(invoke=None)
    with small_disk(workspace.root / "db", "2m") as disk:
        workspace.ready(shell(COUNT, schedule="0 0 1 1 *"))
        with daemon(workspace, NEVER, script=HASTY, no_log=True) as served:
            workspace.sql("PRAGMA wal_checkpoint(TRUNCATE)")
            filler = fill_before_a_slot(workspace, served, disk)
            wait_for(served.errors, what="an error")
            before = served.last_poll()
            wait_for(lambda: served.last_poll() != before, what="another poll")
            missed = len(rows(workspace))
            filler.unlink()
            wait_for(lambda: rows(workspace)[missed:] == ["ok"], what="the run of that slot")
            served.wait_for_line(lambda line: line.get("recovered"), "its recovery")
            served.signal(signal.SIGTERM)
            assert served.wait() == 0
    assert served.errors() == ["DATABASE_FULL"]


# --- its output ---


@pytest.mark.parametrize("way", ["closed", "gone", "full", "unread"])
def test_output_that_nobody_reads_does_not_stop_or_delay_it(workspace: Workspace, way: str) -> None:
    prepare(workspace, shell(COUNT + " | head -c 20000 /dev/zero | tr '\\0' x", job_id="loud"), shell(COUNT))
    read, write = os.pipe()
    with open("/dev/full", "wb") as full:
        ways: dict[str, dict[str, Any]] = {
            "closed": {"stdout": None, "preexec_fn": lambda: os.close(1)},
            "gone": {"stdout": write},
            "full": {"stdout": full},
            "unread": {"stdout": write},
        }
        with daemon(workspace, NEVER, ready=False, **ways[way]) as served:
            os.close(write)
            if way != "unread":
                os.close(read)
            for number in range(4):
                wait_for(served.notify, what="a daemon that listens")
                before = len(workspace.runs())
                served.make_due(minutes_ago=9 - number)
                wait_for(lambda before=before: len(workspace.runs()) == before + 2, what="runs")  # type: ignore[misc]
                wait_for(lambda: set(rows(workspace)) == {"ok"}, what="their ends")
            served.signal(signal.SIGTERM)
            assert served.wait() == 0
    if way == "unread":
        os.close(read)


def test_a_line_that_was_cut_ends_before_the_next_one(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        room = disk / "room"
        room.write_bytes(b"x" * 4096)
        filler = fill(disk)
        descriptor = os.open(disk / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            lines = Lines(descriptor)
            room.unlink()
            lines.say({"text": "y" * 6000})
            filler.unlink()
            lines.say({"text": "z"})
            lines.say({"text": "again"})
        finally:
            os.close(descriptor)
        first, *others = (disk / "log").read_text().splitlines()
        assert first.startswith('{"text": "yyy')
        assert others == ['{"text": "z"}', '{"text": "again"}']


# --- the clock ---


class Loop:
    """A daemon in this process. Its clock stands still until the test moves it."""

    def __init__(self, machine: Machine) -> None:
        self.said: list[dict[str, Any]] = []
        self.machine = machine
        self.stop = Stop()
        app = machine.app()
        place = str(app.settings.db_path)
        self.daemon = Daemon(
            Program(app),
            clock=machine.clock,
            stop=self.stop,
            timer=SteppingTimer(machine.clock),
            open_wakeup=lambda: Wakeup(place),
            systemd=Systemd({}, os.getpid()),
            print_line=lambda line: self.said.append(dict(line)),
        )
        self._read, self._write = os.pipe()
        self.daemon.listen(self._read, self._step)
        self._script: Iterator[Callable[[], object]] = iter(())
        self._until: Callable[[], object] = bool
        self._passes = 0

    def _step(self) -> None:
        """Resumes the script when its condition is true; at its end, the daemon is asked to end."""
        self._passes += 1
        if not self._until() and self._passes < 20_000:
            return
        found = next(self._script, None)
        if found is not None and self._passes < 20_000:
            self._until = found
        else:
            os.read(self._read, 1)
            self.daemon.stop_serving("the test")

    def go(self, script: Iterator[Callable[[], object]]) -> None:
        """Runs the daemon with a script that does something, and yields the condition to wait for."""
        self._script, self._until = script, lambda: True
        os.write(self._write, b"!")
        self.daemon.begin()
        self.daemon.run()
        assert [line for line in self.said if line["status"] == "error"] == []
        assert self._passes < 20_000, "the condition of the script did not become true"

    def slots(self, *statuses: str) -> list[str]:
        """The slots of the runs with these statuses, as `HH:MM`."""
        return [row["scheduled_for"][11:16] for row in self.machine.workspace.runs() if row["status"] in statuses]

    def close(self) -> None:
        self.daemon.close()
        self.stop.close()
        os.close(self._read)
        os.close(self._write)


@pytest.fixture
def loop(workspace: Workspace, clock: FakeClock) -> Iterator[Loop]:
    machine = Machine(workspace, clock, PURUTO_CRON_AUTO_SYNC="0")
    machine.ready(shell(COUNT, schedule="* * * * *"))
    made = Loop(machine)
    yield made
    made.close()


def _has(loop: Loop, slot: str) -> bool:
    return slot in loop.slots("ok")


def test_it_serves_each_slot_as_its_clock_comes_to_it(loop: Loop, clock: FakeClock) -> None:
    def script() -> Iterator[Callable[[], object]]:
        for minute in ("20:01", "20:02", "20:03"):
            clock.advance(minutes=1)
            yield partial(_has, loop, minute)

    loop.go(script())
    assert loop.slots("ok") == ["20:01", "20:02", "20:03"]


def test_after_a_suspend_what_was_missed_is_served_as_catch_up_says(loop: Loop, clock: FakeClock) -> None:
    """The wall clock has moved on, the monotonic clock stood still."""

    def script() -> Iterator[Callable[[], object]]:
        clock.wall += timedelta(minutes=30)
        yield lambda: loop.slots("ok") == ["20:30"]
        clock.advance(minutes=1)
        yield lambda: loop.slots("ok") == ["20:30", "20:31"]

    loop.go(script())
    assert sum(row["slots"] for row in loop.machine.workspace.runs()) == 31


def test_a_clock_that_was_wrong_ahead_and_is_set_right_loses_no_slot(loop: Loop, clock: FakeClock) -> None:
    def script() -> Iterator[Callable[[], object]]:
        clock.advance(minutes=1)
        yield lambda: loop.slots("ok") == ["20:01"]
        clock.wall += timedelta(days=30)
        yield lambda: len(loop.slots("ok")) == 2
        clock.wall -= timedelta(days=30)
        yield lambda: any("clock_anomaly" in line for line in loop.said)
        clock.advance(minutes=1)
        yield lambda: "20:02" in loop.slots("ok")

    loop.go(script())
    (anomaly,) = [line["clock_anomaly"] for line in loop.said if "clock_anomaly" in line]
    assert (anomaly["code"], anomaly["corrected_jobs"]) == ("CLOCK_SET_BACK", ["job-0"])


def test_a_clock_that_is_slewed_back_a_little_is_not_wrong(loop: Loop, clock: FakeClock) -> None:
    def script() -> Iterator[Callable[[], object]]:
        clock.advance(minutes=1, milliseconds=600)
        yield lambda: loop.slots("ok") == ["20:01"]
        clock.wall -= timedelta(milliseconds=550)
        left = Path(f"{loop.machine.workspace.database}.last_tick")
        left.unlink()
        assert notify(str(loop.machine.workspace.database))
        yield left.exists
        clock.advance(minutes=1)
        yield lambda: loop.slots("ok") == ["20:01", "20:02"]

    loop.go(script())
    assert [line for line in loop.said if "clock_anomaly" in line] == []
