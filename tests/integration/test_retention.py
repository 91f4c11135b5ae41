"""What retention deletes, what it never deletes, and that a deleted slot never starts again."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from maintenance.trees import size_of
from tests.support_ledger import settle_all
from tests.support_machine import COUNT, Machine, prepare, shell
from tests.workspace import FakeClock, Workspace

MINUTELY = "* * * * *"


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def run_minutes(machine: Machine, clock: FakeClock, count: int) -> list[dict[str, Any]]:
    """One tick a minute."""
    reports = []
    for _ in range(count):
        clock.advance(minutes=1)
        reports.append(machine.tick())
    return reports


def folders(workspace: Workspace, job_id: str = "job-0") -> list[str]:
    return sorted(path.name for path in (workspace.root / "runs" / job_id).glob("*"))


def test_a_tick_keeps_the_newest_runs_of_a_job_with_their_events_and_output(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.environ["PURUTO_CRON_KEEP_RUNS"] = "3"
    machine.ready(shell(COUNT, schedule=MINUTELY))
    reports = run_minutes(machine, clock, 6)
    rows = workspace.runs()
    assert [row["scheduled_for"][11:16] for row in rows] == ["20:04", "20:05", "20:06"]
    assert folders(workspace) == [row["run_id"] for row in rows]
    assert [event["run_id"] for event in workspace.sql("SELECT run_id FROM events ORDER BY event_id")] == folders(
        workspace
    )
    assert workspace.sql("SELECT count(*) AS n FROM deliveries") == [{"n": 6}]
    assert len(workspace.events()) == 6, "delivered events stay in the file"
    assert reports[2]["pruned"] is None
    assert (reports[3]["pruned"]["runs"], reports[3]["pruned"]["outputs"], reports[3]["pruned"]["failures"]) == (
        1,
        1,
        [],
    )
    assert workspace.sql("SELECT pruned_through FROM jobs") == [{"pruned_through": "2026-02-25T20:03:00+00:00"}]


def test_old_runs_are_deleted_but_the_newest_of_each_job_stays(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.environ["PURUTO_CRON_KEEP_DAYS"] = "7"
    machine.ready(shell(COUNT, schedule=MINUTELY), shell(COUNT, job_id="rare"), shell(COUNT, job_id="none"))
    machine.run_now("rare")
    run_minutes(machine, clock, 3)
    clock.advance(days=8)
    assert machine.tick()["pruned"] is None, "after a jump there is a day to correct the clock"
    clock.advance(days=1)
    assert machine.tick()["pruned"]["runs"] == 3
    assert [row["status"] for row in workspace.runs("rare")] == ["ok"]
    assert {row["started_at"][:10] for row in workspace.runs("job-0")} == {"2026-03-05", "2026-03-06"}


def test_a_clock_that_is_a_year_ahead_for_a_while_costs_no_history(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.ready(shell(COUNT, schedule=MINUTELY))
    run_minutes(machine, clock, 3)
    clock.advance(days=365)
    run_minutes(machine, clock, 3)
    clock.advance(hours=5)
    machine.tick()
    clock.advance(days=-365)
    machine.tick()
    assert [row["scheduled_for"][:16] for row in workspace.runs()[:2]] == ["2026-02-25T20:01", "2026-02-25T20:02"]
    assert machine.run("prune", "--dry-run")[1]["runs"] == 0


def test_a_job_that_only_misses_keeps_the_run_that_ended_last(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.environ["PURUTO_CRON_KEEP_RUNS"] = "1"
    machine.ready(shell(COUNT, schedule=MINUTELY, catch_up="none"))
    run_minutes(machine, clock, 1)
    for _ in range(3):
        clock.advance(hours=5, seconds=30)
        workspace.make_due(at=(clock.wall - timedelta(hours=4)).replace(second=0))
        machine.tick()
    machine.run("prune")
    assert "ok" in {row["status"] for row in workspace.runs()}


def test_runs_that_are_running_undelivered_or_to_be_retried_are_kept(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT))
    kept = ["waits", "retries", "runs"]
    for number, name in enumerate([*kept, "goes", "newest"]):
        status = "running" if name == "runs" else "ok"
        workspace.sql(
            "INSERT INTO runs (run_id, job_id, started_at, finished_at, status, target, trigger, retry_due)"
            " VALUES (?, 'job-0', ?, ?, ?, ?, 'manual', ?)",
            (name, f"2020-01-01T00:00:0{number}+00:00", "2020-01-01T00:01:00+00:00", status, name, name == "retries"),
        )
        workspace.sql(
            "INSERT INTO events (run_id, job_id, ts, payload_json) VALUES (?, 'job-0', '2020', '{}')", (name,)
        )
        workspace.sql(
            "INSERT INTO deliveries (channel, event_id, state) VALUES ('local', ?, ?)",
            (number + 1, "waiting" if name == "waits" else "delivered"),
        )
    assert machine.run("prune")[1]["runs"] == 1
    assert {row["run_id"] for row in workspace.runs()} == {*kept, "newest"}


def test_a_slot_whose_row_was_deleted_never_starts_again(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.environ["PURUTO_CRON_KEEP_RUNS"] = "1"
    machine.ready(shell(COUNT, schedule=MINUTELY))
    run_minutes(machine, clock, 5)
    before = workspace.starts()
    assert len(before) == 5
    clock.advance(minutes=-5)
    machine.tick()
    run_minutes(machine, clock, 5)
    assert workspace.starts() == before, "neither the slots with a row nor those without one"
    run_minutes(machine, clock, 1)
    assert len(workspace.starts()) == 6


def test_output_above_the_limit_is_deleted_oldest_first_and_its_rows_stay(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.environ["PURUTO_CRON_KEEP_OUTPUT_MB"] = "1"
    machine.ready(shell(COUNT + "; head -c 400000 /dev/zero", schedule=MINUTELY))
    run_minutes(machine, clock, 1)
    assert workspace.runs()[0]["output_bytes"] > 400_000
    run_minutes(machine, clock, 3)
    assert len(folders(workspace)) == 4, "ticks look once an hour"
    clock.advance(hours=1)
    report = machine.tick()
    assert report["pruned"]["outputs"] == 3
    assert report["pruned"]["output_bytes"] > 1_200_000
    rows = [row for row in workspace.runs() if row["status"] == "ok"]
    assert [row["output_dir"] is None for row in rows] == [True, True, True, False, False]
    assert folders(workspace) == [row["run_id"] for row in rows[3:]]
    assert machine.run("logs", "--run", rows[0]["run_id"])[1]["output"] == []


def test_the_job_with_most_output_gives_and_the_others_keep_theirs(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.environ["PURUTO_CRON_KEEP_OUTPUT_MB"] = "2"
    small, large = "head -c 100000 /dev/zero", "head -c 600000 /dev/zero"
    machine.ready(shell(small, job_id="small", schedule=MINUTELY), shell(large, job_id="large", schedule=MINUTELY))
    run_minutes(machine, clock, 6)
    said, done = machine.run("prune", "--dry-run")[1], machine.run("prune")[1]
    assert {**done, "dry_run": True} == said
    assert len(folders(workspace, "small")) == 6, "its output is older than what stays of the other"
    assert len(folders(workspace, "large")) == 2
    assert machine.run("prune")[1]["outputs"] == 0


def test_a_sparse_file_and_a_second_name_hold_nothing_of_the_disk(
    machine: Machine, workspace: Workspace, clock: FakeClock
) -> None:
    machine.environ["PURUTO_CRON_KEEP_OUTPUT_MB"] = "2"
    hole = (
        'cd "$PURUTO_CRON_RUN_FOLDER" && truncate -s 1T hole && head -c 300000 /dev/zero > file'
        " && for n in 1 2 3 4 5 6 7 8 9; do ln file name$n; done"
    )
    machine.ready(shell(hole, job_id="sparse", schedule=MINUTELY), shell("echo x", schedule=MINUTELY))
    run_minutes(machine, clock, 3)
    assert {row["status"] for row in workspace.runs()} == {"ok"}
    assert all(300_000 <= row["output_bytes"] < 600_000 for row in workspace.runs("sparse"))
    assert machine.run("prune")[1]["outputs"] == 0


def test_output_that_cannot_be_deleted_costs_no_other_job_its_own(
    machine: Machine, workspace: Workspace, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.environ["PURUTO_CRON_KEEP_OUTPUT_MB"] = "1"
    machine.ready(
        shell("head -c 500000 /dev/zero", job_id="stuck", schedule=MINUTELY), shell("echo x", schedule=MINUTELY)
    )
    run_minutes(machine, clock, 4)

    def refuse(folder: Path) -> None:
        assert folder.parent.name == "stuck", "the other job gives nothing"
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("maintenance.retention.delete_tree", refuse)
    done = machine.run("prune")[1]
    assert (done["outputs"], len(done["failures"])) == (0, 4)


def test_the_output_of_dead_runs_is_measured_later(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule=MINUTELY))
    run_minutes(machine, clock, 1)
    workspace.sql("UPDATE runs SET output_bytes = NULL")
    machine.run("prune", "--dry-run")
    assert workspace.runs()[0]["output_bytes"] is None
    machine.run("prune")
    folder = workspace.root / "runs" / "job-0" / folders(workspace)[0]
    assert workspace.runs()[0]["output_bytes"] == size_of(folder) > 100


def test_a_dry_run_says_the_same_and_deletes_nothing(machine: Machine, workspace: Workspace, clock: FakeClock) -> None:
    machine.ready(shell(COUNT, schedule=MINUTELY))
    run_minutes(machine, clock, 6)
    aside = workspace.events_file.with_name("events-2020-01-01-2.jsonl")
    aside.write_text("{}\n")
    unknown = workspace.root / "runs" / "job-0" / "job-0-20200101T000000"
    unknown.mkdir()
    os.utime(unknown, (0, 0))
    machine.environ.update(PURUTO_CRON_KEEP_RUNS="2", PURUTO_CRON_KEEP_DAYS="1")
    before = (workspace.runs(), folders(workspace))
    code, said = machine.run("prune", "--dry-run")
    assert (code, said["dry_run"]) == (0, True)
    assert (workspace.runs(), folders(workspace), aside.exists()) == (*before, True)
    code, done = machine.run("prune")
    assert {**done, "dry_run": True} == said
    assert (done["runs"], done["events"], done["outputs"]) == (4, 4, 4)
    assert done["event_files"] == ["events-2020-01-01-2.jsonl"]
    assert done["unknown_folders"] == ["job-0/job-0-20200101T000000"]
    assert len(folders(workspace)) == 2
    assert not aside.exists()
    assert workspace.events_file.exists()


@pytest.mark.parametrize("measured", [True, False])
def test_a_dry_run_counts_unmeasured_output_and_nothing_twice(
    machine: Machine, workspace: Workspace, clock: FakeClock, measured: bool
) -> None:
    machine.ready(shell("head -c 400000 /dev/zero", schedule=MINUTELY))
    run_minutes(machine, clock, 7)
    if not measured:
        workspace.sql("UPDATE runs SET output_bytes = NULL")
    machine.environ.update(PURUTO_CRON_KEEP_RUNS="5", PURUTO_CRON_KEEP_OUTPUT_MB="1")
    _, said = machine.run("prune", "--dry-run")
    _, done = machine.run("prune")
    assert {**done, "dry_run": True} == said
    assert (done["runs"], done["events"], done["outputs"]) == (2, 2, 5)


def test_new_folders_without_a_row_are_kept(machine: Machine, workspace: Workspace) -> None:
    machine.ready(shell(COUNT))
    young = workspace.root / "runs" / "job-0" / "job-0-20260225T200000"
    young.mkdir(parents=True)
    os.utime(young, (machine.clock.wall.timestamp() - 3600,) * 2)
    asked = workspace.root / "runs" / "_invoker" / "req-1"
    asked.mkdir(parents=True)
    os.utime(asked, (machine.clock.wall.timestamp() - 5 * 86_400,) * 2)
    assert machine.run("prune")[1]["unknown_folders"] == []
    machine.environ["PURUTO_CRON_KEEP_DAYS"] = "4"
    assert machine.run("prune")[1]["unknown_folders"] == ["_invoker/req-1"]


def test_links_are_not_followed(machine: Machine, workspace: Workspace, clock: FakeClock, tmp_path: Path) -> None:
    machine.ready(shell(COUNT, schedule=MINUTELY), shell(COUNT, schedule=MINUTELY))
    run_minutes(machine, clock, 3)
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "gold").write_text("mine")
    oldest = workspace.root / "runs" / "job-0" / folders(workspace)[0]
    for entry in oldest.iterdir():
        entry.unlink()
    oldest.rmdir()
    oldest.symlink_to(treasure)
    (workspace.root / "runs" / "job-0" / folders(workspace)[1] / "link").symlink_to(treasure)
    other = workspace.root / "runs" / "job-1"
    other.rename(tmp_path / "moved")
    other.symlink_to(tmp_path / "moved")
    machine.environ["PURUTO_CRON_KEEP_RUNS"] = "1"
    code, done = machine.run("prune")
    assert (code, done["runs"]) == (0, 2)
    assert (treasure / "gold").read_text() == "mine"
    assert len(list((tmp_path / "moved").iterdir())) == 3
    assert any("is a symbolic link" in failure for failure in done["failures"])
    assert len(workspace.runs("job-1")) == 3, "a row stays as long as its output does"


def test_a_file_that_can_not_be_deleted_is_reported_and_fails_no_tick(
    machine: Machine, workspace: Workspace, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.ready(shell(COUNT, schedule=MINUTELY))
    run_minutes(machine, clock, 3)
    machine.environ["PURUTO_CRON_KEEP_RUNS"] = "1"

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("maintenance.retention.delete_tree", refuse)
    (report,) = run_minutes(machine, clock, 1)
    assert [result["status"] for result in report["results"]] == ["ok"]
    assert "Read-only file system" in report["pruned"]["failures"][0]
    assert len(workspace.runs()) == 4
    monkeypatch.undo()
    run_minutes(machine, clock, 1)
    assert len(workspace.runs()) == len(folders(workspace)) == 1


def test_a_database_that_refuses_cleaning_fails_no_tick(
    machine: Machine, workspace: Workspace, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.ready(shell(COUNT, schedule=MINUTELY))

    def refuse(*_: object) -> None:
        raise RuntimeError("anything")

    monkeypatch.setattr("store.retention.RetentionRows.beyond_count", refuse)
    (report,) = run_minutes(machine, clock, 1)
    assert report["results"][0]["status"] == "ok"
    assert report["pruned"]["code"] == "INTERNAL_ERROR"


@pytest.mark.process
def test_a_backlog_of_a_million_minutes_is_deleted_step_by_step(workspace: Workspace) -> None:
    """A tick deletes a bounded number of rows; the command all of them, in batches."""
    prepare(workspace, shell(COUNT))
    workspace.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
        " INSERT INTO runs (run_id, job_id, started_at, finished_at, status, target, trigger)"
        " SELECT 'r' || i, 'job-0', strftime('%Y-%m-%dT%H:%M:%S+00:00', '2020-01-01', i || ' minutes'),"
        " '2020-01-01T00:00:00+00:00', 'ok', 'puruto-target', 'manual' FROM n"
    )
    workspace.make_due()
    assert workspace.json("tick")["pruned"]["runs"] == 400
    assert workspace.json("prune")["runs"] == 2600
    assert len(workspace.runs()) == 1
    settle_all(workspace)


def test_the_queries_of_a_tick_use_indexes(machine: Machine) -> None:
    machine.ready(shell(COUNT))
    asked: list[str] = []
    with machine.app().session() as session:
        session.store.db.connection.set_trace_callback(asked.append)
        session.store.retention.beyond_count("job-0", 10, 10, "2026")
        session.store.retention.older_than("2020", 10)
        session.store.retention.with_output("job-0", ("", ""), 10)
        session.store.retention.output_by_job()
        session.store.db.connection.set_trace_callback(None)
        for sql in asked:
            plan = " ".join(row["detail"] for row in session.store.db.rows(f"EXPLAIN QUERY PLAN {sql}"))
            assert "SCAN runs" not in plan.replace("SCAN runs USING INDEX runs_with_output", ""), plan
            assert "SCAN r " not in plan, plan
            assert "TEMP B-TREE" not in plan, plan
