"""Whole processes, timed in turn, and the figures that survive a busy machine.

Everything that is to be compared runs in the same round, in an order that is drawn anew each round, so that a load that
comes and goes falls on all alike. A ratio is taken within each round; what is shown is the median of these ratios with
its quartiles, and beside it the ratio of the two fastest runs and the ratio of processor time.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Rounds that are run and thrown away: they fill the caches of the file system.
WARM_UP = 3


@dataclass(frozen=True)
class Contender:
    """One command of a comparison. `prepare` is called before each run, outside the measured time.

    `check` is called after each run, also outside: it says what the run did not do, or "".
    """

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    folder: Path
    prepare: Callable[[], None] | None = None
    check: Callable[[], str] | None = None


@dataclass
class Samples:
    """One value a round: seconds from before the start to the end, and seconds of processor time (user and system).

    `cpu` is empty where it was not measured; `fault` is what `check` first said, in whatever round.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    fault: str = ""


@dataclass(frozen=True)
class Spread:
    """The middle half of some values, and the least of them."""

    low: float
    median: float
    high: float
    least: float


@dataclass(frozen=True)
class Ratio:
    """The time of one contender as a multiple of another's: per round, of the fastest runs, of processor time.

    `cpu` is None where processor time was not measured.
    """

    rounds: Spread
    fastest: float
    cpu: float | None


def spread(values: Sequence[float]) -> Spread:
    """Quartiles and minimum of at least one value."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, median, high, min(values))


def ratio(one: Samples, other: Samples) -> Ratio:
    """`one` as a multiple of `other`; both come from the same call of `alternate`."""
    rounds = [a / b for a, b in zip(one.wall, other.wall, strict=True)]
    cpu = [a / b for a, b in zip(one.cpu, other.cpu, strict=True)]
    return Ratio(spread(rounds), min(one.wall) / min(other.wall), statistics.median(cpu) if cpu else None)


def alternate(contenders: Sequence[Contender], rounds: int, *, warm_up: int = WARM_UP) -> dict[str, Samples]:
    """Runs each contender once per round and checks its work, also in warm-ups. Raises RuntimeError on failure."""
    # The order of each round is random, from a fixed seed.
    order = random.Random(0)
    samples = {contender.name: Samples() for contender in contenders}
    for number in range(warm_up + rounds):
        for contender in order.sample(contenders, len(contenders)):
            wall, cpu = run_once(contender)
            fault = contender.check() if contender.check is not None else ""
            samples[contender.name].fault = samples[contender.name].fault or fault
            if number >= warm_up:
                samples[contender.name].wall.append(wall)
                samples[contender.name].cpu.append(cpu)
    return samples


def run_once(contender: Contender) -> tuple[float, float]:
    """Wall seconds and processor seconds of one run, without its output. Raises RuntimeError if it fails."""
    if contender.prepare is not None:
        contender.prepare()
    start = time.perf_counter()
    process = subprocess.Popen(
        list(contender.command),
        env=dict(contender.environ),
        cwd=contender.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{contender.name}: {contender.command} ended with {process.returncode}")
    return wall, usage.ru_utime + usage.ru_stime
