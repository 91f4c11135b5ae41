"""The command line: help, versions, refusals, and one JSON object whatever happens."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from commands import cli, listing
from core.version import VERSION
from db import SCHEMA_VERSION
from tests.support_machine import COUNT, Machine, answer_of, prepare, shell
from tests.workspace import PATIENCE, FakeClock, Workspace, ended


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


@pytest.mark.process
def test_the_help_names_every_command_and_the_exit_codes(workspace: Workspace) -> None:
    done = workspace.run("--help")
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert all(f"\n  {name}" in text for name in listing.names())
    assert all(word in text for word in ("Exit codes", "130", "init-db", "JSON"))
    assert workspace.run().stdout == done.stdout, "without a word it helps too"
    version = workspace.run("--version")
    assert (version.returncode, version.stdout.decode()) == (0, f"puruto-cron, version {VERSION}\n")


@pytest.mark.parametrize("name", listing.names())
def test_the_help_of_each_command_is_complete(name: str) -> None:
    done = CliRunner().invoke(cli, [name, "--help"])
    text = done.output
    assert done.exit_code == 0
    assert f"main.py {name}" in text.split("Example", 1)[1], "an example that can be copied"
    purpose = text.split("\n\n")[1]
    assert len(purpose.split()) > 4
    command = cli.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    for option in command.params:
        if option.param_type_name == "option":
            assert getattr(option, "help", None), f"{option.name} has no help"
            assert option.opts[0] in text


@pytest.mark.parametrize("name", sorted(set(listing.names()) - {"init-db"}))
def test_the_help_of_each_command_says_what_it_prints_or_shows(name: str) -> None:
    command = cli.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert any(word in (command.help or "") for word in ("Prints", "Show", "List"))


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("tik",), "tick"),
        (("zzzz",), "--help"),
        (("tick", "--silent"), "--help"),
        (("tick", "now"), "--help"),
        (("run-now",), "--help"),
        (("logs", "--limit", "0"), "--help"),
        (("next", "job-0", "--schedule", "@daily"), "--help"),
        (("next", "--timezone", "UTC"), "--help"),
        (("next", "--schedule", "@daily", "--after", "yesterday"), "2026"),
    ],
    ids=" ".join,
)
def test_bad_usage_exits_2_with_one_json_object(workspace: Workspace, words: tuple[str, ...], hint: str) -> None:
    error = workspace.json(*words, code=2)["error"]
    assert error["code"] == "USAGE"
    assert hint in error["details"]["hint"]


@pytest.mark.process
@pytest.mark.parametrize(
    "words", [("tick",), ("tick", "--quiet"), ("status",), ("list",), ("logs",), ("run-now", "x")], ids=" ".join
)
def test_before_init_db_every_command_says_what_to_do(workspace: Workspace, words: tuple[str, ...]) -> None:
    error = workspace.json(*words, code=2)["error"]
    assert error["code"] == "DATABASE_MISSING"
    assert "init-db" in error["details"]["hint"]
    assert not workspace.database.exists()


@pytest.mark.process
def test_init_db_makes_what_is_needed_and_changes_nothing_the_second_time(workspace: Workspace) -> None:
    first = workspace.json("init-db")
    assert (first["created"], first["database"]) == (True, str(workspace.database))
    assert first["schema_version"] == SCHEMA_VERSION
    assert all(Path(folder).is_dir() for folder in first["folders"])
    assert stat.S_IMODE(workspace.database.stat().st_mode) == 0o600
    workspace.write_jobs(shell(COUNT))
    workspace.json("sync-jobs")
    before = workspace.sql("SELECT * FROM jobs")
    second = workspace.json("init-db")
    assert second == {**first, "created": False}
    assert workspace.sql("SELECT * FROM jobs") == before


def test_sync_jobs_says_what_it_did_and_does_nothing_the_second_time(machine: Machine, workspace: Workspace) -> None:
    machine.run("init-db")
    workspace.write_jobs(shell(COUNT, schedule="0 9 * * 5", timezone="Europe/Madrid"), shell(COUNT))
    code, first = machine.run("sync-jobs")
    assert (code, first["status"], first["synced_jobs"]) == (0, "ok", 2)
    assert (first["added"], first["changed"], first["removed"], first["unchanged"]) == (["job-0", "job-1"], [], [], [])
    assert first["next"]["job-0"]["instants"][0] == {
        "utc": "2026-02-27T08:00:00+00:00",
        "local": "2026-02-27T09:00:00+01:00",
    }
    assert len(first["next"]["job-0"]["instants"]) == 3
    assert [warning["code"] for warning in first["warnings"]] == ["NO_TICK"], "nothing would fire these jobs"
    machine.tick()
    _, second = machine.run("sync-jobs")
    assert (second["added"], second["changed"], second["unchanged"]) == ([], [], ["job-0", "job-1"])
    assert second["warnings"] == []
    workspace.write_jobs(shell(COUNT, schedule="0 10 * * 5", timezone="Europe/Madrid"))
    _, third = machine.run("sync-jobs")
    assert (third["changed"], third["removed"], list(third["next"])) == (["job-0"], ["job-1"], ["job-0"])


def test_list_shows_each_job_in_its_own_zone_with_the_offset(machine: Machine) -> None:
    machine.ready(shell(COUNT, schedule="30 9 * * *", timezone="Asia/Kolkata"))
    machine.run("run-now", "job-0")
    (job,) = machine.run("list")[1]["jobs"]
    assert job["next_run"] == {"utc": "2026-02-26T04:00:00+00:00", "local": "2026-02-26T09:30:00+05:30"}
    assert (job["timezone"], job["problem"], job["last_run"]["status"]) == ("Asia/Kolkata", None, "ok")


def test_next_answers_for_a_schedule_a_job_and_all_jobs(machine: Machine) -> None:
    machine.ready(
        shell(COUNT, schedule="0 9 * * *", timezone="UTC"), shell(COUNT, schedule="0 8 * * *", timezone="UTC")
    )
    words = ("next", "--schedule", "30 2 * * *", "--timezone", "Europe/Madrid", "--after", "2026-03-28T12:00")
    tried = machine.run(*words, "--count", "2")[1]
    assert [instant["local"] for instant in tried["instants"]] == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]
    assert tried["meaning"]
    job = machine.run("next", "job-0", "--count", "1")[1]
    assert (job["job_id"], job["instants"][0]["utc"]) == ("job-0", "2026-02-26T09:00:00+00:00")
    both = machine.run("next", "--count", "3")[1]["instants"]
    assert [instant["job_id"] for instant in both] == ["job-1", "job-0", "job-1"]


def test_next_of_all_jobs_survives_a_bad_one(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT, schedule="0 9 * * *", timezone="UTC"), shell(COUNT))
    workspace.sql(
        "UPDATE jobs SET definition_json = json_set(definition_json, '$.schedule', '99 * * * *') WHERE job_id = 'job-1'"
    )
    instants = machine.run("next", "--count", "1")[1]["instants"]
    assert [instant["job_id"] for instant in instants] == ["job-0"]


@pytest.mark.process
@pytest.mark.parametrize("words", [("tick",), ("status",)], ids=" ".join)
def test_a_closed_pipe_is_no_error(workspace: Workspace, words: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    assert answered_into(workspace, words, write) == (0, b"")


@pytest.mark.process
@pytest.mark.parametrize("words", [("tick",), ("status",)], ids=" ".join)
def test_an_answer_that_a_full_disk_swallows_is_an_error_without_a_traceback(
    workspace: Workspace, words: tuple[str, ...]
) -> None:
    code, err = answered_into(workspace, words, os.open("/dev/full", os.O_WRONLY))
    assert code == 1
    assert err.startswith(b"OUTPUT_UNWRITABLE: ")
    assert b"No space left" in err
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err


def answered_into(workspace: Workspace, words: tuple[str, ...], descriptor: int) -> tuple[int, bytes]:
    """The exit code and stderr of a command whose stdout is this descriptor."""
    prepare(workspace, shell(COUNT))
    for _ in range(2):
        workspace.json("tick")
    with ended(workspace.start(*words, stdout=descriptor)) as process:
        os.close(descriptor)
        _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


@pytest.mark.process
def test_stdout_holds_json_only_and_people_are_told_on_stderr(workspace: Workspace) -> None:
    prepare(workspace, shell("echo noise; echo noise >&2"))
    for words in (("run-now", "job-0"), ("status",), ("list",), ("logs",), ("next",), ("sync-jobs",), ("init-db",)):
        with ended(workspace.start(*words)) as process:
            assert isinstance(answer_of(process), dict)


@pytest.mark.process
def test_the_interpreter_may_be_started_with_its_strictest_options(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    workspace.make_due()
    command = [sys.executable, "-X", "dev", "-b", str(workspace.root / "main.py"), "tick"]
    done = subprocess.run(command, env=workspace.environ, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["results"][0]["status"] == "ok"
