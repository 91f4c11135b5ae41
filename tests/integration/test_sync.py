"""The sync of the jobs file to a real database, with a clock that the test moves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from core.clock import utc_text
from core.errors import DatabaseLocked, RemovalsRefused
from core.job import Job
from core.run import ProcessId, Trigger
from db import Database
from jobs.sync import ATTEMPTS, Sync, SyncReport
from schedules import language
from schedules.calendar import show_instant
from scheduling.planner import plan
from store.bundle import Store
from store.claims import ClaimTerms, Owner
from store.creation import create
from store.definitions import Change, Definitions, Removal, Zone
from store.job_codec import job_json
from tests.fakes import NOON, make_job
from tests.workspace import PATIENCE, FakeClock


@dataclass
class File:
    """What reading .jobs.json gives."""

    jobs: tuple[Job, ...]
    warnings: tuple[Mapping[str, object], ...] = ()


@dataclass
class Bench:
    """A database, a clock at noon, and the sync over both."""

    store: Store
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOON))
    set_zone: str | None = None
    machine_zone: str = "UTC"

    def sync(self, *jobs: Job, allow: bool = False, warnings: Any = (), facts: Any = None) -> SyncReport:
        sync = Sync(
            store=self.store,
            calendar=language,
            set_zone=self.set_zone,
            machine_zone=self.machine_zone,
            definition_of=job_json,
            show=show_instant,
        )
        return sync.apply(File(jobs, warnings), self.clock.now(), allow_removals=allow, facts=facts)

    def row(self, job_id: str = "report") -> dict[str, Any]:
        (row,) = self.store.db.rows("SELECT * FROM jobs WHERE job_id = ?", (job_id,))
        return dict(row)

    def cursor(self, job_id: str = "report") -> str | None:
        found: str | None = self.row(job_id)["next_run_at"]
        return found

    def have_run(self) -> None:
        """All jobs have run once: only such jobs count when many are removed."""
        self.store.db.run("UPDATE jobs SET last_run_at = '2026-01-01T00:00:00+00:00'")

    def runs(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self.store.db.rows("SELECT * FROM runs ORDER BY rowid")]

    def dump(self) -> list[tuple[Any, ...]]:
        """All that is stored."""
        tables = ("jobs", "runs", "events", "deliveries", "state")
        return [tuple(row) for table in tables for row in self.store.db.rows(f"SELECT * FROM {table}")]

    def claim(self, job_id: str = "report") -> None:
        """What a tick writes for a due job."""
        state = self.store.definitions.load(job_id)
        assert state is not None
        now = self.clock.now()
        terms = ClaimTerms(now, now + timedelta(seconds=120), 19_000.0)
        owner = Owner("host:1", ProcessId(1, "then", "boot"))
        self.store.claims.claim(
            state, plan(state, now, language), owner, terms, running=False, max_running=4, channels=()
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An empty database."""
    db, _ = create(str(tmp_path / "cron.db"))
    try:
        yield Bench(Store(db))
    finally:
        db.close()


HOURLY = make_job(schedule="0 * * * *")


def _lists(report: SyncReport) -> tuple[list[str], list[str], list[str], list[str]]:
    return report.added, report.changed, report.removed, report.unchanged


# --- the report ---


def test_each_job_is_added_changed_removed_or_unchanged(bench: Bench) -> None:
    a, b, c = (make_job(name) for name in "abc")
    d = make_job("d", timeout_sec=7)
    assert _lists(bench.sync(a, b, c)) == (["a", "b", "c"], [], [], [])
    report = bench.sync(a, replace(b, prompt="Another"), d)
    assert _lists(report) == (["d"], ["b"], ["c"], ["a"])
    assert report.as_dict()["status"] == "ok"
    assert report.as_dict()["synced_jobs"] == 3
    assert _lists(bench.sync(a, replace(b, prompt="Another"), d)) == ([], [], [], ["a", "b", "d"])


def test_a_sync_that_changes_nothing_writes_nothing(bench: Bench) -> None:
    bench.sync(HOURLY)
    before = bench.dump()
    bench.clock.advance(days=1)
    bench.sync(HOURLY)
    assert bench.dump() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", "Another"),
        ("puruto_target", "puruto-other"),
        ("notify_channel", "none"),
        ("timeout_sec", 121),
        ("max_retries", 1),
        ("retry_backoff_sec", 31),
        ("catch_up", "none"),
        ("catch_up_limit", 11),
        ("max_lateness_sec", 60),
        ("runner", "invoke"),
        ("command", ["true"]),
        ("env", {"A": "1"}),
        ("allow_env", ["A"]),
        ("allow_empty_result", True),
    ],
)
def test_a_change_of_other_fields_keeps_the_cursor_even_if_it_is_due(bench: Bench, name: str, value: Any) -> None:
    bench.sync(HOURLY)
    bench.clock.advance(hours=3)
    changed = replace(HOURLY, **{name: value})
    report = bench.sync(changed)
    assert report.changed == ["report"]
    assert bench.cursor() == "2026-02-25T13:00:00+00:00"
    assert bench.row()["definition_json"] == job_json(changed)
    assert bench.runs() == []
    state = bench.store.definitions.load("report")
    assert state is not None
    assert state.job == changed


def test_a_new_job_starts_at_its_next_slot_and_shows_three(bench: Bench) -> None:
    bench.machine_zone = "Europe/Madrid"
    report = bench.sync(make_job(schedule="30 2 * * *", timezone="America/New_York"), make_job("other"))
    assert bench.cursor() == "2026-02-26T07:30:00+00:00"
    assert report.next["report"] == {
        "timezone": "America/New_York",
        "enabled": True,
        "instants": [
            {"utc": f"2026-02-{day}T07:30:00+00:00", "local": f"2026-02-{day}T02:30:00-05:00"} for day in (26, 27, 28)
        ],
    }
    assert report.next["other"]["timezone"] == "Europe/Madrid"


def test_warnings_of_the_file_come_first(bench: Bench) -> None:
    report = bench.sync(make_job(schedule="@at 2026-01-01T00:00Z"), warnings=({"code": "FIRST"},))
    assert [warning["code"] for warning in report.warnings] == ["FIRST", "NEVER_FIRES_AGAIN"]
    assert bench.cursor() is None
    assert report.next["report"]["instants"] == []


@pytest.mark.parametrize("hours", [1, 3])
def test_a_kept_cursor_that_is_due_is_shown_first(bench: Bench, hours: int) -> None:
    bench.sync(HOURLY)
    bench.clock.advance(hours=hours)
    shown: Any = bench.sync(replace(HOURLY, prompt="Another")).next["report"]["instants"]
    assert [instant["utc"][11:16] for instant in shown] == ["13:00", "14:00", "15:00"]


def test_the_contracts_columns_are_those_of_the_job(bench: Bench) -> None:
    bench.sync(make_job(enabled=False, timeout_sec=7, max_retries=2, retry_backoff_sec=9, notify_channel="none"))
    row = bench.row()
    assert (
        row["enabled"],
        row["timeout_sec"],
        row["max_retries"],
        row["retry_backoff_sec"],
        row["notify_channel"],
    ) == (
        0,
        7,
        2,
        9,
        "none",
    )
    assert (row["puruto_target"], row["schedule"], row["prompt"]) == ("puruto-target", "* * * * *", "Do it")
    assert (row["last_run_at"], row["lease_owner"], row["lease_expires_at"]) == (None, None, None)


# --- schedules and zones ---


def test_a_changed_schedule_starts_from_now_and_writes_off_what_was_due(bench: Bench) -> None:
    bench.sync(HOURLY)
    bench.clock.advance(hours=3, minutes=10)
    bench.sync(replace(HOURLY, schedule="*/15 * * * *"))
    assert bench.cursor() == "2026-02-25T15:15:00+00:00"
    (run,) = bench.runs()
    assert (run["status"], run["slots"], run["scheduled_for"]) == ("skipped", 3, "2026-02-25T15:00:00+00:00")
    error = json.loads(run["error_json"])
    assert error["code"] == "JOB_CHANGED"
    assert (
        error["message"]
        == "3 scheduled runs of report were skipped: its schedule or zone was changed before it could run"
    )
    assert error["details"]["first_slot"] == "2026-02-25T13:00:00+00:00"


def test_a_changed_schedule_with_nothing_due_writes_nothing_off(bench: Bench) -> None:
    bench.sync(HOURLY)
    bench.clock.advance(minutes=10)
    bench.sync(replace(HOURLY, schedule="*/15 * * * *"))
    assert bench.cursor() == "2026-02-25T12:15:00+00:00"
    assert bench.runs() == []


def test_a_changed_zone_starts_from_now(bench: Bench) -> None:
    job = make_job(schedule="0 15 * * *")
    bench.sync(job)
    assert bench.cursor() == "2026-02-25T15:00:00+00:00"
    bench.sync(replace(job, timezone="America/New_York"))
    assert bench.cursor() == "2026-02-25T20:00:00+00:00"
    assert bench.row()["timezone"] == "America/New_York"


def test_the_setting_moves_the_jobs_that_name_no_zone_and_no_other(bench: Bench) -> None:
    plain, own = make_job("plain", schedule="0 15 * * *"), make_job("own", schedule="0 15 * * *", timezone="UTC")
    bench.sync(plain, own)
    bench.set_zone = "America/New_York"
    report = bench.sync(plain, own)
    assert _lists(report) == ([], ["plain"], [], ["own"])
    assert bench.cursor("plain") == "2026-02-25T20:00:00+00:00"
    assert bench.cursor("own") == "2026-02-25T15:00:00+00:00"
    assert [bench.row(name)["timezone_source"] for name in ("plain", "own")] == ["setting", "job"]
    bench.machine_zone = "Asia/Tokyo"
    assert bench.sync(plain, own).warnings == [], "the setting counts, wherever the machine is"
    bench.set_zone, bench.machine_zone = None, "UTC"
    assert bench.sync(plain, own).changed == ["plain"]
    assert (bench.row("plain")["timezone"], bench.row("plain")["timezone_source"]) == ("UTC", "machine")


def test_a_machine_that_moves_leaves_its_jobs_in_their_zone_and_says_so(bench: Bench) -> None:
    old, own = make_job("old", schedule="0 15 * * *"), make_job("own", timezone="Asia/Tokyo")
    bench.sync(old, own)
    bench.machine_zone = "America/New_York"
    report = bench.sync(old, own, make_job("new", schedule="0 15 * * *"))
    assert _lists(report) == (["new"], [], [], ["old", "own"])
    assert bench.cursor("old") == "2026-02-25T15:00:00+00:00"
    assert bench.cursor("new") == "2026-02-25T20:00:00+00:00"
    (warning,) = report.warnings
    assert warning["code"] == "ZONE_KEPT"
    assert "New_York" in str(warning["message"])
    assert "keep UTC" in str(warning["message"])
    assert bench.sync(replace(old, schedule="0 16 * * *"), own, make_job("new", schedule="0 15 * * *")).changed == [
        "old"
    ]
    assert bench.row("old")["timezone"] == "UTC"


def test_a_stored_zone_that_nobody_may_write_is_not_kept(bench: Bench) -> None:
    job = make_job(schedule="0 15 * * *")
    bench.sync(job)
    # zoneinfo knows Factory, but it is no zone: it stands for a machine on which none was set.
    bench.store.db.run("UPDATE jobs SET timezone = 'Factory'")
    bench.machine_zone = "Europe/Madrid"
    bench.sync(job)
    assert bench.row()["timezone"] == "Europe/Madrid"


def test_naming_the_zone_that_was_the_default_changes_the_job_but_not_its_cursor(bench: Bench) -> None:
    bench.sync(HOURLY)
    bench.clock.advance(hours=3)
    assert bench.sync(replace(HOURLY, timezone="UTC")).changed == ["report"]
    assert bench.cursor() == "2026-02-25T13:00:00+00:00"


def test_an_interval_keeps_its_grid_through_every_change_but_that_of_its_schedule(bench: Bench) -> None:
    job = make_job(schedule="@every 7m")
    bench.sync(job)
    assert bench.cursor() == "2026-02-25T12:07:00+00:00"
    bench.clock.advance(minutes=2)
    bench.sync(replace(job, prompt="Another"))
    assert bench.cursor() == "2026-02-25T12:07:00+00:00"
    bench.sync(replace(job, timezone="Asia/Tokyo"))
    assert bench.cursor() == "2026-02-25T12:07:00+00:00"
    bench.sync(replace(job, enabled=False))
    bench.clock.advance(minutes=8)
    bench.sync(job)
    assert bench.cursor() == "2026-02-25T12:14:00+00:00"
    assert bench.row()["anchor_at"] == "2026-02-25T12:00:00+00:00"
    bench.sync(replace(job, schedule="@every 3m"))
    assert bench.cursor() == "2026-02-25T12:13:00+00:00"
    assert bench.row()["anchor_at"] == "2026-02-25T12:10:00+00:00"


# --- enabling and disabling ---


def test_disabling_clears_the_cursor_and_writes_off_what_was_due(bench: Bench) -> None:
    bench.sync(HOURLY)
    bench.clock.advance(hours=1)
    bench.sync(replace(HOURLY, enabled=False))
    assert bench.cursor() is None
    assert bench.store.definitions.due(bench.clock.now()) == []
    (run,) = bench.runs()
    assert (run["status"], run["slots"]) == ("skipped", 1)
    assert "it was disabled before it could run" in run["error_json"]


def test_a_job_that_is_enabled_again_starts_from_now_and_not_from_a_past_instant(bench: Bench) -> None:
    bench.sync(HOURLY)
    bench.sync(replace(HOURLY, enabled=False))
    bench.clock.advance(days=3, minutes=30)
    bench.sync(HOURLY)
    assert bench.cursor() == "2026-02-28T13:00:00+00:00"
    assert bench.runs() == []


def test_a_disabled_job_shows_when_it_would_run(bench: Bench) -> None:
    report = bench.sync(replace(HOURLY, enabled=False))
    shown: Any = report.next["report"]
    assert shown["enabled"] is False
    assert [instant["utc"][11:16] for instant in shown["instants"]] == ["13:00", "14:00", "15:00"]


# --- removals ---


def test_a_removed_job_is_disabled_and_keeps_its_history(bench: Bench) -> None:
    bench.sync(HOURLY, make_job("other"))
    bench.clock.advance(hours=2)
    bench.claim()
    bench.sync(make_job("other"))
    row = bench.row()
    assert (row["enabled"], row["next_run_at"], row["removed_at"]) == (0, None, "2026-02-25T14:00:00+00:00")
    assert bench.store.definitions.load("report") is None
    assert bench.store.definitions.ever_existed("report")
    assert len(bench.runs()) == 2


def test_what_was_due_of_a_removed_job_is_written_off(bench: Bench) -> None:
    bench.sync(HOURLY, make_job("other"))
    bench.clock.advance(hours=2)
    bench.sync(make_job("other"))
    (run,) = bench.runs()
    assert (run["job_id"], run["status"], run["slots"]) == ("report", "skipped", 2)
    assert json.loads(run["error_json"])["code"] == "JOB_REMOVED"


def test_a_job_that_was_removed_and_comes_back_has_its_history_and_starts_from_now(bench: Bench) -> None:
    other = make_job("other")
    bench.sync(HOURLY, other)
    bench.clock.advance(hours=1)
    bench.claim()
    bench.sync(other)
    bench.clock.advance(days=1)
    report = bench.sync(HOURLY, other)
    assert _lists(report) == (["report"], [], [], ["other"])
    assert bench.cursor() == "2026-02-26T14:00:00+00:00"
    row = bench.row()
    assert (row["removed_at"], row["enabled"], row["last_run_at"]) == (None, 1, "2026-02-25T13:00:00+00:00")
    assert [run["scheduled_for"] for run in bench.runs()] == ["2026-02-25T13:00:00+00:00"]


@pytest.mark.parametrize(
    ("stored", "kept", "refused"),
    [
        (1, 0, False),
        (3, 0, False),
        (4, 1, False),
        (4, 0, True),
        (7, 3, True),
        (8, 4, False),
        (9, 5, False),
        (9, 4, True),
    ],
)
def test_more_than_half_is_refused_and_exactly_half_is_not(bench: Bench, stored: int, kept: int, refused: bool) -> None:
    jobs = [make_job(f"job-{number}", timeout_sec=number + 1) for number in range(stored)]
    bench.sync(*jobs)
    bench.have_run()
    before = bench.dump()
    if not refused:
        assert len(bench.sync(*jobs[:kept]).removed) == stored - kept
        return
    with pytest.raises(RemovalsRefused) as caught:
        bench.sync(*jobs[:kept], facts={"synced_file": "new"})
    assert caught.value.details["would_remove"] == [job.job_id for job in jobs[kept:]]
    assert bench.dump() == before
    assert len(bench.sync(*jobs[:kept], allow=True).removed) == stored - kept


def test_added_jobs_do_not_offset_removed_ones(bench: Bench) -> None:
    bench.sync(*(make_job(name) for name in "abcd"))
    bench.have_run()
    with pytest.raises(RemovalsRefused):
        bench.sync(*(make_job(f"new-{number}") for number in range(10)))


def test_jobs_that_were_removed_before_do_not_count(bench: Bench) -> None:
    jobs = [make_job(f"job-{number}") for number in range(16)]
    bench.sync(*jobs)
    bench.have_run()
    bench.sync(*jobs[:8])
    bench.sync(*jobs[:4])
    with pytest.raises(RemovalsRefused):
        bench.sync()


def test_a_first_sync_of_an_empty_file_is_fine(bench: Bench) -> None:
    assert _lists(bench.sync()) == ([], [], [], [])


# --- all or nothing ---


def test_an_interrupted_sync_leaves_nothing_behind(bench: Bench) -> None:
    bench.sync(make_job("a"), make_job("b"))
    before = bench.dump()
    bench.clock.advance(hours=1)
    upsert = Definitions._upsert

    def breaks_at_c(self: Definitions, change: Change, now: datetime) -> bool:
        if change.job.job_id == "c":
            raise DatabaseLocked("busy")
        return upsert(self, change, now)

    with mock.patch.object(Definitions, "_upsert", breaks_at_c), pytest.raises(DatabaseLocked):
        bench.sync(make_job("a", schedule="0 1 * * *"), make_job("c", timeout_sec=7), facts={"synced_file": "new"})
    assert bench.dump() == before


def test_the_facts_of_a_sync_are_stored_with_it(bench: Bench) -> None:
    bench.sync(HOURLY, facts={"synced_file": "one", "last_sync_at": utc_text(NOON)})
    assert bench.store.state.get("synced_file") == "one"
    assert bench.store.state.get("last_sync_at") == "2026-02-25T12:00:00+00:00"


# --- others at the same time ---


def test_a_sync_that_a_tick_overtakes_is_computed_again(bench: Bench) -> None:
    bench.sync(HOURLY)
    bench.clock.advance(hours=1, seconds=5)
    taken: list[int] = []
    apply = Definitions.apply

    def overtaken(self: Definitions, *words: Any) -> bool:
        if not taken:
            taken.append(self._db.run("UPDATE jobs SET next_run_at = '2026-02-25T14:00:00+00:00'"))
        return apply(self, *words)

    with mock.patch.object(Definitions, "apply", overtaken):
        report = bench.sync(replace(HOURLY, prompt="Another"))
    assert taken == [1]
    assert report.changed == ["report"]


def test_a_slot_that_a_tick_claims_meanwhile_is_not_written_off(bench: Bench, tmp_path: Path) -> None:
    bench.sync(HOURLY)
    bench.clock.advance(hours=1, seconds=5)
    other = Bench(Store(Database(str(tmp_path / "cron.db"))), bench.clock)
    compare = Sync._compare
    claims = iter([other.claim])

    def then_a_tick(self: Sync, *words: Any) -> Any:
        work = compare(self, *words)
        claim = next(claims, None)
        if claim is not None:
            claim()
        return work

    with mock.patch.object(Sync, "_compare", then_a_tick):
        bench.sync(replace(HOURLY, schedule="30 * * * *"))
    other.store.close()
    assert [(run["status"], run["scheduled_for"]) for run in bench.runs()] == [("running", "2026-02-25T13:00:00+00:00")]
    assert bench.cursor() == "2026-02-25T13:30:00+00:00"


def test_a_removal_that_a_tick_overtakes_is_computed_again(bench: Bench, tmp_path: Path) -> None:
    bench.sync(HOURLY, make_job("other"))
    bench.clock.advance(hours=1)
    other = Bench(Store(Database(str(tmp_path / "cron.db"))), bench.clock)
    compare = Sync._compare
    claims = iter([other.claim])

    def then_a_tick(self: Sync, *words: Any) -> Any:
        work = compare(self, *words)
        claim = next(claims, None)
        if claim is not None:
            claim()
        return work

    with mock.patch.object(Sync, "_compare", then_a_tick):
        bench.sync(make_job("other"))
    other.store.close()
    assert [run["status"] for run in bench.runs()] == ["running"]
    assert bench.cursor() is None


def test_a_sync_that_is_overtaken_every_time_says_so_and_writes_nothing(bench: Bench) -> None:
    bench.sync(HOURLY)
    before = bench.dump()
    rounds = []

    def never(self: Definitions, *_: Any) -> bool:
        rounds.append(1)
        return False

    with mock.patch.object(Definitions, "apply", never), pytest.raises(DatabaseLocked, match="kept changing the jobs"):
        bench.sync(replace(HOURLY, schedule="30 * * * *"))
    assert len(rounds) == ATTEMPTS
    assert bench.dump() == before


def test_syncs_of_the_same_file_at_once_all_succeed_and_change_it_once(tmp_path: Path) -> None:
    path = str(tmp_path / "cron.db")
    create(path)[0].close()
    jobs = [make_job(f"job-{number}", schedule="*/5 * * * *") for number in range(50)]
    start = threading.Barrier(6)
    reports: list[SyncReport] = []
    errors: list[BaseException] = []

    def one() -> None:
        bench = Bench(Store(Database(path)))
        try:
            start.wait(PATIENCE)
            reports.append(bench.sync(*jobs))
        except BaseException as error:  # handed to the test
            errors.append(error)
        finally:
            bench.store.close()

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert errors == []
    assert len(reports) == 6
    bench = Bench(Store(Database(path)))
    assert [row["job_id"] for row in bench.store.definitions.active()] == sorted(job.job_id for job in jobs)
    assert {row["next_run_at"] for row in bench.store.definitions.active()} == {"2026-02-25T12:05:00+00:00"}
    assert bench.runs() == []
    bench.store.close()


def test_a_job_that_another_sync_adds_meanwhile_is_no_error(bench: Bench, tmp_path: Path) -> None:
    other = Bench(Store(Database(str(tmp_path / "cron.db"))), bench.clock)
    compare = Sync._compare
    syncs = iter([lambda: other.sync(HOURLY)])

    def then_another(self: Sync, *words: Any) -> Any:
        work = compare(self, *words)
        sync = next(syncs, None)
        if sync is not None:
            sync()
        return work

    with mock.patch.object(Sync, "_compare", then_another):
        report = bench.sync(replace(HOURLY, prompt="Another"))
    other.store.close()
    assert report.changed == ["report"]
    assert bench.row()["prompt"] == "Another"


def test_a_running_run_is_left_alone(bench: Bench) -> None:
    bench.sync(HOURLY, make_job("other"))
    bench.clock.advance(hours=1)
    bench.claim()
    bench.sync(replace(HOURLY, schedule="30 * * * *", puruto_target="puruto-other"), make_job("other"))
    bench.sync(make_job("other"))
    (run,) = bench.runs()
    assert (run["status"], run["target"], run["trigger"]) == ("running", "puruto-target", Trigger.SCHEDULE)
    row = bench.row()
    assert row["lease_owner"] == "host:1"


# --- stored definitions that can't be read or can't be planned ---


@pytest.mark.parametrize("stored", ["", "{", "[]", "{}", '{"job_id": "report"}'])
def test_a_stored_definition_that_can_not_be_read_is_replaced_by_the_next_sync(bench: Bench, stored: str) -> None:
    bench.sync(HOURLY, make_job("other"))
    bench.store.db.run("UPDATE jobs SET definition_json = ? WHERE job_id = 'report'", (stored,))
    report = bench.sync(HOURLY, make_job("other"))
    assert _lists(report) == ([], ["report"], [], ["other"])
    assert bench.row()["definition_json"] == job_json(HOURLY)


@pytest.mark.parametrize("removed", [True, False])
def test_a_stored_schedule_that_is_no_longer_valid_can_be_corrected_and_removed(bench: Bench, removed: bool) -> None:
    bad = replace(HOURLY, schedule="0 0 L * *")
    bench.sync(HOURLY, make_job("other"))
    bench.store.db.run("UPDATE jobs SET definition_json = ? WHERE job_id = 'report'", (job_json(bad),))
    bench.clock.advance(hours=2)
    bench.sync(*([] if removed else [HOURLY]), make_job("other"))
    assert bench.cursor() == (None if removed else "2026-02-25T15:00:00+00:00")
    (run,) = bench.runs()
    assert (run["status"], run["slots"], run["scheduled_for"]) == ("skipped", 1, "2026-02-25T13:00:00+00:00")
    assert json.loads(run["error_json"])["details"]["made_up"] is False


def test_a_stored_schedule_that_is_no_longer_valid_has_no_slot_to_write_off_before_its_cursor(bench: Bench) -> None:
    bench.sync(HOURLY)
    bad = job_json(replace(HOURLY, schedule="0 0 L * *"))
    bench.store.db.run("UPDATE jobs SET definition_json = ?", (bad,))
    bench.clock.advance(minutes=59)
    bench.sync(HOURLY)
    assert bench.runs() == []
    bench.store.db.run("UPDATE jobs SET definition_json = ?", (bad,))
    bench.clock.advance(minutes=1)
    bench.sync(HOURLY)
    assert [run["scheduled_for"] for run in bench.runs()] == ["2026-02-25T13:00:00+00:00"]


def test_a_stored_definition_that_can_not_be_read_does_not_keep_its_job_from_being_removed(bench: Bench) -> None:
    bench.sync(HOURLY, make_job("other"))
    bench.store.db.run("UPDATE jobs SET definition_json = '{' WHERE job_id = 'report'")
    assert bench.sync(make_job("other")).removed == ["report"]
    assert bench.cursor() is None


def test_a_slot_that_is_dropped_names_the_target_that_it_was_for(bench: Bench) -> None:
    bench.sync(HOURLY)
    bench.clock.advance(hours=1)
    bench.sync(replace(HOURLY, schedule="30 * * * *", puruto_target="puruto-other"))
    (run,) = bench.runs()
    assert run["target"] == "puruto-target"


def test_what_a_sync_writes_can_be_applied_by_hand(bench: Bench) -> None:
    change = Change(HOURLY, job_json(HOURLY), Zone("UTC", "machine"), NOON, NOON)
    with bench.store.db.transaction("test"):
        assert bench.store.definitions.apply([change], [], NOON)
    state = bench.store.definitions.load("report")
    assert state is not None
    assert (state.next_run_at, state.anchor) == (NOON, NOON)
    with bench.store.db.transaction("test"):
        assert not bench.store.definitions.apply([change], [], NOON), "the cursor is not what was expected"
        assert not bench.store.definitions.apply([], [Removal("report", None, state.job)], NOON)
