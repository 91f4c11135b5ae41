"""Fixtures that several folders of tests use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import support_faults
from tests.workspace import FakeClock, Workspace


def pytest_report_header() -> str:
    """The seed stands at the head of every report, also of a good one."""
    return support_faults.HEADER


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves."""
    return FakeClock()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A copy of the project in a folder of its own; no database, no jobs, no siblings yet."""
    return Workspace(tmp_path)
