"""`sync-jobs` of a large file: first, unchanged, and with one job changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.arena import PROJECT, Arena
from bench.measure import Contender, alternate, spread
from bench.report import Row, compared

FLOOR = "python reads the file as JSON"
GOAL_SEC = 0.5
#: Ten times as many jobs may take ten times as long plus a fifth. Seconds are those of the machine in docs/bench.md.
TIMES, GOAL_TIMES = 10, 12.0
GOAL_FIRST_SEC, GOAL_SAME_SEC, GOAL_ONE_SEC = 12.0, 1.5, 1.6

_READ = "import json, sys; json.load(open(sys.argv[1], encoding='utf-8'))"
_ZONES = ("UTC", "Europe/Madrid", "America/New_York", "Asia/Tokyo")


def fleet(count: int, *, distinct: bool = False) -> list[dict[str, object]]:
    """`count` jobs as people write them, spread over 1,440 daily schedules in four zones.

    With `distinct` they are spread over the week instead: the first 10,080 jobs have a schedule each.
    """
    return [
        {
            "job_id": f"job-{number:06d}",
            "puruto_target": f"puruto-{number % 50}",
            "schedule": f"{number % 60} {number // 60 % 24} * * {number // 1440 % 7 if distinct else '*'}",
            "timezone": _ZONES[number % len(_ZONES)],
            "prompt": f"Look through the movements of account {number} and write down what is unusual",
            "timeout_sec": 180,
            "max_retries": 2,
        }
        for number in range(count)
    ]


def measure(folder: Path, rounds: int, first_rounds: int, count: int) -> list[Row]:
    """All rows about a file of `count` jobs."""
    arena = Arena(folder / "fleet")
    jobs = fleet(count)
    arena.write_jobs(jobs)
    arena.run("sync-jobs")
    return [
        *_steady(arena, jobs, rounds, count),
        _distinct(folder, rounds, count),
        _first(folder, jobs, first_rounds, count),
        *_inside(arena, rounds),
    ]


def measure_large(folder: Path, rounds: int, first_rounds: int, count: int) -> list[Row]:
    """Rows about `TIMES` times `count` jobs, as multiples of `count`."""
    sizes = (count, count * TIMES)
    jobs = {size: fleet(size) for size in sizes}
    arenas = {size: Arena(folder / f"fleet-{size}") for size in sizes}
    rows = []
    for what, chosen, goal_sec in (
        ("for the first time", first_rounds, GOAL_FIRST_SEC),
        ("unchanged", rounds, GOAL_SAME_SEC),
        ("with one changed", rounds, GOAL_ONE_SEC),
    ):
        names = {size: f"sync, {size:,} {what}" for size in sizes}
        contenders = []
        for size, arena in arenas.items():
            arena.write_jobs(jobs[size])
            contenders.append(_sync(names[size], arena, _before(what, arena, jobs[size])))
        samples = alternate(contenders, chosen, warm_up=0 if chosen == first_rounds else 1)
        fault = _fault(arenas[sizes[1]], unchanged=sizes[1])
        rows.append(
            compared(names[sizes[1]], samples, names[sizes[0]], goal=GOAL_TIMES, goal_sec=goal_sec, fault=fault)
        )
    return rows


def _before(what: str, arena: Arena, jobs: list[dict[str, object]]) -> Callable[[], None] | None:
    """Prepares the file so that each sync finds what the name of the row says."""
    if what == "for the first time":
        return lambda: _empty_database(arena)
    return (lambda: _change_one(arena, jobs)) if what == "with one changed" else None


def _steady(arena: Arena, jobs: list[dict[str, object]], rounds: int, count: int) -> list[Row]:
    same, one = f"sync, {count:,} unchanged", f"sync, {count:,} with one changed"
    contenders = [_floor(arena), _sync(same, arena), _sync(one, arena, lambda: _change_one(arena, jobs))]
    samples = alternate(contenders, rounds, warm_up=1)
    fault = _fault(arena, unchanged=count)
    _change_one(arena, jobs)
    fault_of_one = _fault(arena, changed=1, unchanged=count - 1)
    return [
        compared(same, samples, FLOOR, goal_sec=GOAL_SEC, fault=fault),
        compared(one, samples, FLOOR, fault=fault_of_one),
    ]


def _inside(arena: Arena, rounds: int) -> list[Row]:
    """The same without starting a process: reading, checking, comparing and the transaction."""
    script = str(PROJECT / "bench" / "sync_inside.py")
    firsts, again = [], []
    for _ in range(3):
        first, *rest = json.loads(arena.run_python(script, str(arena.root), str(max(3, rounds // 3))))
        firsts.append(first)
        again += rest
    return [
        Row("sync, unchanged, inside a process, first call", spread(firsts)),
        Row("sync, unchanged, inside a process, later calls", spread(again)),
    ]


def _distinct(folder: Path, rounds: int, count: int) -> Row:
    name = f"sync, {count:,} unchanged, all schedules differ"
    arena = Arena(folder / "distinct")
    arena.write_jobs(fleet(count, distinct=True))
    arena.run("sync-jobs")
    samples = alternate([_floor(arena), _sync(name, arena)], rounds, warm_up=1)
    return compared(name, samples, FLOOR, fault=_fault(arena, unchanged=count))


def _first(folder: Path, jobs: list[dict[str, object]], rounds: int, count: int) -> Row:
    name = f"sync, {count:,} for the first time"
    arena = Arena(folder / "first")
    arena.write_jobs(jobs)
    contenders = [_floor(arena), _sync(name, arena, lambda: _empty_database(arena))]
    samples = alternate(contenders, rounds, warm_up=0)
    return compared(name, samples, FLOOR, fault=_fault(arena, unchanged=count))


def _floor(arena: Arena) -> Contender:
    command = [sys.executable, "-c", _READ, str(arena.root / ".jobs.json")]
    return Contender(FLOOR, command, arena.environ, arena.root.parent)


def _sync(name: str, arena: Arena, prepare: Callable[[], None] | None = None) -> Contender:
    return Contender(name, arena.command("sync-jobs"), arena.environ, arena.root.parent, prepare)


def _change_one(arena: Arena, jobs: list[dict[str, object]]) -> None:
    middle = jobs[len(jobs) // 2]
    middle["prompt"] = f"{middle['prompt']}."
    arena.write_jobs(jobs)


def _empty_database(arena: Arena) -> None:
    for path in arena.database.parent.glob("cron.db*"):
        path.unlink()
    arena.run("init-db")


def _fault(arena: Arena, **expected: int) -> str:
    """The report of another sync, if it is not what the name of the row says."""
    said: dict[str, Any] = json.loads(arena.run("sync-jobs"))
    found = {key: len(said[key]) for key in ("added", "changed", "removed", "unchanged")}
    wanted = dict.fromkeys(found, 0) | expected
    return "" if found == wanted else f"said {found}"
