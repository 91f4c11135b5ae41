"""Who belongs to a run, and how all of it is ended.

A run's processes are its *family*: the child in a session of its own, all that descend from it, whatever carries the
run's marks in its environment, and the orphans that only this run can have left. The marks find those that left the
session and lost their parents, `adoption` those that cleared their environment besides.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import NamedTuple

from core.clock import Clock
from core.run import ProcessId
from system.awaitables import wait
from system.process_table import Row, Table, boot_id

_ROUND_SEC = 0.05
_KILL_ROUNDS = 100


class Ended(NamedTuple):
    """What an end came upon: the processes that were alive and those that could not be ended, as `name (pid)`."""

    found: tuple[str, ...]
    left: tuple[str, ...]
    pids: tuple[int, ...]
    """Of those that were alive."""


class Family:
    """The processes of one run. Whoever was once seen in it stays in it, also when its parent dies."""

    def __init__(
        self, marks: Mapping[str, str], root: ProcessId | None, table: Table, orphans: Callable[[], list[Row]] = list
    ) -> None:
        self._table = table
        self._orphans = orphans
        self._just_died = False
        self._marks = [b"\0" + os.fsencode(f"{name}={value}") + b"\0" for name, value in marks.items()]
        #: What a run within this one carries: its own marks, and below the name of one of ours, with an S, a list.
        self._around = [(b"\0" + os.fsencode(f"{name}S="), os.fsencode(value)) for name, value in marks.items()]
        self._root = root.pid if root is not None and root.boot_id == boot_id() else 0
        self._seen: dict[int, str] = {}
        self._sessions: set[int] = set()
        if root is not None and self._root:
            self._seen[root.pid] = root.started
            if self._is_seen(root.pid):
                self._sessions.add(root.pid)

    def alive(self) -> list[Row]:
        """All that can still run, newest finds included. Cheap when there is none."""
        pids = self._table.pids()
        certain = [pid for pid in pids if self._belongs(pid)]
        certain += [row.pid for row in self._adopted()]
        # The dead have no children any more, and whoever is left of their session is certain by itself.
        if not any(row.alive for pid in certain if (row := self._table.row(pid)) is not None):
            return []
        rows = {pid: row for pid in dict.fromkeys([*pids, *certain]) if (row := self._table.row(pid)) is not None}
        members = self._descent(certain, rows, _ancestors(os.getpid(), rows))
        for row in members:
            self._seen[row.pid] = row.started
            if row.session == row.pid:
                self._sessions.add(row.pid)
        return [row for row in members if row.alive]

    def _adopted(self) -> list[Row]:
        rows = self._orphans()
        living = [row for row in rows if row.alive]
        self._just_died = len(living) < len(rows)
        return living

    def _belongs(self, pid: int) -> bool:
        if pid == os.getpid():
            return False
        if pid in self._seen and self._is_seen(pid):
            return True
        session = self._table.session(pid)
        if session in self._sessions and not self._is_taken(session):
            return True
        # Session 0: a kernel thread, or a process that is older than this container.
        return session != 0 and self._is_marked(b"\0" + self._table.environ(pid) + b"\0")

    def _is_marked(self, environ: bytes) -> bool:
        return all(mark in environ for mark in self._marks) or any(
            value in environ.partition(name)[2].partition(b"\0")[0].split(b"\n")
            for name, value in self._around
            if name in environ
        )

    def _is_seen(self, pid: int) -> bool:
        row = self._table.row(pid)
        return row is not None and row.started == self._seen.get(pid)

    def _is_taken(self, pid: int) -> bool:
        """Whether a stranger has this pid now, and so the session of that number."""
        return self._table.row(pid) is not None and not self._is_seen(pid)

    def _descent(self, certain: list[int], rows: dict[int, Row], protected: set[int]) -> list[Row]:
        """The certain ones, all below them, and all in the sessions that one of them leads."""
        children: dict[int, list[int]] = {}
        sessions: dict[int, list[int]] = {}
        for row in rows.values():
            children.setdefault(row.ppid, []).append(row.pid)
            sessions.setdefault(row.session, []).append(row.pid)
        members: dict[int, Row] = {}
        waiting = [pid for pid in certain if pid in rows]
        while waiting:
            pid = waiting.pop()
            if pid not in members and pid not in protected:
                members[pid] = rows[pid]
                waiting += children.get(pid, [])
                if rows[pid].session == pid:
                    waiting += sessions[pid]
        return list(members.values())

    async def end(self, grace_sec: float, clock: Clock, on_wait: Callable[[], None] | None) -> Ended:
        """Ends all of it, in a bounded time. What `on_wait` raises comes through when nothing of it is alive."""
        found = self.alive()
        try:
            if found:
                await self._ask(grace_sec, clock, on_wait)
        finally:
            left = await self._kill(clean=not found and not self._just_died)
        return Ended(tuple(map(str, found)), tuple(map(str, left)), tuple(row.pid for row in found))

    async def _ask(self, grace_sec: float, clock: Clock, on_wait: Callable[[], None] | None) -> None:
        asked: set[tuple[int, str]] = set()
        deadline = clock.monotonic() + grace_sec
        while (remaining := deadline - clock.monotonic()) > 0 and (rows := self.alive()):
            for row in rows:
                if (row.pid, row.started) not in asked:
                    asked.add((row.pid, row.started))
                    self._table.send(row, signal.SIGTERM)
                if row.state == "T":
                    self._table.send(row, signal.SIGCONT)  # a stopped process sees no TERM before it goes on
            await self._wait(rows[0], min(_ROUND_SEC, remaining))
            if on_wait is not None:
                on_wait()

    async def _kill(self, *, clean: bool) -> list[Row]:
        """Kills until two looks in a row find nobody; `clean` says that one did. Returns who is left at last.

        One look is not enough: a process may be born behind it, and its parent die before it.
        """
        rows: list[Row] = []
        for _ in range(_KILL_ROUNDS):
            # All at once: the links of a chain of forks are gone before they can be looked at one by one.
            if self._root and self._is_seen(self._root):
                self._table.send_group(self._root, signal.SIGKILL)
            for row in self._adopted():
                self._table.send(row, signal.SIGKILL)
            rows = self.alive()
            if not rows and clean:
                break
            # Where an orphan has just died, its child may be there.
            clean = not rows and not self._just_died
            for row in rows:
                self._table.send(row, signal.SIGKILL)
            if rows:
                await self._wait(rows[0], _ROUND_SEC)
        return rows

    async def _wait(self, row: Row, seconds: float) -> None:
        await wait(seconds, alone=lambda most: self._table.wait_gone(row, most))


def _ancestors(pid: int, rows: Mapping[int, Row]) -> set[int]:
    """The process, its parents up to the first, and nobody's pids, which must never be signalled."""
    found = {0, 1}
    while pid not in found:
        found.add(pid)
        pid = rows[pid].ppid if pid in rows else 0
    return found
