"""`tick` with nothing due: its time, which is spent each minute, as a multiple of starting Python with sqlite3."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.arena import PROJECT, Arena, far_jobs
from bench.measure import Contender, alternate
from bench.report import Row, compared

FLOOR = 'python -c "import sqlite3"'
GOAL = 1.15
GOAL_MILLION = 1.05
#: The smallest database in use.
FEW = 10


def measure(folder: Path, rounds: int, many: int) -> list[Row]:
    """The idle tick compared with `FLOOR`, with each kind of .env, and with `many` jobs and runs in the database."""
    return [*_beside_the_floor(folder, rounds), *_in_a_large_database(folder, rounds, many)]


def _arena(folder: Path, name: str, *, env: str | None = None, jobs: int = 10) -> Arena:
    arena = Arena(folder / name)
    arena.write_jobs(far_jobs(jobs))
    if env is not None:
        arena.write_env(env)
    return arena


def _tick(name: str, arena: Arena, *options: str) -> Contender:
    return Contender(name, arena.command("tick", *options), arena.environ, arena.root.parent)


def _beside_the_floor(folder: Path, rounds: int) -> list[Row]:
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    arenas = {
        "tick, no .env": _arena(folder, "plain"),
        "tick, .env as shipped": _arena(folder, "example", env=example),
        "tick, .env with DB_PATH": _arena(folder, "path", env=f"{example}\nDB_PATH=db/other.db\n"),
    }
    arenas["tick, .env with DB_PATH"].run("init-db")
    unusual = _arena(folder, "unusual", env="export DB_PATH=db/cron.db\n")
    for arena in (*arenas.values(), unusual):
        arena.settle()
    plain = arenas["tick, no .env"]
    contenders = [
        Contender(FLOOR, [sys.executable, "-c", "import sqlite3"], plain.environ, plain.root.parent),
        Contender("python -c pass", [sys.executable, "-c", "pass"], plain.environ, plain.root.parent),
        *(_tick(name, arena) for name, arena in arenas.items()),
        _tick("tick --quiet, no .env", plain, "--quiet"),
        _tick("tick, whole way (.env with export)", unusual),
    ]
    samples = alternate(contenders, rounds)
    return [
        *(compared(name, samples, FLOOR, goal=GOAL, fault=_fault(arena)) for name, arena in arenas.items()),
        compared("tick --quiet, no .env", samples, FLOOR),
        compared("tick, whole way (.env with export)", samples, FLOOR),
        compared(FLOOR, samples, "python -c pass"),
    ]


def _in_a_large_database(folder: Path, rounds: int, many: int) -> list[Row]:
    small, full = _arena(folder, "small", jobs=FEW), _arena(folder, "full", jobs=1)
    name, against = (f"tick, {count:,} jobs and {count:,} runs" for count in (many, FEW))
    small.settle()
    small.fill_runs(FEW)
    full.settle()
    full.fill(many)
    full.fill_runs(many, jobs=1_000)
    samples = alternate([_tick(name, full), _tick(against, small)], rounds)
    return [compared(name, samples, against, goal=GOAL_MILLION, fault=_fault(small) or _fault(full))]


def _fault(arena: Arena) -> str:
    return "" if arena.leaves_early() else "took the whole way"
