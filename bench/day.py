"""A simulated day with a target that does nothing: the time per slot in its last hour."""

from __future__ import annotations

import json
from pathlib import Path

from bench.arena import FAR_SCHEDULE, PROJECT, Arena
from bench.measure import Samples
from bench.report import Row, compared

GOAL = 1.1
DAY = 1_440
HOUR = 60
JOBS = 10_000


def measure(folder: Path, due: int, minutes: int = DAY) -> list[Row]:
    """The time per slot in the last hour, compared with the first; `JOBS` jobs, of which `due` are due each minute."""
    arena = Arena(folder)
    arena.write_jobs(_job(number, due) for number in range(JOBS))
    arena.run("sync-jobs")
    # From here on the simulated clock is used; by the machine's clock no job has been due.
    script = str(PROJECT / "bench" / "day_inside.py")
    reports = [json.loads(line) for line in arena.run_python(script, str(arena.root), str(minutes)).splitlines()]
    slots = sum(minute["slots"] for minute in reports)
    hour = min(HOUR, minutes // 2)
    name, against = f"a slot in the last {hour} minutes of {minutes:,}", f"a slot in the first {hour} minutes"
    samples = {name: _samples(reports[-hour:]), against: _samples(reports[:hour])}
    fault = "" if slots == due * minutes else f"{slots:,} slots ran of {due * minutes:,}"
    note = (
        f"a simulated day: each of {minutes:,} minutes one whole tick on the real database, {JOBS:,} jobs in it,"
        f" {due:,} of them due each minute, {slots:,} slots in all; the clock is moved by hand, no process is started."
        f" All {JOBS:,} each minute are {JOBS * DAY:,} slots a day: more than fit into a bench"
    )
    row = compared(name, samples, against, goal=GOAL, fault=fault)
    return [Row(row.name, row.wall, row.against, row.ratio, row.goal, fault=row.fault, note=note)]


def _samples(minutes: list[dict[str, float]]) -> Samples:
    """Seconds per slot, for each minute."""
    return Samples(
        [minute["wall"] / max(1, minute["slots"]) for minute in minutes],
        [minute["cpu"] / max(1, minute["slots"]) for minute in minutes],
    )


def _job(number: int, due: int) -> dict[str, object]:
    return {
        "job_id": f"day-{number:05d}",
        "puruto_target": "puruto-target",
        "schedule": "* * * * *" if number < due else FAR_SCHEDULE,
        "timezone": "UTC",
        "prompt": "Look through the movements of the minute and write down what is unusual",
        "command": ["true"],
    }
