"""An idle daemon: its memory above that of a bare Python, its processor time, and its wake-ups."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.arena import Arena, far_jobs
from bench.measure import Spread
from bench.report import Row

JOBS = 10_000
GOAL_MB, GOAL_CPU_PERCENT = 30.0, 0.1
#: The default of PURUTO_CRON_POLL_SECONDS, the longest sleep.
POLL_SEC = 30
#: Seconds after its first line until a daemon is idle, and the longest times for it to get ready and to stop.
SETTLE_SEC, PATIENCE_SEC = 5.0, 60.0
_BARE = "import sys, time; print('{}', flush=True); sys.stdin.read()"


@dataclass(frozen=True)
class Usage:
    """Figures of a process: resident memory in kB, processor seconds, and voluntary context switches."""

    rss_kb: int
    cpu: float
    sleeps: int


def measure(folder: Path, seconds: float) -> list[Row]:
    """Memory, processor share and wake-ups over `seconds`."""
    arena = Arena(folder)
    arena.write_jobs(far_jobs(JOBS))
    arena.settle()
    with _started([sys.executable, "-c", _BARE], arena) as pid:
        bare = _usage(pid)
    with _started(arena.command("daemon"), arena) as pid:
        time.sleep(SETTLE_SEC)
        before, began = _usage(pid), time.perf_counter()
        time.sleep(seconds)
        after, lasted = _usage(pid), time.perf_counter() - began
    where = f"daemon, {JOBS:,} jobs, none due"
    # Each poll is one sleep; one more may fall on the edge of the time span.
    polls = int(lasted / POLL_SEC) + 1
    return [
        _row(f"{where}: memory over bare Python", (after.rss_kb - bare.rss_kb) / 1024, "MB", GOAL_MB),
        _row(f"{where}: share of a processor", 100 * (after.cpu - before.cpu) / lasted, "%", GOAL_CPU_PERCENT),
        _row(f"{where}: wake-ups in {lasted:.0f} s", after.sleeps - before.sleeps, "times", polls),
    ]


def _row(name: str, value: float, unit: str, goal: float) -> Row:
    return Row(name, Spread(value, value, value, value), unit=unit, goal_sec=goal)


@contextmanager
def _started(command: Sequence[str], arena: Arena) -> Iterator[int]:
    """A process that has printed a line of JSON; it is stopped in order. Raises RuntimeError if it prints none."""
    with subprocess.Popen(
        command, env=arena.environ, cwd=arena.root.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], PATIENCE_SEC)
            line = process.stdout.readline() if ready else b""
            if not isinstance(json.loads(line or b"null"), dict):
                raise RuntimeError(f"{command} did not say that it is ready: {line!r}")
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=PATIENCE_SEC)
            finally:
                process.kill()


def _usage(pid: int) -> Usage:
    """From /proc, of all threads together."""
    status = _fields(Path(f"/proc/{pid}/status"))
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    cpu = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    sleeps = sum(
        int(_fields(task / "status")["voluntary_ctxt_switches"]) for task in Path(f"/proc/{pid}/task").iterdir()
    )
    return Usage(int(status["VmRSS"].split()[0]), cpu, sleeps)


def _fields(path: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: value.strip() for name, _, value in lines}
