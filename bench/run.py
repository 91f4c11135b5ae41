"""Measures puruto-cron: `make bench`, or `python bench/run.py --help`. What the rows mean stands in docs/bench.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report import Row

    Benches = dict[str, Callable[[Path], list[Row]]]

PROJECT = Path(__file__).resolve().parent.parent
CHOICES = (
    "idle",
    "reading",
    "sync",
    "sync-large",
    "next_fire",
    "claims",
    "runs",
    "seconds",
    "latency",
    "day",
    "idle-daemon",
)


def main(argv: list[str]) -> int:
    """Runs the chosen benches and prints one table. 0; with --check 1 when a goal is missed or a ratio fell."""
    from bench import machine, report
    from bench.check import complaints, last_results

    options = _options(argv)
    benches = _short() if options.short else _benches(quick=options.quick, peers=options.peers)
    if left_out := [name for name in options.only or () if name not in benches]:
        print(f"{', '.join(left_out)}: not in the short form, which has {', '.join(benches)}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    said: list[str] = []
    if options.folder is not None and not os.access(options.folder, os.W_OK | os.X_OK):
        print(f"{options.folder} is not a folder that can be written to", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="puruto-bench-", dir=options.folder) as name:
        found = machine.describe(Path(name))
        for bench in options.only or benches:
            print(f"measuring {bench} ...", file=sys.stderr, flush=True)
            measured = benches[bench](Path(name) / bench)
            rows += measured
            if options.short:
                continue
            said += complaints(measured, last_results(bench, quick=options.quick))
            report.save(
                bench, measured, {"at": datetime.now(UTC).isoformat(), "quick": options.quick, "machine": found}
            )
    print(report.table(rows, judged=not options.short))
    print(f"\n{machine.in_words(found)}")
    if options.check and said:
        print("\n" + "\n".join(said))
    return 1 if options.check and said else 0


def _benches(*, quick: bool, peers: bool) -> Benches:
    from bench import burst, claims, day, idle_daemon, idle_tick, latency, next_fire, reading, sync_speed, throughput

    million = 100_000 if quick else 1_000_000
    return {
        "idle": lambda folder: idle_tick.measure(folder, 25 if quick else 100, million),
        "reading": lambda folder: reading.measure(folder, 5 if quick else 20, million),
        "sync": lambda folder: sync_speed.measure(folder, 5 if quick else 15, 1 if quick else 3, 10_000),
        "sync-large": lambda folder: sync_speed.measure_large(folder, 3, 1, 1_000 if quick else 10_000),
        "next_fire": lambda _: next_fire.measure(5 if quick else 20, 300),
        "claims": lambda folder: claims.measure(folder, 3 if quick else 7, 300 if quick else 1_000),
        "runs": lambda folder: throughput.measure(folder, 3 if quick else 5, 200 if quick else 2_000, peers=peers),
        "seconds": lambda folder: burst.measure(folder, 3 if quick else 7, 100 if quick else 500),
        "latency": lambda folder: latency.measure(folder, 30 if quick else 200, peers=peers, cron=not quick),
        "day": lambda folder: day.measure(folder, 5 if quick else 50),
        "idle-daemon": lambda folder: idle_daemon.measure(folder, 60),
    }


def _short() -> Benches:
    """Few rounds and small sizes, and only ratios: for CI, where people read the table but nothing depends on it."""
    from bench import claims, day, idle_tick, next_fire, reading, sync_speed, throughput

    return {
        "idle": lambda folder: idle_tick.measure(folder, 5, 1_000),
        "reading": lambda folder: reading.measure(folder, 3, 10_000),
        "sync-large": lambda folder: sync_speed.measure_large(folder, 2, 1, 100),
        "next_fire": lambda _: next_fire.measure(2, 100),
        "claims": lambda folder: claims.measure(folder, 2, 100),
        "runs": lambda folder: throughput.measure(folder, 2, 40, peers=False),
        "day": lambda folder: day.measure(folder, 5, 20),
    }


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run.py", description="Measure puruto-cron on this machine.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and 100,000 jobs instead of a million")
    parser.add_argument(
        "--short", action="store_true", help="half a minute, few rounds of small sizes, nothing judged or kept"
    )
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 when a goal is missed, or a ratio is 20 %% worse than last"
    )
    parser.add_argument("--only", action="append", choices=CHOICES, help="one bench; may be given again")
    parser.add_argument("--peers", action="store_true", help="measure the peers too: make bench PEERS=1 installs them")
    parser.add_argument("--folder", help="where to put the copies of the project; default: the system's temporary one")
    return parser.parse_args(argv)


if __name__ == "__main__":
    # Modules are imported from the project, not from the folder of this file: `bench` is a package.
    sys.path[0] = str(PROJECT)
    sys.exit(main(sys.argv[1:]))
