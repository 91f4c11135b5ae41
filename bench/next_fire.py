"""The time of `schedules.next_fire` compared with bare croniter on naive time, without zones and clock changes.

Both step through the same typical schedules in turn, in one process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from croniter import croniter

from bench.measure import Samples, Spread, spread
from bench.report import Row, compared
from schedules.language import check, due_slots, next_fire

GOAL = 2.0
ZONE = "Europe/Madrid"
START = datetime(2026, 1, 1, tzinfo=UTC)
TYPICAL = """
* * * * *
*/5 * * * *
*/15 * * * *
0 * * * *
30 * * * *
0 */2 * * *
0 */6 * * *
*/10 9-17 * * 1-5
0 9 * * 1-5
0 9 * * 5
30 6 * * *
0 0 * * *
15 3 * * *
0 8,12,18 * * *
0 22 * * mon-fri
0 4 * * sun
0 0 1 * *
0 0 1,15 * *
0 0 1,15 * 1
0 5 1 jan,jul *
""".strip().splitlines()


def measure(rounds: int, steps: int) -> list[Row]:
    """All schedules together, the slowest one compared with croniter, and the time to count and to check many."""
    pairs = [_compare(schedule, rounds, steps) for schedule in TYPICAL]
    ours, bare = _together([pair[0] for pair in pairs]), _together([pair[1] for pair in pairs])
    name, against = f"next_fire, {len(TYPICAL)} schedules, {steps} steps each", "croniter alone, naive time"
    rows = [compared(name, {name: ours, against: bare}, against, goal=GOAL)]
    each = [
        compared(f"next_fire, `{schedule}`", {f"next_fire, `{schedule}`": one, against: other}, against, goal=GOAL)
        for schedule, (one, other) in zip(TYPICAL, pairs, strict=True)
    ]
    rows.append(max(each, key=lambda row: row.ratio.rounds.median if row.ratio else 0.0))
    end = START.replace(year=2027)
    many = [f"{minute} {hour} {day} * *" for minute in range(60) for hour in range(24) for day in range(1, 8)][:10_000]
    return [
        *rows,
        Row("a year of minutes counted", _spent(rounds, lambda: due_slots("* * * * *", ZONE, START, end))),
        Row("10,000 different schedules checked", _spent(1, lambda: _check_all(many))),
    ]


def _compare(schedule: str, rounds: int, steps: int) -> tuple[Samples, Samples]:
    ours, bare = Samples(), Samples()
    for number in range(1 + rounds):
        found = _timed(lambda: _step_ours(schedule, steps)), _timed(lambda: _step_bare(schedule, steps))
        for samples, (wall, cpu) in zip((ours, bare), found, strict=True):
            if number:
                samples.wall.append(wall)
                samples.cpu.append(cpu)
    return ours, bare


def _together(parts: list[Samples]) -> Samples:
    """The sums of each round."""
    walls = [sum(column) for column in zip(*(part.wall for part in parts), strict=True)]
    return Samples(walls, [sum(column) for column in zip(*(part.cpu for part in parts), strict=True)])


def _step_ours(schedule: str, steps: int) -> None:
    instant: datetime | None = START
    for _ in range(steps):
        assert instant is not None
        instant = next_fire(schedule, ZONE, instant)


def _step_bare(schedule: str, steps: int) -> None:
    walls = croniter(schedule, START.replace(tzinfo=None), ret_type=datetime, implement_cron_bug=True)
    for _ in range(steps):
        walls.get_next()


def _check_all(schedules: list[str]) -> None:
    for schedule in schedules:
        check(schedule, ZONE)


def _spent(rounds: int, work: Callable[[], object]) -> Spread:
    return spread([_timed(work)[0] for _ in range(rounds)])


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu
