"""`doctor` on a real installation: real files, a real crontab program, and what is wrong with each."""

from __future__ import annotations

import json
import os
import pty
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import db
from core.invocation_errors import IpcError
from core.permissions import name_of
from doctor import database, interpreter, places, rights
from doctor.findings import Finding
from doctor.programs import ask
from doctor.scene import Scene
from install import units
from system.daemon_lock import DaemonLock
from system.start_errors import find_obstacle
from tests.support_app import as_nobody, public_folder
from tests.support_machine import COUNT, GATED, Machine, prepare, release, shell, wait_for_run
from tests.workspace import PATIENCE, PROJECT, PYTHON_WORD, FakeClock, Workspace, ended

Found = dict[str, list[dict[str, Any]]]


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    """A sound installation but for its crontab, on a clock of the test's own."""
    shutil.copy2(PROJECT / "pyproject.toml", workspace.root)
    machine = Machine(workspace, clock, PATH=f"{workspace.home}/bin:/usr/bin:/bin")
    write_crontab(workspace, f"* * * * * {PYTHON_WORD} {workspace.root}/main.py tick --quiet")
    machine.ready(shell(COUNT))
    machine.tick()
    return machine


def write_crontab(workspace: Workspace, text: str) -> None:
    """A program `crontab` on the PATH, which prints this."""
    folder = workspace.home / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "crontab.txt").write_text(text + "\n", encoding="utf-8")
    program = folder / "crontab"
    program.write_text(f'#!/bin/sh\n[ "$1" = -l ] && exec cat {folder}/crontab.txt\n', encoding="utf-8")
    program.chmod(0o755)


def by_code(report: Mapping[str, Any]) -> Found:
    """What is not fine, by its code. On which kind of disk the tests run is no matter here."""
    found: Found = {}
    for finding in report["findings"]:
        if finding["severity"] != "ok" and finding["code"] != "NETWORK_FILE_SYSTEM":
            found.setdefault(finding["code"], []).append(finding)
    return found


def examine(machine: Machine, *, code: int | None = None) -> Found:
    """Runs `doctor --json` in this process. By default its exit code must fit its findings."""
    done, report = machine.run("doctor", "--json")
    errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
    assert (done, report["status"]) == ((1, "error") if errors else (0, "ok"))
    assert code in (None, done)
    assert report["counts"]["error"] == len(errors)
    return by_code(report)


def one(found: Found, code: str, severity: str) -> dict[str, Any]:
    """The only finding of a code."""
    (finding,) = found[code]
    assert finding["severity"] == severity
    assert finding["cure"], "each finding has a cure"
    assert finding.keys() == {"code", "severity", "subject", "message", "cure"}
    return finding


def state_of(workspace: Workspace) -> dict[str, tuple[int, bytes]]:
    """All files of the installation but compiled ones, and SQLite's shared memory, which is no data."""
    return {
        str(path): (path.stat().st_mode, path.read_bytes())
        for path in sorted(workspace.home.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith(("-shm", "-wal"))
    }


# --- a sound machine ---


def test_on_a_sound_machine_everything_is_fine_and_nothing_is_changed(machine: Machine) -> None:
    before = state_of(machine.workspace)
    code, report = machine.run("doctor", "--json")
    assert by_code(report) == {}
    assert (code, report["status"], report["counts"]["error"]) == (0, "ok", 0)
    assert sum(report["counts"].values()) == len(report["findings"])
    subjects = [finding["subject"] for finding in report["findings"]]
    assert {"interpreter", "database", "crontab", "ticks", "jobs", ".jobs.json", "schedules"} <= set(subjects)
    assert all(os.path.isabs(path) for path in report["paths"].values())
    assert state_of(machine.workspace) == before


@pytest.mark.process
def test_without_a_terminal_the_lines_have_no_colour(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    done = workspace.run("doctor")
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (1, b"")
    assert text.startswith("error   ticks: No tick has run so far")
    assert "\033" not in text
    assert text.splitlines()[-1].startswith("errors: 2, warnings: ")


@pytest.mark.process
@pytest.mark.parametrize(
    ("variables", "coloured"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)]
)
def test_on_a_terminal_the_severity_has_a_colour(
    workspace: Workspace, variables: dict[str, str], coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    with ended(workspace.start("doctor", env=variables, stdout=theirs)) as process:
        os.close(theirs)
        text = b"".join(iter_pty(ours)).decode()
        assert process.wait(PATIENCE) == 1
    assert "DATABASE_MISSING" in text
    assert ("\033[1;31merror" in text) == coloured


def iter_pty(descriptor: int) -> Iterator[bytes]:
    """What comes out of a terminal until its other side is closed."""
    with open(descriptor, "rb", buffering=0) as file:
        while True:
            try:
                data = file.read(4096)
            except OSError:
                return
            if not data:
                return
            yield data


@pytest.mark.process
def test_it_never_waits_for_runs(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    with ended(workspace.start("run-now", "job-0")) as process:
        wait_for_run(workspace)
        assert "DATABASE_LOCKED" not in by_code(workspace.json("doctor", "--json", code=1))
        release(workspace)
        process.communicate(timeout=PATIENCE)


# --- settings ---


def test_a_wrong_setting_is_a_finding_and_the_other_checks_still_run(machine: Machine) -> None:
    (machine.workspace.root / ".env").write_text("PURUTO_CRON_MAX_RUNNING=many\n", encoding="utf-8")
    (machine.workspace.root / ".env").chmod(0o600)
    found = examine(machine, code=1)
    assert "PURUTO_CRON_MAX_RUNNING" in one(found, "SETTINGS_INVALID", "error")["message"]
    assert "NOT_LOOKED_AT" not in found


@pytest.mark.parametrize(
    "line", ["DB_PATH=~nobody-at-all/x", 'OPEN="quote', "PURUTO_CRON_MAX_RUNNING=many\nDB_PATH=~x/y"]
)
def test_with_wrong_paths_the_checks_that_need_them_are_left_out_and_named(machine: Machine, line: str) -> None:
    (machine.workspace.root / ".env").write_text(f"{line}\n", encoding="utf-8")
    (machine.workspace.root / ".env").chmod(0o600)
    found = examine(machine, code=1)
    assert "SETTINGS_INVALID" in found
    assert "database" in one(found, "NOT_LOOKED_AT", "warning")["message"]


def test_a_zone_that_does_not_exist_and_a_line_that_sets_nothing_are_told(machine: Machine) -> None:
    machine.environ["PURUTO_CRON_TIMEZONE"] = "Mars/Olympus"
    assert "Mars/Olympus" in one(examine(machine, code=1), "SETTINGS_INVALID", "error")["message"]
    del machine.environ["PURUTO_CRON_TIMEZONE"]
    (machine.workspace.root / ".env").write_text("PURUTO_CRON_MAX_RUNING=4\n", encoding="utf-8")
    (machine.workspace.root / ".env").chmod(0o600)
    one(examine(machine, code=0), "UNKNOWN_VARIABLE", "warning")


# --- the database ---


def test_each_state_of_the_database_is_told(machine: Machine) -> None:
    path = machine.workspace.database
    machine.workspace.sql("PRAGMA user_version = 99")
    one(examine(machine, code=1), "DATABASE_NEWER", "error")
    machine.workspace.sql("PRAGMA user_version = 1")
    one(examine(machine, code=0), "DATABASE_OLDER", "warning")
    assert machine.workspace.sql("PRAGMA user_version") == [{"user_version": 1}], "it is not migrated by a look"
    assert not list(path.parent.glob("*.bak"))
    machine.workspace.sql("PRAGMA application_id = 1")
    one(examine(machine, code=1), "DATABASE_NOT_OURS", "error")
    path.unlink()
    one(examine(machine, code=1), "DATABASE_MISSING", "error")
    assert not path.exists()
    path.mkdir()
    one(examine(machine, code=1), "DATABASE_UNREADABLE", "error")


def test_a_database_without_wal_is_a_warning(machine: Machine) -> None:
    machine.workspace.sql("PRAGMA journal_mode = DELETE")
    one(examine(machine, code=0), "JOURNAL_NOT_WAL", "warning")


def test_a_database_on_a_network_file_system_is_a_warning(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "cron.db").touch()
    info = tmp_path / "mountinfo"
    info.write_text(f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / {there} rw - nfs4 server:/x rw\n", encoding="utf-8")
    found = list(database.owner_and_file_system(str(there / "cron.db"), str(info)))
    assert [(finding.code, finding.severity) for finding in found] == [("NETWORK_FILE_SYSTEM", "warning")]
    assert "nfs4" in found[0].message
    (tmp_path / "link").symlink_to(there)
    linked = tmp_path / "link" / "cron.db"
    assert len(list(database.owner_and_file_system(str(linked), str(info)))) == 1, "links are followed"
    assert list(database.owner_and_file_system(str(there / "cron.db"), str(tmp_path / "none"))) == []


def test_a_database_of_another_user_is_a_warning(machine: Machine) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, to give a file away")
    os.chown(machine.workspace.database, 65_534, -1)
    assert name_of(65534) in one(examine(machine, code=0), "DATABASE_OTHER_OWNER", "warning")["message"]


def test_leftover_copies_are_fine(machine: Machine) -> None:
    for suffix in (".v1.bak", ".corrupt-20260101T000000Z"):
        Path(f"{machine.workspace.database}{suffix}").write_bytes(b"old")
    assert examine(machine) == {}


# --- folders and rights ---


def test_folders_that_can_not_be_written_are_errors() -> None:
    with public_folder() as folder:
        (folder / "closed").mkdir(mode=0o555)
        (folder / "closed").chmod(0o555)
        (folder / "file").touch()
        (folder / "theirs").write_text("x", encoding="utf-8")
        (folder / "theirs").chmod(0o644)
        (folder / "link").symlink_to(folder / "file")
        wanted = [folder / "closed", folder / "closed" / "to" / "be" / "made", folder / "file" / "below", Path("/tmp")]
        with as_nobody():
            found = list(places.writable(wanted, [folder / "theirs", folder / "link", folder / "none"]))
    assert [finding.code for finding in found] == ["FOLDER_UNWRITABLE"] * 3 + ["FILE_UNWRITABLE"] * 2
    assert {finding.severity for finding in found} == {"error"}
    assert "to be made" in found[1].message.replace("/", " ").replace("is to", "to")


def test_a_mirror_that_can_not_be_written_is_an_error_only_when_the_sibling_is_there(machine: Machine) -> None:
    assert examine(machine) == {}
    sibling = machine.workspace.home / "puruto-telegram"
    sibling.mkdir()
    assert examine(machine) == {}
    (sibling / "inbox").touch()
    assert str(sibling / "inbox") in one(examine(machine, code=1), "FOLDER_UNWRITABLE", "error")["message"]


def test_world_writable_files_and_a_readable_env_are_warnings(machine: Machine) -> None:
    workspace = machine.workspace
    (workspace.root / ".env").write_text("TOKEN=very-secret-value\n", encoding="utf-8")
    (workspace.root / ".env").chmod(0o646)
    (workspace.home / "puruto-target" / "invoke").write_text("#!/bin/sh\n", encoding="utf-8")
    open_to_all = [
        workspace.root / ".jobs.json",
        workspace.root / ".env",
        workspace.database.parent,
        workspace.home / "puruto-target",
        workspace.home / "puruto-target" / "invoke",
    ]
    for path in open_to_all:
        path.chmod(path.stat().st_mode | 0o002)
    found = examine(machine, code=0)
    assert {finding["cure"] for finding in found["WORLD_WRITABLE"]} == {
        f"Run: chmod o-w {path}" for path in open_to_all
    }
    assert {finding["severity"] for finding in found["WORLD_WRITABLE"]} == {"warning"}
    one(found, "ENV_READABLE", "warning")
    assert "very-secret-value" not in json.dumps(found)
    for path in open_to_all:
        path.chmod(path.stat().st_mode & ~0o007)
    assert examine(machine) == {}


def test_a_link_to_a_world_writable_file_counts(tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "real").chmod(0o666)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    assert len(list(rights.world_writable([tmp_path / "link", tmp_path / "dangling"]))) == 1


# --- .jobs.json ---


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"jobs": [', "JOBS_FILE_NOT_JSON"),
        ('{"jobs": [{"job_id": "x"}]}', "JOBS_FILE_INVALID"),
        (None, "JOBS_FILE_MISSING"),
    ],
)
def test_a_jobs_file_that_can_not_be_synced_is_an_error(machine: Machine, text: str | None, code: str) -> None:
    path = machine.workspace.root / ".jobs.json"
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")
    found = examine(machine, code=1)
    one(found, code, "error")
    one(found, "NOT_IN_STEP", "warning")


def test_a_jobs_file_that_was_not_synced_is_a_warning(machine: Machine) -> None:
    machine.workspace.write_jobs(shell(COUNT), shell(COUNT))
    one(examine(machine, code=0), "NOT_IN_STEP", "warning")
    machine.tick()
    assert examine(machine) == {}


def test_what_keeps_ticks_from_a_sync_is_an_error(machine: Machine) -> None:
    machine.workspace.write_jobs(*(shell(COUNT) for _ in range(4)))
    machine.tick()
    machine.workspace.sql("UPDATE jobs SET last_run_at = '2026-01-01T00:00:00+00:00'")
    machine.workspace.write_jobs()
    machine.tick()
    found = examine(machine, code=1)
    assert "--allow-removals" in one(found, "REMOVALS_REFUSED", "error")["cure"]


# --- jobs ---


def ready(machine: Machine, *jobs: Mapping[str, object]) -> None:
    machine.workspace.write_jobs(*jobs)
    machine.run("sync-jobs")


def test_each_enabled_job_must_have_a_target_and_something_to_start(machine: Machine) -> None:
    workspace = machine.workspace
    workspace.add_target("with-invoke", invoke="#!/bin/sh\n")
    workspace.add_target("not-executable", invoke="#!/bin/sh\n")
    (workspace.home / "not-executable" / "invoke").chmod(0o644)
    workspace.add_target("no-interpreter", invoke="#!/no/such/python\n")
    workspace.add_target("not-in-path", invoke="#!/usr/bin/env no-such-node\n")
    base = {"schedule": "@yearly"}
    ready(
        machine,
        shell(COUNT),
        {**base, "puruto_target": "with-invoke"},
        {**base, "puruto_target": "nowhere"},
        {**base, "puruto_target": "puruto-target"},
        {**base, "puruto_target": "not-executable"},
        {**base, "puruto_target": "no-interpreter"},
        {**base, "puruto_target": "not-in-path"},
        {**base, "puruto_target": "with-invoke", "command": ["no-such-program", "x"]},
        {**base, "puruto_target": "with-invoke", "command": ["./invoke"]},
        {**base, "puruto_target": "with-invoke", "command": ["crontab"], "env": {"PATH": "/nonexistent"}},
        {**base, "puruto_target": "nowhere", "enabled": False},
    )
    found = examine(machine, code=1)
    wrong = {f["subject"]: f["code"] for findings in found.values() for f in findings if f["severity"] == "error"}
    assert wrong == {
        "job job-2": "TARGET_NOT_FOUND",
        "job job-3": "RUNNER_NOT_FOUND",
        "job job-4": "IPC_ERROR",
        "job job-5": "IPC_ERROR",
        "job job-6": "IPC_ERROR",
        "job job-7": "IPC_ERROR",
        "job job-9": "IPC_ERROR",
    }
    told = {f["subject"]: f["message"] for f in found["IPC_ERROR"]}
    assert "not executable" in told["job job-4"]
    assert "/no/such/python" in told["job job-5"]
    assert "no-such-node" in told["job job-6"]
    assert "no-such-program was not found in PATH" in told["job job-7"]


def test_a_policy_that_denies_a_job_or_all_is_an_error(machine: Machine) -> None:
    policy = machine.workspace.root / ".puruto-ipc.json"
    for text, code in (
        ('{"allowed_targets": ["another"]}', "DENIED"),
        ('{"enabled": false}', "POLICY_DISABLED"),
        ("{", "POLICY_UNUSABLE"),
    ):
        policy.write_text(text, encoding="utf-8")
        found = examine(machine, code=1)
        assert list(found) == [code]
        one(found, code, "error")


def test_of_many_jobs_with_the_same_fault_some_are_named_and_the_others_counted(machine: Machine) -> None:
    ready(machine, *[{"schedule": "@yearly", "puruto_target": "nowhere"}] * 30, shell(COUNT))
    found = examine(machine, code=1)["TARGET_NOT_FOUND"]
    assert len(found) == 21
    assert found[-1]["message"].startswith("10 more")


def test_a_stored_job_that_can_not_be_read_does_not_affect_others(machine: Machine) -> None:
    ready(machine, shell(COUNT), {"schedule": "@yearly", "puruto_target": "nowhere"})
    machine.workspace.sql("UPDATE jobs SET definition_json = '{' WHERE job_id = 'job-0'")
    found = examine(machine, code=1)
    one(found, "DEFINITION_UNREADABLE", "error")
    one(found, "TARGET_NOT_FOUND", "error")


def test_ended_and_crowded_schedules_are_reported(machine: Machine) -> None:
    jobs = [shell(COUNT, schedule="0 9 * * *") for _ in range(21)]
    ready(machine, *jobs, shell(COUNT, schedule="@at 2026-02-25T20:10:00+00:00"))
    assert "21 jobs" in one(examine(machine), "CROWDED_MINUTE", "warning")["message"]
    machine.clock.advance(minutes=5)
    machine.workspace.sql("UPDATE jobs SET next_run_at = NULL WHERE job_id = 'job-21'")
    found = examine(machine)
    one(found, "NO_NEXT_RUN", "error")
    machine.clock.advance(minutes=20)
    assert one(examine(machine), "NEVER_FIRES_AGAIN", "warning")["subject"] == "job job-21"


def test_a_job_that_was_to_run_once_and_did_is_no_finding(machine: Machine) -> None:
    ready(machine, shell(COUNT), shell(COUNT, schedule="@at 2026-02-25T20:01:00+00:00"))
    machine.clock.advance(minutes=1)
    assert machine.tick()["results"][0]["status"] == "ok"
    assert "NO_NEXT_RUN" not in examine(machine)
    assert "NEVER_FIRES_AGAIN" not in examine(machine)


# --- the scheduler ---


def test_what_status_calls_an_anomaly_is_a_warning(machine: Machine) -> None:
    ready(machine, shell(COUNT, schedule="0 9 * * *"))
    machine.workspace.sql("UPDATE jobs SET lease_owner = 'host:1', lease_expires_at = '2026-02-25T20:02:00+00:00'")
    machine.workspace.sql("UPDATE jobs SET next_run_at = '2026-02-25T19:00:00+00:00'")
    found = examine(machine, code=0)
    one(found, "LEASE_WITHOUT_RUN", "warning")
    assert "3600 s ago" in one(found, "JOBS_OVERDUE", "warning")["message"]


def test_a_scheduler_without_ticks_is_an_error(machine: Machine) -> None:
    machine.clock.advance(minutes=6)
    found = examine(machine, code=1)
    assert list(found) == ["NO_TICK"]
    one(found, "NO_TICK", "error")


def test_a_daemon_that_has_just_begun_is_in_status_and_needs_no_tick(machine: Machine) -> None:
    machine.clock.advance(minutes=6)
    with DaemonLock(str(machine.workspace.database), machine.clock.now()):
        found = examine(machine, code=0)
        assert "NO_TICK" not in found
        status = machine.run("status")[1]
        assert status["scheduler"]["daemon"] == {
            "running": True, "pid": os.getpid(), "host": os.uname().nodename, "since": "2026-02-25T20:06:00+00:00",
        }  # fmt: skip
        assert (status["scheduler"]["stale"], status["warnings"]) == (True, [])
        machine.clock.advance(minutes=6)
        one(examine(machine, code=1), "DAEMON_SILENT", "error")
        assert [warning["code"] for warning in machine.run("status")[1]["warnings"]] == ["DAEMON_SILENT"]
    assert [warning["code"] for warning in machine.run("status")[1]["warnings"]] == ["NO_TICK"]


def test_events_that_do_not_arrive_are_told_with_the_reason(machine: Machine) -> None:
    folder = machine.workspace.root / "notifications"
    (folder / "events.jsonl").mkdir(parents=True)
    machine.run_now()
    found = examine(machine)
    assert "events.jsonl" in one(found, "EVENTS_WAITING", "warning")["message"]


# --- the crontab ---


def test_the_line_is_found_in_a_crontab_of_the_system_too(machine: Machine, tmp_path: Path) -> None:
    from doctor import starter

    write_crontab(machine.workspace, "# nothing")
    one(examine(machine, code=0), "NO_CRON_LINE", "warning")
    etc = tmp_path / "etc"
    (etc / "cron.d").mkdir(parents=True)
    line = f"* * * * * root {PYTHON_WORD} {machine.workspace.root}/main.py tick\n"
    for name, counts in (("crontab", True), ("cron.d/puruto", True), ("cron.d/puruto.bak", False)):
        (etc / name).write_text(line, encoding="utf-8")
        app = machine.app()
        (found,) = starter.check(Scene(app, app.settings, etc=str(etc)))
        assert (found.severity == "ok") == counts
        (etc / name).unlink()


def test_without_the_program_crontab_and_without_ticks_nothing_starts_it(machine: Machine) -> None:
    machine.environ["PATH"] = str(machine.workspace.home / "nothing-here")
    machine.clock.advance(minutes=6)
    found = one(examine(machine, code=1), "NO_CRON_LINE", "error")
    assert "crontab was not found" in found["message"]


def test_a_program_that_hangs_or_is_missing_gives_no_answer(tmp_path: Path) -> None:
    slow = ask([sys.executable, "-c", "input() or open('/dev/null'); import time; time.sleep(60)"], {}, "/", 60)
    assert slow.code == 1, "its standard input is empty"
    hanging = ask(["/bin/sh", "-c", "kill -STOP $$"], {}, "/", 0.2)
    assert (hanging.code, hanging.reason) == (None, "it did not answer within 0.2 s")
    assert ask([str(tmp_path / "none")], {}, "/", 5).code is None
    assert ask(["/bin/sh"], {}, str(tmp_path / "none"), 5).code is None
    assert ask(["/bin/sh", "-c", "echo \\$A; exit 3"], {"A": "x"}, "/", 5).out == "$A\n"


# --- under cron ---


@pytest.mark.process
def test_what_works_here_and_not_under_cron_is_found(workspace: Workspace) -> None:
    """A program that only this shell's PATH has, and a database that only a variable of this shell names."""
    shutil.copy2(PROJECT / "pyproject.toml", workspace.root)
    write_crontab(workspace, f"* * * * * {PYTHON_WORD} {workspace.root}/main.py tick --quiet")
    tool = workspace.home / "bin" / "only-here"
    tool.write_text("#!/bin/sh\n", encoding="utf-8")
    tool.chmod(0o755)
    workspace.environ["PATH"] = f"{workspace.home}/bin:{workspace.environ['PATH']}"
    workspace.add_target(invoke=None)
    job = {"schedule": "@yearly", "command": ["only-here"], "timezone": "UTC"}
    workspace.ready(job)
    workspace.json("tick")
    assert by_code(workspace.json("doctor", "--json")) == {}
    report = workspace.json("doctor", "--as-cron", "--json", code=1)
    found = [finding for finding in report["findings"] if finding.get("only_under_cron")]
    told = {finding["code"]: finding for finding in found}
    assert "only-here was not found in PATH (/usr/bin:/bin)" in told["IPC_ERROR"]["message"]
    assert told["IPC_ERROR"]["cure"] == f"Use its absolute path: {tool}"
    assert "OTHER_PATHS_UNDER_CRON" not in told
    moved = {"DB_PATH": "db/other.db"}
    for words in (("init-db",), ("sync-jobs",), ("tick",)):
        workspace.json(*words, env=moved)
    report = workspace.json("doctor", "--as-cron", "--json", code=1, env=moved)
    assert "OTHER_PATHS_UNDER_CRON" in [f["code"] for f in report["findings"] if f.get("only_under_cron")]


@pytest.mark.process
def test_what_the_crontab_sets_holds_under_cron(workspace: Workspace) -> None:
    shutil.copy2(PROJECT / "pyproject.toml", workspace.root)
    folder = workspace.home / "bin"
    write_crontab(
        workspace, f"PATH={folder}:/usr/bin:/bin\n* * * * * {PYTHON_WORD} {workspace.root}/main.py tick --quiet"
    )
    workspace.environ["PATH"] = f"{folder}:{workspace.environ['PATH']}"
    prepare(workspace, {**shell(COUNT), "timezone": "UTC"})
    workspace.json("tick")
    report = workspace.json("doctor", "--as-cron", "--json")
    assert by_code(report) == {}
    assert "as cron" in [finding["subject"] for finding in report["findings"]]


@pytest.mark.process
def test_an_interpreter_without_the_libraries_is_found_under_cron(workspace: Workspace, tmp_path: Path) -> None:
    bare = tmp_path / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec {PYTHON_WORD} -S "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    write_crontab(workspace, f"* * * * * {bare} {workspace.root}/main.py tick")
    workspace.environ["PATH"] = f"{workspace.home}/bin:{workspace.environ['PATH']}"
    prepare(workspace, shell(COUNT))
    report = workspace.json("doctor", "--as-cron", "--json", code=1)
    (found,) = [finding for finding in report["findings"] if finding.get("only_under_cron")]
    assert (found["code"], found["severity"]) == ("DEPENDENCY_MISSING", "error")
    assert str(bare) in found["message"]


# --- the interpreter ---


def codes(findings: Iterator[Finding]) -> list[str]:
    return [finding.code for finding in findings if finding.severity != "ok"]


def test_the_virtual_environment_must_be_intact(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").write_text(f"home = {tmp_path}\n", encoding="utf-8")
    python = str(tmp_path / "python")
    Path(python).touch()
    assert codes(interpreter.environment(str(tmp_path), "/usr", python)) == []
    assert codes(interpreter.environment("/usr", "/usr", python)) == ["NOT_IN_VENV"]
    assert codes(interpreter.environment(str(tmp_path), "/usr", f"{python}3")) == ["VENV_BROKEN"]
    (tmp_path / "pyvenv.cfg").write_text("home = /no/such/python/bin\n", encoding="utf-8")
    assert codes(interpreter.environment(str(tmp_path), "/usr", python)) == ["VENV_BROKEN"]
    (tmp_path / "pyvenv.cfg").unlink()
    assert codes(interpreter.environment(str(tmp_path), "/usr", python)) == ["VENV_BROKEN"]


def test_the_libraries_of_pyproject_are_all_read(tmp_path: Path) -> None:
    found = interpreter.requirements(PROJECT / "pyproject.toml")
    assert found is not None
    known = {need.name: need.bounds for need in found}
    assert known["croniter"] == ">=7,<8"
    assert {"click", "pydantic", "python-dotenv", "psutil", "tzdata"} <= set(known)
    assert interpreter.requirements(tmp_path / "none.toml") is None
    (tmp_path / "bad.toml").write_text("[project", encoding="utf-8")
    assert interpreter.requirements(tmp_path / "bad.toml") is None


def test_a_start_that_will_fail_is_predicted_and_one_that_works_is_not(tmp_path: Path) -> None:
    env = {"PATH": "/usr/bin:/bin"}

    def told(text: str | None, *argv: str) -> str:
        path = tmp_path / "program"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755)
        error = find_obstacle(list(argv or ["./program"]), tmp_path, env)
        assert error is None or isinstance(error, IpcError)
        return "" if error is None else error.message

    assert told("#!/bin/sh\n") == ""
    assert told("#!/usr/bin/env sh\n") == ""
    assert told("#!/usr/bin/env -S sh -e\n") == ""
    assert told("#! /bin/sh -e\n") == ""
    assert told(None, "sh", "-c", "true") == ""
    assert "does not exist" in told(None)
    assert "no-such" in told("#!/usr/bin/env no-such\n")
    assert "/no/such/sh" in told("#!/no/such/sh\n")
    assert "not found in PATH" in told(None, "no-such-program")
    assert "is a folder" in told(None, str(tmp_path))


# --- status ---


def test_status_shows_overdue_jobs_undelivered_events_and_anomalies(machine: Machine) -> None:
    machine.workspace.sql("UPDATE jobs SET next_run_at = '2026-02-25T19:00:00+00:00'")
    scheduler = machine.run("status")[1]["scheduler"]
    assert list(scheduler) == [
        "last_tick_at", "last_tick_age_sec", "stale_after_sec", "stale", "overdue_count", "overdue_jobs",
        "waiting_events", "anomalies", "daemon", "paths",
    ]  # fmt: skip
    assert scheduler["overdue_count"] == 1
    assert scheduler["overdue_jobs"][0]["late_sec"] == 3600
    assert scheduler["paths"] == machine.run("status")[1]["paths"]
    assert scheduler["anomalies"] == []
    assert scheduler["daemon"] == {"running": False, "pid": None, "host": None, "since": None}


def test_a_clock_that_was_set_back_is_remembered_for_a_day(machine: Machine) -> None:
    machine.clock.advance(hours=-2)
    assert machine.tick()["clock_anomaly"]["code"] == "CLOCK_SET_BACK"
    for hours, shown in ((20, 1), (5, 0)):
        machine.clock.advance(hours=hours)
        assert len(machine.run("status")[1]["scheduler"]["anomalies"]) == shown


def test_overdue_jobs_are_found_by_their_index(machine: Machine) -> None:
    with closing(sqlite3.connect(machine.workspace.database)) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT count(*) FROM jobs WHERE enabled = 1 AND next_run_at <= ?", ("2026",)
        ).fetchall()
    assert "jobs_due" in plan[0][3]
    app = machine.app()
    seen: list[str] = []
    with app.session(read_only=True) as session:
        session.store.db.connection.set_trace_callback(seen.append)
        session.store.health.overdue("2026-02-25T20:00:00+00:00", 100)
        session.store.db.connection.set_trace_callback(None)
        assert len(seen) == 2
        for statement in seen:
            steps = [row[3] for row in session.store.db.connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
            assert "jobs_due" in steps[0], steps
            assert not any("TEMP B-TREE" in step for step in steps), "the index gives the order too"


def test_status_and_doctor_only_read(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "BUSY_TIMEOUT_MS", 30)
    with closing(sqlite3.connect(machine.workspace.database, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert machine.run("status")[0] == 0
        found = examine(machine)
        assert set(found) == {"DATABASE_LOCKED"}
        assert "fuser" in one(found, "DATABASE_LOCKED", "error")["cure"]
        writer.execute("ROLLBACK")
    assert examine(machine) == {}


def test_a_ping_that_did_not_arrive_is_a_warning(machine: Machine) -> None:
    machine.environ["PURUTO_CRON_PING_URL"] = "http://127.0.0.1:1/s3cret"
    machine.tick()
    found = one(examine(machine), "PING_FAILED", "warning")
    assert "refused" in found["message"]
    assert "s3cret" not in found["message"]
    del machine.environ["PURUTO_CRON_PING_URL"]
    assert examine(machine) == {}


def test_a_line_that_writes_to_a_missing_folder_starts_nothing(machine: Machine) -> None:
    line = f"* * * * * {PYTHON_WORD} {machine.workspace.root}/main.py tick --quiet >> /nowhere/tick.log 2>&1"
    write_crontab(machine.workspace, line)
    assert "/nowhere" in one(examine(machine), "CRON_LOG_FOLDER_MISSING", "error")["message"]


def test_an_interpreter_without_the_libraries_is_found_without_as_cron(machine: Machine, tmp_path: Path) -> None:
    poor = tmp_path / "python"
    poor.write_text(f'#!/bin/sh\nexec {PYTHON_WORD} -S "$@"\n')
    poor.chmod(0o755)
    write_crontab(machine.workspace, f"* * * * * {poor} {machine.workspace.root}/main.py tick --quiet")
    found = one(examine(machine), "CRON_INTERPRETER_POOR", "error")
    assert "No module named 'click'" in found["message"]


def test_folders_that_others_can_enter_are_warnings_that_init_db_fixes(machine: Machine) -> None:
    folders = [machine.workspace.root / name for name in ("db", "runs", "notifications")]
    for folder in folders:
        folder.chmod(0o755)
    assert len(examine(machine)["FOLDER_READABLE"]) == 3
    machine.run("init-db")
    assert examine(machine) == {}
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700] * 3


@pytest.mark.process
@pytest.mark.parametrize("name", ["a b", "100%", "it's", "año"])
def test_the_proposed_line_works_in_a_folder_of_any_name(machine: Machine, tmp_path: Path, name: str) -> None:
    root = tmp_path / name / "puruto-cron"
    root.parent.mkdir()
    shutil.copytree(machine.workspace.root, root)
    machine.workspace.root = root
    write_crontab(machine.workspace, "")
    fix = one(examine(machine), "NO_CRON_LINE", "warning")["cure"]
    assert fix.endswith("python3 main.py install-crontab --print")
    line = units.crontab_line(units.copy_in(root, root / "db"))
    write_crontab(machine.workspace, line)
    assert "NO_CRON_LINE" not in examine(machine)
    # What cron hands to the shell: a percent sign without its backslash.
    command = line.removeprefix("* * * * * ").replace("\\%", "%").replace(" --quiet", "")
    done = subprocess.run(["/bin/sh", "-c", command], env=machine.workspace.environ, cwd="/", check=False)
    assert done.returncode == 0
    assert '"status": "ok"' in (root / "db" / "tick.log").read_text()
