"""Files of the database that are removed or replaced while a daemon and ticks use them."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from core.clock import from_text
from db import Database
from store.bundle import Store
from store.creation import create
from store.rescue import put_back, rescue
from system.daemon_lock import DaemonLock, daemon_state, identity_file, lock_file
from system.database_guard import shared_lock
from tests.faults.test_daemon_faults import HASTY, the_ledger_is_whole
from tests.support_daemon import NEVER, OFTEN, daemon, rows, wait_for_rows, wait_until_told
from tests.support_ledger import every_row_has_an_end, no_job_is_stuck, nothing_lives
from tests.support_machine import COUNT, GATED, gated_pid, killed, prepare, release, shell, wait_for_run
from tests.workspace import PROJECT, Workspace, wait_for

LOGS = ("-wal", "-shm")


def remove_logs(workspace: Workspace) -> None:
    for suffix in LOGS:
        Path(f"{workspace.database}{suffix}").unlink()


# --- the log ---


def test_a_log_that_is_removed_under_a_daemon_is_found_and_every_start_has_a_row(workspace: Workspace) -> None:
    prepare(workspace, *(shell(COUNT, job_id=f"j{n}") for n in range(3)), shell(COUNT, job_id="late"))
    with daemon(workspace, OFTEN, script=HASTY) as served:
        served.make_due("j%")
        wait_for(lambda: rows(workspace) == ["ok"] * 3, what="the first runs")
        remove_logs(workspace)
        # What a tick stores now is in a new log, which the daemon does not see.
        workspace.make_due("late")
        workspace.json("tick")
        line = served.wait_for_line(lambda line: line.get("reopened"), "that it has opened the database again")
        assert line["reopened"]["lost_runs"] == []
        for number in range(3):
            served.make_due(f"j{number}", minutes_ago=1)
            workspace.json("tick")
        wait_for(lambda: len(rows(workspace)) >= 7 and "running" not in rows(workspace), what="all runs")
        wait_until_told(workspace)
        assert served.errors() == ["DATABASE_LOG_REPLACED"]
        codes = [anomaly["code"] for anomaly in workspace.json("status")["scheduler"]["anomalies"]]
        assert codes == ["DATABASE_LOG_REPLACED"]
        served.signal(signal.SIGTERM)
        assert served.wait() == 0
    started = {line.split()[0] for line in workspace.starts()}
    assert started <= {row["run_id"] for row in workspace.runs()}, "no start without a row"
    every_row_has_an_end(workspace.runs())
    nothing_lives(workspace)
    no_job_is_stuck(workspace)
    assert sorted(event["run_id"] for event in workspace.events()) == sorted(row["run_id"] for row in workspace.runs())


def test_a_run_that_is_running_meanwhile_keeps_its_row_and_its_verdict(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED))
    with daemon(workspace, OFTEN, script=HASTY) as served:
        served.make_due()
        run = wait_for_run(workspace)
        with killed(gated_pid(workspace, run["run_id"])):
            remove_logs(workspace)
            line = served.wait_for_line(lambda line: line.get("reopened"), "that it has opened the database again")
            assert line["reopened"]["restored_runs"] == [run["run_id"]]
            release(workspace)
            wait_for_rows(workspace, "job-0", "ok")
            wait_until_told(workspace)
    the_ledger_is_whole(workspace)


def test_what_only_the_old_log_holds_is_put_back_beside_what_the_new_one_holds(tmp_path: Path) -> None:
    path = str(tmp_path / "cron.db")
    create(path)[0].close()
    kept = Database(path)
    insert_run(kept, "old", "ok")
    insert_run(kept, "ends", "running")
    Store(kept).events.add("old", "job", NOW, {"job_id": "job", "run_id": "old", "attempt": 1}, ["local", "telegram"])
    kept.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    kept.run("UPDATE runs SET status = 'error', error_json = '{}', finished_at = ? WHERE run_id = 'ends'", (NOW,))
    insert_run(kept, "lost", "ok")
    Store(kept).events.add("lost", "job", NOW, {"job_id": "job", "run_id": "lost", "attempt": 1}, ["local"])
    for suffix in LOGS:
        os.unlink(path + suffix)
    assert _in_a_child(path, "new") == 0
    rescued = rescue(kept, from_text(NOW))
    with shared_lock(path):
        kept.reopen()
    back = put_back(kept, rescued)
    assert (sorted(back.restored), back.lost) == (["ends", "lost"], [])
    found = {row["run_id"]: row["status"] for row in kept.rows("SELECT run_id, status FROM runs")}
    assert found == {"old": "ok", "ends": "error", "lost": "ok", "new": "ok"}
    assert [event.run_id for event in Store(kept).events.waiting("local", 9)] == ["old", "lost"]
    kept.require_in_place()
    kept.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (4,)


def test_a_connection_whose_log_was_removed_writes_nothing_over_the_new_one_when_it_is_closed(tmp_path: Path) -> None:
    path = str(tmp_path / "cron.db")
    create(path)[0].close()
    kept = Database(path)
    kept.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    insert_run(kept, "old", "ok")
    for suffix in LOGS:
        os.unlink(path + suffix)
    assert _in_a_child(path, "new") == 0
    kept.close()
    assert _in_a_child(path, "newer") == 0
    with shared_lock(path):
        assert set(os.listdir(tmp_path)) >= {"cron.db", "cron.db-wal"}


NOW = "2026-02-25T20:00:00+00:00"


def insert_run(db: Database, run_id: str, status: str) -> None:
    """A run of a job of its own."""
    db.run(
        "INSERT INTO runs (run_id, job_id, started_at, status, target, trigger) VALUES (?, ?, ?, ?, 't', 'manual')",
        (run_id, run_id, NOW, status),
    )


_STORE = """
import sys
from db import Database
from tests.faults.test_replaced_files import insert_run
db = Database(sys.argv[1])
insert_run(db, sys.argv[2], "ok")
db.close()
"""


def _in_a_child(path: str, run_id: str) -> int:
    """Stores a run from another process, as a tick does, and returns its exit code."""
    return subprocess.run([sys.executable, "-c", _STORE, path, run_id], cwd=PROJECT, check=False).returncode


# --- the lock of the daemon ---


@pytest.mark.parametrize("replaced", [False, True])
def test_a_lock_file_that_is_removed_is_made_again_and_lets_no_second_daemon_in(
    workspace: Workspace, replaced: bool
) -> None:
    prepare(workspace, shell(COUNT))
    lock = Path(lock_file(str(workspace.database)))
    with daemon(workspace, NEVER) as served:
        lock.unlink()
        if replaced:
            lock.touch()
        assert workspace.json("status")["scheduler"]["daemon"]["pid"] == served.pid
        assert workspace.json("daemon", code=1)["error"]["code"] == "DAEMON_RUNNING"
        assert served.notify()
        served.wait_for_line(lambda line: line.get("recovered"), "that it is in order again")
        assert served.errors() == ["DAEMON_LOCK_REPLACED"]
        assert workspace.json("daemon", code=1)["error"]["code"] == "DAEMON_RUNNING"
        assert workspace.json("status")["scheduler"]["daemon"]["running"] is True
        served.make_due()
        wait_for_rows(workspace, "job-0", "ok")
        served.signal(signal.SIGTERM)
        assert served.wait() == 0
    assert daemon_state(str(workspace.database))["running"] is False


def test_a_daemon_ends_if_another_one_holds_the_new_lock_file(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    database = str(workspace.database)
    with daemon(workspace, NEVER) as first:
        for path in (lock_file(database), identity_file(database)):
            Path(path).unlink()
        second = workspace.start("daemon")
        try:
            wait_for(lambda: daemon_state(database)["pid"] == second.pid, what="the second daemon")
            assert first.notify() or True
            first.signal(signal.SIGHUP)
            assert first.wait() == 0
            assert first.errors() == ["DAEMON_RUNNING"]
            assert daemon_state(database)["pid"] == second.pid, "it leaves the other's file"
        finally:
            second.kill()
            second.communicate()


def test_a_process_that_left_its_identity_is_no_daemon_once_it_is_gone(tmp_path: Path) -> None:
    database = str(tmp_path / "cron.db")
    with DaemonLock(database, from_text(NOW)):
        text = Path(identity_file(database)).read_text()
        Path(lock_file(database)).unlink()
        assert daemon_state(database)["running"] is True
    Path(identity_file(database)).write_text(text.replace('"started": "', '"started": "9'))
    assert daemon_state(database)["running"] is False
