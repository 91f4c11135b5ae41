"""What is said about schedules that can't be kept as written: intervals under a minute, and a doubtful zone."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from app.app import App
from doctor import timing
from doctor.scene import Scene
from schedules.calendar import is_under_a_minute, lone_steps
from tests.support_machine import COUNT, TARGET, Machine, shell
from tests.workspace import FakeClock, Workspace


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT, schedule="@every 10s"), shell(COUNT, schedule="@every 1m"))
    return machine


def told(report: dict[str, Any]) -> list[str]:
    return [warning["message"] for warning in report["warnings"] if warning["code"] == "NEEDS_DAEMON"]


@pytest.mark.parametrize(
    ("schedule", "under"),
    [("@every 10s", True), ("@EVERY  59s", True), ("@every 60s", False), ("@every 1m", False), ("@every 1h1s", False),
     ("* * * * *", False), ("@daily", False), ("@every soon", False)],
)  # fmt: skip
def test_only_an_interval_can_be_under_a_minute(schedule: str, under: bool) -> None:
    assert is_under_a_minute(schedule) is under


def test_each_command_that_shows_the_job_says_so(machine: Machine) -> None:
    (message,) = told(machine.run("sync-jobs")[1])
    assert "job-0" in message
    assert "job-1" not in message
    words = ("--puruto-target", TARGET, "--prompt", "x", "--schedule", "@every 5s")
    assert told(machine.run("register-job", "new", *words, "--dry-run")[1])
    assert told(machine.run("register-job", "new", *words)[1])
    assert told(machine.run("edit-job", "job-1", "--schedule", "@every 30s")[1])
    assert told(machine.run("dry-run", "job-0")[1])
    assert told(machine.run("edit-job", "job-1", "--schedule", "@every 30m", "--dry-run")[1]) == []
    app = machine.app()
    with app.session(read_only=True) as session:
        codes = [finding.code for finding in timing.check(Scene(app, app.settings, session))]
    assert "NEEDS_DAEMON" in codes


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("*/90 * * * *", ["`*/90` means minute 0 alone"]),
        ("0 */24 * * *", ["`*/24` means hour 0 alone"]),
        ("0 0 */31 */13 *", ["`*/31` means day of month 1 alone", "`*/13` means month January alone"]),
        ("0 0 * * */7", ["`*/7` means day of week Sunday alone"]),
        ("0,59/15 9-17/9 * * 6/2", ["`59/15` means minute 59 alone", "`9-17/9` means hour 9 alone",
                                    "`6/2` means day of week Saturday alone"]),
        ("*/30 */12 */15 */6 */6", []), ("@daily", []), ("@every 90m", []), ("5 * * * *", []), ("*/x * * * *", []),
    ],
)  # fmt: skip
def test_a_step_that_leaves_one_value_is_doubtful(schedule: str, words: list[str]) -> None:
    assert lone_steps(schedule) == words


def test_each_command_that_shows_the_job_names_a_doubtful_step(machine: Machine) -> None:
    def doubts(*words: str) -> list[str]:
        report = machine.run(*words)[1]
        return [entry["message"] for entry in report["warnings"] if entry["code"] == "STEP_DOUBTFUL"]

    assert doubts("sync-jobs") == []
    (message,) = doubts("edit-job", "job-1", "--schedule", "*/90 * * * *")
    assert "job-1" in message
    assert doubts("sync-jobs") == doubts("dry-run", "job-1") == [message]
    app = machine.app()
    with app.session(read_only=True) as session:
        codes = [finding.code for finding in timing.check(Scene(app, app.settings, session))]
    assert "STEP_DOUBTFUL" in codes


def test_a_daemon_that_runs_or_is_installed_is_enough(machine: Machine, workspace: Workspace, tmp_path: Path) -> None:
    running = {"running": True, "pid": 1, "host": "h", "since": None}
    with mock.patch.object(App, "daemon_state", return_value=running):
        assert told(machine.run("sync-jobs")[1]) == []
    machine.environ["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    unit = tmp_path / "config" / "systemd" / "user" / "puruto-cron-daemon.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("# puruto-cron: /another/copy\n")
    assert told(machine.run("sync-jobs")[1]), "the unit of another copy"
    unit.write_text(f"# puruto-cron: {workspace.root}\n")
    assert told(machine.run("sync-jobs")[1]) == []


def test_a_doubtful_zone_is_said_by_each_command_that_uses_it(machine: Machine) -> None:
    def doubts(*words: str) -> list[str]:
        report = machine.run(*words)[1]
        return [entry["message"] for entry in report.get("warnings", []) if entry["code"] == "ZONE_DOUBTFUL"]

    commands = [("sync-jobs",), ("status",), ("next",), ("next", "--schedule", "@daily")]
    assert [doubts(*words) for words in commands] == [[], [], [], []]
    machine.environ["TZ"] = "Nonsense/Zone"
    for words in commands:
        (message,) = doubts(*words)
        assert "Nonsense/Zone" in message
    app = machine.app()
    with app.session(read_only=True) as session:
        assert "ZONE_DOUBTFUL" in [finding.code for finding in timing.check(Scene(app, app.settings, session))]
    machine.environ["PURUTO_CRON_TIMEZONE"] = "Europe/Madrid"
    assert doubts("sync-jobs") == []
