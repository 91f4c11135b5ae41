"""What an edit by a command does and says when the words for it are unusual, or wrong."""

from __future__ import annotations

import json

import pytest

from core.errors import CronError
from tests.support_machine import COUNT, Machine, shell
from tests.workspace import FakeClock, Workspace

ZONED = {"schedule": "0 9 * * *", "timezone": "UTC"}


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def entry(machine: Machine) -> dict[str, object]:
    (found,) = json.loads((machine.workspace.root / ".jobs.json").read_text())["jobs"]
    assert isinstance(found, dict)
    return found


def refused(machine: Machine, *words: str) -> tuple[str, str]:
    """The message and the hint of an error."""
    with pytest.raises(CronError) as caught:
        machine.run(*words)
    return caught.value.message, str(caught.value.hint)


def test_a_pause_that_gets_an_end_ends_then(machine: Machine) -> None:
    machine.ready(shell(COUNT, **ZONED))
    machine.run("pause-job", "job-0")
    assert entry(machine)["enabled"] is False
    report = machine.run("pause-job", "job-0", "--until", "2026-03-10T00:00Z")[1]
    assert entry(machine)["enabled"] is True
    assert report["changed"] is True
    assert report["next"]["instants"][0]["utc"] == "2026-03-10T09:00:00+00:00"
    assert report["paused"] == {"since": None, "until": "2026-03-10T00:00:00+00:00", "reason": "paused_until"}


def test_a_job_that_is_disabled_stays_so_after_a_pause_and_that_is_said(machine: Machine) -> None:
    machine.ready(shell(COUNT, **ZONED, enabled=False))
    report = machine.run("pause-job", "job-0", "--until", "2026-03-10T00:00Z")[1]
    assert entry(machine)["enabled"] is False
    assert report["next"]["instants"][0]["utc"] == "2026-03-10T09:00:00+00:00", "none lies in the pause"
    text = machine.printed("pause-job", "job-0", "--until", "2026-03-11T00:00Z", "--text")[1]
    assert "Paused job-0. It is disabled too: after the pause, resume-job enables it." in " ".join(text.split())


def test_a_new_name_that_is_wrong_is_what_the_error_names(machine: Machine) -> None:
    machine.ready(shell(COUNT))
    message, _ = refused(machine, "rename-job", "job-0", "check 2")
    assert message.startswith('The new name is "check 2", but must be letters a-z and A-Z, digits, dots, dashes')


def test_an_empty_value_says_how_to_remove_the_field(machine: Machine) -> None:
    machine.ready(shell(COUNT, note="x"))
    message, hint = refused(machine, "edit-job", "job-0", "--note", "")
    assert (message, hint) == ("--note is empty", "give it a value, or remove it: --unset note")
    machine.run("edit-job", "job-0", "--unset", "note")
    assert "note" not in entry(machine)


def test_words_for_the_end_of_a_pause_are_for_pause_job(machine: Machine) -> None:
    machine.ready(shell(COUNT))
    _, hint = refused(machine, "edit-job", "job-0", "--paused-until", "tomorrow")
    assert hint.endswith("; `python3 main.py pause-job job-0 --until` takes words such as tomorrow")
    machine.run("pause-job", "job-0", "--until", "tomorrow")
    assert str(entry(machine)["paused_until"]).startswith("2026-")
