"""Orphans of runs. Linux only: this process becomes a child subreaper, so that who loses its parent becomes our child.

The mark and the session find nearly every process of a run. One that left the session, cleared its environment and lost
its parent carries nothing that tells whose it is but its birth: it can only come from a run that was alive then. So it
is ended when the last of those has ended, never earlier: it may be what another run is working with.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from models import ProcessId
from process_table import Table

#: Source: prctl(2).
_PR_SET_CHILD_SUBREAPER = 36


class Adoption:
    """What this process knows of its own children. One for the process; any thread may use it."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._ready = False
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
                _become_subreaper()
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

    def orphans(self, table: Table) -> list[int]:
        """The adopted processes that no living attempt can be the origin of; those that have died are reaped."""
        if not self._ready or not self._strangers(table):
            return []
        with self._change:
            # A child that another thread is just starting looks like an orphan.
            self._change.wait_for(lambda: not self._looking)
            self._looking = True
            self._change.wait_for(lambda: not self._starting)
        try:
            return [pid for pid in self._strangers(table) if self._is_orphan(pid, table)]
        finally:
            with self._change:
                self._looking = False
                self._change.notify_all()

    def _strangers(self, table: Table) -> set[int]:
        return set(table.children(os.getpid())) - self._ours - self._inherited

    def _is_orphan(self, pid: int, table: Table) -> bool:
        row = table.row(pid)
        if row is None or row.ppid != os.getpid():
            return False
        if not row.alive:
            _reap(pid)
            return False
        with self._change:
            return all(born > int(row.started) for born in self._alive.values())


def _become_subreaper() -> None:
    """Where that is refused, orphans go to the first process, as everywhere else."""
    import ctypes

    try:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        return


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


#: The one of this process.
OURS = Adoption()
