"""What clocks, calendars and long waits do to slots. docs/time.md gives the rule for each case, and names its test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from core import crash_points
from scheduler import TickReportObject
from system.processes import Stop
from tests.support_machine import COUNT, Machine, shell, utc
from tests.workspace import FakeClock, Workspace


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


@pytest.fixture
def when() -> Iterator[Callable[[str, Callable[[], object]], None]]:
    """Lets something happen once, in the middle of a run: at a crash point."""

    def arrange(point: str, happens: Callable[[], object]) -> None:
        def hook(name: str) -> None:
            if name == point:
                crash_points.hook = None
                happens()

        crash_points.hook = hook

    yield arrange
    crash_points.hook = None


def other_tick(workspace: Workspace, clock: FakeClock) -> TickReportObject:
    """What a tick of another process does, from a thread of this one: only the main thread may ask for signals."""
    app, stop = Machine(workspace, clock).app(), Stop()
    with app.session() as session:
        session.sync_if_changed(clock.now())
        report = session.scheduler(stop).serve(clock.now()).as_dict()
    stop.close()
    return report


def slots(workspace: Workspace, job_id: str = "job-0") -> list[str]:
    """The slots that started, as the targets wrote them."""
    return [line.split()[1] for line in workspace.starts() if line.startswith(f"{job_id}-")]


def accounted(workspace: Workspace, job_id: str = "job-0") -> int:
    return sum(row["slots"] for row in workspace.runs(job_id))


def at(clock: FakeClock, year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> None:
    """Moves on to an instant."""
    clock.advance(seconds=(utc(year, month, day, hour, minute) - clock.wall).total_seconds())


# --- a clock that jumps ---


@pytest.mark.parametrize("back", [timedelta(minutes=1), timedelta(hours=2), timedelta(days=1)], ids=str)
def test_a_clock_set_back_starts_no_slot_twice_and_loses_none(
    machine: Machine, workspace: Workspace, clock: FakeClock, back: timedelta
) -> None:
    machine.ready(shell(COUNT, schedule="*/30 * * * *"))
    for _ in range(60):
        clock.advance(minutes=30)
        machine.tick()
    before = slots(workspace)
    assert len(before) == len(set(before)) == 60
    clock.advance(seconds=-back.total_seconds())
    end = clock.wall + back
    while clock.wall < end:
        machine.tick()
        clock.advance(minutes=30)
    at(clock, end.year, end.month, end.day, end.hour, end.minute)
    assert slots(workspace) == before
    clock.advance(minutes=30)
    machine.tick()
    assert slots(workspace) == [*before, (datetime.fromisoformat(before[-1]) + timedelta(minutes=30)).isoformat()]
    assert accounted(workspace) == 61


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=365)], ids=str)
def test_a_clock_set_forward_makes_up_for_one_slot_and_set_right_again_goes_on(
    machine: Machine, workspace: Workspace, clock: FakeClock, ahead: timedelta
) -> None:
    machine.ready(shell(COUNT, schedule="*/10 * * * *"))
    clock.advance(minutes=10)
    machine.tick()
    clock.advance(seconds=ahead.total_seconds())
    machine.tick()
    assert len(slots(workspace)) == 2, "one run, whatever the jump"
    assert accounted(workspace) == 1 + ahead // timedelta(minutes=10)
    clock.advance(seconds=-ahead.total_seconds())
    report = machine.tick()
    assert report["clock_anomaly"]["code"] == "CLOCK_SET_BACK"
    assert machine.cursor() == utc(2026, 2, 25, 20, 20)
    for _ in range(3):
        clock.advance(minutes=10)
        machine.tick()
    assert len(slots(workspace)) == len(set(slots(workspace))) == 5, "the slots before the false future run"


def test_a_slot_that_ran_in_a_false_future_does_not_run_again_when_it_comes(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule="0 * * * *"))
    clock.advance(hours=5)
    machine.tick()
    assert slots(workspace) == ["2026-02-26T01:00:00+00:00"]
    clock.advance(hours=-4, minutes=-30)
    for _ in range(6):
        machine.tick()
        clock.advance(hours=1)
    started = slots(workspace)
    assert len(started) == len(set(started))
    assert started.count("2026-02-26T01:00:00+00:00") == 1


def test_a_run_lives_on_while_its_clock_jumps_a_year_ahead(
    machine: Machine, workspace: Workspace, clock: FakeClock, when: Callable[..., None]
) -> None:
    """Its lease is over by then, but its owner is there, and ceilings are no wall time."""
    machine.ready(shell(COUNT, schedule="*/10 * * * *"))
    reports: list[TickReportObject] = []

    def jump() -> None:
        clock.wall += timedelta(days=365)
        reports.append(other_tick(workspace, clock))

    clock.advance(minutes=10)
    when("child.noted", jump)
    (result,) = machine.tick()["results"]
    assert result["status"] == "ok"
    assert reports[0]["settled"] == []


def test_a_machine_that_slept_keeps_its_run_and_runs_one_slot_for_those_it_slept_through(
    machine: Machine, workspace: Workspace, clock: FakeClock, when: Callable[..., None]
) -> None:
    machine.ready(shell(COUNT, schedule="0 * * * *"))
    clock.advance(hours=1)

    def sleep() -> None:
        # The wall clock goes on during a suspend, the monotonic one stands still.
        clock.wall += timedelta(hours=8)

    when("child.noted", sleep)
    assert machine.tick()["results"][0]["status"] == "ok"
    machine.tick()
    assert [row["status"] for row in workspace.runs()] == ["ok", "ok", "missed"]
    assert accounted(workspace) == 9


# --- ticks that are late, long or missing ---


def test_a_tick_that_took_an_hour_leaves_what_came_due_meanwhile_to_the_others(
    machine: Machine, workspace: Workspace, clock: FakeClock, when: Callable[..., None]
) -> None:
    machine.ready(shell(COUNT, schedule="0 * * * *"), shell(COUNT, schedule="*/10 * * * *", job_id="often"))
    clock.advance(hours=1)
    others: list[TickReportObject] = []

    def an_hour_of_other_ticks() -> None:
        for _ in range(6):
            clock.advance(minutes=10)
            others.append(other_tick(workspace, clock))

    machine.environ["PURUTO_CRON_MAX_RUNNING"] = "1"
    when("backoff.begun", an_hour_of_other_ticks)
    workspace.write_jobs(
        shell(COUNT + "; [ $PURUTO_CRON_ATTEMPT = 2 ]", schedule="0 * * * *", max_retries=1, retry_backoff_sec=0),
        shell(COUNT, schedule="*/10 * * * *", job_id="often"),
    )
    machine.tick()
    assert [len(report["results"]) for report in others] == [1, 1, 1, 1, 1, 1]
    machine.tick()
    often = slots(workspace, "often")
    assert len(often) == len(set(often)) == 7
    assert accounted(workspace, "often") == 12, "those before the first tick are missed"
    assert [row["status"] for row in workspace.runs("job-0")] == ["error", "skipped"], (
        "its next slot came before its retry"
    )


def test_the_lateness_of_a_slot_that_waited_for_its_place_is_measured_when_it_is_served(
    machine: Machine, workspace: Workspace, clock: FakeClock, when: Callable[..., None]
) -> None:
    machine.ready(
        shell(COUNT, schedule="0 * * * *"), shell(COUNT, schedule="0 * * * *", job_id="late", max_lateness_sec=600)
    )
    machine.environ["PURUTO_CRON_MAX_RUNNING"] = "1"
    clock.advance(hours=1)
    when("attempt.ended", lambda: clock.advance(minutes=20))
    machine.tick()
    assert [row["status"] for row in workspace.runs("late")] == ["missed"]


def test_three_days_without_ticks_are_one_run_and_one_row_for_the_others(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule="0 * * * *"))
    clock.advance(days=3, minutes=1)
    machine.tick()
    ran, missed = workspace.runs()
    assert (ran["status"], ran["trigger"], ran["scheduled_for"]) == ("ok", "schedule", "2026-02-28T20:00:00+00:00")
    assert (missed["status"], missed["slots"]) == ("missed", 71)


# --- daylight saving, with ticks missing around it ---

CHANGES = [
    # zone, schedule, the last tick before, the first after, slots that start, how many are accounted for
    ("Europe/Madrid", "30 2 * * *", (2026, 3, 28, 12), (2026, 3, 29, 12), ["2026-03-29T01:00:00+00:00"], 1),
    ("Europe/Madrid", "30 2 * * *", (2026, 10, 24, 12), (2026, 10, 25, 12), ["2026-10-25T00:30:00+00:00"], 1),
    ("Europe/Madrid", "*/30 * * * *", (2026, 3, 28, 23), (2026, 3, 29, 22), ["2026-03-29T22:00:00+00:00"], 46),
    ("Europe/Madrid", "*/30 * * * *", (2026, 10, 24, 22), (2026, 10, 25, 23), ["2026-10-25T23:00:00+00:00"], 50),
    ("America/New_York", "0 2 * * *", (2026, 3, 7, 12), (2026, 3, 8, 12), ["2026-03-08T07:00:00+00:00"], 1),
    ("America/New_York", "30 1 * * *", (2026, 10, 31, 12), (2026, 11, 1, 12), ["2026-11-01T05:30:00+00:00"], 1),
    # Half an hour: 02:00 becomes 02:30 on the first Sunday in October, and 02:00 becomes 01:30 in April.
    ("Australia/Lord_Howe", "15 2 * * *", (2026, 10, 3, 12), (2026, 10, 4, 12), ["2026-10-03T15:30:00+00:00"], 1),
    ("Australia/Lord_Howe", "45 1 * * *", (2026, 4, 4, 12), (2026, 4, 5, 12), ["2026-04-04T14:45:00+00:00"], 1),
]


@pytest.mark.parametrize(("zone", "schedule", "before", "after", "started", "count"), CHANGES)
def test_daylight_saving_with_ticks_missing_around_it(
    machine: Machine,
    workspace: Workspace,
    clock: FakeClock,
    zone: str,
    schedule: str,
    before: tuple[int, int, int, int],
    after: tuple[int, int, int, int],
    started: list[str],
    count: int,
) -> None:
    at(clock, *before)
    machine.ready(shell(COUNT, schedule=schedule, timezone=zone))
    machine.tick()
    at(clock, *after)
    machine.tick()
    machine.tick()
    assert slots(workspace) == started
    assert accounted(workspace) == count


@pytest.mark.parametrize(("zone", "schedule", "before", "after", "started", "count"), CHANGES)
def test_daylight_saving_with_a_tick_every_few_minutes_accounts_for_the_same(
    machine: Machine,
    workspace: Workspace,
    clock: FakeClock,
    zone: str,
    schedule: str,
    before: tuple[int, int, int, int],
    after: tuple[int, int, int, int],
    started: list[str],
    count: int,
) -> None:
    at(clock, *before)
    machine.ready(shell(COUNT, schedule=schedule, timezone=zone))
    while clock.wall < datetime(*after, tzinfo=UTC):
        clock.advance(minutes=30)
        machine.tick()
    assert len(slots(workspace)) == len(set(slots(workspace))) == accounted(workspace) == count
    assert slots(workspace)[-1] == started[-1]


# --- what changes while something runs ---


def test_a_job_that_is_edited_while_it_runs_ends_as_it_began(
    machine: Machine, workspace: Workspace, clock: FakeClock, when: Callable[..., None]
) -> None:
    machine.ready(shell(COUNT, schedule="0 * * * *"))

    def edit() -> None:
        workspace.write_jobs(shell("exit 7", schedule="30 * * * *"))
        Machine(workspace, clock).run("sync-jobs")

    clock.advance(hours=1)
    when("child.noted", edit)
    (result,) = machine.tick()["results"]
    assert result["status"] == "ok"
    assert machine.cursor() == utc(2026, 2, 25, 21, 30)
    clock.advance(minutes=30)
    (result,) = machine.tick()["results"]
    assert result["error"]["details"]["exit_code"] == 7


@pytest.mark.parametrize("how", ["removed", "disabled"])
def test_a_job_that_goes_while_it_runs_ends_and_is_told(
    machine: Machine, workspace: Workspace, clock: FakeClock, when: Callable[..., None], how: str
) -> None:
    machine.ready(shell(COUNT, schedule="0 * * * *"))

    def go() -> None:
        workspace.write_jobs(*([] if how == "removed" else [shell(COUNT, schedule="0 * * * *", enabled=False)]))
        Machine(workspace, clock).run("sync-jobs", "--allow-removals")

    clock.advance(hours=1)
    when("child.noted", go)
    assert machine.tick()["results"][0]["status"] == "ok"
    assert [row["status"] for row in workspace.runs()] == ["ok"]
    assert len(workspace.events()) == 1
    clock.advance(hours=1)
    assert machine.tick()["due_jobs"] == []


def test_a_schedule_that_changes_while_its_run_waits_for_a_retry_does_not_start_it_twice(
    machine: Machine, workspace: Workspace, clock: FakeClock, when: Callable[..., None]
) -> None:
    fails_once = COUNT + "; [ $PURUTO_CRON_ATTEMPT = 2 ]"
    machine.ready(shell(fails_once, schedule="0 * * * *", max_retries=1, retry_backoff_sec=0))

    def edit() -> None:
        workspace.write_jobs(shell(COUNT, schedule="*/1 * * * *"))
        clock.advance(seconds=1)
        other_tick(workspace, clock)
        clock.advance(minutes=1)
        assert other_tick(workspace, clock)["results"] == []

    clock.advance(hours=1)
    when("backoff.begun", edit)
    (result,) = machine.tick()["results"]
    assert (result["status"], result["attempt"]) == ("ok", 2)
    assert [row["status"] for row in workspace.runs()] == ["ok", "skipped"]


@pytest.mark.parametrize("how", ["job", "setting"])
def test_a_zone_that_changes_moves_the_next_slot_and_writes_off_the_one_that_was_due(
    machine: Machine, workspace: Workspace, clock: FakeClock, how: str
) -> None:
    machine.ready(shell(COUNT, schedule="0 21 * * *"))
    assert machine.cursor() == utc(2026, 2, 25, 21)
    clock.advance(hours=1, minutes=5)
    if how == "job":
        workspace.write_jobs(shell(COUNT, schedule="0 21 * * *", timezone="America/New_York"))
    else:
        machine.environ["PURUTO_CRON_TIMEZONE"] = "America/New_York"
    machine.run("sync-jobs")
    assert machine.cursor() == utc(2026, 2, 26, 2)
    (row,) = workspace.runs()
    assert (row["status"], row["scheduled_for"]) == ("skipped", "2026-02-25T21:00:00+00:00")
    assert slots(workspace) == []


# --- rare days and far years ---


def test_a_job_of_the_leap_day_runs_every_fourth_year(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.environ["PURUTO_CRON_KEEP_DAYS"] = "36500"
    machine.ready(shell(COUNT, schedule="0 0 29 2 *"))
    assert machine.cursor() == utc(2028, 2, 29)
    at(clock, 2028, 2, 29)
    machine.tick()
    at(clock, 2037, 1, 1)
    machine.tick()
    assert slots(workspace) == ["2028-02-29T00:00:00+00:00", "2036-02-29T00:00:00+00:00"]
    assert accounted(workspace) == 3


def test_the_end_of_32_bit_time_is_a_second_like_any_other(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    at(clock, 2038, 1, 19, 3, 10)
    machine.ready(shell(COUNT, schedule="* * * * *"))
    for _ in range(10):
        clock.advance(minutes=1)
        machine.tick()
    assert len(slots(workspace)) == 10
    assert slots(workspace)[-1] == "2038-01-19T03:20:00+00:00"


def test_the_last_days_of_the_year_9999_run_and_then_nothing_is_left(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    at(clock, 9999, 12, 28, 23, 50)
    machine.ready(shell(COUNT, schedule="* * * * *"), shell(COUNT, schedule="0 0 1 1 *", job_id="yearly"))
    for _ in range(12):
        clock.advance(minutes=1)
        report = machine.tick()
        assert report["problems"] == []
    assert len(slots(workspace)) == 10
    assert slots(workspace)[-1] == "9999-12-29T00:00:00+00:00"
    assert workspace.sql("SELECT DISTINCT next_run_at FROM jobs") == [{"next_run_at": None}]
    assert machine.run("status")[0] == 0
    assert machine.run("list")[0] == 0


@pytest.mark.slow
def test_a_clock_before_1970_does_no_harm(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule="0 * * * *"))
    machine.tick()
    clock.advance(seconds=(utc(1969, 12, 31, 12) - clock.wall).total_seconds())
    report = machine.tick()
    assert (report["problems"], report["clock_anomaly"]["code"]) == ([], "CLOCK_SET_BACK")
    at(clock, 2026, 2, 25, 21)
    machine.tick()
    assert slots(workspace) == ["2026-02-25T21:00:00+00:00"]
