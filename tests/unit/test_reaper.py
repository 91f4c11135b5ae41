"""Running rows whose scheduler may be dead: which are settled, and in which order what is done."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from channels import channels_of
from core.errors import LeaseLost
from core.json_objects import ErrorObject
from core.run import ProcessId, RunStatus, Verdict
from scheduling.reaper import LEASE_SLACK_SEC, Health, Reaped, Reaper, health
from tests.fakes import RunningRow, at
from tests.workspace import PATIENCE, FakeClock

LEASE_SEC = 120
NOW = at("02-25 12:01")
NOT_OVER, OVER, THIS_SECOND = "12:02:00", "12:00:59", "12:01:00"
LATEST = "12:04:00"  # now, a lease, and the slack
ABSURD = "12:04:01"


@pytest.mark.parametrize(
    ("alive", "lease", "ceiling", "expected"),
    [
        pytest.param(True, NOT_OVER, 2000.0, Health.ALIVE, id="alive with a lease"),
        pytest.param(True, OVER, 2000.0, Health.ALIVE, id="alive, its lease is over: it slept with the machine"),
        pytest.param(True, ABSURD, 2000.0, Health.ALIVE, id="alive, its lease absurd: the clock was set back"),
        pytest.param(True, NOT_OVER, 999.9, Health.TOO_OLD, id="alive beyond its ceiling"),
        pytest.param(True, NOT_OVER, 1000.0, Health.TOO_OLD, id="alive at its ceiling"),
        pytest.param(True, OVER, None, Health.ALIVE, id="alive, without a ceiling"),
        pytest.param(False, NOT_OVER, 2000.0, Health.ORPHAN_CANDIDATE, id="gone, its lease is not over"),
        pytest.param(False, NOT_OVER, 1.0, Health.ORPHAN_CANDIDATE, id="gone; its ceiling may be of another boot"),
        pytest.param(False, LATEST, 2000.0, Health.ORPHAN_CANDIDATE, id="gone, its lease as late as one can be"),
        pytest.param(False, ABSURD, 2000.0, Health.DEAD, id="gone, its lease is later than one can be"),
        pytest.param(False, "23:59:59", 2000.0, Health.DEAD, id="gone, its lease dated by a wrong clock"),
        pytest.param(False, THIS_SECOND, 2000.0, Health.DEAD, id="gone, its lease ends now"),
        pytest.param(False, OVER, 2000.0, Health.DEAD, id="gone, its lease is over"),
        pytest.param(False, "", 2000.0, Health.DEAD, id="gone, without a lease"),
        pytest.param(False, ABSURD, None, Health.DEAD, id="gone, absurd, without a ceiling"),
    ],
)
def test_the_health_of_a_running_row(alive: bool, lease: str, ceiling: float | None, expected: Health) -> None:
    row = RunningRow(lease_expires_at=f"2026-02-25T{lease}+00:00" if lease else "", ceiling=ceiling)
    assert LEASE_SLACK_SEC == 60
    assert health(row, NOW, 1000.0, LEASE_SEC, owner_alive=alive) is expected


@dataclass
class Scene:
    """A reaper over fakes. `diary` is the order in which things happened."""

    rows: Sequence[RunningRow]
    alive: frozenset[int] = frozenset()
    taken: frozenset[str] = frozenset()
    leftovers: int = 0
    retried: frozenset[str] = frozenset()
    diary: list[tuple[str, str]] = field(default_factory=list)
    children: list[ProcessId | None] = field(default_factory=list)
    verdicts: dict[str, tuple[str, Verdict, tuple[str, ...]]] = field(default_factory=dict)

    def running(self) -> Sequence[Any]:
        return self.rows

    def finish(self, run_id: str, token: str, verdict: Verdict, channels: tuple[str, ...]) -> None:
        self.diary.append(("finish", run_id))
        if run_id in self.taken:
            raise LeaseLost("settled by another process")
        self.verdicts[run_id] = (token, verdict, channels)

    def end_leftovers(self, run: RunningRow) -> int:
        self.diary.append(("kill", run.run_id))
        self.children.append(run.child)
        return self.leftovers

    def reap(self, now: datetime = NOW) -> Reaped:
        return Reaper(
            ledger=self,
            clock=FakeClock(now),
            is_alive=lambda owner: owner.pid in self.alive,
            end_leftovers=self.end_leftovers,
            last_output=lambda run: {"stderr": "the last line"},
            wants_retry=lambda run: run.run_id in self.retried,
            channels_of=channels_of,
            lease_sec=LEASE_SEC,
        ).reap()


DEAD = RunningRow(lease_expires_at="2026-02-25T12:00:40+00:00")


def test_a_dead_run_is_settled_as_interrupted_with_its_details() -> None:
    scene = Scene([DEAD], leftovers=3)
    settled = scene.reap()
    token, verdict, channels = scene.verdicts[DEAD.run_id]
    error: ErrorObject = {
        "code": "INTERRUPTED",
        "message": "The run report-20260225T120000 was interrupted: its scheduler host:99 is gone",
        "details": {
            "attempt": 2,
            "lease_owner": "host:99",
            "lease_expires_at": "2026-02-25T12:00:40+00:00",
            "child_pid": 100,
            "processes_ended": 3,
            "output_dir": "/runs/report/report-20260225T120000",
            "stderr": "the last line",
            "retry": False,
        },
    }
    assert token == "token-of-theirs"
    assert scene.children == [DEAD.child], "what carries no mark is found below it"
    assert channels == ("local", "telegram")
    assert verdict == Verdict(
        status=RunStatus.INTERRUPTED,
        finished_at=NOW,
        duration_ms=60_000,
        error=error,
        event={"job_id": "report", "run_id": DEAD.run_id, "attempts": 2, "error": error},
        processes_ended=3,
    )
    assert settled == Reaped(({"job_id": "report", "run_id": DEAD.run_id, "error": error},), frozenset())


def test_what_is_left_of_a_run_is_killed_before_its_row_is_written() -> None:
    scene = Scene([DEAD, replace(DEAD, run_id="other", job_id="other")])
    scene.reap()
    for run_id in (DEAD.run_id, "other"):
        assert scene.diary.index(("kill", run_id)) < scene.diary.index(("finish", run_id))


def test_the_processes_of_several_dead_runs_are_ended_at_the_same_time() -> None:
    rows = [replace(DEAD, run_id=f"r{n}", job_id=f"j{n}") for n in range(4)]
    scene = Scene(rows)
    all_there = threading.Barrier(4)
    end = scene.end_leftovers

    def wait_for_the_others(run: RunningRow) -> int:
        all_there.wait(timeout=PATIENCE)
        return end(run)

    scene.end_leftovers = wait_for_the_others  # type: ignore[method-assign]
    assert len(scene.reap().ended) == 4


def test_if_the_processes_of_one_run_can_not_be_killed_the_others_are_settled() -> None:
    scene = Scene([DEAD, replace(DEAD, run_id="other", job_id="other")])
    end = scene.end_leftovers

    def refuse_one(run: RunningRow) -> int:
        if run.run_id == DEAD.run_id:
            raise RuntimeError("no thread left")
        return end(run)

    scene.end_leftovers = refuse_one  # type: ignore[method-assign]
    settled = scene.reap()
    assert [row["run_id"] for row in settled.ended] == ["other"]
    assert settled.orphan_candidates == {DEAD.job_id}


@pytest.mark.parametrize("wanted", [True, False])
def test_an_interrupted_run_is_retried_if_its_job_wants_that(wanted: bool) -> None:
    scene = Scene([DEAD], retried=frozenset([DEAD.run_id] if wanted else []))
    (row,) = scene.reap().ended
    assert row["error"]["details"]["retry"] is wanted
    assert scene.verdicts[DEAD.run_id][1].retry is wanted


def test_a_row_that_another_process_settles_first_is_left_to_it() -> None:
    scene = Scene([DEAD, replace(DEAD, run_id="other", job_id="other")], taken=frozenset([DEAD.run_id]))
    settled = scene.reap()
    assert [done["run_id"] for done in settled.ended] == ["other"]
    assert settled.orphan_candidates == frozenset()


def test_a_run_whose_owner_is_alive_is_left_alone() -> None:
    scene = Scene([DEAD], alive=frozenset([99]))
    assert scene.reap() == Reaped((), frozenset())
    assert scene.diary == []


def test_a_run_whose_owner_is_gone_before_its_lease_expires_is_an_orphan_candidate() -> None:
    scene = Scene([RunningRow(), replace(DEAD, run_id="other", job_id="other")])
    settled = scene.reap()
    assert settled.orphan_candidates == frozenset(["report"])
    assert [done["job_id"] for done in settled.ended] == ["other"]


def test_a_hanging_owner_loses_a_run_that_is_beyond_its_ceiling() -> None:
    row = replace(DEAD, ceiling=1000.0, notify_channel="none")
    scene = Scene([row], alive=frozenset([99]))
    (done,) = scene.reap().ended
    _, verdict, channels = scene.verdicts[row.run_id]
    assert verdict.status is RunStatus.INTERRUPTED
    assert channels == ("local",)
    assert "its scheduler host:99 hangs" in str(done["error"])


def test_a_run_that_started_in_the_future_of_a_wrong_clock_has_no_negative_duration() -> None:
    scene = Scene([replace(DEAD, started_at="2031-01-01T00:00:00+00:00", lease_expires_at="2031-01-01T00:02:00+00:00")])
    scene.reap()
    assert scene.verdicts[DEAD.run_id][1].duration_ms == 0


def test_a_row_without_a_known_owner_child_or_folder_is_settled_too() -> None:
    row = replace(DEAD, owner=ProcessId(0, "", ""), child=None, output_dir="", lease_owner="", lease_expires_at="")
    (done,) = Scene([row]).reap().ended
    details = done["error"]["details"]
    assert (details["child_pid"], details["output_dir"]) == (None, None)


def test_a_row_that_can_not_be_read_does_not_keep_the_others_from_being_settled() -> None:
    scene = Scene([replace(DEAD, started_at="yesterday"), replace(DEAD, run_id="other", job_id="other")])
    assert [done["run_id"] for done in scene.reap().ended] == [DEAD.run_id, "other"]
    assert scene.verdicts[DEAD.run_id][1].duration_ms == 0
