"""One job a second: from the slot to the first instruction of its process, in the daemon and in other schedulers.

All of them run at the same time, so the same load falls on all, each at its own part of the second. No slot is at a
full minute, which belongs to cron.
"""

from __future__ import annotations

import math
import shlex
import sqlite3
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from bench import debian_cron, peer, stamp
from bench.arena import Arena
from bench.burst import stamping_job
from bench.daemon import ready_process, running_daemon, wait_for
from bench.measure import Ratio, Spread, spread
from bench.report import Row, absent

DAEMON = "daemon"
KEPT, MEMORY = "APScheduler 3.11, SQLite", "APScheduler 3.11, in memory"
CRON = "Debian's cron, by the minute"
GOALS_MS = {50: 5.0, 99: 20.0}
#: The offset of each scheduler's slots within a second.
_PART = {DAEMON: 0.0, KEPT: 1 / 3, MEMORY: 2 / 3}
#: Seconds before the first slot, in which all get ready, and seconds after the last one.
LEAD_SEC = 8.0
END_SEC = 30.0


def measure(folder: Path, count: int, *, peers: bool, cron: bool) -> list[Row]:
    """The rows of `count` slots. `cron` says whether the minutes of Debian's cron are measured meanwhile."""
    why = {name: "" if peers and peer.PYTHON.exists() else peer.LEFT_OUT for name in (KEPT, MEMORY, CRON)}
    if not why[CRON]:
        why[CRON] = debian_cron.reason_without() if cron else "left out: --quick"
    found, fault = _Run(folder, count).all(why)
    return _rows(found, why, fault)


class _Run:
    """All schedulers side by side for `count` seconds."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count
        self._arena = Arena(folder / "daemon")
        (self._arena.root.parent / "puruto-target").mkdir()
        self._program = stamp.build(folder)

    def all(self, why: dict[str, str]) -> tuple[dict[str, list[float]], str]:
        """Latencies in seconds by scheduler, of those without a reason in `why`; and what the daemon did not do."""
        slots = seconds_from(math.ceil(time.time() + LEAD_SEC), self._count)
        with ExitStack() as stack:
            self._sync(slots)
            peers = [name for name in (KEPT, MEMORY) if not why[name]]
            for name in peers:
                stack.enter_context(ready_process(self._peer(name, slots), self._arena.environ, self._folder))
            if not why[CRON]:
                line = f"{shlex.quote(str(self._program))} {shlex.quote(str(self._stamps(CRON)))}"
                stack.enter_context(debian_cron.running_cron(self._folder, line))
            stack.enter_context(running_daemon(self._arena))
            late = time.time() >= slots[0]
            time.sleep(max(0.0, slots[-1] - time.time()))
            wait_for(lambda: self._all_over([DAEMON, *peers]), END_SEC)
        found = {name: self._latencies(name, slots) for name in (DAEMON, *peers)}
        if not why[CRON]:
            found[CRON] = [instant % 60 for _, instant in stamp.read(self._stamps(CRON))]
        return found, "not all were ready at the first slot" if late else self._fault(found)

    def _sync(self, slots: Sequence[int]) -> None:
        command = [str(self._program), str(self._stamps(DAEMON))]
        self._arena.write_jobs([stamping_job(f"slot-{slot}", slot, [*command, f"{slot:.3f}"]) for slot in slots])
        self._arena.run("sync-jobs")

    def _peer(self, name: str, slots: Sequence[int]) -> list[str]:
        script = str(peer.PROGRAMS / "apscheduler_latency.py")
        store = "memory" if name == MEMORY else str(self._folder / "apscheduler.db")
        command = [str(peer.PYTHON), script, store, str(self._program), str(self._stamps(name))]
        return command + [f"{slot + _PART[name]:.3f}" for slot in slots]

    def _stamps(self, name: str) -> Path:
        return self._folder / f"stamps-{name.replace(' ', '-')}"

    def _all_over(self, names: Sequence[str]) -> bool:
        return all(len(stamp.read(self._stamps(name))) >= self._count for name in names) and self._ok() >= self._count

    def _latencies(self, name: str, slots: Sequence[int]) -> list[float]:
        wanted = {f"{slot + _PART[name]:.3f}" for slot in slots}
        return [instant - float(slot) for slot, instant in stamp.read(self._stamps(name)) if slot in wanted]

    def _ok(self) -> int:
        with closing(sqlite3.connect(self._arena.database)) as connection:
            return int(connection.execute("SELECT count(*) FROM runs WHERE status = 'ok'").fetchone()[0])

    def _fault(self, found: dict[str, list[float]]) -> str:
        started = {name: len(latencies) for name, latencies in found.items() if name != CRON}
        few = {name: number for name, number in started.items() if number != self._count}
        wrong = [f"{number} of {self._count} started in {name}" for name, number in few.items()]
        wrong += [f"{self._ok()} of {self._count} ok"] if self._ok() != self._count else []
        wrong += [f"{name} started one early" for name, latencies in found.items() if latencies and min(latencies) < 0]
        return ", ".join(wrong)


def seconds_from(first: int, count: int) -> list[int]:
    """`count` whole seconds from `first` on, without full minutes."""
    found: list[int] = []
    while len(found) < count:
        if first % 60:
            found.append(first)
        first += 1
    return found


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest measured value that is at least as large as so many percent of all values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _rows(found: dict[str, list[float]], why: dict[str, str], fault: str) -> list[Row]:
    rows = [
        _percentile_row(name, latencies, percent, fault)
        for name, latencies in found.items()
        # cron has only a few minutes: no more than their median is meaningful.
        for percent in (GOALS_MS if name != CRON else (50,))
        if latencies
    ]
    rows += [absent(f"{name}, start latency", "", reason) for name, reason in why.items() if reason]
    rows += [] if found[DAEMON] else [absent(f"{DAEMON}, start latency", "", fault)]
    for name in (KEPT, MEMORY):
        if found.get(name) and found[DAEMON]:
            rows += [_beside(found, name, percent, fault) for percent in GOALS_MS]
    return rows


def _percentile_row(name: str, latencies: Sequence[float], percent: int, fault: str) -> Row:
    value = percentile(latencies, percent)
    goal = GOALS_MS[percent] if name == DAEMON else None
    wall = spread(latencies) if percent == 50 else _single(value)
    return Row(_name(name, percent, len(latencies)), wall, goal_ms=goal, fault=fault if name == DAEMON else "")


def _beside(found: dict[str, list[float]], name: str, percent: int, fault: str) -> Row:
    ours, theirs = percentile(found[DAEMON], percent), percentile(found[name], percent)
    least = min(found[DAEMON]) / min(found[name])
    goal = 1.0 if name == KEPT else None
    ratio = Ratio(_single(ours / theirs), least, None)
    return Row(_name(DAEMON, percent, len(found[DAEMON])), _single(ours), name, ratio, goal, fault=fault)


def _single(value: float) -> Spread:
    return Spread(value, value, value, value)


def _name(name: str, percent: int, count: int) -> str:
    return f"{name}, {count} slots, p{percent}"
