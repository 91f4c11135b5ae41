"""Editing jobs from the shell: the file, its formatting, its lock, and the sync after it."""

from __future__ import annotations

import json
import os
import stat
from contextlib import ExitStack
from dataclasses import fields
from typing import Any

import pytest
from filelock import FileLock

from core.errors import JobsFileBusy
from core.job import Job
from jobs.editing import Editor
from jobs.jobs_file import read_file
from tests.support_machine import COUNT, FAIL, Machine, shell
from tests.workspace import PATIENCE, FakeClock, Workspace, ended

pytestmark = pytest.mark.process

WORDS = ("--puruto-target", "puruto-target", "--schedule", "0 9 * * 1-5", "--prompt", "Hazlo", "--timezone", "UTC")
TEXT = """{
  "$schema": "./docs/jobs.schema.json",

  "jobs": [
    { "job_id": "first",   "puruto_target": "puruto-target", "schedule": "@yearly", "prompt": "one" },
    { "job_id": "second",  "puruto_target": "puruto-target", "schedule": "@yearly", "prompt": "two" }
  ]
}
"""


@pytest.fixture
def ready(workspace: Workspace) -> Workspace:
    """A file with unusual formatting."""
    workspace.add_target()
    workspace.json("init-db")
    jobs_file(workspace).write_text(TEXT)
    workspace.json("sync-jobs")
    return workspace


def jobs_file(workspace: Workspace) -> Any:
    return workspace.root / ".jobs.json"


def test_a_job_is_registered_disabled_shown_and_synced_and_the_rest_keeps_its_look(ready: Workspace) -> None:
    answer = ready.json("register-job", "third", *WORDS)
    assert answer["entry"] == {
        "job_id": "third", "enabled": False, "puruto_target": "puruto-target", "schedule": "0 9 * * 1-5",
        "prompt": "Hazlo", "timezone": "UTC",
    }  # fmt: skip
    assert (answer["synced"], len(answer["next"]["instants"])) == (True, 3)
    assert [warning["code"] for warning in answer["warnings"]] == ["NO_TICK"]
    line = '"prompt": "two" },\n    { "job_id": "third", "enabled": false, '
    assert jobs_file(ready).read_text().startswith(TEXT.rstrip()[:-8].rstrip().removesuffix(" }")[:40])
    assert line in jobs_file(ready).read_text()
    (row,) = ready.sql("SELECT enabled, next_run_at FROM jobs WHERE job_id = 'third'")
    assert (row["enabled"], row["next_run_at"]) == (0, None)
    ready.json("remove-job", "third")
    assert jobs_file(ready).read_text() == TEXT


def test_a_dry_run_shows_the_next_instants_and_writes_nothing(ready: Workspace) -> None:
    answer = ready.json("register-job", "third", *WORDS, "--enable", "--dry-run")
    assert (answer["dry_run"], len(answer["next"]["instants"]), answer["entry"]["enabled"]) == (True, 3, True)
    assert ready.json("edit-job", "first", "--schedule", "@daily", "--dry-run")["next"]["instants"]
    ready.json("remove-job", "first", "--dry-run")
    assert jobs_file(ready).read_text() == TEXT
    assert not (ready.root / ".jobs.json.lock").exists()


def test_every_field_can_be_given_as_an_option_or_as_json(ready: Workspace) -> None:
    entry: dict[str, Any] = {
        "job_id": "full", "puruto_target": "puruto-target", "schedule": "0 9 * * 1-5", "prompt": "x",
        "runner": "claude",
        "model": "opus", "allowed_tools": ["Read", "Bash(git *)"], "permission_mode": "plan", "max_budget_usd": 0.5,
        "max_cost_usd_per_day": 2, "max_turns": 3, "append_system_prompt": "-x", "json_schema": {"type": "object"},
        "agent_args": ["--verbose"], "session_mode": "shared_persistent", "heartbeat": {"max_iterations": 2},
        "fail_on_permission_denial": True, "notify_channel": "none", "timeout_sec": 5, "max_retries": 1,
        "timezone": "UTC",
        "retry_backoff_sec": 0, "catch_up": "all", "catch_up_limit": 2, "retry_interrupted": True, "env": {"A": "b=c"},
        "max_lateness_sec": 9, "allow_env": ["X"], "allow_empty_result": True, "success": {"stdout_matches": "x"},
        "note": "Ask Ana", "pause_after_failures": 3, "paused_until": "2030-01-01T00:00+01:00",
    }  # fmt: skip
    assert set(entry) == {field.name for field in fields(Job)} - {"enabled", "command", "prompt_file"}
    words = []
    for name, value in entry.items():
        flag = f"--{name.replace('_', '-')}"
        if name == "env":
            words += [flag, "A=b=c"]
        elif name != "job_id":
            for one in value if isinstance(value, list) else [value]:
                text = json.dumps(one) if isinstance(one, dict) else str(one)
                words += [flag] if one is True else [f"{flag}={text}"]
    given = ready.json("register-job", "full", *words, "--dry-run")["entry"]
    assert given == {**entry, "enabled": False}
    assert ready.json("register-job", "--from-json", json.dumps(entry), "--dry-run")["entry"] == given
    path = ready.home / "job.json"
    path.write_text(json.dumps(entry))
    assert ready.json("register-job", "--from-json", str(path), "--model", "m", "--dry-run")["entry"]["model"] == "m"
    command = ready.json("register-job", "c", *WORDS, "--command", "date", "--command=-u", "--dry-run")["entry"][
        "command"
    ]
    assert command == ["date", "-u"]


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("register-job", "first", *WORDS), "DUPLICATE_JOB", 1),
        (("register-job", *WORDS), "USAGE", 2),
        (("register-job", "x", *WORDS[2:]), "JOBS_FILE_INVALID", 2),
        (("register-job", "../x", *WORDS), "JOBS_FILE_INVALID", 2),
        (("register-job", "x", *WORDS, "--heartbeat", "{"), "USAGE", 2),
        (("register-job", "x", *WORDS, "--heartbeat", "[]"), "USAGE", 2),
        (("register-job", "x", *WORDS, "--env", "A"), "USAGE", 2),
        (("register-job", "--from-json", "/nowhere"), "USAGE", 2),
        (("edit-job", "nobody", "--model", "m"), "JOB_NOT_FOUND", 1),
        (("edit-job", "first"), "USAGE", 2),
        (("edit-job", "first", "--unset", "prompt"), "JOBS_FILE_INVALID", 2),
        (("edit-job", "first", "--from-json", '{"job_id": "other"}'), "USAGE", 2),
        (("pause-job", "first", "--until", "yesterday"), "USAGE", 2),
        (("pause-job", "first", "--until", "2020-01-01T00:00"), "USAGE", 2),
        (("pause-job", "nobody"), "JOB_NOT_FOUND", 1),
        (("resume-job", "nobody"), "JOB_NOT_FOUND", 1),
        (("remove-job", "nobody"), "JOB_NOT_FOUND", 1),
    ],
    ids=str,
)
def test_what_is_refused_changes_nothing(ready: Workspace, words: tuple[str, ...], code: str, exit_code: int) -> None:
    before = ready.sql("SELECT * FROM jobs")
    assert ready.json(*words, code=exit_code)["error"]["code"] == code
    assert jobs_file(ready).read_text() == TEXT
    assert ready.sql("SELECT * FROM jobs") == before


def test_a_broken_file_is_reported_and_left_unchanged(ready: Workspace) -> None:
    jobs_file(ready).write_text(TEXT + "}")
    for words in (("register-job", "x", *WORDS), ("pause-job", "first"), ("remove-job", "first")):
        assert ready.json(*words, code=2)["error"]["code"] == "JOBS_FILE_NOT_JSON"
    assert jobs_file(ready).read_text() == TEXT + "}"


def test_a_file_that_is_missing_is_made(workspace: Workspace) -> None:
    workspace.json("init-db")
    workspace.json("register-job", "x", *WORDS)
    assert json.loads(jobs_file(workspace).read_text())["jobs"][0]["job_id"] == "x"
    assert stat.S_IMODE(jobs_file(workspace).stat().st_mode) == 0o600


def test_mode_byte_order_mark_and_link_are_kept(ready: Workspace) -> None:
    real = ready.home / "real.json"
    real.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    real.chmod(0o640)
    jobs_file(ready).unlink()
    jobs_file(ready).symlink_to(real)
    ready.json("edit-job", "first", "--prompt", "ñ")
    assert jobs_file(ready).is_symlink()
    assert real.read_bytes() == b"\xef\xbb\xbf" + TEXT.replace('"one"', '"ñ"').encode()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_folder_that_can_not_be_written_is_reported(ready: Workspace) -> None:
    if os.getuid() == 0:
        os.mkdir(ready.root / ".jobs.json.lock")
        refused = ready.json("pause-job", "first", code=2)["error"]
    else:
        ready.root.chmod(0o500)
        refused = ready.json("pause-job", "first", code=2)["error"]
        ready.root.chmod(0o700)
    assert refused["code"] == "JOBS_FILE_UNWRITABLE"
    if os.getuid() == 0:
        assert f"{ready.root / '.jobs.json.lock'} can't be opened" in refused["message"]
    assert jobs_file(ready).read_text() == TEXT


def test_edits_at_once_all_arrive(ready: Workspace) -> None:
    with ExitStack() as stack:
        started = [
            stack.enter_context(ended(ready.start("register-job", f"job-{number}", *WORDS))) for number in range(8)
        ]
        for process in started:
            out, err = process.communicate(timeout=PATIENCE)
            assert (process.returncode, err) == (0, b""), out
    names = [job["job_id"] for job in json.loads(jobs_file(ready).read_text())["jobs"]]
    assert sorted(names) == sorted(["first", "second", *(f"job-{number}" for number in range(8))])
    assert {row["job_id"] for row in ready.sql("SELECT job_id FROM jobs")} == set(names)


def test_the_wait_for_another_edit_is_limited(ready: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.errors import JobsFileBusy
    from jobs import editing

    monkeypatch.setattr(editing, "LOCK_WAIT_SEC", 0.1)
    with FileLock(ready.root / ".jobs.json.lock"), pytest.raises(JobsFileBusy):
        editing.Editor(jobs_file(ready), lambda _: None, lambda: read_file(jobs_file(ready))).update(
            "first", {"prompt": "x"}
        )


# --- pausing ---


def test_a_job_that_is_paused_until_a_time_resumes_by_itself(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT, schedule="0 * * * *", timezone="Europe/Madrid"))
    answer = machine.run("pause-job", "job-0", "--until", "2026-02-26T01:30+01:00")[1]
    assert answer["next"]["instants"][0]["utc"] == "2026-02-26T01:00:00+00:00"
    for _ in range(8):
        clock.advance(hours=1)
        machine.tick()
    served = [row["scheduled_for"][:16] for row in workspace.runs()]
    assert served == ["2026-02-26T01:00", "2026-02-26T02:00", "2026-02-26T03:00", "2026-02-26T04:00"]
    assert {row["status"] for row in workspace.runs()} == {"ok"}


def test_a_paused_job_is_resumed_from_now(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT, schedule="0 * * * *"))
    machine.run("pause-job", "job-0")
    clock.advance(hours=5)
    assert machine.tick()["due_jobs"] == []
    answer = machine.run("resume-job", "job-0")[1]
    assert answer["next"]["instants"][0]["utc"] == "2026-02-26T02:00:00+00:00"
    clock.advance(hours=1)
    assert [result["status"] for result in machine.tick()["results"]] == ["ok"]
    assert len(workspace.runs()) == 1


def test_resume_ends_the_pause_of_a_job_that_failed_too_often(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(FAIL, schedule="0 * * * *", pause_after_failures=1))
    clock.advance(hours=1)
    machine.tick()
    assert machine.run("list")[1]["jobs"][0]["paused"]
    answer = machine.run("resume-job", "job-0")[1]
    assert answer["failures_forgotten"] is True
    (job,) = machine.run("list")[1]["jobs"]
    assert (job["paused"], job["consecutive_failures"], job["enabled"]) == (None, 0, True)
    clock.advance(hours=1)
    assert len(machine.tick()["results"]) == 1


def test_a_clock_set_back_does_not_end_a_pause_early(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT, schedule="0 * * * *"))
    machine.run("pause-job", "job-0", "--until", "2026-03-01T00:00+00:00")
    machine.tick()
    clock.advance(hours=-2)
    machine.tick()
    assert machine.cursor().isoformat() == "2026-03-01T00:00:00+00:00"


def test_what_another_program_writes_meanwhile_is_kept(ready: Workspace) -> None:
    path, asked = jobs_file(ready), []

    def check(data: bytes) -> None:
        """Called before and after each try; another program saves the file during the first two."""
        asked.append(data)
        if len(asked) in (3, 5):
            path.write_bytes(path.read_bytes().replace(b'"one', b'"one and one'))

    Editor(path, check, lambda: read_file(path)).update("second", {"prompt": "zwei"})
    text = path.read_text()
    assert '"prompt": "one and one and one"' in text
    assert '"prompt": "zwei"' in text
    assert not list(path.parent.glob("*.new-*"))


def test_a_file_that_keeps_changing_is_reported_and_keeps_the_other_programs_text(ready: Workspace) -> None:
    path = jobs_file(ready)

    def check(data: bytes) -> None:
        path.write_bytes(path.read_bytes() + b" ")

    with pytest.raises(JobsFileBusy, match="keeps changing it"):
        Editor(path, check, lambda: read_file(path)).update("second", {"prompt": "zwei"})
    assert path.read_text().rstrip() == TEXT.rstrip()
    assert not list(path.parent.glob("*.new-*"))


def test_a_file_that_is_not_regular_is_reported_as_by_a_sync(ready: Workspace) -> None:
    jobs_file(ready).unlink()
    os.mkfifo(jobs_file(ready))
    assert ready.json("pause-job", "first", code=2)["error"]["code"] == "JOBS_FILE_UNREADABLE"
    jobs_file(ready).unlink()
    jobs_file(ready).mkdir()
    assert "is a folder" in ready.json("pause-job", "first", code=2)["error"]["message"]


def test_a_list_is_given_one_entry_at_a_time_or_as_json(ready: Workspace) -> None:
    for words in (("--command", "sh", "--command=-c", "--command", "[ 1 ]"), ("--command", '["sh", "-c", "[ 1 ]"]')):
        found = ready.json("register-job", "x", *WORDS, *words, "--dry-run")
        assert found["entry"]["command"] == ["sh", "-c", "[ 1 ]"]
    assert ready.json("register-job", "x", *WORDS, "--command", "[", "--dry-run")["entry"]["command"] == ["["]
    refused = ready.json("register-job", "x", *WORDS, "--command", '["a"]', "--command", "b", code=2)["error"]
    assert (refused["code"], "and once more" in refused["message"]) == ("USAGE", True)


def test_a_word_that_is_not_utf_8_is_wrong_usage(ready: Workspace) -> None:
    for words in ((b"j\xff", *WORDS), ("j", *WORDS, "--prompt", b"\xff"), ("j", *WORDS, "--command", b"\xff")):
        assert ready.json("register-job", *words, code=2)["error"]["code"] == "USAGE"
    assert jobs_file(ready).read_text() == TEXT


def test_secrets_are_masked_in_what_is_shown_and_whole_in_the_file(ready: Workspace) -> None:
    (ready.root / ".env").write_text("REPORT_KEY=s3cr3t-of-the-report\n")
    words = ("--env", "MY_PASSWORD=correct-horse", "--command", "curl", "--command", "s3cr3t-of-the-report")
    for verb in (("register-job", "x", *WORDS, *words), ("pause-job", "x"), ("resume-job", "x"),
                 ("edit-job", "x", "--prompt", "y"), ("edit-job", "x", "--prompt", "z", "--dry-run")):  # fmt: skip
        said = ready.run(*verb).stdout.decode()
        assert '"***"' in said
        assert "correct-horse" not in said
        assert "s3cr3t" not in said
    assert "correct-horse" in jobs_file(ready).read_text()


def test_a_target_that_is_not_there_is_a_warning(ready: Workspace) -> None:
    words = ("--puruto-target", "nowhere", "--schedule", "@daily", "--prompt", "x")
    for more in (("--dry-run",), ()):
        codes = [warning["code"] for warning in ready.json("register-job", "x", *words, *more)["warnings"]]
        assert codes == ["NO_TICK", "TARGET_NOT_FOUND"]


@pytest.mark.parametrize(
    "words",
    [
        ("--unset", "max_retries", "--max-retries", "2"),
        ("--unset=timeout-sec", "--timeout-sec", "7"),
        ("--unset", "note", "--note", "x"),
        ("--unset", "env", "--env", "A=b"),
        ("--unset", "schedule", "--from-json", '{"schedule": "@hourly"}'),
    ],
    ids=str,
)
@pytest.mark.parametrize("has", [False, True])
def test_a_field_can_not_be_set_and_removed_at_once(ready: Workspace, words: tuple[str, ...], has: bool) -> None:
    if has:
        ready.json("edit-job", "first", "--max-retries", "1", "--timeout-sec", "9", "--note", "n", "--env", "A=c")
    before = (ready.root / ".jobs.json").read_bytes()
    error = ready.json("edit-job", "first", *words, code=2)["error"]
    assert (error["code"], len(error["details"]["fields"])) == ("USAGE", 1)
    assert (ready.root / ".jobs.json").read_bytes() == before


def test_unset_takes_fields_by_either_name_and_no_others(ready: Workspace) -> None:
    for name in ("timeout_sec", "timeout-sec", "--timeout-sec"):
        ready.json("edit-job", "first", "--timeout-sec", "9")
        assert "timeout_sec" not in ready.json("edit-job", "first", f"--unset={name}")["entry"]
    refused = ready.json("edit-job", "first", "--unset", "timeout_secs", code=2)["error"]
    assert refused["details"]["hint"] == "Did you mean timeout_sec? docs/jobs-file.md lists the fields."
    assert ready.json("edit-job", "first", "--unset", "prompt", code=2)["error"]["code"] == "JOBS_FILE_INVALID"


def test_an_edit_that_can_not_be_synced_is_an_error_that_says_that_it_was_written(ready: Workspace) -> None:
    for name in ("third", "fourth"):
        ready.json("register-job", name, *WORDS, "--enable")
    ready.sql("UPDATE jobs SET last_run_at = '2026-01-01T00:00:00+00:00'")
    jobs_file(ready).write_text('{"jobs": []}')
    error = ready.json("register-job", "fifth", *WORDS, code=1)["error"]
    assert (error["code"], error["details"]["sync_error"]["code"]) == ("NOT_SYNCED", "REMOVALS_REFUSED")
    assert "fifth" in jobs_file(ready).read_text()
    ready.database.unlink()
    error = ready.json("resume-job", "fifth", code=1)["error"]
    assert (error["code"], "init-db" in error["details"]["hint"]) == ("NOT_SYNCED", True)


def test_a_pause_until_is_in_the_zone_of_the_job(ready: Workspace) -> None:
    ready.json("register-job", "there", *WORDS, "--timezone", "Asia/Tokyo", "--enable")
    paused = ready.json("pause-job", "there", "--until", "2099-06-01T08:00")
    assert paused["entry"]["paused_until"] == "2099-05-31T23:00:00+00:00"


def test_resume_of_a_job_that_was_paused_for_failing_mentions_no_pause(ready: Workspace) -> None:
    ready.json("register-job", "bad", *WORDS, "--command", "false", "--pause-after-failures", "1", "--enable")
    ready.json("run-now", "bad", code=1)
    answer = ready.json("resume-job", "bad")
    assert answer["failures_forgotten"] is True
    assert [warning["code"] for warning in answer["warnings"]] == ["NO_TICK"]
    assert ready.json("run-now", "bad", code=1)["error"]["code"] == "NONZERO_EXIT"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_are_kept_however_many_jobs_there_are(ready: Workspace, end: str) -> None:
    jobs_file(ready).write_bytes(TEXT.replace("\n", end).encode())
    ready.json("register-job", "third", *WORDS)
    data = jobs_file(ready).read_bytes()
    assert b"\r\r" not in data
    assert (data.count(b"\r\n") == data.count(b"\n")) is (end == "\r\n")


@pytest.mark.parametrize("words", [("edit-job", "nobody", "--prompt", "x"), ("remove-job", "nobody")])
def test_what_is_refused_leaves_nothing_behind(ready: Workspace, words: tuple[str, ...]) -> None:
    before = sorted(path.name for path in ready.root.iterdir())
    assert ready.json(*words, code=1)["error"]["code"] == "JOB_NOT_FOUND"
    assert sorted(path.name for path in ready.root.iterdir()) == before
