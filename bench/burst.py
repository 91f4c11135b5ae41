"""Many jobs due in the same second: from the slot to the start of the last, in the daemon and in a bare loop."""

from __future__ import annotations

import math
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from bench import stamp
from bench.arena import PROJECT, Arena
from bench.daemon import running_daemon, wait_for
from bench.measure import Samples, spread
from bench.report import Row, compared
from bench.throughput import DEFAULT_WIDTH

GOAL = 1.3
#: Seconds before the slot, in which the daemon gets ready, and the longest wait after it.
LEAD_SEC = 4.0
END_SEC = 120.0


def measure(folder: Path, rounds: int, count: int) -> list[Row]:
    """Rows with the default limit of running jobs, to which the goal applies, and with one that allows all at once."""
    program = stamp.build(folder)
    return [row for width in (DEFAULT_WIDTH, count) for row in _rows(folder, program, rounds, count, width)]


def _rows(folder: Path, program: Path, rounds: int, count: int, width: int) -> list[Row]:
    name = f"daemon, {count} jobs in a second, {width} at once"
    against = f"bare loop, {count} processes, {width} at once"
    burst = Burst(folder / str(width), program, count, width)
    contenders = {name: burst.daemon, against: burst.bare}
    samples = {each: Samples() for each in contenders}
    order = random.Random(0)
    for number in range(1 + rounds):
        for each in order.sample(list(contenders), len(contenders)):
            seconds, fault = contenders[each]()
            samples[each].fault = samples[each].fault or fault
            if number:
                samples[each].wall.append(seconds)
    goal = GOAL if width == DEFAULT_WIDTH else None
    return [
        Row(against, spread(samples[against].wall), against, fault=samples[against].fault),
        compared(name, samples, against, goal=goal),
    ]


class Burst:
    """`count` jobs that write down when they start, at most `width` at once; each method is one round.

    Both return the seconds from the slot to the last start, and what was wrong, or "".
    """

    def __init__(self, folder: Path, program: Path, count: int, width: int) -> None:
        self._count, self._width = count, width
        self._arena = Arena(folder)
        (self._arena.root.parent / "puruto-target").mkdir()
        self._stamps = folder / "stamps"
        self._command = [str(program), str(self._stamps)]
        self._round = 0

    def bare(self) -> tuple[float, str]:
        """The loop is also started before the slot, so that its own start is not measured."""
        self._stamps.unlink(missing_ok=True)
        slot = math.ceil(time.time() + 1)
        script = str(PROJECT / "bench" / "bare_loop.py")
        command = [sys.executable, script, str(self._count), str(self._width), *self._command]
        environ = {**self._arena.environ, "PURUTO_BENCH_SLOT": str(slot)}
        subprocess.run(command, env=environ, cwd=self._arena.root.parent, check=True)
        return self._found(slot)

    def daemon(self) -> tuple[float, str]:
        """A daemon that was ready before the slot, on a database that has the earlier rounds too."""
        self._stamps.unlink(missing_ok=True)
        self._round += 1
        slot = math.ceil(time.time() + LEAD_SEC)
        self._arena.write_jobs(self._jobs(slot))
        self._arena.run("sync-jobs", "--allow-removals")
        cap = {} if self._width == DEFAULT_WIDTH else {"PURUTO_CRON_MAX_RUNNING": str(self._width)}
        with running_daemon(self._arena, {**self._arena.environ, **cap}):
            late = time.time() >= slot
            wait_for(lambda: self._ok() >= self._count, slot - time.time() + END_SEC)
        seconds, fault = self._found(slot)
        if late:
            return seconds, "the daemon was not ready at the slot"
        return seconds, fault or ("" if self._ok() == self._count else f"{self._ok()} of {self._count} ok")

    def _found(self, slot: int) -> tuple[float, str]:
        starts = [instant for _, instant in stamp.read(self._stamps)]
        fault = "" if len(starts) == self._count else f"{len(starts)} of {self._count} started"
        if starts and min(starts) < slot:
            fault = "started before the slot"
        return max(starts, default=slot + END_SEC) - slot, fault

    def _ok(self) -> int:
        """The number of runs of this round with status ok."""
        query = "SELECT count(*) FROM runs WHERE status = 'ok' AND job_id GLOB ?"
        with closing(sqlite3.connect(self._arena.database)) as connection:
            return int(connection.execute(query, (f"burst-{self._round}-*",)).fetchone()[0])

    def _jobs(self, slot: int) -> list[dict[str, object]]:
        return [stamping_job(f"burst-{self._round}-{number:04d}", slot, self._command) for number in range(self._count)]


def stamping_job(job_id: str, slot: int, command: list[str]) -> dict[str, object]:
    """A job that is due once, `slot` seconds after 1970."""
    return {
        "job_id": job_id,
        "puruto_target": "puruto-target",
        "schedule": f"@at {datetime.fromtimestamp(slot, UTC).isoformat()}",
        "timezone": "UTC",
        "prompt": "Write down when you start",
        "command": command,
    }
