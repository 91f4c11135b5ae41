"""Several processes that claim due slots at once, compared with one: how fast, and whether each is claimed once."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from bench.arena import PROJECT, Arena
from bench.measure import Samples, spread
from bench.report import Row, shared

GOAL_SHARE = 0.6
PROCESSES = 8
ONE = "claims, one process"
_SLOT = "%Y-%m-%dT%H:00:00+00:00"
_NOTE = "a claim: the job read and planned, then its run's row, cursor and lease in one commit (synchronous=FULL)"


def measure(folder: Path, rounds: int, count: int) -> list[Row]:
    """The row of `PROCESSES` processes at once on `count` due slots, compared with one process on as many."""
    field = Field(folder, count)
    many = f"claims, {PROCESSES} processes at once"
    sizes = {ONE: 1, many: PROCESSES}
    samples = {name: Samples() for name in sizes}
    order = Random(0)
    for number in range(1 + rounds):
        for name in order.sample(list(sizes), len(sizes)):
            seconds, fault = field.race(sizes[name])
            samples[name].fault = samples[name].fault or fault
            if number:
                samples[name].wall.append(seconds)
    one = Row(ONE, spread(samples[ONE].wall), ONE, share=True, count=count, fault=samples[ONE].fault, note=_NOTE)
    return [one, shared(many, samples, ONE, count=count, goal_least=GOAL_SHARE)]


class Field:
    """`count` jobs, each with one due slot, in a database that is restored before each race."""

    def __init__(self, folder: Path, count: int) -> None:
        self._count = count
        self._arena = Arena(folder / "claims")
        self._arena.write_jobs(_job(number) for number in range(count))
        self._arena.settle()
        self._pristine = folder / "pristine"
        shutil.copytree(self._arena.database.parent, self._pristine)

    def race(self, processes: int) -> tuple[float, str]:
        """Seconds until all slots are claimed and all processes are done; and which were not claimed once, or ""."""
        self._make_due()
        script = str(PROJECT / "bench" / "claims_inside.py")
        command = [sys.executable, script, str(self._arena.root)]
        with ExitStack() as stack:
            racers = [
                stack.enter_context(
                    subprocess.Popen(
                        command, env=self._arena.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                    )
                )
                for _ in range(processes)
            ]
            for racer in racers:
                assert racer.stdout is not None
                if racer.stdout.readline() != "ready\n":
                    raise RuntimeError("a process that was to claim did not get ready")
            start = time.perf_counter()
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.write("go\n")
                racer.stdin.flush()
            said = [json.loads(racer.communicate()[0]) for racer in racers]
        return max(one["ended"] for one in said) - start, self._fault(sum(one["claimed"] for one in said))

    def _make_due(self) -> None:
        shutil.rmtree(self._arena.database.parent)
        shutil.copytree(self._pristine, self._arena.database.parent)
        with closing(sqlite3.connect(self._arena.database)) as connection, connection:
            connection.execute("UPDATE jobs SET next_run_at = ?", (datetime.now(UTC).strftime(_SLOT),))

    def _fault(self, claimed: int) -> str:
        with closing(sqlite3.connect(self._arena.database)) as connection:
            rows, slots = connection.execute(
                "SELECT count(*), count(DISTINCT job_id || scheduled_for) FROM runs WHERE status = 'running'"
            ).fetchone()
        found = {"claims told": claimed, "rows": rows, "slots with a row": slots}
        return ", ".join(f"{number} {what} of {self._count}" for what, number in found.items() if number != self._count)


def _job(number: int) -> dict[str, object]:
    return {
        "job_id": f"due-{number:05d}",
        "puruto_target": "puruto-target",
        "schedule": "@hourly",
        "timezone": "UTC",
        "prompt": "Do nothing, well",
        "command": ["true"],
    }
