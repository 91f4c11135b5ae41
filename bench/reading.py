"""Commands that read, on a database with a million runs, as a multiple of the same with a hundred."""

from __future__ import annotations

from pathlib import Path

from bench.arena import Arena, far_jobs
from bench.measure import Contender, alternate
from bench.report import Row, compared

GOAL = 1.2
FEW = 100
JOBS = 100
COMMANDS = (("status",), ("list", "--limit", "50"), ("history",), ("history", "--status", "error"))


def measure(folder: Path, rounds: int, many: int) -> list[Row]:
    """One row per command: its time with `many` runs compared with `FEW`."""
    full, small = _arena(folder / "full", many), _arena(folder / "small", FEW)
    rows = []
    for words in COMMANDS:
        name, against = (f"{' '.join(words)}, {count:,} runs" for count in (many, FEW))
        samples = alternate([_reads(name, full, words), _reads(against, small, words)], rounds)
        rows.append(compared(name, samples, against, goal=GOAL))
    return rows


def _arena(folder: Path, runs: int) -> Arena:
    arena = Arena(folder)
    arena.write_jobs(far_jobs(JOBS))
    arena.settle()
    arena.fill_runs(runs, jobs=JOBS)
    return arena


def _reads(name: str, arena: Arena, words: tuple[str, ...]) -> Contender:
    return Contender(name, arena.command(*words), arena.environ, arena.root.parent)
