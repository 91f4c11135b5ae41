"""Due jobs whose command is `true`, all run by one tick: how fast compared with a bare loop, and with peers."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from bench import peer
from bench.arena import PROJECT, Arena
from bench.measure import Contender, alternate, spread
from bench.report import Row, absent, shared

GOAL_SHARE = 0.45
#: Runs at the same time: the default of PURUTO_CRON_MAX_RUNNING, and more than there are processors.
WIDTHS = (4, 16)
DEFAULT_WIDTH = 4
RECORDS = (
    "a row, in a commit before the process (synchronous=FULL); its process; its request, stdout and stderr as files;"
    " its verdict with times and exit code; an event in the database, and its line in events.jsonl"
)
_SLOT = "%Y-%m-%dT%H:00:00+00:00"


def measure(folder: Path, rounds: int, count: int, *, peers: bool, widths: Sequence[int] = WIDTHS) -> list[Row]:
    """The rows of `count` runs, with each number of runs at once."""
    jobs = DueJobs(folder / "runs", count)
    with peer.ready(folder / "peers", count, wanted=peers) as found:
        return [row for width in widths for row in _at_width(jobs, found, width, rounds)]


class DueJobs:
    """`count` due jobs, in a database that is restored to its state before any run, before each measurement."""

    def __init__(self, folder: Path, count: int, command: Sequence[str] = ("true",)) -> None:
        self.count = count
        self._arena = Arena(folder)
        self.root = self._arena.root
        (self._arena.root.parent / "puruto-target").mkdir()
        self._arena.write_jobs(_jobs(count, command))
        self._arena.settle()
        self._rounds = itertools.count()
        self._pristine = folder / "pristine"
        shutil.copytree(self._arena.database.parent, self._pristine)

    def contender(self, name: str, width: int) -> Contender:
        """One complete `tick`. The limit of running jobs is set only if it is not the default."""
        cap = {} if width == DEFAULT_WIDTH else {"PURUTO_CRON_MAX_RUNNING": str(width)}
        arena = self._arena
        environ = {**arena.environ, **cap}
        return Contender(name, arena.command("tick"), environ, arena.root.parent, self._make_due, self._check)

    def bare(self, name: str, width: int) -> Contender:
        """The same number of processes, the same number at once, and nothing else."""
        script = str(PROJECT / "bench" / "bare_loop.py")
        command = [sys.executable, script, str(self.count), str(width), "true"]
        return Contender(name, command, self._arena.environ, self._arena.root.parent, os.sync)

    def _make_due(self) -> None:
        for path in (self._arena.database.parent, self.root / "runs", self.root / "notifications"):
            # Moved and not deleted: ext4 is slow to allocate blocks that were freed in the last seconds.
            if path.exists():
                path.rename(path.with_name(f"{path.name}.{next(self._rounds)}"))
        shutil.copytree(self._pristine, self._arena.database.parent)
        with closing(sqlite3.connect(self._arena.database)) as connection, connection:
            connection.execute("UPDATE jobs SET next_run_at = ?", (datetime.now(UTC).strftime(_SLOT),))
        # Writes that the last contender and this preparation left in the cache must not slow the measured run.
        os.sync()

    def _check(self) -> str:
        """What is missing of the runs in the database, the files or the events, or ""."""
        query = "SELECT run_id, output_dir FROM runs WHERE status = 'ok'"
        with closing(sqlite3.connect(self._arena.database)) as connection:
            ok = dict(connection.execute(query).fetchall())
        events = self.root / "notifications" / "events.jsonl"
        lines = events.read_text(encoding="utf-8").splitlines() if events.exists() else []
        told = {json.loads(line)["run_id"] for line in lines}
        kept = sum(Path(self.root, folder, "attempt-1.stdout").exists() for folder in ok.values() if folder)
        wrong = {"ok": len(ok), "with output": kept, "told": len(told & set(ok))}
        return ", ".join(f"{found} of {self.count} {what}" for what, found in wrong.items() if found != self.count)


def _jobs(count: int, command: Sequence[str]) -> list[dict[str, object]]:
    return [
        {
            "job_id": f"run-{number:05d}",
            "puruto_target": "puruto-target",
            "schedule": "@hourly",
            "timezone": "UTC",
            "prompt": "Do nothing, well",
            "command": list(command),
        }
        for number in range(count)
    ]


def _at_width(jobs: DueJobs, peers: dict[str, peer.Stored | str], width: int, rounds: int) -> list[Row]:
    name, bare = f"tick, {width} at once", f"bare loop, {width} at once"
    measured = {key: stored for key, stored in peers.items() if isinstance(stored, peer.Stored)}
    contenders = [jobs.contender(name, width), jobs.bare(bare, width)]
    contenders += [stored.contender(width) for stored in measured.values()]
    samples = alternate(contenders, rounds, warm_up=1)
    records = {known.name: known.records for known in peer.PEERS}
    rows = [
        Row(bare, spread(samples[bare].wall), bare, share=True, count=jobs.count, note="a bare loop records nothing"),
        shared(name, samples, bare, count=jobs.count, goal_least=GOAL_SHARE, note=f"a tick records: {RECORDS}"),
    ]
    for key, stored in peers.items():
        if isinstance(stored, str):
            rows.append(absent(key, bare, stored, share=True))
        else:
            rows.append(shared(key, samples, bare, count=jobs.count, note=f"{key} records: {records[key]}"))
    # The goal is to be faster than every peer, so each row has it.
    return rows + [shared(name, samples, key, count=jobs.count, goal_least=1.0) for key in measured]
