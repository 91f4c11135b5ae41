"""The smallest form of the bench of runs: it counts what was done, and says when something was not."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from bench import stamp
from bench.measure import alternate
from bench.peer import LEFT_OUT, PEERS
from bench.report import shared
from bench.throughput import DueJobs, measure

pytestmark = pytest.mark.process

#: Fails in one of the jobs.
ONE_FAILS = ("sh", "-c", 'test "$PURUTO_CRON_JOB_ID" != run-00002')


def test_the_runs_of_a_tick_are_compared_with_a_bare_loop_and_peers_are_left_out(tmp_path: Path) -> None:
    loop, tick, *peers = measure(tmp_path, 1, 6, peers=False, widths=(4,))
    assert loop.count == tick.count == 6
    assert not loop.fault
    assert not tick.fault
    assert tick.ratio is not None
    assert tick.ratio.rounds.median > 0
    assert [row.name for row in peers] == [peer.name for peer in PEERS]
    assert {row.absent for row in peers} == {LEFT_OUT}


def test_a_tick_with_a_run_that_failed_does_not_count(tmp_path: Path) -> None:
    jobs = DueJobs(tmp_path, 4, ONE_FAILS)
    samples = alternate([jobs.contender("tick", 4), jobs.bare("loop", 4)], 1, warm_up=0)
    row = shared("tick", samples, "loop", goal_least=0.0)
    assert row.fault == "3 of 4 ok, 3 of 4 with output, 3 of 4 told"
    assert row.met is False


@pytest.mark.parametrize(("what", "fault"), [("events", "0 of 3 told"), ("output", "0 of 3 with output")])
def test_a_tick_that_recorded_less_does_not_count(tmp_path: Path, what: str, fault: str) -> None:
    jobs = DueJobs(tmp_path, 3)
    contender = jobs.contender("tick", 4)
    alternate([contender], 1, warm_up=0)
    assert contender.check is not None
    assert contender.check() == ""
    if what == "events":
        (jobs.root / "notifications" / "events.jsonl").unlink()
    else:
        shutil.rmtree(jobs.root / "runs")
    assert contender.check() == fault


def test_each_round_begins_with_the_same_due_jobs(tmp_path: Path) -> None:
    jobs = DueJobs(tmp_path, 3)
    samples = alternate([jobs.contender("tick", 16)], 2, warm_up=0)
    assert samples["tick"].fault == ""
    with closing(sqlite3.connect(jobs.root / "db" / "cron.db")) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (3,)


def test_a_start_is_read_back_with_its_name_and_time(tmp_path: Path) -> None:
    program = stamp.build(tmp_path)
    before = time.time()
    subprocess.run([str(program), str(tmp_path / "stamps"), "first"], check=True)
    subprocess.run([str(program), str(tmp_path / "stamps")], check=True)
    (one, at), (other, later) = stamp.read(tmp_path / "stamps")
    assert (one, other) == ("first", "-")
    assert before <= at <= later <= time.time()
