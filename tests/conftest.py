"""Fixtures that several folders of tests use."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import support_faults
from tests.support_path import hide_agents
from tests.workspace import FakeClock, Workspace


def pytest_report_header() -> str:
    """The seed stands at the head of every report, also of a good one."""
    return support_faults.HEADER


# No example has a deadline: on a slow machine each would miss it.
settings.register_profile("puruto-cron", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("puruto-cron")


def pytest_configure() -> None:
    """What the tests start has the default signals, whatever the tests themselves have: nohup ignores HUP, `&` INT.

    What is caught here is no longer ignored in what is started, and still ends nothing here.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    hide_agents()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of tests/faults and tests/acceptance is about processes."""
    for item in items:
        if item.path.parent.name in ("faults", "acceptance"):
            item.add_marker(pytest.mark.process)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`make check` leaves out tests that are marked, so that one that starts processes must be."""
    Workspace.may_start = item.get_closest_marker("process") is not None


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves."""
    return FakeClock()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A copy of the project in a folder of its own; no database, no jobs, no siblings yet."""
    return Workspace(tmp_path)
