from __future__ import annotations

import math
import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import LeaseLost
from core.invocation import Invocation
from invocation import child_environment as child_environment_parts
from invocation.child_environment import child_environment
from invocation.supervision import Supervision
from system.awaitables import run_blocking
from tests.support_invocation import request

REQUEST_FILE = Path("/runs/j/r/attempt-2.request.json")
OURS = {
    "PURUTO_CRON_RUN_ID": "j-20260225T200000",
    "PURUTO_CRON_RUN_FOLDER": "/runs/j/r",
    "PURUTO_CRON_SLOT": "2026-02-25T20:00:00+00:00",
    "PURUTO_CRON_ATTEMPT": "2",
    "PURUTO_CRON_REQUEST_ID": "req-1",
    "PURUTO_CRON_CORRELATION_ID": "corr-1",
    "PURUTO_CRON_HOP": "1",
    "PURUTO_CRON_REQUEST_FILE": str(REQUEST_FILE),
    "PURUTO_CRON_JOB_ID": "j",
}
BASE = {
    "HOME": "/h",
    "USER": "u",
    "LOGNAME": "l",
    "SHELL": "/s",
    "PATH": "/p",
    "LANG": "es_ES.UTF-8",
    "TZ": "",
    "TMPDIR": "/t",
}


def invocation(**changes: Any) -> Invocation:
    plain = Invocation(
        request(hop=1),
        attempt=2,
        run_folder="/runs/j/r",
        run_id="j-20260225T200000",
        scheduled_for="2026-02-25T20:00:00+00:00",
        job_id="j",
    )
    return replace(plain, **changes)


def environment(variables: dict[str, str], **changes: Any) -> dict[str, str]:
    return child_environment(variables, invocation(**changes), REQUEST_FILE, {})


def test_a_child_sees_the_eight_inherited_variables_and_ours_and_nothing_else() -> None:
    assert environment({**BASE, "AWS_SECRET": "s", "EDITOR": "vi", "PURUTO_CRON_LEASE_SECONDS": "9"}) == BASE | OURS


def test_what_systemd_tells_the_daemon_does_not_reach_a_child() -> None:
    told = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "INVOCATION_ID": "x"}
    assert environment({**BASE, **told}) == BASE | OURS


@pytest.fixture(autouse=True)
def _no_account_is_known() -> Iterator[None]:
    """The account is asked for once in a process."""
    child_environment_parts._account.cache_clear()
    yield
    child_environment_parts._account.cache_clear()


def test_what_cron_leaves_out_comes_from_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    account = SimpleNamespace(pw_name="ana", pw_dir="/home/ana", pw_shell="/bin/zsh")
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: account)
    filled = {
        "HOME": "/home/ana",
        "USER": "ana",
        "LOGNAME": "ana",
        "SHELL": "/bin/zsh",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    assert environment({}) == filled | OURS
    assert environment(dict.fromkeys(filled, "")) == filled | OURS


def test_an_unknown_account_still_has_a_home_a_shell_and_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_uid: int) -> object:
        raise KeyError("uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    found = environment({"USER": "u"})
    assert found["HOME"] == "/"
    assert found["SHELL"] == "/bin/sh"
    assert found["USER"] == "u"
    assert "LOGNAME" not in found


def test_the_jobs_env_is_laid_over_and_allowed_variables_over_that_as_far_as_they_are_set() -> None:
    variables = {**BASE, "TOKEN": "secret", "MODE": "ours"}
    found = environment(
        variables, env={"MODE": "job", "PLAIN": "1", "HOME": "/elsewhere"}, allow_env=("TOKEN", "MODE", "MISSING")
    )
    assert found == BASE | {"HOME": "/elsewhere", "PLAIN": "1", "TOKEN": "secret", "MODE": "ours"} | OURS


def test_no_job_can_set_a_name_of_ours() -> None:
    fake = {"PURUTO_CRON_RUN_ID": "other", "PURUTO_CRON_HOP": "0", "PURUTO_CRON_NEW": "x"}
    assert environment(BASE, env=fake) == BASE | OURS
    assert environment({**BASE, **fake}, allow_env=tuple(fake)) == BASE | OURS


def test_without_a_job_there_is_no_job_id_and_without_a_slot_it_is_empty() -> None:
    found = environment(BASE, job_id="", scheduled_for="")
    assert "PURUTO_CRON_JOB_ID" not in found
    assert found["PURUTO_CRON_SLOT"] == ""


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def monotonic(self) -> float:
        return self.time

    def now(self) -> Any:
        raise AssertionError("wall time is of no matter here")


class FakeChild:
    """Takes waits as they are asked for; ends after `lives` seconds."""

    def __init__(self, clock: FakeClock, lives: float) -> None:
        self.clock, self.end, self.waits = clock, clock.time + lives, 0

    async def ended(self, timeout: float, _stop: object) -> int | None:
        self.waits += 1
        self.clock.time = min(self.end, self.clock.time + timeout)
        return 7 if self.clock.time >= self.end else None


class NoStop:
    def is_set(self) -> bool:
        return False


def watch(
    lives: float, timeout: float, every: float, beat: Callable[[FakeClock], None]
) -> tuple[int | None, FakeChild]:
    clock = FakeClock()
    child: Any = FakeChild(clock, lives)
    no_stop: Any = NoStop()
    supervision = Supervision(clock, no_stop, beat=lambda: beat(clock), beat_every_sec=every, grace_sec=1, marks={})
    return run_blocking(supervision.watch(child, timeout)), child


def test_beat_is_called_once_each_interval_while_the_child_lives() -> None:
    beats: list[float] = []
    code, _ = watch(lives=125, timeout=600, every=40, beat=lambda clock: beats.append(clock.time - 1000))
    assert code == 7
    assert beats == [40, 80, 120]


def test_a_late_beat_delays_the_next_one_and_is_not_repeated() -> None:
    beats: list[float] = []

    def slow(clock: FakeClock) -> None:
        beats.append(clock.time - 1000)
        clock.time += 100

    watch(lives=300, timeout=600, every=40, beat=slow)
    assert beats == [40, 180]


def test_a_child_that_outlives_its_timeout_is_given_up_at_that_instant() -> None:
    code, child = watch(lives=1000, timeout=90, every=40, beat=lambda _clock: None)
    assert code is None
    assert child.clock.time == 1090


def test_a_child_that_ends_at_the_very_instant_of_its_timeout_has_ended() -> None:
    assert watch(lives=90, timeout=90, every=math.inf, beat=lambda _clock: None)[0] == 7


def test_waiting_takes_one_call_when_there_is_nothing_to_beat() -> None:
    assert watch(lives=50, timeout=90, every=math.inf, beat=lambda _clock: None)[1].waits == 1


def test_a_lost_lease_ends_the_waiting() -> None:
    def lost(_clock: FakeClock) -> None:
        raise LeaseLost("settled by another")

    with pytest.raises(LeaseLost):
        watch(lives=1000, timeout=900, every=40, beat=lost)


def test_the_real_account_is_readable_here() -> None:
    assert child_environment_parts._account()["HOME"] == pwd.getpwuid(os.getuid()).pw_dir
