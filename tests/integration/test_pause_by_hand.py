"""`pause-job`: what it understands, who shows the pause, and how it ends."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from commands.when import given_end
from core.errors import JobDisabled, UsageError
from tests.support_machine import COUNT, Machine, shell
from tests.workspace import FakeClock, Workspace

#: A Wednesday, 21:30 in Madrid.
NOW = datetime(2026, 2, 25, 20, 30, 5, tzinfo=UTC)


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("2h", "2026-02-25T22:30:05+00:00"),
        ("30m", "2026-02-25T21:00:05+00:00"),
        ("3d", "2026-02-28T20:30:05+00:00"),
        ("1w", "2026-03-04T20:30:05+00:00"),
        ("23:00", "2026-02-25T22:00:00+00:00"),
        ("9:00", "2026-02-26T08:00:00+00:00"),
        ("tomorrow", "2026-02-25T23:00:00+00:00"),
        ("Tomorrow 9:00", "2026-02-26T08:00:00+00:00"),
        ("monday 9:00", "2026-03-02T08:00:00+00:00"),
        ("wed 9:00", "2026-03-04T08:00:00+00:00"),
        ("wednesday 22:00", "2026-02-25T21:00:00+00:00"),
        ("2026-04-01T09:00", "2026-04-01T07:00:00+00:00"),
        ("2026-04-01T09:00:00Z", "2026-04-01T09:00:00+00:00"),
    ],
)
def test_an_end_is_a_span_a_day_or_an_instant_in_the_jobs_zone(text: str, until: str) -> None:
    assert given_end("--until", text, "Europe/Madrid", NOW).isoformat() == until


@pytest.mark.parametrize(
    "text", ["", "soon", "0h", "2y", "monday 25:00", "tomorrow at 9", "mo", "99999999d", "999999w"]
)
def test_an_end_that_is_none_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        given_end("--until", text, "UTC", NOW)
    for word in ("isoformat", "Invalid", "ValueError", "must be in"):
        assert word not in caught.value.message, "those are Python's words"
    assert "2h" in caught.value.hint


def paused(machine: Machine) -> object:
    listed = machine.run("list")[1]["jobs"][0]["paused"]
    assert machine.run("status")[1]["jobs"][0]["paused"] == listed
    return listed


def test_a_pause_until_a_time_is_shown_refuses_run_now_and_ends_by_itself(
    machine: Machine, workspace: Workspace
) -> None:
    machine.ready(shell(COUNT, schedule="0 * * * *"))
    machine.clock.advance(hours=1)
    machine.tick()
    machine.run("pause-job", "job-0", "--until", "2h")
    found = paused(machine)
    assert isinstance(found, dict)
    assert (found["since"], found["reason"]) == (None, "paused_until")
    with pytest.raises(JobDisabled) as caught:
        machine.run("run-now", "job-0")
    assert caught.value.details["paused_until"] == found["until"]
    (run,) = machine.run("history")[1]["runs"]
    assert machine.run("show", run["run_id"])[1]["paused"] == found
    machine.clock.advance(seconds=5)
    assert machine.run("run-now", "job-0", "--force")[0] == 0
    machine.clock.advance(hours=2)
    machine.tick()
    assert paused(machine) is None
    slots = [row["scheduled_for"] for row in workspace.runs() if row["scheduled_for"]]
    assert len(slots) == len(set(slots)) == 2


def test_a_pause_without_an_end_is_shown_as_one_until_it_is_resumed(machine: Machine) -> None:
    machine.ready(shell(COUNT), shell(COUNT, job_id="off", enabled=False))
    machine.run("pause-job", "job-0")
    assert paused(machine) == {"since": machine.clock.now().isoformat(), "until": None, "reason": "pause-job"}
    assert machine.run("list")[1]["jobs"][1]["paused"] is None, "that one is disabled"
    machine.run("rename-job", "job-0", "a-job")
    assert paused(machine) is not None
    machine.run("resume-job", "a-job")
    assert paused(machine) is None
    machine.run("edit-job", "a-job", "--from-json", '{"enabled": false}')
    assert paused(machine) is None, "what was forgotten stays so"


def test_a_pause_in_the_past_is_refused(machine: Machine) -> None:
    machine.ready(shell(COUNT))
    with pytest.raises(UsageError):
        machine.run("pause-job", "job-0", "--until", "2020-01-01T00:00")


HOURLY = "0 * * * *"
#: How a job may have been stopped: the command, and the word with which everything speaks of it.
STOPS = {
    "registered disabled": ((), "disabled"),
    "pause-job": (("pause-job", "job-0"), "paused"),
    "pause-job --until": (("pause-job", "job-0", "--until", "2h"), "paused"),
    "failures": (("run-now", "job-0"), "paused"),
}


@pytest.mark.parametrize(("stop", "word"), STOPS.values(), ids=STOPS)
def test_each_message_about_a_job_that_is_off_says_what_list_says_and_what_ends_that(
    machine: Machine, stop: tuple[str, ...], word: str
) -> None:
    fails = stop[:1] == ("run-now",)
    job = shell("exit 3" if fails else COUNT, schedule=HOURLY, enabled=bool(stop))
    machine.ready({**job, "pause_after_failures": 1} if fails else job)
    if stop:
        machine.run(*stop)
    other = {"paused": "disabled", "disabled": "paused"}[word]
    assert f"1 job: 1 {word}" in machine.printed("list", "--text")[1]
    with pytest.raises(JobDisabled) as caught:
        machine.run("run-now", "job-0")
    assert word in caught.value.message
    assert other not in caught.value.message
    for command in ("python3 main.py resume-job job-0", "python3 main.py run-now job-0 --force"):
        assert command in caught.value.hint
    text = machine.printed("dry-run", "job-0", "--text")[1]
    assert f"It is {word}" in text
    assert other not in text
    assert text.rstrip().endswith("python3 main.py run-now job-0 --force")
    note = machine.run("next", "job-0")[1]["note"]
    assert word in note
    assert other not in note
    changed = machine.printed("edit-job", "job-0", "--note", "Ask Ana", "--text")[1]
    assert other not in changed
    machine.run("resume-job", "job-0")
    if not fails:
        assert machine.run("run-now", "job-0")[0] == 0


def test_a_command_that_has_nothing_to_change_says_so(machine: Machine) -> None:
    machine.ready(shell(COUNT))
    file = machine.workspace.root / ".jobs.json"
    before = file.read_bytes()
    report = machine.run("resume-job", "job-0")[1]
    assert (report["status"], report["changed"]) == ("ok", False)
    assert (
        "job-0 is enabled, and not paused. Nothing was changed." in machine.printed("resume-job", "job-0", "--text")[1]
    )
    assert machine.run("edit-job", "job-0", "--schedule", str(report["entry"]["schedule"]))[1]["changed"] is False
    assert file.read_bytes() == before
    assert machine.run("pause-job", "job-0")[1]["changed"] is True
    since = paused(machine)
    machine.clock.advance(hours=1)
    assert machine.run("pause-job", "job-0")[1]["changed"] is False
    assert paused(machine) == since, "the second time changes nothing"
    assert "is paused already" in machine.printed("pause-job", "job-0", "--text")[1]
    assert machine.run("resume-job", "job-0")[1]["changed"] is True
    assert machine.printed("pause-job", "job-0", "--until", "2h", "--text")[1].startswith("Paused job-0.\n")
    assert machine.run("resume-job", "job-0")[1]["changed"] is True


def test_what_could_not_start_is_not_offered_as_the_next_step(machine: Machine) -> None:
    machine.ready(shell(COUNT, puruto_target="nobody"))
    text = machine.printed("dry-run", "job-0", "--text")[1]
    assert "could not start" in text
    assert "run-now" not in text
