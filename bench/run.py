"""Measures puruto-cron: `make bench`, or `python bench/run.py --help`. What the rows mean stands in docs/bench.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.report import Row

PROJECT = Path(__file__).resolve().parent.parent
CHOICES = ("idle", "sync", "runs", "seconds", "latency")


def main(argv: list[str]) -> int:
    """Runs the chosen benches and prints one table. 0, or with --check 1 when a goal is missed."""
    from bench import idle_tick, machine, report, sync_speed, throughput

    options = _options(argv)
    quick: bool = options.quick
    benches: dict[str, Callable[[Path], list[Row]]] = {
        "idle": lambda folder: idle_tick.measure(folder, 25 if quick else 100, 100_000 if quick else 1_000_000),
        "sync": lambda folder: sync_speed.measure(folder, 5 if quick else 15, 1 if quick else 3, 10_000),
        "runs": lambda folder: throughput.measure(
            folder, 3 if quick else 5, 200 if quick else 2_000, peers=options.peers
        ),
    }
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="puruto-bench-", dir=options.folder) as name:
        found = machine.describe(Path(name))
        for bench in options.only or benches:
            print(f"measuring {bench} ...", file=sys.stderr, flush=True)
            measured = benches[bench](Path(name) / bench)
            report.save(bench, measured, {"at": datetime.now(UTC).isoformat(), "quick": quick, "machine": found})
            rows += measured
    print(report.table(rows))
    print(f"\n{machine.in_words(found)}")
    return 1 if options.check and any(row.met is False for row in rows) else 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run.py", description="Measure puruto-cron on this machine.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and 100,000 jobs instead of a million")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a goal is missed")
    parser.add_argument("--only", action="append", choices=CHOICES, help="one bench; may be given again")
    parser.add_argument("--peers", action="store_true", help="measure the peers too: make bench PEERS=1 installs them")
    parser.add_argument("--folder", help="where to put the copies of the project; default: the system's temporary one")
    return parser.parse_args(argv)


if __name__ == "__main__":
    # The folder of this file is no place to import from: `bench` is a package of the project.
    sys.path[0] = str(PROJECT)
    sys.exit(main(sys.argv[1:]))
