"""The daemon, as a real process beside others: on the instant, woken at once, ended in order, reloaded."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import Counter
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support_daemon import NEVER, OFTEN, RunningDaemon, daemon, declare_ahead, rows, wait_for_rows
from tests.support_ledger import nothing_lives
from tests.support_machine import (
    COUNT,
    FAIL,
    GATED,
    answer_of,
    gated_pid,
    prepare,
    release,
    shell,
    target_folder,
    wait_for_run,
)
from tests.workspace import PATIENCE, Workspace, ended, is_running, wait_for

pytestmark = pytest.mark.process


def reaped(daemon: RunningDaemon) -> bool:
    """It has ended, and its files next to the database are gone."""
    beside = {path.name for path in daemon.workspace.database.parent.iterdir()}
    return beside.isdisjoint({"cron.db.daemon.bell", "cron.db.daemon.json"})


# --- on the instant, and at once ---


def test_it_starts_slots_on_time_and_is_woken_by_what_others_do(workspace: Workspace) -> None:
    long = shell(GATED, job_id="long")
    declare_ahead(workspace, "first", lambda at: prepare(workspace, shell(COUNT, job_id="first", schedule=at), long))
    with daemon(workspace, NEVER) as served:
        state = workspace.json("status")["scheduler"]["daemon"]
        since = state.pop("since")
        assert state == {"running": True, "pid": served.pid, "host": os.uname().nodename}
        assert "2026" <= since <= served.lines()[0]["now"], "it begins before it says so"
        wait_for_rows(workspace, "first", "ok")

        def register(at: str) -> None:
            if workspace.sql("SELECT 1 FROM jobs WHERE job_id = 'new'"):
                workspace.json("edit-job", "new", "--schedule", at)
                return
            new = shell(COUNT, puruto_target="puruto-target", prompt="Do it", schedule=at)
            workspace.json("register-job", "new", "--enable", "--from-json", json.dumps(new))

        declare_ahead(workspace, "new", register)
        wait_for_rows(workspace, "new", "ok")

        def sync(at: str) -> None:
            workspace.write_jobs(long, shell(COUNT, job_id="synced", schedule=at))
            workspace.json("sync-jobs", "--allow-removals")

        declare_ahead(workspace, "synced", sync)
        wait_for_rows(workspace, "synced", "ok")

        assert workspace.json("run-now", "synced")["status"] == "ok"
        served.make_due("long")
        run = wait_for_run(workspace, "long")
        assert workspace.json("cancel", run["run_id"])["status"] == "ok"
        wait_for_rows(workspace, "long", "cancelled")

        told = served.wait_for_line(lambda line: any(r["job_id"] == "long" for r in line.get("results", [])), "the end")
        assert told["results"][0]["error"]["code"] == "CANCELLED"
        assert [event["job_id"] for event in workspace.events()] == ["first", "new", "synced", "synced", "long"]
        assert [row["slots"] for row in workspace.runs("first")] == [1]
        served.signal(signal.SIGTERM)
        assert served.wait() == 0
    assert served.errors() == []
    nothing_lives(workspace)


def test_a_second_daemon_is_refused_and_a_third_may_start_after_the_first_has_ended(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    with daemon(workspace) as served:
        error = workspace.json("daemon", code=1)["error"]
        assert (error["code"], error["details"]["pid"]) == ("DAEMON_RUNNING", served.pid)
        assert str(served.pid) in error["message"]
        served.process.kill()
        served.wait()
        with daemon(workspace) as third:
            third.make_due()
            wait_for_rows(workspace, "job-0", "ok")


def test_without_a_database_it_does_not_start(workspace: Workspace) -> None:
    workspace.write_jobs()
    assert workspace.json("daemon", code=2)["error"]["code"] == "DATABASE_MISSING"
    assert not (workspace.database.parent / "cron.db.daemon.json").exists()


# --- the file ---


def test_an_edited_file_is_synced_at_the_next_poll_and_a_broken_one_reported_once(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    with daemon(workspace, OFTEN) as served:
        workspace.replace_jobs(shell(COUNT), shell(COUNT))
        synced = served.wait_for_line(lambda line: line.get("sync"), "a sync")
        assert synced["sync"]["added"] == ["job-1"]

        (workspace.root / ".jobs.json").write_text("{ no json", encoding="utf-8")
        broken = served.wait_for_line(lambda line: line["status"] == "error", "an error")
        assert broken["sync"]["error"]["code"] == "JOBS_FILE_NOT_JSON"
        assert workspace.json("status")["sync"]["error"]["error"] == broken["sync"]["error"]
        served.make_due("job-1")
        wait_for_rows(workspace, "job-1", "ok")
        served.wait_for_poll()

        workspace.replace_jobs(shell(COUNT), shell(COUNT), shell(COUNT))
        served.wait_for_line(lambda line: (line.get("sync") or {}).get("added") == ["job-2"], "another sync")
        assert workspace.json("status")["sync"]["error"] is None
    assert [line["status"] for line in served.lines() if "sync" in line] == ["ok", "error", "ok"]


def test_an_edit_from_before_its_start_is_synced_before_any_slot_is_started(workspace: Workspace) -> None:
    prepare(workspace, shell("exit 1", job_id="changed"))
    workspace.make_due()
    workspace.write_jobs(shell(COUNT, job_id="changed"))
    with daemon(workspace) as served:
        wait_for_rows(workspace, "changed", "ok")
        assert served.lines()[0]["sync"]["changed"] == ["changed"]


# --- slots ---


def test_missed_slots_retries_overlap_and_the_cap_are_as_with_ticks(workspace: Workspace) -> None:
    each = {"schedule": "0 0 1 1 *"}
    prepare(
        workspace,
        shell(COUNT, job_id="all", schedule="* * * * *", catch_up="all"),
        shell(COUNT, job_id="latest", schedule="* * * * *"),
        shell(FAIL, job_id="fails", max_retries=1, retry_backoff_sec=1, **each),
        shell(GATED, job_id="long", **each),
        shell(COUNT, job_id="waits", **each),
    )
    first = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=3)
    workspace.make_due("all", at=first)
    workspace.make_due("latest", at=first)
    with daemon(workspace, {**NEVER, "PURUTO_CRON_MAX_RUNNING": "1"}) as served:
        wait_for(lambda: len(rows(workspace, "all")) >= 4, what="each slot")
        wait_for(lambda: workspace.runs("latest"), what="the newest slot")
        wait_for(lambda: "running" not in rows(workspace), what="an end")
        slots = [row["scheduled_for"] for row in workspace.runs("all")]
        assert slots == [(first + timedelta(minutes=n)).isoformat() for n in range(len(slots))]
        latest = sorted(workspace.runs("latest"), key=lambda row: str(row["scheduled_for"]))
        assert [row["status"] for row in latest[:2]] == ["missed", "ok"]
        newest = datetime.fromisoformat(latest[1]["scheduled_for"])
        assert sum(row["slots"] for row in latest[:2]) == (newest - first) / timedelta(minutes=1) + 1

        served.make_due("fails")
        wait_for_rows(workspace, "fails", "error")
        assert workspace.runs("fails")[0]["attempt"] == 2

        served.make_due("long", minutes_ago=5)
        wait_for_run(workspace, "long")
        served.make_due("long")
        wait_for_rows(workspace, "long", "running", "skipped")
        served.make_due("waits")
        served.wait_for_line(lambda line: line.get("written_off"), "what was written off")
        assert rows(workspace, "waits") == [], "there is one permit"
        release(workspace)
        wait_for_rows(workspace, "waits", "ok")
        assert rows(workspace, "long") == ["ok", "skipped"]


def test_ticks_and_runs_by_hand_at_the_same_time_start_nothing_twice(workspace: Workspace) -> None:
    prepare(workspace, *(shell(COUNT, job_id=f"j{n:02}") for n in range(40)))
    with daemon(workspace, {**NEVER, "PURUTO_CRON_MAX_RUNNING": "8"}) as served, ExitStack() as stack:
        served.make_due()
        others = [stack.enter_context(ended(workspace.start(*words))) for words in (("tick",), ("tick",))]
        by_hand = workspace.run("run-now", "j39")
        assert by_hand.returncode in (0, 1), "another may hold the job"
        for other in others:
            answer_of(other)
        wait_for(lambda: len([row for row in workspace.runs() if row["scheduled_for"]]) == 40, what="all slots")
        wait_for(lambda: "running" not in rows(workspace), what="all ends")
    found = workspace.runs()
    assert max(Counter((row["job_id"], row["scheduled_for"]) for row in found).values()) == 1
    started = [row["run_id"] for row in found if row["status"] == "ok"]
    assert sorted(line.split()[0] for line in workspace.starts()) == sorted(started)
    assert served.errors() == []


# --- events ---


def test_a_channel_that_failed_is_tried_again_at_the_next_poll(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    folder = workspace.root / "notifications"
    folder.rename(folder.with_name("aside"))
    folder.write_text("in the way")
    with daemon(workspace, OFTEN) as served:
        served.make_due()
        told = served.wait_for_line(lambda line: line.get("results"), "a result")
        assert [entry["channel"] for entry in told["results"][0]["events_waiting"]] == ["local"]
        folder.unlink()
        wait_for(lambda: [event["job_id"] for event in workspace.events()] == ["job-0"], what="the event")


# --- the end ---


def test_without_runs_it_ends_at_once_when_asked(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    with daemon(workspace) as served:
        served.signal(signal.SIGTERM)
        assert served.wait() == 0
        assert reaped(served)
    assert workspace.json("status")["scheduler"]["daemon"]["running"] is False


def test_when_asked_to_end_it_starts_no_more_runs_and_lets_its_runs_end(workspace: Workspace) -> None:
    prepare(workspace, *(shell(script, job_id=name) for name, script in (("long", GATED), ("w", COUNT), ("z", COUNT))))
    workspace.make_due("long", minutes_ago=1)
    workspace.make_due("w")
    with daemon(workspace, {**NEVER, "PURUTO_CRON_MAX_RUNNING": "1"}) as served:
        wait_for_run(workspace, "long")
        served.signal(signal.SIGTERM)
        told = served.wait_for_line(lambda line: line["status"] == "stopping", "its last line")
        assert (told["reason"], told["running"]) == ("SIGTERM", 1)
        served.make_due("z")
        release(workspace)
        assert served.wait() == 0
    assert rows(workspace, "long") == ["ok"]
    assert rows(workspace, "w") + rows(workspace, "z") == [], "neither what waited nor what came"
    assert [event["job_id"] for event in workspace.events()] == ["long"]
    assert [result["job_id"] for result in served.results()] == ["long"]


@pytest.mark.parametrize(
    ("signals", "stop_sec"),
    [
        pytest.param([signal.SIGTERM], "1", id="at its deadline"),
        pytest.param([signal.SIGTERM, signal.SIGTERM], "600", id="when asked twice"),
        pytest.param([signal.SIGINT, signal.SIGINT], "600", id="by Ctrl-C twice"),
    ],
)
def test_it_ends_runs_that_do_not_end(workspace: Workspace, signals: list[signal.Signals], stop_sec: str) -> None:
    prepare(workspace, shell(GATED))
    with daemon(workspace, {**NEVER, "PURUTO_CRON_STOP_SECONDS": stop_sec}) as served:
        served.make_due()
        run = wait_for_run(workspace)
        pid = gated_pid(workspace, run["run_id"])
        for number in signals:
            served.signal(number)
            served.wait_for_line(lambda line: line["status"] == "stopping", "its last line")
        assert served.wait() == 0
        assert not is_running(pid)
    (row,) = workspace.runs()
    assert (row["status"], row["lease_owner"]) == ("cancelled", None)
    nothing_lives(workspace)


def test_while_it_waits_for_its_runs_it_sleeps(workspace: Workspace) -> None:
    """A wake-up at that time is ignored, and must not keep it busy."""
    long = shell(GATED, job_id="long")
    declare_ahead(workspace, "other", lambda at: prepare(workspace, long, shell(COUNT, job_id="other", schedule=at)))
    # Read now: a slow machine may start the slot before the signal, and then the job has none.
    (state,) = workspace.sql("SELECT next_run_at FROM jobs WHERE job_id = 'other'")
    with daemon(workspace) as served:
        served.make_due("long")
        wait_for_run(workspace, "long")
        served.signal(signal.SIGTERM)
        served.wait_for_line(lambda line: line["status"] == "stopping", "its last line")
        assert served.notify()
        before = _processor_ticks(served.pid)
        wait_for(lambda: datetime.now(UTC).isoformat() > state["next_run_at"], what="the slot's instant")
        # It wakes once a second for the lease; a loop that spins would use a hundred processor ticks in that time.
        wait_for(lambda: _slept(served.pid) >= 3, what="sleeps")
        assert _processor_ticks(served.pid) - before < 50
        release(workspace)
        assert served.wait() == 0


def _processor_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def _slept(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("voluntary_ctxt_switches:")[1].split()[0])


# --- settings ---


def test_hup_reloads_the_settings_unless_they_are_wrong(workspace: Workspace) -> None:
    prepare(workspace, *(shell(GATED, job_id=f"g{n}") for n in range(3)))
    env = workspace.root / ".env"
    env.write_text("PURUTO_CRON_MAX_RUNNING=1\n")
    with daemon(workspace) as served:
        served.make_due()
        wait_for_run(workspace)
        for text, code in (
            ("PURUTO_CRON_MAX_RUNNING=many\n", "SETTINGS_INVALID"),
            ("PURUTO_CRON_MAX_RUNNING=3\nDB_PATH=db/other.db\n", "SETTINGS_INVALID"),
        ):
            env.write_text(text)
            told = len(served.errors())
            served.signal(signal.SIGHUP)
            wait_for(lambda told=told: served.errors()[told:], what="a refusal")  # type: ignore[misc]
            # The poll may read the edited file as well, before the signal or after it.
            assert set(served.errors()[told:]) == {code}
        assert rows(workspace) == ["running"]
        env.write_text("PURUTO_CRON_MAX_RUNNING=3\n")
        served.signal(signal.SIGHUP)
        wait_for(lambda: rows(workspace) == ["running"] * 3, what="three places")
        release(workspace)
        wait_for(lambda: rows(workspace) == ["ok"] * 3, what="their ends")
    assert served.lines()[-1]["status"] != "error"
    assert "reloaded" in [line["status"] for line in served.lines()]


def test_an_edited_env_is_read_at_the_next_poll_and_a_broken_one_reported_once(workspace: Workspace) -> None:
    prepare(workspace, *(shell(GATED, job_id=f"g{n}") for n in range(2)))
    env = workspace.root / ".env"
    env.write_text("PURUTO_CRON_MAX_RUNNING=1\n")
    with daemon(workspace) as served:
        served.make_due()
        wait_for_run(workspace)
        env.write_text("PURUTO_CRON_MAX_RUNNING=many\n")
        for _ in range(3):
            assert served.notify()
            wait_for(served.errors, what="a refusal")
        env.write_text("PURUTO_CRON_MAX_RUNNING=2\n")
        assert served.notify()
        wait_for(lambda: rows(workspace) == ["running"] * 2, what="two places")
        release(workspace)
        wait_for(lambda: rows(workspace) == ["ok"] * 2, what="their ends")
        assert served.errors() == ["SETTINGS_INVALID"]


def test_hup_reads_the_file_of_jobs_anew(workspace: Workspace) -> None:
    """Even an unchanged file, because its meaning depends on the zone that is set."""
    prepare(workspace, shell(COUNT))
    with daemon(workspace) as served:
        (workspace.root / ".env").write_text("PURUTO_CRON_TIMEZONE=Europe/Madrid\n")
        served.signal(signal.SIGHUP)
        served.wait_for_line(lambda line: (line.get("sync") or {}).get("changed") == ["job-0"], "a sync")


def test_hup_is_a_reload_also_where_nohup_has_it_ignored(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    with daemon(workspace, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as served:
        served.signal(signal.SIGHUP)
        served.wait_for_line(lambda line: line["status"] == "reloaded", "a reload")
        served.signal(signal.SIGTERM)
        assert served.wait() == 0


def test_it_notifies_systemd(workspace: Workspace, tmp_path: Path) -> None:
    prepare(workspace, shell(COUNT))
    address = f"\0puruto-cron-{os.getpid()}-{tmp_path.name}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as there:
        there.bind(address)
        there.settimeout(PATIENCE)
        told: list[str] = []

        def until(word: str) -> str:
            while word not in (last := there.recv(4096).decode()):
                told.append(last.split("\n")[0])
            told.append(last.split("\n")[0])
            return last

        env = {**NEVER, "NOTIFY_SOCKET": f"@{address[1:]}", "WATCHDOG_USEC": "1000000"}
        with daemon(workspace, env) as served:
            until("READY=1")
            # Of the first look and of one half of a watchdog's second later: nothing else wakes it.
            until("WATCHDOG=1")
            until("WATCHDOG=1")
            served.signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in until("RELOADING=1")
            until("READY=1")
            served.signal(signal.SIGTERM)
            until("STOPPING=1")
            assert served.wait() == 0
    words = [word for word in told if word != "WATCHDOG=1"]
    assert words == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


# --- what it is ---


def test_all_that_a_run_needs_is_imported_before_it_is_ready_and_the_parser_of_jobs_never(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT), shell("exit 1"))
    script = """
import sys
from daemon import daemon
begin, run = daemon.Daemon.begin, daemon.Daemon.run
def noted(self):
    begin(self)
    self.before = set(sys.modules)
def told(self):
    run(self)
    self._print_line({"status": "test", "late": sorted(set(sys.modules) - self.before), "all": sorted(sys.modules)})
daemon.Daemon.begin, daemon.Daemon.run = noted, told
"""
    with daemon(workspace, script=script, fresh=True) as served:
        served.make_due()
        wait_for(lambda: len(served.results()) == 2, what="both ends")
        served.signal(signal.SIGTERM)
        assert served.wait() == 0
    last: dict[str, Any] = served.lines()[-1]
    ours = {path.stem for path in workspace.root.glob("*.py")} | {
        path.parent.name for path in workspace.root.glob("*/__init__.py")
    }
    watched = ours | {"croniter", "ctypes", "subprocess", "zoneinfo"}
    assert [name for name in last["late"] if name.split(".")[0] in watched] == []
    assert {name.split(".")[0] for name in last["all"]} & {"pydantic", "jsonschema", "rich", "psutil"} == set()


def test_its_folder_is_left_as_it_was(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    with daemon(workspace) as served:
        served.make_due()
        wait_for_rows(workspace, "job-0", "ok")
        open_files = {os.path.realpath(f"/proc/{served.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{served.pid}/fd")}
        assert not [path for path in open_files if path.startswith(str(workspace.root / "runs"))], "runs are closed"
        served.signal(signal.SIGTERM)
        assert served.wait() == 0
    names = {path.name for path in workspace.database.parent.iterdir()}
    assert names - {"cron.db", "cron.db-wal", "cron.db-shm"} == {
        "cron.db.last_tick",
        "cron.db.daemon.lock",
        "puruto-cron.log",
    }
    assert target_folder(workspace).exists()
