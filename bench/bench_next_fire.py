"""How much `schedules.next_fire` costs beside bare croniter on naive time: python3 -m bench.bench_next_fire

Both step through the same typical schedules in turn, in one process; shown is the ratio per schedule and over all.
The last lines show what counting a year of minutes and checking many different schedules cost.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from croniter import croniter

from schedules import check, due_slots, next_fire

ZONE = "Europe/Madrid"
STEPS, ROUNDS = 300, 7
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


def step_ours(schedule: str) -> None:
    instant: datetime | None = START
    for _ in range(STEPS):
        assert instant is not None
        instant = next_fire(schedule, ZONE, instant)


def step_bare(schedule: str) -> None:
    walls = croniter(schedule, START.replace(tzinfo=None), ret_type=datetime, implement_cron_bug=True)
    for _ in range(STEPS):
        walls.get_next()


def check_all(schedules: list[str]) -> None:
    for schedule in schedules:
        check(schedule, ZONE)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    ratios = []
    for schedule in TYPICAL:
        pairs = [(seconds(lambda: step_ours(schedule)), seconds(lambda: step_bare(schedule))) for _ in range(ROUNDS)]  # noqa: B023
        ours, bare = (min(column) for column in zip(*pairs, strict=True))
        ratios.append(ours / bare)
        print(f"{schedule:20}  {ours / STEPS * 1e6:6.1f} µs  {bare / STEPS * 1e6:6.1f} µs  {ours / bare:5.2f}")
    print(f"median ratio {statistics.median(ratios):.2f}, worst {max(ratios):.2f}")
    end = START.replace(year=2027)
    print(f"a year of minutes counted in {seconds(lambda: due_slots('* * * * *', ZONE, START, end)) * 1e3:.0f} ms")
    many = [f"{minute} {hour} {day} * *" for minute in range(60) for hour in range(24) for day in range(1, 8)][:10_000]
    print(f"10,000 different schedules checked in {seconds(lambda: check_all(many)) * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
