"""`tick`: what it prints, what it leaves behind, and that one bad job hurts itself only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.clock import utc_text
from tests.support_machine import (
    COUNT,
    FAILURE_KEYS,
    GATED,
    SUCCESS_KEYS,
    TICK_KEYS,
    YEARLY,
    Machine,
    answer_of,
    gated_tick,
    killed,
    prepare,
    python,
    release,
    shell,
    slots,
    target_folder,
    utc,
)
from tests.workspace import FakeClock, Workspace, is_running

CRON = {"LOGNAME": "root", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}


@pytest.mark.process
def test_an_idle_tick_and_a_busy_one_print_the_same_keys(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    idle = workspace.json("tick")
    assert (idle["status"], idle["due_jobs"], idle["results"]) == ("ok", [], [])
    # The first tick of a configuration is a whole one; the second takes the short way.
    short = workspace.json("tick")
    workspace.make_due()
    busy = workspace.json("tick")
    assert (
        list(idle)[:5] == list(short)[:5] == list(busy)[:5] == ["status", "now", "lease_owner", "due_jobs", "results"]
    )
    assert set(idle) == set(short) == set(busy)
    assert busy["due_jobs"] == ["job-0"]
    host, _, pid = busy["lease_owner"].rpartition(":")
    assert host
    assert pid.isdecimal()


@pytest.mark.process
def test_a_due_job_runs_is_recorded_and_told(workspace: Workspace) -> None:
    (workspace.home / "puruto-telegram").mkdir()
    workspace.add_target()
    workspace.ready({"schedule": YEARLY})
    workspace.make_due()
    slot = workspace.sql("SELECT next_run_at FROM jobs")[0]["next_run_at"]
    report = workspace.json("tick")
    (result,) = report["results"]
    (row,) = workspace.runs()
    (event,) = workspace.events()

    assert set(report) >= TICK_KEYS
    assert set(result) >= SUCCESS_KEYS
    assert result["notification_paths"] == {
        "local_events": "notifications/events.jsonl",
        "telegram_outbox": "../puruto-telegram/inbox/cron-events.jsonl",
    }
    assert set(result["result"]["request"]) == {"request_id", "correlation_id"}
    assert result["result"]["response"] == {"status": "ok", "result": {"summary": "done"}}
    assert workspace.starts() == [f"{row['run_id']} {slot}"]
    assert (row["status"], row["scheduled_for"], row["attempt"]) == ("ok", slot, 1)
    assert row["trigger"] == "schedule"
    assert (row["lease_token"], row["lease_owner"], row["lease_expires_at"]) == (None, None, None)
    assert json.loads(row["result_json"]) == result["result"]
    assert event == {
        "ts": row["finished_at"],
        "job_id": "job-0",
        "run_id": row["run_id"],
        "timezone": "UTC",
        "attempt": 1,
        "result": result["result"],
    }
    mirror = workspace.home / "puruto-telegram" / "inbox" / "cron-events.jsonl"
    assert mirror.read_bytes() == workspace.events_file.read_bytes()
    assert workspace.sql("SELECT next_run_at > ? AS later FROM jobs", (slot,)) == [{"later": 1}]


@pytest.mark.process
def test_a_tick_exits_0_although_its_job_failed(workspace: Workspace) -> None:
    prepare(workspace, shell("echo broken >&2; exit 3"))
    workspace.make_due()
    (result,) = workspace.json("tick")["results"]
    assert set(result) >= FAILURE_KEYS
    assert result["status"] == "error"
    assert result["error"]["code"] == "NONZERO_EXIT"
    assert result["error"]["details"]["exit_code"] == 3
    (row,) = workspace.runs()
    (event,) = workspace.events()
    assert (row["status"], row["exit_code"]) == ("error", 3)
    assert json.loads(row["error_json"]) == event["error"] == result["error"]
    assert event["attempts"] == 1
    assert "result" not in event


@pytest.mark.parametrize(
    ("invoke", "code"),
    [
        ("exit 0", "INVALID_RESPONSE"),
        ("echo '{}'", "INVALID_RESPONSE"),
        ('echo \'{"status": "ok"}\'', "INVALID_RESPONSE"),
        ('echo \'{"status": "ok", "result": {"a": 1}}\'; exit 1', "NONZERO_EXIT"),
        ('echo \'{"status": "ok", "result": {"a": 1}}\'; kill -9 $$', "NONZERO_EXIT"),
        ('echo \'{"status": "error", "error": {"code": "X", "message": "no"}}\'', "INVOKER_ERROR_STATUS"),
    ],
    ids=["silent", "empty", "no-result", "exit-1", "killed", "answered-error"],
)
def test_no_bad_end_of_a_target_counts_as_a_success(
    workspace: Workspace, clock: FakeClock, invoke: str, code: str
) -> None:
    machine = Machine(workspace, clock)
    machine.ready({"schedule": YEARLY})
    workspace.add_target(invoke=f"#!/bin/sh\ncat > /dev/null\n{invoke}\n")
    result = machine.run_now()
    assert result["error"]["code"] == code
    assert [row["status"] for row in workspace.runs()] == ["error"]


@pytest.mark.process
def test_quiet_says_nothing_when_idle_and_one_line_when_something_was_due_or_is_wrong(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))

    def quiet() -> bytes:
        done = workspace.run("tick", "--quiet")
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    assert [quiet(), quiet()] == [b"", b""]
    workspace.make_due()
    line = quiet()
    assert line.count(b"\n") == 1
    assert json.loads(line)["due_jobs"] == ["job-0"]
    assert quiet() == b""
    (workspace.root / ".jobs.json").write_text("{")
    for line in (quiet(), quiet()):
        assert line.count(b"\n") == 1
        assert json.loads(line)["sync"]["error"]["code"] == "JOBS_FILE_NOT_JSON"


def test_the_row_is_there_before_the_process_and_the_cursor_has_moved(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    look = (
        "import os, sqlite3, json\n"
        f"db = sqlite3.connect({str(workspace.database)!r})\n"
        "row = db.execute('SELECT status, scheduled_for, lease_owner FROM runs WHERE run_id = ?',"
        " (os.environ['PURUTO_CRON_RUN_ID'],)).fetchone()\n"
        "job = db.execute('SELECT next_run_at, lease_owner FROM jobs').fetchone()\n"
        "db.close()\n"
        "print(json.dumps([row, job]))"
    )
    machine.ready(python(look, schedule="0 * * * *"))
    clock.wall = utc(2026, 2, 25, 21)
    report = machine.tick()
    row, job = json.loads(report["results"][0]["result"]["response"]["result"]["stdout"])
    assert row == ["running", "2026-02-25T21:00:00+00:00", report["lease_owner"]]
    assert job == ["2026-02-25T22:00:00+00:00", report["lease_owner"]]


def test_a_tick_serves_all_that_is_due_oldest_first_under_the_cap(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock, PURUTO_CRON_MAX_RUNNING="1")
    machine.ready(*(shell(COUNT, schedule=f"{30 - n} * * * *") for n in range(5)))
    clock.advance(minutes=59)
    report = machine.tick()
    oldest_first = [f"job-{n}" for n in (4, 3, 2, 1, 0)]
    assert report["due_jobs"] == oldest_first
    assert [result["job_id"] for result in report["results"]] == oldest_first
    assert [line.split()[0].rpartition("-")[0] for line in workspace.starts()] == oldest_first
    assert [row["job_id"] for row in workspace.runs()] == oldest_first
    assert report["left_due"] == []


def test_an_interval_keeps_its_grid_however_late_the_ticks_are(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT, schedule="@every 15m"))
    for late in (17, 31, 49.5):
        clock.wall = utc(2026, 2, 25, 20)
        clock.advance(minutes=late)
        machine.tick()
    assert slots(workspace.runs(), "ok") == ["20:15", "20:30", "20:45"]
    assert machine.cursor() == utc(2026, 2, 25, 21)


@pytest.mark.process
def test_other_jobs_start_while_one_is_running(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED), shell(COUNT, job_id="other"))
    workspace.make_due("job-0")
    with gated_tick(workspace) as (slow, _):
        workspace.make_due("other")
        other = workspace.json("tick")
        assert [result["job_id"] for result in other["results"]] == ["other"]
        assert slow.poll() is None
        release(workspace)
        assert [result["status"] for result in answer_of(slow)["results"]] == ["ok"]


@pytest.mark.process
def test_a_timeout_ends_the_whole_tree(workspace: Workspace) -> None:
    stubborn = (
        "import os, signal, subprocess, sys, time\n"
        "child = 'import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        ' open(sys.argv[1], "w").write(str(os.getpid())); time.sleep(60)\'\n'
        "for n in range(2):\n"
        "    subprocess.Popen([sys.executable, '-S', '-c', child, f'{n}.pid'], start_new_session=bool(n))\n"
        "while not all(os.path.exists(f'{n}.pid') and open(f'{n}.pid').read() for n in range(2)):\n"
        "    time.sleep(0.01)\n"
        "open('all', 'w').close()\n"
        "time.sleep(60)\n"
    )
    prepare(workspace, python(stubborn, timeout_sec=2))
    workspace.make_due()
    (result,) = workspace.json("tick")["results"]
    assert result["error"]["code"] == "TIMEOUT"
    assert (target_folder(workspace) / "all").exists()
    pids = [int((target_folder(workspace) / f"{n}.pid").read_text()) for n in range(2)]
    with killed(*pids):
        assert not any(map(is_running, pids))
    assert [row["status"] for row in workspace.runs()] == ["error"]


def test_a_stored_schedule_made_bad_by_hand_stops_no_tick_and_is_shown(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT, schedule="0 * * * *"), shell(COUNT, schedule="0 * * * *", job_id="good"))
    _store_schedule(workspace, "job-0", "99 * * * *")
    clock.advance(hours=1)
    report = machine.tick()
    assert [result["job_id"] for result in report["results"]] == ["good"]
    assert [(entry["job_id"], entry["error"]["code"]) for entry in report["problems"]] == [
        ("job-0", "SCHEDULE_INVALID")
    ]
    assert report["left_due"] == ["job-0"]
    _, status = machine.run("status")
    problems = {job["job_id"]: job["problem"] for job in status["jobs"]}
    assert problems["good"] is None
    assert problems["job-0"]["code"] == "SCHEDULE_INVALID"
    assert machine.cursor() == utc(2026, 2, 25, 21), "a slot that was not served stays due"


def test_a_sync_repairs_a_schedule_that_was_made_bad_by_hand(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT, schedule="0 * * * *"))
    _store_schedule(workspace, "job-0", "99 * * * *")
    clock.advance(hours=1)
    machine.tick()
    _, synced = machine.run("sync-jobs")
    assert synced["changed"] == ["job-0"]
    clock.advance(hours=1)
    report = machine.tick()
    assert [result["status"] for result in report["results"]] == ["ok"]
    assert machine.run("status")[1]["jobs"][0]["problem"] is None


@pytest.mark.parametrize("text", ["{", "{}", '{"job_id": "job-0"}', "null"])
def test_a_stored_definition_that_is_no_job_stops_no_tick_and_no_status(
    workspace: Workspace, clock: FakeClock, text: str
) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT, schedule="0 * * * *"), shell(COUNT, schedule="0 * * * *", job_id="good"))
    workspace.sql("UPDATE jobs SET definition_json = ? WHERE job_id = 'job-0'", (text,))
    clock.advance(hours=1)
    report = machine.tick()
    assert [result["job_id"] for result in report["results"]] == ["good"]
    assert [entry["job_id"] for entry in report["problems"]] == ["job-0"]
    _, status = machine.run("status")
    assert {job["job_id"]: bool(job["problem"]) for job in status["jobs"]} == {"job-0": True, "good": False}
    assert [job["job_id"] for job in machine.run("list")[1]["jobs"]] == ["good", "job-0"]
    _, synced = machine.run("sync-jobs")
    assert synced["changed"] == ["job-0"]


def test_a_definition_that_breaks_while_its_job_runs_stops_no_tick(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    spoil = (
        "import sqlite3\n"
        f"db = sqlite3.connect({str(workspace.database)!r})\n"
        "with db:\n"
        "    db.execute(\"UPDATE jobs SET definition_json = '{' WHERE job_id = 'job-0'\")\n"
        "db.close()\n"
        "print('spoilt')"
    )
    machine.ready(python(spoil, schedule="0 * * * *"))
    clock.advance(hours=1)
    report = machine.tick()
    assert [result["status"] for result in report["results"]] == ["ok"]


@pytest.mark.process
def test_the_program_works_from_anywhere_and_in_the_environment_of_cron(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "mis cosas ñ ☃")
    tell = 'echo "$PURUTO_CRON_RUN_ID año ☃" >> starts.log; pwd'
    prepare(workspace, shell(tell, prompt="¿Qué hay, ☃?", timezone="Europe/Madrid"))
    link = tmp_path / "an other place" / "cron.py"
    link.parent.mkdir()
    link.symlink_to(workspace.root / "main.py")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*words: str, **environ: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, str(link), *words],
            env={"HOME": str(tmp_path), **CRON, **environ},
            cwd=elsewhere,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b""), done
        answer = json.loads(done.stdout.decode("utf-8"))
        assert isinstance(answer, dict)
        return answer

    workspace.make_due()
    assert run("tick")["due_jobs"] == ["job-0"]
    assert run("tick", LANG="C", LC_ALL="C")["due_jobs"] == []
    paths = run("status", LANG="C", LC_ALL="POSIX")["paths"]
    assert isinstance(paths, dict)
    assert paths["database"] == str(workspace.database)
    result = run("run-now", "job-0", LANG="C")["result"]
    assert str(target_folder(workspace)) in json.dumps(result, ensure_ascii=False)
    assert run("list", LC_ALL="C")["jobs"][0]["prompt"] == "¿Qué hay, ☃?"  # type: ignore[index]
    assert list(elsewhere.iterdir()) == []
    assert [row["status"] for row in workspace.runs()] == ["ok", "ok"]
    assert len(workspace.starts()) == len(workspace.events()) == 2


def test_a_job_that_reads_its_input_gets_none_and_does_not_wait(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell('cat; echo "$HOME $LOGNAME" | wc -w', timeout_sec=20))
    result = machine.run_now()
    assert result["status"] == "ok"
    assert result["result"]["response"]["result"]["stdout"].split() == ["2"]


def test_status_calls_the_scheduler_stale_until_a_tick_has_come(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT))
    assert machine.run("status")[1]["scheduler"]["stale"] is True
    machine.tick()
    fresh = machine.run("status")[1]["scheduler"]
    assert (fresh["stale"], fresh["last_tick_at"]) == (False, utc_text(clock.wall))
    clock.advance(minutes=6)
    assert machine.run("status")[1]["scheduler"]["stale"] is True


@pytest.mark.process
def test_a_tick_that_waits_for_its_own_run_leaves_no_process_behind(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    workspace.write_jobs(shell("sleep 60 & echo $! > left.pid; echo done"))
    workspace.json("sync-jobs")
    workspace.make_due()
    assert workspace.json("tick")["results"][0]["status"] == "ok"
    pid = int((target_folder(workspace) / "left.pid").read_text())
    with killed(pid):
        assert not is_running(pid), "what a finished job leaves running is ended with it"


@pytest.mark.process
def test_two_rows_never_share_a_slot_whatever_is_tried_by_hand(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    workspace.make_due()
    slot = workspace.sql("SELECT next_run_at FROM jobs")[0]["next_run_at"]
    workspace.json("tick")
    workspace.sql("UPDATE jobs SET next_run_at = ?", (slot,))
    again = workspace.json("tick")
    assert again["due_jobs"] == ["job-0"]
    assert again["results"] == []
    assert len(workspace.starts()) == len(workspace.runs()) == 1


@pytest.mark.process
def test_a_gated_job_is_seen_as_running_and_ends_when_released(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    workspace.make_due()
    with gated_tick(workspace) as (tick, row):
        (running,) = workspace.json("status")["running"]
        assert (running["run_id"], running["job_id"], running["waiting"]) == (row["run_id"], "job-0", False)
        (job,) = workspace.json("status")["jobs"]
        assert (job["lease_owner"], job["lease_expires_at"]) == (row["lease_owner"], row["lease_expires_at"])
        release(workspace)
        assert answer_of(tick)["results"][0]["run_id"] == row["run_id"]
    (job,) = workspace.json("status")["jobs"]
    assert (job["lease_owner"], job["lease_expires_at"]) == (None, None)


def _store_schedule(workspace: Workspace, job_id: str, schedule: str) -> None:
    workspace.sql(
        "UPDATE jobs SET schedule = ?, definition_json = json_set(definition_json, '$.schedule', ?) WHERE job_id = ?",
        (schedule, schedule, job_id),
    )
