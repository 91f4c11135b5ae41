"""No frequent command reads a whole table: checked for every statement that it executes."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from app import fast_tick
from bench.arena import fill_runs
from tests.support_machine import COUNT, FAIL, Machine, shell
from tests.workspace import FakeClock, Workspace

#: Indexes of what waits or runs just now. To read one whole is to read what there is to do.
OF_NOW = frozenset({"runs_running", "runs_retry_due", "runs_waiting", "deliveries_waiting"})

#: Statements that may read on without an end that a key gives, by their beginning, each with its reason.
EXCEPTIONS = {
    "SELECT run_id, job_id, started_at, finished_at, status FROM runs ORDER BY started_at DESC": "ends at its limit",
    "SELECT * FROM runs WHERE 1 ORDER BY started_at DESC": "ends at its limit",
    "SELECT * FROM runs WHERE 1 AND status = 'ok' ORDER BY started_at DESC": "most runs end so: it ends at its limit",
    "SELECT * FROM jobs WHERE removed_at IS NULL ORDER BY job_id": "`status` shows all jobs: the contract says so",
    "SELECT job_id, schedule, problem_json, paused_at, lease_owner": "of all jobs, which `status` shows anyway",
    "SELECT job_id, definition_json, timezone, timezone_source": "a sync, and a clock set back, concern all jobs",
    "UPDATE jobs SET pruned_through = ? WHERE pruned_through >": "a clock that was set back by days concerns all jobs",
    "UPDATE runs SET scheduled_for = NULL, slots = 0 WHERE status = 'missed'": "once after a clock that was set back",
    "SELECT value FROM state": "a handful of rows",
    "SELECT job_id, sum(output_bytes) FROM runs": "once an hour, of the runs that have output",
}

Statement = tuple[str, tuple[Any, ...]]


class Recorder:
    """Records the statements of the program's connections, and SQLite's work in hundreds of steps."""

    def __init__(self) -> None:
        self.statements: dict[str, tuple[Any, ...]] = {}
        self.steps = 0

    def connect(self, path: str, **options: Any) -> sqlite3.Connection:
        """Replaces `sqlite3.connect`."""
        if not options.get("uri"):
            # The tests' own.
            return sqlite3.Connection(path, **options)
        recorder = self

        class Recording(sqlite3.Connection):
            def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:
                recorder.statements.setdefault(sql, tuple(values))
                return super().execute(sql, values)

            def executemany(self, sql: str, rows: Any, /) -> sqlite3.Cursor:
                rows = list(rows)
                if rows:
                    recorder.statements.setdefault(sql, tuple(rows[0]))
                return super().executemany(sql, rows)

            def executescript(self, *_: Any) -> sqlite3.Cursor:
                raise AssertionError("a script hides its statements")

            def cursor(self, *_: Any, **__: Any) -> Any:
                raise AssertionError("a cursor of its own hides its statements")

        connection = Recording(path, **options)
        connection.set_progress_handler(self._count, 100)
        return connection

    def _count(self) -> int:
        self.steps += 1
        return 0

    def during(self, work: Callable[[], object]) -> int:
        """The steps of the work, in hundreds."""
        before = self.steps
        work()
        return self.steps - before


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    monkeypatch.setattr(sqlite3, "connect", found.connect)
    return found


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    """Jobs of which each ends in another way."""
    found = Machine(workspace, clock, PURUTO_CRON_KEEP_RUNS="10", PURUTO_CRON_KEEP_OUTPUT_MB="1")
    found.ready(
        shell(COUNT, schedule="* * * * *"),
        shell(FAIL, schedule="* * * * *", job_id="fails", max_retries=1, retry_backoff_sec=0, pause_after_failures=2),
        shell(COUNT, schedule="* * * * *", job_id="none", catch_up="none"),
        shell(COUNT, schedule="* * * * *", job_id="all", catch_up="all", catch_up_limit=2),
        shell(COUNT, schedule="* * * * *", job_id="again", retry_interrupted=True),
        {"job_id": "dear", "max_cost_usd_per_day": 1, "runner": "claude"},
    )
    return found


def _ticks(machine: Machine) -> None:
    """Runs that succeed, fail and are retried, a job that pauses, slots that are missed, refused or skipped."""
    workspace = machine.workspace
    for _ in range(2):
        machine.clock.advance(minutes=1)
        machine.tick()
    machine.clock.advance(hours=3)
    day = machine.clock.now().date().isoformat()
    workspace.sql("INSERT INTO spending (job_id, day, cost_usd) VALUES ('dear', ?, 5)", (day,))
    machine.tick()
    machine.clock.advance(minutes=1)
    _dead_run(machine)
    report = machine.tick()
    assert [row["error"]["code"] for row in report["settled"]] == ["INTERRUPTED"]
    machine.clock.advance(minutes=1)
    machine.tick()
    statuses = {row["status"] for row in workspace.runs()}
    assert statuses == {"ok", "error", "missed", "skipped", "interrupted"}


def _dead_run(machine: Machine) -> None:
    """A running row whose scheduler has died and whose lease has expired."""
    at = machine.clock.now() - timedelta(minutes=30)
    machine.workspace.sql(
        "INSERT INTO runs (run_id, job_id, started_at, status, target, trigger, lease_token, lease_owner,"
        " lease_expires_at, owner_pid, owner_started, boot_id, attempt) VALUES ('again-dead', 'again', ?, 'running',"
        " 'puruto-target', 'manual', 't', 'host:1', ?, 1, '0', 'gone', 1)",
        (at.isoformat(), at.isoformat()),
    )


def _by_hand(machine: Machine) -> None:
    machine.run("run-now", "job-0")
    machine.workspace.sql("UPDATE jobs SET enabled = 1, paused_at = NULL WHERE job_id = 'fails'")
    machine.run("run-now", "fails")


def _looks(machine: Machine) -> None:
    """All commands that read the ledger."""
    newest = machine.workspace.runs("job-0")[-1]["run_id"]
    machine.run("status")
    machine.run("list", "--limit", "2")
    machine.run("list", "--limit", "2", "--after", "all")
    pages = [[], ["--before", newest], ["--since", "7d"], ["--limit", "3"]]
    kinds = [[], *(["--status", status] for status in ("ok", "error", "skipped", "missed", "interrupted", "running"))]
    for words in ([*page, *kind] for page in pages for kind in kinds):
        machine.run("history", *words)
        machine.run("history", "job-0", *words)


def _plans(machine: Machine, statements: Sequence[Statement]) -> Iterator[tuple[str, str]]:
    """(statement, line of its plan)."""
    with closing(sqlite3.Connection(machine.workspace.database)) as connection:
        for sql, values in statements:
            if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", sql):
                for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values):
                    yield sql, str(row[3])


def _reads_all(line: str) -> bool:
    """Whether a line of a plan scans a whole table or a whole index, except a partial index of pending work."""
    found = re.match(r"SCAN (?!CONSTANT ROW|\d+ CONSTANT ROWS|\(|pragma_|sqlite_)(\w+)(?:.* INDEX (\w+))?", line)
    return found is not None and found[2] not in OF_NOW


def _faults(machine: Machine, recorder: Recorder) -> list[str]:
    known = tuple(EXCEPTIONS)
    return [
        f"{line}: {' '.join(sql.split())}"
        for sql, line in _plans(machine, list(recorder.statements.items()))
        if _reads_all(line) and not " ".join(sql.split()).startswith(known)
    ]


@pytest.mark.parametrize("work", [_ticks, _by_hand], ids=lambda work: work.__name__)
def test_no_statement_of_a_tick_a_claim_or_a_verdict_reads_a_whole_table(
    machine: Machine, recorder: Recorder, work: Callable[[Machine], None]
) -> None:
    work(machine)
    assert any(sql.startswith("INSERT INTO runs") for sql in recorder.statements)
    assert any("INSERT INTO deliveries" in sql for sql in recorder.statements)
    assert _faults(machine, recorder) == []


def test_no_statement_of_a_reading_command_reads_a_whole_table(machine: Machine, recorder: Recorder) -> None:
    machine.run("run-now", "job-0")
    recorder.statements.clear()
    _looks(machine)
    assert len(recorder.statements) > 20
    assert _faults(machine, recorder) == []


def test_the_query_of_the_idle_tick_reads_no_whole_table(machine: Machine, recorder: Recorder) -> None:
    machine.tick()
    recorder.statements.clear()
    root, clock = str(machine.workspace.root), machine.clock
    assert fast_tick.nothing_due(root, machine.environ, [], clock.now(), clock.monotonic()) is not None
    assert any("retry_due" in sql for sql in recorder.statements)
    assert _faults(machine, recorder) == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM runs WHERE exit_code = 3",
        "SELECT count(*) FROM events",
        "SELECT job_id FROM jobs WHERE prompt = 'x'",
        "UPDATE deliveries SET failures = 0",
        "SELECT * FROM runs r JOIN jobs j ON j.job_id = r.job_id WHERE j.enabled = 1",
        "SELECT 1 FROM runs WHERE status = 'running' OR exit_code = 3",
    ],
)
def test_the_tests_above_would_notice(machine: Machine, recorder: Recorder, sql: str) -> None:
    recorder.statements[sql] = ()
    assert len(_faults(machine, recorder)) == 1


# --- how much is read ---


def test_what_a_command_reads_does_not_grow_with_the_ledger(machine: Machine, recorder: Recorder) -> None:
    """A search by a key that nearly all rows share is not a scan in the plan, but shows in SQLite's work."""
    commands = [
        ("status",), ("list", "--limit", "3"), ("history",), ("history", "--status", "error"),
        ("history", "--status", "running"), ("history", "--since", "1h"), ("tick",),
    ]  # fmt: skip
    for _ in range(3):
        # Until the job that fails is paused: then each tick has the same to do.
        machine.clock.advance(minutes=1)
        machine.tick()
    fill_runs(machine.workspace.database, 300)

    def work(words: tuple[str, ...]) -> int:
        machine.clock.advance(minutes=1)
        return recorder.during(lambda: machine.run(*words))

    small = {words: work(words) for words in commands}
    fill_runs(machine.workspace.database, 6_000)
    large = {words: work(words) for words in commands}
    assert min(small.values()) > 0
    grown = {words: (small[words], large[words]) for words in commands if large[words] > small[words] * 1.5 + 3}
    assert grown == {}
