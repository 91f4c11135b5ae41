"""The disk of the database is full: what reads answers, `prune` makes room, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from core.database_copy import content_of
from tests.support_daemon import NEVER, daemon, wait_for_rows, wait_until_told
from tests.support_ledger import settle_all
from tests.support_machine import (
    COUNT,
    GATED,
    fill,
    gated_pid,
    killed,
    prepare,
    release,
    shell,
    small_disk,
    wait_for_run,
)
from tests.workspace import Workspace, is_running, wait_for

HASTY = "import executor; executor.VERDICT_PAUSE_SEC = 0.01; from daemon import daemon; daemon.RETRY_SEC = 0.2"


def anomalies(workspace: Workspace) -> list[str]:
    return [anomaly["code"] for anomaly in workspace.json("status")["scheduler"]["anomalies"]]


def test_what_only_reads_answers_as_before(workspace: Workspace) -> None:
    with small_disk(workspace.root / "db", "2m") as disk:
        prepare(workspace, shell(COUNT))
        run = workspace.json("run-now", "job-0")["run_id"]
        looks = [["list"], ["history"], ["show", run], ["logs", "--run", run], ["next"], ["prune", "--dry-run"]]
        before = [workspace.json(*words) for words in looks]
        rows = workspace.json("status")["recent_runs"]
        for left in [*disk.glob("*-shm"), *disk.glob("*-wal")]:
            # By a command that only read. There is no room for new ones.
            left.unlink()
        filler = fill(disk)
        assert [workspace.json(*words) for words in looks] == before
        assert workspace.json("status")["recent_runs"] == rows
        assert anomalies(workspace) == ["DATABASE_FULL"]
        findings = workspace.json("doctor", "--json", code=1)["findings"]
        assert {"DATABASE_FULL", "NO_SPACE"} <= {finding["code"] for finding in findings}
        assert any(finding["subject"] == "ledger" for finding in findings), "it looks at the rows too"
        assert workspace.json("tick", code=1)["error"]["code"] == "DATABASE_FULL"
        filler.unlink()
        workspace.make_due()
        assert [result["status"] for result in workspace.json("tick")["results"]] == ["ok"]
        assert anomalies(workspace) == []
        settle_all(workspace)


def test_prune_makes_room_for_its_own_rows(workspace: Workspace) -> None:
    with small_disk(workspace.root / "db", "4m") as disk:
        (disk / "runs").mkdir()
        (workspace.root / "runs").symlink_to(disk / "runs")
        prepare(workspace, shell(COUNT + "; head -c 200000 /dev/zero"))
        for _ in range(4):
            workspace.json("run-now", "job-0")
        fill(disk)
        done = workspace.json("prune", env={"PURUTO_CRON_KEEP_RUNS": "1"})
        assert (done["runs"], done["outputs"], done["failures"]) == (3, 3, [])
        assert len(workspace.runs()) == len(list((disk / "runs" / "job-0").iterdir())) == 1
        workspace.make_due()
        assert [result["status"] for result in workspace.json("tick")["results"]] == ["ok"]


def test_prune_says_so_if_it_can_free_nothing(workspace: Workspace) -> None:
    with small_disk(workspace.root / "db", "2m") as disk:
        prepare(workspace, shell(COUNT))
        workspace.json("run-now", "job-0")
        fill(disk)
        assert workspace.json("prune", code=1)["error"]["code"] == "DATABASE_FULL"


def test_a_daemon_keeps_a_verdict_until_there_is_room_and_status_shows_it(workspace: Workspace) -> None:
    with small_disk(workspace.root / "db", "2m") as disk:
        prepare(workspace, shell(GATED))
        with daemon(workspace, NEVER, script=HASTY, no_log=True) as served:
            served.make_due()
            run = wait_for_run(workspace)
            pid = gated_pid(workspace, run["run_id"])
            with killed(pid):
                assert anomalies(workspace) == []
                workspace.sql("PRAGMA wal_checkpoint(TRUNCATE)")
                filler = fill(disk)
                release(workspace)
                wait_for(lambda: not is_running(pid), what="the end of the job")
                said = served.wait_for_line(lambda line: line.get("problems"), "that it is not stored")
                assert [problem["error"]["code"] for problem in said["problems"]] == ["VERDICT_NOT_STORED"]
                full, waits = workspace.json("status")["scheduler"]["anomalies"]
                assert (full["code"], waits["code"], waits["run_id"]) == (
                    "DATABASE_FULL",
                    "VERDICT_NOT_STORED",
                    run["run_id"],
                )
                filler.unlink()
                wait_for_rows(workspace, "job-0", "ok")
                wait_until_told(workspace)
                assert anomalies(workspace) == []
                served.wait_for_line(lambda line: line.get("results"), "the result")
    assert [event["run_id"] for event in workspace.events()] == [run["run_id"]]


# --- the copy in memory ---


def _plain(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t VALUES (1, 'x')")


def _large(connection: sqlite3.Connection) -> None:
    connection.executemany("INSERT INTO t VALUES (?, ?)", ((number, "x" * 500) for number in range(3000)))


def _shrunk(connection: sqlite3.Connection) -> None:
    _large(connection)
    connection.execute("DELETE FROM t WHERE n > 5")
    connection.execute("VACUUM")


def _rolled_back(connection: sqlite3.Connection) -> None:
    _plain(connection)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t VALUES (?, ?)", ((number, "y" * 500) for number in range(3000)))


def _second_round(connection: sqlite3.Connection) -> None:
    _large(connection)
    connection.execute("PRAGMA wal_checkpoint(RESTART)")
    connection.execute("UPDATE t SET x = 'z' WHERE n = 7")


@pytest.mark.parametrize("change", [_plain, _large, _shrunk, _rolled_back, _second_round])
@pytest.mark.parametrize("page_size", [1024, 4096, 65536])
def test_a_copy_holds_what_is_committed_also_in_the_log(
    tmp_path: Path, change: Callable[[sqlite3.Connection], None], page_size: int
) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {page_size}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE t (n, x)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        change(connection)
        content = content_of(str(path))
        with closing(sqlite3.connect(path)) as reader, closing(sqlite3.connect(":memory:")) as copy:
            copy.deserialize(content)
            assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert copy.execute("SELECT * FROM t").fetchall() == reader.execute("SELECT * FROM t").fetchall()
            torn = Path(f"{path}-wal").read_bytes()
    assert torn or os.path.exists(path)
