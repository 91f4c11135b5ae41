"""A database that is really damaged: said clearly, kept as a copy, and made anew on `--repair` only."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from doctor import repair as repair_room
from tests.support_machine import COUNT, GATED, Machine, prepare, release, shell, wait_for_run
from tests.workspace import PATIENCE, FakeClock, Workspace, ended

pytestmark = pytest.mark.process

PAGE = 4096
RUNS = 400


def fill_history(workspace: Workspace) -> None:
    """Many ended runs, so that the table has pages in its middle; all of them in the file and none in its -wal."""
    with closing(sqlite3.connect(workspace.database)) as connection, connection:
        connection.executemany(
            "INSERT INTO runs (run_id, job_id, started_at, finished_at, status, target, scheduled_for, trigger,"
            " result_json) VALUES (?, 'job-0', ?, ?, 'ok', 'puruto-target', ?, 'schedule', ?)",
            [
                (
                    f"job-0-old-{n:04d}",
                    *([f"2025-01-01T{n // 60:02d}:{n % 60:02d}:00+00:00"] * 3),
                    '{"x": "%s"}' % ("y" * 200),
                )
                for n in range(RUNS)
            ],
        )
    with closing(sqlite3.connect(workspace.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def leaf_of(path: Path, run_id: str) -> int:
    """The page that holds a run's row."""
    data = path.read_bytes()
    # The text stands in the table's page and in those of indices; a row has its result behind it.
    place = data.index(b"ok", data.index(run_id.encode() + b"job-0"))
    return place // PAGE


def overwrite(path: Path, page: int) -> None:
    """What a failing disk does to a page."""
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(b"\xa5" * PAGE)


def damage(workspace: Workspace) -> None:
    """Overwrites the page with the row in the middle of the history."""
    overwrite(workspace.database, leaf_of(workspace.database, f"job-0-old-{RUNS // 2:04d}"))


@pytest.fixture
def damaged(workspace: Workspace) -> Workspace:
    prepare(workspace, shell(COUNT), shell(COUNT))
    workspace.json("run-now", "job-0")
    fill_history(workspace)
    damage(workspace)
    return workspace


def beside(workspace: Workspace) -> dict[str, bytes]:
    """Every file of the database's folder."""
    return {path.name: path.read_bytes() for path in workspace.database.parent.iterdir()}


def doctor(workspace: Workspace, *words: str, code: int) -> dict[str, dict[str, Any]]:
    """The findings by code, those that are fine left out."""
    report = workspace.json("doctor", "--json", *words, code=code)
    return {finding["code"]: finding for finding in report["findings"] if finding["severity"] != "ok"}


def whole(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("PRAGMA integrity_check")] == ["ok"]


def test_a_damaged_database_is_reported_and_not_changed(damaged: Workspace) -> None:
    before = damaged.database.read_bytes()
    found = doctor(damaged, code=1)["DATABASE_CORRUPT"]
    assert found["severity"] == "error"
    assert "doctor --repair" in found["cure"]
    assert str(damaged.database) in found["message"]
    assert damaged.database.read_bytes() == before
    assert not list(damaged.database.parent.glob("*.corrupt-*"))


def test_a_repair_keeps_a_copy_and_brings_back_the_jobs_and_what_can_be_read(damaged: Workspace) -> None:
    before = damaged.database.read_bytes()
    os.utime(damaged.database)
    found = doctor(damaged, "--repair", code=1)
    assert "DATABASE_REPAIRED" in found
    assert "DATABASE_CORRUPT" not in found
    (copy,) = damaged.database.parent.glob("*.corrupt-*Z")
    assert str(copy) in found["DATABASE_REPAIRED"]["message"]
    assert copy.read_bytes() == before
    assert stat.S_IMODE(copy.stat().st_mode) == stat.S_IMODE(damaged.database.stat().st_mode) == 0o600
    assert whole(damaged.database)
    assert {row["job_id"]: row["enabled"] for row in damaged.sql("SELECT job_id, enabled FROM jobs")} == {
        "job-0": 1,
        "job-1": 1,
    }
    rows = [row["run_id"] for row in damaged.runs()]
    lost = RUNS + 1 - len(rows)
    assert 0 < lost < 40, "a page has some twelve rows"
    assert {"job-0-old-0000", f"job-0-old-{RUNS - 1:04d}"} < set(rows)
    assert f"{len(rows)} runs" in found["DATABASE_REPAIRED"]["message"]


def test_after_a_repair_everything_works_and_there_is_nothing_more_to_repair(damaged: Workspace) -> None:
    doctor(damaged, "--repair", code=1)
    names = sorted(beside(damaged))
    assert damaged.json("run-now", "job-1")["status"] == "ok"
    damaged.make_due("job-0")
    assert damaged.json("tick")["results"][0]["status"] == "ok"
    found = doctor(damaged, "--repair", code=0)
    assert not found.keys() & {"DATABASE_REPAIRED", "DATABASE_CORRUPT"}
    assert [name for name in sorted(beside(damaged)) if "corrupt" in name] == [n for n in names if "corrupt" in n]


def test_events_survive_a_repair_and_undelivered_ones_are_still_delivered(damaged: Workspace) -> None:
    with closing(sqlite3.connect(damaged.database)) as connection:
        before = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    assert before
    doctor(damaged, "--repair", code=1)
    assert len(damaged.json("logs")["events"]) == before
    assert damaged.json("tick")["events"]["waiting"] == []


def test_slots_that_ran_before_a_repair_are_not_run_again(damaged: Workspace) -> None:
    slot = damaged.sql("SELECT scheduled_for FROM runs WHERE run_id = 'job-0-old-0001'")[0]["scheduled_for"]
    doctor(damaged, "--repair", code=1)
    damaged.make_due("job-0", at=datetime.fromisoformat(slot))
    starts = len(damaged.starts())
    damaged.json("tick")
    assert len(damaged.runs("job-0")) == len({row["run_id"] for row in damaged.runs("job-0")})
    again = [line for line in damaged.starts()[starts:] if line.endswith(slot)]
    assert again == []


def test_a_file_whose_header_is_gone_is_repaired_too_without_its_history(damaged: Workspace) -> None:
    overwrite(damaged.database, 0)
    found = doctor(damaged, "--repair", code=1)
    assert "0 runs, 0 events" in found["DATABASE_REPAIRED"]["message"]
    assert whole(damaged.database)
    assert len(damaged.sql("SELECT * FROM jobs")) == 2
    assert damaged.runs() == []


def test_other_commands_name_the_option_repair(damaged: Workspace) -> None:
    overwrite(damaged.database, 0)
    for words in (("tick",), ("status",)):
        error = damaged.json(*words, code=1)["error"]
        assert error["code"] == "DATABASE_CORRUPT"
        assert "doctor --repair" in error["details"]["hint"]


def test_a_repair_is_refused_while_another_process_has_the_database_open(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT), shell(GATED))
    fill_history(workspace)
    with ended(workspace.start("run-now", "job-1")) as process:
        wait_for_run(workspace, "job-1")
        damage(workspace)
        before = workspace.database.read_bytes()
        found = doctor(workspace, "--repair", code=1)
        assert found["REPAIR_DATABASE_IN_USE"]["severity"] == "error"
        assert workspace.database.read_bytes() == before
        assert not list(workspace.database.parent.glob("*.corrupt-*"))
        release(workspace)
        process.communicate(timeout=PATIENCE)


def test_a_process_that_waits_for_the_repair_finds_the_new_database(damaged: Workspace) -> None:
    """It has the file open already; a renamed file would leave it with the old one beside the new -wal."""
    connection = sqlite3.connect(f"file:{damaged.database}?mode=rw", uri=True, isolation_level=None)
    with closing(connection):
        doctor(damaged, "--repair", code=1)
        assert connection.execute("SELECT count(*) FROM jobs").fetchone()[0] == 2
        assert connection.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        connection.execute("INSERT INTO state (key, value) VALUES ('late', 'comer')")
    assert damaged.sql("SELECT value FROM state WHERE key = 'late'") == [{"value": "comer"}]


def test_a_wal_left_by_a_crash_is_kept_with_the_copy_and_never_applied_to_the_new_database(damaged: Workspace) -> None:
    wal = Path(f"{damaged.database}-wal")
    with closing(sqlite3.connect(damaged.database)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE jobs SET prompt = 'from the wal'")
        connection.commit()
        left = wal.read_bytes()
        assert left
    wal.write_bytes(left)
    found = doctor(damaged, "--repair", code=1)
    assert "DATABASE_REPAIRED" in found
    (copy,) = damaged.database.parent.glob("*.corrupt-*Z-wal")
    assert copy.read_bytes() == left
    assert {row["prompt"] for row in damaged.sql("SELECT prompt FROM jobs")} == {"Do it"}


def test_a_wal_left_by_a_crash_next_to_an_undamaged_database_is_fine(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    with closing(sqlite3.connect(workspace.database)) as connection:
        connection.execute("UPDATE jobs SET prompt = 'from the wal'")
        connection.commit()
        left = Path(f"{workspace.database}-wal").read_bytes()
    Path(f"{workspace.database}-wal").write_bytes(left)
    found = doctor(workspace, code=1)
    assert not [code for code in found if code.startswith("DATABASE")]


def test_nothing_is_repaired_while_the_jobs_file_is_wrong(damaged: Workspace) -> None:
    (damaged.root / ".jobs.json").write_text('{"jobs": [', encoding="utf-8")
    before = beside(damaged)
    found = doctor(damaged, "--repair", code=1)
    assert {"JOBS_FILE_NOT_JSON", "REPAIR_FAILED"} <= found.keys()
    after = beside(damaged)
    assert after["cron.db"] == before["cron.db"]
    assert not [name for name in after if "corrupt" in name or "rebuilt" in name]


def test_a_second_repair_within_the_same_second_overwrites_no_copy(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT))
    copies = []
    for number in (1, 2):
        workspace.database.write_bytes(b"no database at all, number %d" % number)
        _, report = machine.run("doctor", "--repair", "--json")
        assert "DATABASE_REPAIRED" in {finding["code"] for finding in report["findings"]}
        found = sorted(workspace.database.parent.glob("*.corrupt-*"))
        copies.append([path for path in found if not path.name.endswith(("-wal", "-shm"))])
    assert [path.read_bytes()[-1:] for path in copies[1]] == [b"1", b"2"]


@pytest.mark.parametrize("state", ["whole", "missing", "foreign"])
def test_what_is_not_damaged_is_not_repaired(workspace: Workspace, state: str) -> None:
    prepare(workspace, shell(COUNT))
    if state == "missing":
        workspace.database.unlink()
    if state == "foreign":
        workspace.database.unlink()
        with closing(sqlite3.connect(workspace.database)) as connection:
            connection.execute("CREATE TABLE theirs (x)")
    before = workspace.database.read_bytes() if workspace.database.exists() else None
    found = doctor(workspace, "--repair", code=1)
    assert "DATABASE_REPAIRED" not in found
    assert ("NOTHING_TO_REPAIR" in found) == (state != "whole")
    assert (workspace.database.read_bytes() if workspace.database.exists() else None) == before
    assert not list(workspace.database.parent.glob("*.corrupt-*"))


def fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "the disk")


def test_without_space_for_the_copy_nothing_is_changed(
    workspace: Workspace, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT))
    workspace.database.write_bytes(b"no database at all")
    before = beside(workspace)
    copy = repair_room._copy

    def half(source: int, to: str) -> None:
        copy(source, to)
        fail()

    monkeypatch.setattr(repair_room, "_copy", half)
    _, report = machine.run("doctor", "--repair", "--json")
    (found,) = [finding for finding in report["findings"] if finding["code"] == "REPAIR_FAILED"]
    assert "No space left" in found["message"]
    assert beside(workspace) == before


def test_a_repair_that_dies_halfway_is_done_again_and_the_first_copy_stays(
    workspace: Workspace, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT))
    machine.run_now()
    fill_history(workspace)
    damage(workspace)
    before = workspace.database.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", fail)
        _, report = machine.run("doctor", "--repair", "--json")
    assert {"REPAIR_FAILED", "DATABASE_CORRUPT"} <= {finding["code"] for finding in report["findings"]}
    assert workspace.database.read_bytes()[:16] == bytes(16), "no mixture that looks like a database"
    (first,) = workspace.database.parent.glob("*.corrupt-*Z")
    clock.advance(seconds=1)
    _, report = machine.run("doctor", "--repair", "--json")
    assert "DATABASE_REPAIRED" in {finding["code"] for finding in report["findings"]}
    assert whole(workspace.database)
    assert first.read_bytes() == before
    assert machine.run_now()["status"] == "ok"


def test_rows_that_make_no_sense_are_not_copied(workspace: Workspace) -> None:
    """A damaged page may hold anything: a row must say which slot of which job became what."""
    prepare(workspace, shell(COUNT))
    fill_history(workspace)
    workspace.sql("UPDATE runs SET started_at = 'noon' WHERE run_id = 'job-0-old-0001'")
    workspace.sql("UPDATE runs SET scheduled_for = '2025-13-01' WHERE run_id = 'job-0-old-0002'")
    workspace.sql("UPDATE runs SET target = '' WHERE run_id = 'job-0-old-0003'")
    with closing(sqlite3.connect(workspace.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(workspace)
    doctor(workspace, "--repair", code=1)
    rows = {row["run_id"] for row in workspace.runs()}
    assert not rows & {f"job-0-old-000{n}" for n in (1, 2, 3)}
    assert {"job-0-old-0000", "job-0-old-0004"} <= rows


def test_a_run_that_was_running_is_ended_by_the_next_tick(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    fill_history(workspace)
    workspace.sql(
        "INSERT INTO runs (run_id, job_id, started_at, status, target, trigger, lease_token, lease_owner,"
        " lease_expires_at, owner_pid, owner_started, boot_id, attempt) VALUES ('job-0-dead', 'job-0',"
        " '2026-01-01T00:00:00+00:00', 'running', 'puruto-target', 'manual', 't', 'host:1',"
        " '2026-01-01T00:02:00+00:00', 1, 'never', 'another boot', 1)"
    )
    with closing(sqlite3.connect(workspace.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(workspace)
    doctor(workspace, "--repair", code=1)
    assert [entry["run_id"] for entry in workspace.json("tick")["settled"]] == ["job-0-dead"]
