"""Orphans of runs. Linux only: this process becomes a child subreaper, so that who loses its parent becomes our child.

The marks and the session find nearly every process of a run. One that left the session, cleared its environment and
lost its parent tells whose it is by its output, if that still goes into a run's files, and else by its birth alone: it
can only come from a run that was alive then. So it is ended when the last of those has ended, never earlier: it may be
what another run is working with.

Other children of this program are left alone if they are in its own session or were there before its first run.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.run import ProcessId
from system.process_table import Row, Table

#: Source: prctl(2).
_PR_SET_CHILD_SUBREAPER = 36


class Adoption:
    """What this process knows of its own children. One for the process; any thread may use it."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._ready = False
        self._adopts = False
        self._starting = 0
        self._looking = False
        #: Children that we started and have not reaped, and those whose attempt still goes on with their births.
        self._ours: set[int] = set()
        self._alive: dict[int, int] = {}
        #: Children that were there before our first run: whoever became this program by exec has them.
        self._inherited: set[int] = set()

    @contextmanager
    def starting(self, table: Table) -> Iterator[None]:
        """Around the start of a child, up to `started`: until then it can't be told from an orphan."""
        with self._change:
            self._change.wait_for(lambda: not self._looking)
            if not self._ready:
                self._inherited = set(table.children(os.getpid()))
                self._adopts = _become_subreaper()
                self._ready = True
            self._starting += 1
        try:
            yield
        finally:
            with self._change:
                self._starting -= 1
                self._change.notify_all()

    def started(self, child: ProcessId) -> None:
        """A child of ours whose attempt begins."""
        with self._change:
            if threading.get_native_id() != os.getpid():
                self._adopts = False
            self._ours.add(child.pid)
            if child.started.isdecimal():
                self._alive[child.pid] = int(child.started)

    def ending(self, child: ProcessId) -> None:
        """Its attempt is over: what was born in it is an orphan from now on."""
        with self._change:
            self._alive.pop(child.pid, None)

    def reaped(self, pid: int) -> None:
        """The pid is free for others."""
        with self._change:
            self._ours.discard(pid)
            self._alive.pop(pid, None)

    def is_alone(self, table: Table) -> bool:
        """Whether every child that we have is one that we started or inherited.

        Then nothing is left of a child that has ended: all below it would have become our children, or stand below one
        of them. Always False where orphans are not adopted, and once a thread but the first has started a child: the
        first one's list is looked at. What enters another PID namespace is adopted there. Source: prctl(2),
        PR_SET_CHILD_SUBREAPER.
        """
        return self._adopts and not self._strangers(table)

    def orphans(self, table: Table, outputs: Iterable[str | Path] = ()) -> list[Row]:
        """The adopted processes that print into `outputs`, and those that no living attempt can be the origin of.

        The dead among them, which print nowhere, are gone when this returns: they, and those of living attempts, are
        reaped. Costs next to nothing as long as nobody was adopted.
        """
        if not self._ready or not self._strangers(table):
            return []
        files = {os.path.realpath(path) for path in outputs}
        with self._no_start():
            rows = (table.row(pid) for pid in self._strangers(table))
            return [row for row in rows if row is not None and self._is_orphan(row, table, files)]

    @contextmanager
    def _no_start(self) -> Iterator[None]:
        """A child that another thread is just starting looks like an orphan."""
        with self._change:
            self._change.wait_for(lambda: not self._looking)
            self._looking = True
        try:
            with self._change:
                self._change.wait_for(lambda: not self._starting)
            yield
        finally:
            with self._change:
                self._looking = False
                self._change.notify_all()

    def _strangers(self, table: Table) -> list[int]:
        # What was started in a session of its own can't come back to ours. In a container ours may be 0: still another.
        ours = os.getsid(0)
        children = set(table.children(os.getpid()))
        # The pid of one that is gone may come back as another's.
        self._inherited &= children
        found = children - self._ours - self._inherited
        return [pid for pid in found if table.session(pid) != ours]

    def _is_orphan(self, row: Row, table: Table, files: set[str]) -> bool:
        if row.ppid != os.getpid():
            return False
        if not row.alive:
            _reap(row.pid)
        elif files and not files.isdisjoint(table.outputs(row.pid)):
            return True
        with self._change:
            return all(born > int(row.started) for born in self._alive.values())


def _become_subreaper() -> bool:
    """Whether we are one now. Where that is refused, orphans go to the first process, as everywhere else."""
    import ctypes

    try:
        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


#: The one of this process.
OURS = Adoption()
