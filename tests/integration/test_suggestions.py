"""Errors about what was given on a command line name the option, and the word that was probably meant."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from commands import cli
from commands.names import with_suggestion
from core.errors import CronError, JobsFileInvalid
from core.suggest import did_you_mean
from tests.support_machine import COUNT, Machine, shell
from tests.workspace import FakeClock, Workspace


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    found = Machine(workspace, clock)
    found.ready(shell(COUNT, job_id="daily-backup"), shell(COUNT, job_id="weekly-report", runner="command"))
    return found


def _refused(machine: Machine, *words: str) -> CronError:
    with pytest.raises(CronError) as caught:
        machine.run(*words)
    return with_suggestion(machine.app(), caught.value)


_NEW = ("register-job", "x", "--puruto-target", "puruto-target", "--schedule", "@daily", "--prompt", "x")


@pytest.mark.parametrize(
    ("words", "start", "field"),
    [
        ((*_NEW, "--puruto-target", "../x"), "--puruto-target is", "puruto_target"),
        ((*_NEW, "--schedule", "61 * * * *"), "--schedule is wrong", "schedule"),
        ((*_NEW, "--timezone", "Nowhere"), "--timezone is wrong", "timezone"),
        ((*_NEW, "--timeout-sec", "0"), "--timeout-sec must be at least 1", "timeout_sec"),
        ((*_NEW, "--prompt", "a\x1bb"), "--prompt contains", "prompt"),
        ((*_NEW, "--env", "1=a"), "--env", "env"),
        ((*_NEW, "--success", '{"stdout_matchs": "x"}'), "--success.stdout_matchs is not a field", "success"),
        ((*_NEW, "--from-json", '{"timeout": 5}'), "--from-json: timeout is not a field", "timeout"),
        (("register-job", "a b", *_NEW[2:]), "JOB_ID is", "job_id"),
        (_NEW[:4], "3 faults; the first: --schedule is missing", "schedule"),
        (("edit-job", "daily-backup", "--max-retries", "101"), "--max-retries must be at most 100", "max_retries"),
        (("edit-job", "weekly-report", "--unset", "command"), "the job's field runner", "runner"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, tuple) else "",
)
def test_an_error_of_an_edit_names_the_option(machine: Machine, words: tuple[str, ...], start: str, field: str) -> None:
    before = (machine.workspace.root / ".jobs.json").read_bytes()
    error = _refused(machine, *words)
    assert isinstance(error, JobsFileInvalid)
    assert error.message.removeprefix("2 faults; the first: ").startswith(start) or field == "schedule"
    assert "jobs[" not in json.dumps(error.as_dict())
    problem: Any = error.details["problems"]
    assert field in [entry["path"].partition(".")[0].partition("[")[0] for entry in problem]
    assert (machine.workspace.root / ".jobs.json").read_bytes() == before


def test_a_file_that_was_broken_before_is_reported_as_the_file(machine: Machine) -> None:
    machine.workspace.write_jobs({"schedule": "5"})
    assert "jobs[0].schedule" in _refused(machine, *_NEW).message


@pytest.mark.parametrize(
    ("option", "value", "meant"),
    [("--notify-channel", "telegrm", "telegram"), ("--runner", "cluade", "claude"), ("--catch-up", "lates", "latest"),
     ("--session-mode", "shared-persistent", "shared_persistent"), ("--permission-mode", "acceptedits", "acceptEdits")],
)  # fmt: skip
def test_an_option_with_choices_names_and_completes_them(machine: Machine, option: str, value: str, meant: str) -> None:
    for command in ("register-job", "edit-job"):
        done = CliRunner().invoke(cli, [command, "x", option, value], obj=machine.app())
        assert done.exit_code == 2
        assert f"Invalid value for '{option}'" in done.output
        assert f"Did you mean {meant}?" in " ".join(done.output.replace("│", " ").split())
        help_text = CliRunner().invoke(cli, [command, "--help"]).output
        assert meant in help_text
        parameter = next(param for param in cli.get_command(None, command).params if option in param.opts)  # type: ignore[union-attr, arg-type]
        assert meant in getattr(parameter.type, "choices", ())


#: What takes the name of a job as its last word.
JOB_WORDS = [
    ("run-now",), ("next",), ("dry-run",), ("history",), ("logs", "--job"), ("timeline", "--job"), ("sessions",),
    ("unlock",), ("pause-job",), ("resume-job",), ("remove-job",), ("sessions", "reset"), ("edit-job", "--note=x"),
]  # fmt: skip


@pytest.mark.parametrize("words", JOB_WORDS, ids=" ".join)
def test_a_job_that_was_probably_meant_is_named(machine: Machine, words: tuple[str, ...]) -> None:
    for word in ("dayly-backup", "DAILY-BACKUP", "daily_backup"):
        error = _refused(machine, *words, word)
        assert error.code == "JOB_NOT_FOUND"
        assert error.hint.startswith("Did you mean daily-backup? "), error.hint
    assert "Did you mean" not in _refused(machine, *words, "zzz").hint


@pytest.mark.parametrize("words", [("show",), ("logs", "--run"), ("cancel",), ("history", "--before")], ids=" ".join)
def test_a_run_that_was_probably_meant_is_named(machine: Machine, words: tuple[str, ...]) -> None:
    run_id = machine.run("run-now", "daily-backup")[1]["run_id"]
    for word in ("daily-backup", run_id[:-2], run_id.replace("backup", "backpu")):
        assert _refused(machine, *words, word).hint.startswith(f"Did you mean {run_id}? ")


def test_a_target_that_was_probably_meant_is_named(machine: Machine) -> None:
    report = machine.run(*_NEW, "--puruto-target", "puruto-tagret", "--dry-run")[1]
    (warning,) = [entry for entry in report["warnings"] if entry["code"] == "TARGET_NOT_FOUND"]
    assert "Did you mean puruto-target?" in warning["message"]


def test_unlike_words_are_not_suggested() -> None:
    assert did_you_mean("x" * 500, ["x" * 500], "See") == "See"
    assert did_you_mean("", ["a"], "See") == "See"
    assert did_you_mean("bakcup", ["backup", "report"]) == "Did you mean backup?"


@pytest.mark.parametrize("words", JOB_WORDS, ids=" ".join)
@pytest.mark.parametrize("by_hand", [False, True], ids=["rename-job", "in the file"])
def test_an_old_name_leads_to_the_new_one(machine: Machine, words: tuple[str, ...], by_hand: bool) -> None:
    if by_hand:
        file = machine.workspace.root / ".jobs.json"
        file.write_text(file.read_text().replace("daily-backup", "saver"))
        machine.run("sync-jobs")
    else:
        machine.run("rename-job", "daily-backup", "backups")
        machine.run("rename-job", "backups", "saver")
    argv = (*words, "daily-backup")
    with pytest.raises(CronError) as caught:
        machine.run(*argv)
    error = with_suggestion(machine.app(), caught.value, argv)
    assert error.code == "JOB_NOT_FOUND"
    assert error.message == "There is no job daily-backup: it is called saver now"
    assert error.hint == f"Run: python3 main.py {' '.join(words)} saver"
    assert error.details["renamed_to"] == "saver"


@pytest.mark.parametrize("words", [("show",), ("logs", "--run"), ("cancel",), ("history", "--before")], ids=" ".join)
def test_the_old_name_of_a_job_leads_to_its_newest_run(machine: Machine, words: tuple[str, ...]) -> None:
    machine.run("run-now", "daily-backup")
    machine.run("rename-job", "daily-backup", "saver")
    machine.clock.advance(minutes=1)
    newest = machine.run("run-now", "saver")[1]["run_id"]
    error = _refused(machine, *words, "daily-backup")
    assert "the old name of the job saver" in error.message
    assert error.hint.startswith(f"Did you mean {newest}? ")


def test_a_name_that_is_used_again_is_no_old_name(machine: Machine) -> None:
    machine.run("rename-job", "daily-backup", "saver")
    machine.run("rename-job", "saver", "daily-backup")
    assert "it is called daily-backup now" in _refused(machine, "run-now", "saver").message
    assert machine.run("run-now", "daily-backup")[0] == 0
    machine.run("register-job", "saver", *_NEW[2:])
    assert machine.run("history", "saver")[1]["runs"] == []
    machine.run("remove-job", "saver")
    assert machine.run("history", "saver")[1]["runs"] == []
    assert "called" not in _refused(machine, "next", "saver").message


@pytest.mark.parametrize("words", [("run-now",), ("next",), ("dry-run",), ("edit-job", "--note=x")], ids=" ".join)
def test_a_job_that_was_removed_is_called_so(machine: Machine, words: tuple[str, ...]) -> None:
    machine.run("run-now", "daily-backup")
    machine.run("remove-job", "daily-backup")
    error = _refused(machine, *words, "daily-backup")
    assert error.message == "There is no job daily-backup any more: it was removed from .jobs.json"
    assert error.hint.endswith("python3 main.py history daily-backup")


@pytest.mark.process
@pytest.mark.parametrize("words", [["list"], ["edit-job", "x"], ["sessions"], ["simulate"]], ids=" ".join)
def test_the_hint_of_an_unknown_option_can_be_pasted(workspace: Workspace, words: list[str]) -> None:
    error = workspace.json(*words, "--nope", code=2)["error"]
    assert error["details"]["hint"].endswith(f"python3 main.py {words[0]} --help")
    assert error["details"]["hint"].count("python3") == 1
