"""Finds all processes of a run, and kills them.

The process tree of a run is the child, which leads a session of its own; all its descendants; every process with the
run's marks in its environment; and the orphans that only this run can have left. The marks find processes that left the
session and lost their parents; `subreaper` finds those that also cleared their environment.
Source: docs/decisions/0005-process-marks.md.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from core.clock import Clock
from core.run import ProcessId
from system.awaitables import wait
from system.process_table import Row, Table, boot_id

T = TypeVar("T")

_ROUND_SEC = 0.05
_KILL_ROUNDS = 100
#: Processes that are looked at or signalled in one go. Then other tasks get their turn: a run may have 20,000 of them.
SLICE = 100


class EndedTree(NamedTuple):
    """The processes of a tree when it was ended: those that were alive, and those that survived, as `name (pid)`."""

    alive: tuple[str, ...] = ()
    survivors: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    """The pids of those that were alive."""
    left: tuple[str, ...] = ()
    """The processes besides the root that were found alive until the end, also those that were started meanwhile."""


class ProcessTree:
    """The processes of one run. A process that was once found stays in it, also after its parent has died."""

    def __init__(
        self,
        marks: Mapping[str, str],
        root: ProcessId | None,
        table: Table,
        orphans: Callable[[], Awaitable[list[Row]]] | None = None,
        group: str = "",
    ) -> None:
        """`orphans` finds orphans of the run. `group` is the cgroup of its scheduler, if that is gone.

        What is in the group and carries no marks of another run belongs to the run too.
        """
        self._table = table
        self._group = group
        self._orphans = orphans
        self._just_died = False
        self._marks = [b"\0" + os.fsencode(f"{name}={value}") + b"\0" for name, value in marks.items()]
        #: A nested run has its own marks, and the marks of the runs around it in a list: our variable's name with an S.
        self._outer_marks = [(b"\0" + os.fsencode(f"{name}S="), os.fsencode(value)) for name, value in marks.items()]
        #: What begins a mark of any run.
        self._names = [os.fsencode(f"{name}=") for name in marks]
        self._root = root.pid if root is not None and root.boot_id == boot_id() else 0
        self._seen: dict[int, str] = {}
        self._sessions: set[int] = set()
        #: All that were ever found alive, but for the root.
        self._left: dict[tuple[int, str], Row] = {}
        if root is not None and self._root:
            self._seen[root.pid] = root.started
            if self._is_seen(root.pid):
                self._sessions.add(root.pid)

    async def alive(self) -> list[Row]:
        """All its processes that can still run, also ones not seen before. Cheap if there are none."""
        pids = self._table.pids()
        certain = [pid async for pid in in_turns(pids) if self._belongs(pid)]
        certain += [row.pid for row in await self._adopted()]
        # Dead processes have no children, and what is left of their session is in `certain` anyway.
        if not await self._any_alive(certain):
            return []
        rows = {}
        async for pid in in_turns(dict.fromkeys([*pids, *certain])):
            if (row := self._table.row(pid)) is not None:
                rows[pid] = row
        alive = []
        async for row in self._descent(certain, rows, _ancestors(os.getpid(), rows)):
            self._seen[row.pid] = row.started
            if row.session == row.pid:
                self._sessions.add(row.pid)
            if row.alive:
                alive.append(row)
                if row.pid != self._root:
                    self._left[row.pid, row.started] = row
        return alive

    async def _any_alive(self, pids: list[int]) -> bool:
        async for pid in in_turns(pids):
            row = self._table.row(pid)
            if row is not None and row.alive:
                return True
        return False

    async def _adopted(self) -> list[Row]:
        rows = [] if self._orphans is None else await self._orphans()
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
        # Session 0 is a kernel thread, or a process older than this container.
        if session == 0:
            return False
        environ = b"\0" + self._table.environ(pid) + b"\0"
        return self._is_marked(environ) or (
            bool(self._group) and not any(b"\0" + name in environ for name in self._names) and self._is_in_group(pid)
        )

    def _is_in_group(self, pid: int) -> bool:
        return self._group in self._table.group(pid).split("/")

    def _is_marked(self, environ: bytes) -> bool:
        return all(mark in environ for mark in self._marks) or any(
            value in environ.partition(name)[2].partition(b"\0")[0].split(b"\n")
            for name, value in self._outer_marks
            if name in environ
        )

    def _is_seen(self, pid: int) -> bool:
        row = self._table.row(pid)
        return row is not None and row.started == self._seen.get(pid)

    def _is_taken(self, pid: int) -> bool:
        """Whether another process has this pid now, and so perhaps the session of this number."""
        return self._table.row(pid) is not None and not self._is_seen(pid)

    async def _descent(self, certain: list[int], rows: dict[int, Row], protected: set[int]) -> AsyncIterator[Row]:
        """The certain processes, their descendants, and all processes in the sessions that one of them leads."""
        children: dict[int, list[int]] = {}
        sessions: dict[int, list[int]] = {}
        async for row in in_turns(rows.values()):
            children.setdefault(row.ppid, []).append(row.pid)
            sessions.setdefault(row.session, []).append(row.pid)
        members: set[int] = set()
        pending = [pid for pid in certain if pid in rows]
        while pending:
            pid = pending.pop()
            if pid not in members and pid not in protected:
                members.add(pid)
                pending += children.get(pid, [])
                if rows[pid].session == pid:
                    pending += sessions[pid]
                if len(members) % SLICE == 0:
                    await wait(0)
                yield rows[pid]

    async def end(self, grace_sec: float, clock: Clock, on_wait: Callable[[], None] | None) -> EndedTree:
        """Ends all its processes, in a bounded time: TERM, `grace_sec` seconds to obey, then KILL.

        `on_wait` is called during the grace period. If it raises, the processes are killed first.
        """
        alive = await self.alive()
        try:
            if alive:
                await self._terminate(alive, grace_sec, clock, on_wait)
        finally:
            survivors = await self._kill(clean=not alive and not self._just_died)
        return EndedTree(
            tuple(map(str, alive)),
            tuple(map(str, survivors)),
            tuple(row.pid for row in alive),
            tuple(map(str, self._left.values())),
        )

    async def _terminate(
        self, rows: list[Row], grace_sec: float, clock: Clock, on_wait: Callable[[], None] | None
    ) -> None:
        signalled: set[tuple[int, str]] = set()
        deadline = clock.monotonic() + grace_sec
        while rows and (remaining := deadline - clock.monotonic()) > 0:
            async for row in in_turns(rows):
                if (row.pid, row.started) not in signalled:
                    signalled.add((row.pid, row.started))
                    self._table.send(row, signal.SIGTERM)
                if row.state == "T":
                    self._table.send(row, signal.SIGCONT)  # a stopped process gets TERM only after it is continued
            await self._wait(rows[0], min(_ROUND_SEC, remaining))
            if on_wait is not None:
                on_wait()
            rows = await self.alive()

    async def _kill(self, *, clean: bool) -> list[Row]:
        """Kills until two sweeps in a row find nothing; `clean` means that one has. Returns the survivors.

        One sweep is not enough: a process may be started during it, and its parent die before it is looked at.
        """
        rows: list[Row] = []
        for _ in range(_KILL_ROUNDS):
            # The whole group at once: in a chain of forks each process is gone before it can be looked at.
            if self._root and self._is_seen(self._root):
                self._table.send_group(self._root, signal.SIGKILL)
            async for row in in_turns(await self._adopted()):
                self._table.send(row, signal.SIGKILL)
            rows = await self.alive()
            if not rows and clean:
                break
            # An orphan that has just died may have left a child.
            clean = not rows and not self._just_died
            async for row in in_turns(rows):
                self._table.send(row, signal.SIGKILL)
            if rows:
                await self._wait(rows[0], _ROUND_SEC)
        return rows

    async def _wait(self, row: Row, seconds: float) -> None:
        await wait(seconds, blocking_wait=lambda longest: self._table.wait_gone(row, longest))


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """The items. After each `SLICE` of them, other tasks get their turn."""
    for number, item in enumerate(items, 1):
        yield item
        if number % SLICE == 0:
            await wait(0)


def _ancestors(pid: int, rows: Mapping[int, Row]) -> set[int]:
    """The process and all its ancestors, and the pids 0 and 1, which must never be signalled."""
    ancestors = {0, 1}
    while pid not in ancestors:
        ancestors.add(pid)
        pid = rows[pid].ppid if pid in rows else 0
    return ancestors
