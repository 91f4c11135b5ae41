"""The daemon's timers and its messages to systemd, without a disk and without waiting."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from system.systemd import Systemd
from system.wall_clock_timer import STEP_SEC, KernelTimer, SteppingTimer
from tests.fakes import NOON
from tests.workspace import FakeClock

SECOND = 1_000_000_000


class FakeTimers:
    """A fake kernel timer that records its calls; `set_clock` sets its clock."""

    def __init__(self) -> None:
        self.armed: list[int] = []
        self.was_set = False
        self.reads = 0

    def create(self) -> int:
        return os.open(os.devnull, os.O_RDONLY)

    def arm(self, timer: int, nanoseconds: int) -> None:
        self.armed.append(nanoseconds)
        self._tell()

    def read(self, timer: int) -> bool:
        self.reads += 1
        self._tell()
        return False

    def set_clock(self) -> None:
        self.was_set = True

    def _tell(self) -> None:
        was_set, self.was_set = self.was_set, False
        if was_set:
            raise OSError(errno.ECANCELED, "Operation canceled")


@pytest.fixture
def timers() -> FakeTimers:
    return FakeTimers()


@pytest.fixture
def timer(timers: FakeTimers) -> Iterator[KernelTimer]:
    made = KernelTimer(timers)
    yield made
    made.close()


# --- the kernel's timer ---


def test_an_instant_is_exact_to_the_microsecond(timer: KernelTimer, timers: FakeTimers) -> None:
    timer.set(datetime(2026, 2, 25, 12, 0, 0, 1, tzinfo=UTC))
    assert timers.armed[-1] == 1772020800 * SECOND + 1000
    assert timer.seconds_to_sleep(30) == 30, "the descriptor does the rest"


def test_without_an_instant_it_is_armed_for_the_far_future(timer: KernelTimer, timers: FakeTimers) -> None:
    never = timers.armed[-1]
    assert never > 7000 * 365 * 86400 * SECOND
    timer.set(NOON)
    timer.set(None)
    assert timers.armed[-1] == never


def test_a_clock_that_was_set_is_reported_once(timer: KernelTimer, timers: FakeTimers) -> None:
    timer.set(NOON)
    assert timer.clear() is False
    timers.set_clock()
    assert timer.clear() is True
    assert timer.clear() is False
    assert timers.reads == 3


def test_a_clock_that_is_set_between_poll_and_arming_wakes_at_once(timer: KernelTimer, timers: FakeTimers) -> None:
    timers.set_clock()
    timer.set(NOON)
    assert timers.armed[-1] == 0, "the instant may be one of the old clock"
    assert timer.clear() is True
    assert timer.clear() is False


@pytest.mark.parametrize("call", ["set", "clear"])
def test_another_failure_is_not_taken_for_a_clock_that_was_set(
    timer: KernelTimer, timers: FakeTimers, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> bool:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(timers, "arm" if call == "set" else "read", fails)
    with pytest.raises(OSError, match="Bad file"):
        timer.set(NOON) if call == "set" else timer.clear()


# --- the timer of other systems ---


def test_sleeps_are_short_and_end_on_the_instant() -> None:
    clock = FakeClock(NOON)
    timer = SteppingTimer(clock)
    assert timer.descriptor is None
    assert timer.seconds_to_sleep(30) == STEP_SEC
    assert timer.seconds_to_sleep(0.1) == 0.1
    timer.set(NOON + timedelta(milliseconds=250))
    assert timer.seconds_to_sleep(30) == pytest.approx(0.25)
    clock.advance(seconds=0.25)
    assert timer.seconds_to_sleep(30) == 0
    clock.advance(days=1)
    assert timer.seconds_to_sleep(30) == 0, "never below"
    timer.set(datetime(2999, 1, 1, tzinfo=UTC))
    assert timer.seconds_to_sleep(30) == STEP_SEC
    timer.close()


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1), timedelta(seconds=0.6)])
def test_a_wall_clock_that_differs_from_the_monotonic_one_was_set(jump: timedelta) -> None:
    clock = FakeClock(NOON)
    timer = SteppingTimer(clock)
    clock.advance(seconds=30)
    assert timer.clear() is False
    clock.wall += jump
    assert timer.clear() is True
    assert timer.clear() is False


def test_a_suspend_is_seen_as_a_clock_that_was_set() -> None:
    clock = FakeClock(NOON)
    timer = SteppingTimer(clock)
    # The monotonic clock stands still meanwhile.
    clock.wall += timedelta(hours=8)
    assert timer.clear() is True


def test_a_clock_that_is_slewed_was_not_set() -> None:
    clock = FakeClock(NOON)
    timer = SteppingTimer(clock)
    for _ in range(2000):
        clock.advance(seconds=1)
        clock.wall += timedelta(milliseconds=0.5)
        assert timer.clear() is False


# --- systemd ---


def test_without_systemd_nothing_is_sent() -> None:
    for address in ("", "@", "/", "vsock:2:1", "relative"):
        there = Systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"}, 7)
        assert there.listens is False
        assert there.alive_every_sec is None
        assert [there.ready(), there.reloading(1.0), there.stopping(), there.status("x"), there.alive()] == [False] * 5


@pytest.mark.parametrize(
    ("told", "every"),
    [
        ({"WATCHDOG_USEC": "300000000", "WATCHDOG_PID": "7"}, 150.0),
        ({"WATCHDOG_USEC": "1000000"}, 0.5),
        ({"WATCHDOG_USEC": "300000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "x"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, 499999999999.9999995),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_at_half_its_interval_and_only_if_it_is_ours(
    told: dict[str, str], every: float | None
) -> None:
    assert Systemd({"NOTIFY_SOCKET": "/run/x", **told}, 7).alive_every_sec == every
