"""`timeline`: what ran and what will run, as JSON, as text and as a file; and how SQLite finds what people look at."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from core.clock import utc_text
from core.errors import PictureUnwritable
from reports import overview
from reports.overview import Window, timeline
from schedules.calendar import Schedules
from store.bundle import Store
from store.creation import create
from store.views import Span, Views
from tests.fakes import at
from tests.support_machine import COUNT, Machine, prepare, shell
from tests.workspace import FakeClock, Workspace

NOW = at("02-25 20:00")
HOURLY = {"schedule": "0 * * * *"}


def _add_run(workspace: Workspace, job_id: str, status: str, start: str, end: str | None, **more: object) -> None:
    row = {
        "run_id": f"{job_id}-{start}", "job_id": job_id, "started_at": utc_text(at(start)),
        "finished_at": None if end is None else utc_text(at(end)), "status": status, "target": "puruto-target",
        "trigger": "manual", **more,
    }  # fmt: skip
    names = ", ".join(row)
    workspace.sql(f"INSERT INTO runs ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    """Three jobs at a clock that stands at eight in the evening."""
    found = Machine(workspace, clock)
    found.ready(
        shell(COUNT, **HOURLY), shell(COUNT, job_id="off", enabled=False, **HOURLY), shell(COUNT, job_id="rare")
    )
    return found


def _job(report: dict[str, Any], job_id: str) -> dict[str, Any]:
    (found,) = [job for job in report["jobs"] if job["job_id"] == job_id]
    return dict(found)


def test_the_report_has_runs_missed_slots_and_upcoming_slots(machine: Machine) -> None:
    add = machine.workspace
    _add_run(add, "job-0", "ok", "02-25 17:00", "02-25 17:30")
    _add_run(add, "job-0", "ok", "02-25 02:00", "02-25 02:30")
    _add_run(add, "job-0", "error", "02-25 03:00", "02-25 09:00")
    _add_run(add, "rare", "ok", "02-25 03:00", "02-25 07:59")
    error = {
        "code": "SLOT_MISSED",
        "details": {"first_slot": utc_text(at("02-25 10:00")), "last_slot": utc_text(at("02-25 12:00"))},
    }
    _add_run(add, "job-0", "missed", "02-25 12:01", "02-25 12:01", error_json=json.dumps(error), slots=3)
    _add_run(
        add, "off", "skipped", "02-25 19:00", "02-25 19:00", scheduled_for=utc_text(at("02-25 18:59")), error_json="{"
    )
    code, report = machine.run("timeline", "--hours", "12")
    assert code == 0
    assert (report["from"], report["to"]) == (utc_text(NOW - timedelta(hours=12)), utc_text(NOW + timedelta(hours=12)))
    assert (report["jobs_left_out"], report["truncated"], report["timezone"]) == (0, False, "UTC")
    job = _job(report, "job-0")
    # The one that began before the span goes on in it; the one that ended before does not.
    assert [(run["status"], run["started_at"][11:16]) for run in job["runs"]] == [("error", "03:00"), ("ok", "17:00")]
    assert job["missed"] == [
        {"run_id": "job-0-02-25 12:01", "status": "missed", "from": "2026-02-25T10:00:00+00:00",
         "to": "2026-02-25T12:00:00+00:00", "slots": 3, "code": "SLOT_MISSED"}
    ]  # fmt: skip
    assert [slot[8:16] for slot in job["upcoming"]] == [f"25T{hour}:00" for hour in (21, 22, 23)] + [
        f"26T{hour:02}:00" for hour in range(9)
    ]
    off = _job(report, "off")
    assert (off["state"], off["upcoming"]) == ("disabled", [])
    assert [(gap["from"][11:16], gap["slots"], gap["code"]) for gap in off["missed"]] == [("18:59", 1, None)]
    assert (_job(report, "rare")["upcoming"], _job(report, "rare")["runs"]) == ([], [])


def test_a_slot_that_nobody_served_is_overdue_and_a_paused_job_has_none(machine: Machine, clock: FakeClock) -> None:
    clock.advance(hours=2)
    _, report = machine.run("timeline")
    assert _job(report, "job-0")["overdue"] == "2026-02-25T21:00:00+00:00"
    machine.workspace.sql("UPDATE jobs SET enabled = 0, paused_at = 'x' WHERE job_id = 'job-0'")
    job = _job(machine.run("timeline")[1], "job-0")
    assert (job["state"], job["overdue"], job["upcoming"]) == ("paused", None, [])


def test_a_removed_job_is_shown_as_long_as_its_runs_are(machine: Machine, clock: FakeClock) -> None:
    _add_run(machine.workspace, "rare", "ok", "02-25 17:00", "02-25 17:30")
    machine.workspace.sql("UPDATE jobs SET removed_at = 'x', enabled = 0, next_run_at = NULL WHERE job_id = 'rare'")
    assert _job(machine.run("timeline")[1], "rare")["state"] == "removed"
    clock.advance(hours=24)
    assert "rare" not in [job["job_id"] for job in machine.run("timeline")[1]["jobs"]]


def test_a_job_that_can_not_be_planned_has_its_reason_and_hides_no_other(machine: Machine) -> None:
    machine.workspace.sql("UPDATE jobs SET definition_json = '{' WHERE job_id = 'job-0'")
    _, report = machine.run("timeline")
    assert _job(report, "job-0")["problem"]["code"]
    assert len(report["jobs"]) == 3


def test_jobs_with_nothing_in_the_span_are_left_out_first_and_counted(machine: Machine) -> None:
    _add_run(machine.workspace, "off", "ok", "02-25 17:00", "02-25 17:30")
    _, report = machine.run("timeline", "--limit", "2")
    assert [job["job_id"] for job in report["jobs"]] == ["job-0", "off"]
    assert (report["jobs_left_out"], report["truncated"]) == (1, True)
    _, one = machine.run("timeline", "--job", "rare")
    assert [job["job_id"] for job in one["jobs"]] == ["rare"]


def test_the_newest_runs_and_the_next_slots_are_kept_and_the_others_counted(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST_MARKS", 4)
    for hour in range(10, 17):
        _add_run(machine.workspace, "job-0", "ok", f"02-25 {hour}:00", f"02-25 {hour}:30")
    _, report = machine.run("timeline")
    job = _job(report, "job-0")
    assert [run["started_at"][11:13] for run in job["runs"]] == ["13", "14", "15", "16"]
    assert job["runs_left_out"] == 3
    assert report["truncated"] is True


@pytest.mark.process
@pytest.mark.parametrize("words", [("--hours", "0"), ("--hours", "337"), ("--hours", "x"), ("--limit", "0")])
def test_bounds_are_kept(workspace: Workspace, words: tuple[str, ...]) -> None:
    workspace.ready()
    assert workspace.json("timeline", *words, code=2)["error"]["code"] == "USAGE"


@pytest.mark.process
def test_an_unknown_job_is_an_error(workspace: Workspace) -> None:
    workspace.ready()
    assert workspace.json("timeline", "--job", "nobody", code=1)["error"]["code"] == "JOB_NOT_FOUND"


def test_the_longest_span_of_a_job_each_minute_is_complete(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT, schedule="* * * * *"))
    _, report = machine.run("timeline", "--hours", "336")
    (job,) = report["jobs"]
    assert (len(job["upcoming"]), job["upcoming_left_out"]) == (20_160, 0)


# --- as a picture ---


@pytest.mark.process
@pytest.mark.parametrize(("words", "env"), [(("--text",), {}), ((), {"PURUTO_CRON_FORMAT": "text"})])
def test_the_picture_as_text(workspace: Workspace, words: tuple[str, ...], env: dict[str, str]) -> None:
    workspace.ready(shell(COUNT, schedule="* * * * *"))
    text = workspace.run("timeline", *words, env=env).stdout.decode()
    assert re.search(r"^job-0 .*:::", text, re.M)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.process
def test_a_locale_without_characters_for_bars_is_no_error(workspace: Workspace) -> None:
    workspace.ready(shell(COUNT, schedule="* * * * *"))
    done = workspace.run("timeline", "--text", env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.process
def test_the_picture_as_a_file(workspace: Workspace, tmp_path: Path) -> None:
    workspace.ready(shell(COUNT))
    file = tmp_path / "out.svg"
    told = workspace.json("timeline", "--svg", str(file), umask=0o027)
    assert told["svg"] == {"path": str(file), "bytes": file.stat().st_size}
    assert (told["status"], told["jobs_shown"]) == ("ok", 1)
    assert "jobs" not in told
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    ET.fromstring(file.read_bytes())
    # Another one takes its place, also through a link, and nothing else is left beside it.
    link = tmp_path / "link.svg"
    link.symlink_to(file)
    before = file.stat().st_ino
    workspace.json("timeline", "--hours", "3", "--svg", str(link))
    assert link.is_symlink()
    assert file.stat().st_ino != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.svg", "out.svg", "purutos"]


@pytest.mark.process
def test_the_picture_on_stdout(workspace: Workspace) -> None:
    workspace.ready(shell(COUNT))
    done = workspace.run("timeline", "--svg", "-")
    assert done.stderr == b""
    assert ET.fromstring(done.stdout).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.process
def test_a_path_that_can_not_be_written_is_an_error_and_stays_unchanged(workspace: Workspace, tmp_path: Path) -> None:
    workspace.ready(shell(COUNT))
    os.mkfifo(tmp_path / "pipe")
    places = [tmp_path, tmp_path / "missing" / "x.svg", tmp_path / "pipe", Path("/dev/null"), Path("/proc/x.svg")]
    for place in [*places, tmp_path / ("n" * 300)]:
        error = workspace.json("timeline", "--svg", str(place), code=1)["error"]
        assert error["code"] == "PICTURE_UNWRITABLE"
        assert error["details"]["hint"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "purutos"]


_OURS = (
    "db/cron.db", "db/cron.db-wal", "db/cron.db-shm", "db/cron.db.daemon.lock", "db/new.svg", "db/puruto-cron.log",
    ".jobs.json", ".jobs.json.lock", ".env", ".puruto-ipc.json", "notifications/events.jsonl", "notifications/x.svg",
    "runs/job-0/x.svg", "main.py", "commands/list.py", "README.md", ".venv/bin/x", ".git/config",
)  # fmt: skip


def test_no_picture_takes_the_place_of_a_file_of_the_program(machine: Machine, tmp_path: Path) -> None:
    root, link, hard = machine.workspace.root, tmp_path / "link.svg", tmp_path / "hard.svg"
    (tmp_path / "root").symlink_to(root)
    for name in _OURS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        was_there = (root / name).exists()
        link.symlink_to(root / name)
        spellings = [root / name, f"{root}/db/../{name}", f"{root}//./{name}", tmp_path / "root" / name, link]
        if name in ("db/cron.db", ".jobs.json"):
            # Another name of the same file.
            os.link(root / name, hard)
            spellings.append(hard)
        for spelling in spellings:
            with pytest.raises(PictureUnwritable, match="no picture is written there") as caught:
                machine.run("timeline", "--svg", str(spelling), "--force")
            assert str(spelling) in caught.value.message
        assert not was_there or b"<svg" not in (root / name).read_bytes()[:200], name
        # SQLite makes these two by itself when it reads.
        assert (root / name).exists() == was_there or name.startswith("db/cron.db-"), name
        link.unlink()
        hard.unlink(missing_ok=True)


def test_a_database_elsewhere_is_protected_with_its_files(
    workspace: Workspace, clock: FakeClock, tmp_path: Path
) -> None:
    machine = Machine(workspace, clock, DB_PATH=str(tmp_path / "own.db"), PURUTO_TELEGRAM_OUTBOX_FILE="out.svg")
    machine.ready(shell(COUNT))
    mirror = workspace.home / "puruto-telegram" / "out.svg"
    mirror.parent.mkdir()
    for path in (*(tmp_path / f"own.db{end}" for end in ("", "-wal", "-shm", ".last_tick", ".v5.bak")), mirror):
        with pytest.raises(PictureUnwritable, match="no picture is written there"):
            machine.run("timeline", "--force", "--svg", str(path))
    assert machine.run("timeline", "--svg", str(tmp_path / "owndb.svg"))[0] == 0


def test_a_file_that_is_no_svg_is_replaced_by_force_alone(machine: Machine, tmp_path: Path) -> None:
    for number, text in enumerate(("Letter to my aunt", "<html><svg></svg></html>", "\0\1", "<svgx/>")):
        file = tmp_path / f"{number}.svg"
        file.write_text(text)
        with pytest.raises(PictureUnwritable, match="exists and is no SVG file") as caught:
            machine.run("timeline", "--svg", str(file))
        assert "--force" in caught.value.hint
        assert file.read_text() == text
        machine.run("timeline", "--svg", str(file), "--force")
        machine.run("timeline", "--svg", str(file))
        ET.fromstring(file.read_bytes())
    for text in ("", '<?xml version="1.0"?>\n<!-- by hand -->\n<svg/>', " <svg>"):
        file.write_text(text)
        assert machine.run("timeline", "--svg", str(file))[0] == 0
    assert machine.run("timeline", "--svg", str(machine.workspace.root / "timeline.svg"))[0] == 0


# --- how SQLite finds it ---


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Store]:
    """Jobs and runs, so that SQLite's choice is the one it makes in use."""
    database, _ = create(str(tmp_path / "cron.db"))
    store = Store(database)
    database.connection.executescript(
        """
        BEGIN;
        WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199)
        INSERT INTO jobs (job_id, enabled, puruto_target, schedule, prompt, notify_channel, timeout_sec, max_retries,
            retry_backoff_sec, next_run_at, timezone, timezone_source, anchor_at, definition_json, updated_at)
        SELECT 'job-' || i, 1, 't', '@daily', '', 'local', 60, 0, 60, '2026-02-26T00:00:00+00:00', 'UTC', 'machine',
            '2026-01-01T00:00:00+00:00', '{}', '' FROM n;
        WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4999)
        INSERT INTO runs (run_id, job_id, started_at, finished_at, status, target, trigger, duration_ms)
        SELECT 'run-' || i, 'job-' || (i % 200), strftime('%Y-%m-%dT%H:%M:%S+00:00', 1772049600 - i * 60, 'unixepoch'),
            '2026-02-25T20:00:00+00:00', CASE WHEN i < 20 THEN 'running' ELSE 'ok' END, 't', 'schedule', 1000 FROM n;
        COMMIT;
        """
    )
    yield store
    store.close()


def _watched(store: Store) -> None:
    assert len(overview.overview(store, NOW)["running"]) == 20


def _pictured(store: Store) -> None:
    views, span = Views(store.db), Span(utc_text(NOW - timedelta(hours=12)), utc_text(NOW))
    views.count("job-1", span)
    views.runs("job-1", span, 100)
    views.running_at("job-1", span.start)


def _plans(store: Store, asked: Callable[[Store], object]) -> list[tuple[str, str]]:
    statements: list[str] = []
    store.db.connection.set_trace_callback(statements.append)
    asked(store)
    store.db.connection.set_trace_callback(None)
    return [(sql, row["detail"]) for sql in statements for row in store.db.rows(f"EXPLAIN QUERY PLAN {sql}")]


@pytest.mark.parametrize("asked", [_watched, _pictured])
def test_no_query_reads_all_runs_or_sorts_them(full: Store, asked: Callable[[Store], object]) -> None:
    plans = _plans(full, asked)
    assert len(plans) >= 3
    for sql, detail in plans:
        if detail.startswith("SCAN"):
            # The few that run or wait, what another question has limited, and the newest up to a limit.
            few = r"SCAN (r|deliveries|runs) USING (COVERING )?INDEX (runs_running|deliveries_waiting)"
            newest = detail == "SCAN runs USING INDEX runs_recent" and " LIMIT " in sql
            due = detail.startswith("SCAN jobs USING INDEX jobs_due") and " LIMIT " in sql
            assert re.match(few, detail) or newest or due or detail.startswith("SCAN (subquery"), (sql, detail)
        if "TEMP B-TREE" in detail:
            assert "status = 'running'" in sql, (sql, detail)


def test_the_jobs_of_a_picture_are_looked_up_in_the_runs_by_index(full: Store) -> None:
    plans = _plans(full, lambda store: Views(store.db).jobs(Span("2026", "2027")))
    assert not [detail for _, detail in plans if detail.startswith("SCAN") and "runs" in detail]
    assert [detail for _, detail in plans if "SEARCH r USING COVERING INDEX runs_of_job" in detail]


def test_a_picture_makes_no_more_queries_than_it_has_rows(full: Store) -> None:
    statements: list[str] = []
    full.db.connection.set_trace_callback(statements.append)
    report = timeline(full, Window(NOW, 12, 10), Schedules())
    full.db.connection.set_trace_callback(None)
    assert (len(report["jobs"]), report["jobs_left_out"]) == (10, 190)
    assert len(statements) <= 1 + 3 * 10


def test_the_search_for_the_usual_time_of_a_failing_job_is_bounded(full: Store) -> None:
    from store.history import History

    full.db.run("UPDATE runs SET status = 'error', job_id = 'job-1'")
    history = History(full.db)
    succeeded = "UPDATE runs SET status = 'ok', duration_ms = 7 WHERE run_id = ?"
    full.db.run(succeeded, ("run-4000",))
    assert history.median_duration_ms("job-1") is None
    full.db.run(succeeded, ("run-400",))
    assert history.median_duration_ms("job-1") == 7


@pytest.mark.process
def test_prepared_jobs_are_those_of_simulate_too(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT, schedule="*/20 * * * *"))
    told = workspace.json("simulate", "--from", "2026-03-28T00:00", "--to", "2026-03-28T01:00")
    assert [slot["utc"][11:16] for slot in told["slots"]] == ["00:20", "00:40", "01:00"]


@pytest.mark.process
def test_a_file_and_a_table_can_be_made_together(workspace: Workspace, tmp_path: Path) -> None:
    prepare(workspace, shell(COUNT))
    file = tmp_path / "out.svg"
    for words, env in ((("--text",), {}), ((), {"PURUTO_CRON_FORMAT": "text"})):
        done = workspace.run("timeline", "--svg", str(file), *words, env=env)
        text = done.stdout.decode()
        assert (done.returncode, done.stderr) == (0, b"")
        assert "several to come" in text
        assert f"Written as SVG: {file}" in text
        assert file.read_bytes().startswith(b"<")
        file.unlink()
    assert "jobs" not in workspace.json("timeline", "--svg", str(file), "--json")
    assert workspace.json("timeline", "--svg", "-", "--json", code=2)["error"]["code"] == "USAGE"
    refused = workspace.run("timeline", "--svg", "-", "--text")
    assert (refused.returncode, refused.stdout[:12]) == (2, b"error: --svg")
