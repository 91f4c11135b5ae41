"""A complete puruto-cron in a temporary folder, compiled and set up, for the programs that measure it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
_NOT_THE_PROGRAM = frozenset({"tests", "bench", "examples", "tools", "docs", "build"})

#: The environment that Debian's cron gives to a command; measured programs get this and nothing else.
CRON_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "bench", "USER": "bench", "TZ": "UTC"}

#: A schedule that has no slot during any measurement.
FAR_SCHEDULE = "@at 2999-01-01T00:00:00+00:00"

_NUMBERED = "printf('filled-%07d', i)"
#: The columns in which the filled jobs differ; all others are those of the one job that was synced.
_OWN = {
    "job_id": _NUMBERED,
    "next_run_at": "strftime('%Y-%m-%dT%H:%M:%S+00:00', substr(:next_run_at, 1, 19), printf('+%d minutes', i))",
    "definition_json": f"json_set(:definition_json, '$.job_id', {_NUMBERED})",
}

#: One run each minute, the newest an hour ago; the jobs take turns.
_STARTED = "strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now', '-1 hour', printf('-%d minutes', i))"
_IDS = {"request_id": f"req-{'0' * 32}", "correlation_id": f"corr-{'0' * 32}"}
_ANSWER = {"status": "ok", "result": {"summary": "Looked through 214 movements"}}
_RESULT = json.dumps({"status": "ok", "request": _IDS, "response": _ANSWER})
_RUNS = f"""
INSERT OR IGNORE INTO runs (run_id, job_id, started_at, finished_at, status, result_json, target, scheduled_for,
    trigger, attempt, owner_pid, owner_started, boot_id, exit_code, duration_ms, output_dir, output_bytes, runner)
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count),
    names AS MATERIALIZED (SELECT job_id, row_number() OVER (ORDER BY job_id) - 1 AS place FROM jobs LIMIT :jobs)
SELECT printf('%s-%07d', job_id, i), job_id, {_STARTED}, {_STARTED}, 'ok', :result, 'puruto-target', {_STARTED},
    'schedule', 1, 4711, '1753000000.5', 'boot', 0, 824, '/runs/' || job_id, 2048, 'command'
FROM n JOIN names ON place = i % (SELECT count(*) FROM names)
"""


class Arena:
    """`root` is the copy of the project in `folder`, with an empty database. Raises if a command fails."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "purutos" / "puruto-cron"
        self.root.mkdir(parents=True)
        for name in _program_parts():
            source = PROJECT / name
            if source.is_dir():
                shutil.copytree(source, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, self.root)
        self.environ = {**CRON_ENVIRONMENT, "HOME": str(folder)}
        # Compiled now, because the first measured run would otherwise include it.
        self._run([sys.executable, "-m", "compileall", "-q", str(self.root)])
        self.write_jobs([])
        self.run("init-db")

    @property
    def database(self) -> Path:
        return self.root / "db" / "cron.db"

    def command(self, *words: str) -> list[str]:
        """The argument list that runs `main.py` with `words`, with the interpreter named as in a crontab line."""
        return [sys.executable, str(self.root / "main.py"), *words]

    def run(self, *words: str) -> bytes:
        """The output of `main.py` with `words`."""
        return self._run(self.command(*words))

    def run_python(self, *words: str) -> bytes:
        """The output of a script with its arguments."""
        return self._run([sys.executable, *words])

    def write_jobs(self, jobs: Iterable[Mapping[str, object]]) -> None:
        """Replaces `.jobs.json`."""
        entries = list(jobs)
        (self.root / ".jobs.json").write_text(json.dumps({"jobs": entries}, indent=2), encoding="utf-8")

    def write_env(self, text: str) -> None:
        """Replaces `.env`."""
        (self.root / ".env").write_text(text, encoding="utf-8")

    def settle(self) -> None:
        """Syncs and ticks, so that the next tick has nothing to do."""
        self.run("sync-jobs")
        self.run("tick")

    def fill(self, count: int) -> None:
        """Copies the first job `count` times, in the database only, in one transaction; each is due a minute later."""
        with closing(sqlite3.connect(self.database, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            row = dict(connection.execute("SELECT * FROM jobs ORDER BY job_id LIMIT 1").fetchone())
            connection.execute("PRAGMA cache_size = -262144")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)"
                f" INSERT INTO jobs ({', '.join(row)})"
                f" SELECT {', '.join(_OWN.get(column, f':{column}') for column in row)} FROM n",
                {**row, "count": count},
            )
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def fill_runs(self, count: int, *, jobs: int = 10) -> None:
        """The same as the function `fill_runs`, in its own database."""
        fill_runs(self.database, count, jobs=jobs)

    def leaves_early(self) -> bool:
        """Whether `tick` ends before click is imported, which is what an idle tick has to do."""
        command = [sys.executable, "-X", "importtime", *self.command("tick")[1:]]
        done = subprocess.run(command, env=self.environ, cwd=self.root.parent, capture_output=True, check=True)
        return b"sqlite3" in done.stderr and b"click" not in done.stderr

    def _run(self, command: list[str]) -> bytes:
        done = subprocess.run(command, env=self.environ, cwd=self.root.parent, capture_output=True, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
            raise RuntimeError(f"{command} ended with {done.returncode}: {said}")
        return done.stdout


def _program_parts() -> list[str]:
    """Modules and folders that the program consists of."""
    modules = [path.name for path in PROJECT.glob("*.py")]
    folders = [
        path.name
        for path in PROJECT.iterdir()
        if path.is_dir() and path.name not in _NOT_THE_PROGRAM and not path.name.startswith((".", "_"))
    ]
    return modules + [name for name in folders if any((PROJECT / name).glob("*.py"))]


def fill_runs(database: Path, count: int, *, jobs: int = 10) -> None:
    """Makes at least `count` successful runs of the first `jobs` jobs, each with a delivered event."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = -262144")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_RUNS, {"count": count, "jobs": jobs, "result": _RESULT})
        connection.execute(
            "INSERT INTO events (run_id, job_id, ts, payload_json)"
            " SELECT run_id, job_id, finished_at, result_json FROM runs r WHERE status = 'ok'"
            " AND NOT EXISTS (SELECT 1 FROM events e WHERE e.run_id = r.run_id) ORDER BY started_at"
        )
        connection.execute(
            "INSERT OR IGNORE INTO deliveries (channel, event_id, state)"
            " SELECT 'local', event_id, 'delivered' FROM events"
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def far_jobs(count: int) -> list[dict[str, object]]:
    """Jobs that are not due during a measurement."""
    return [
        {
            "job_id": f"far-{number:05d}",
            "puruto_target": "puruto-target",
            "schedule": FAR_SCHEDULE,
            "timezone": "UTC",
            "prompt": "Look through the movements of the week and write down what is unusual",
        }
        for number in range(count)
    ]
