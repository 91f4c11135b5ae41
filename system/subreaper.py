"""Orphans of runs. On Linux this process is a child subreaper: descendants that lose their parent become its children.

The marks and the session find nearly every process of a run. One that left the session, cleared its environment and
lost its parent is matched to a run by its output, if it still writes to the run's files; else by its start time: it can
only come from a run that was running then. So it is killed after the last of those runs has ended, never earlier,
because a running run may need it.

Other children of this program are left alone: those in its own session, and those from before its first run.
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


class Subreaper:
    """The record of this process's children. There is one per process; any thread may use it."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._ready = False
        self._adopts = False
        self._starting = 0
        self._searching = False
        #: The pids of children that we started and have not reaped.
        self._ours: set[int] = set()
        #: Of those whose attempt is still running: the start time.
        self._running: dict[int, int] = {}
        #: Children from before our first run: a program that becomes this one by exec keeps its children.
        self._inherited: set[int] = set()

    @contextmanager
    def starting(self, table: Table) -> Iterator[None]:
        """Hold this from before a child is started until `started`: before that it looks like an orphan."""
        with self._change:
            self._change.wait_for(lambda: not self._searching)
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
        """Records a child whose attempt has started."""
        with self._change:
            if threading.get_native_id() != os.getpid():
                self._adopts = False
            self._ours.add(child.pid)
            if child.started.isdecimal():
                self._running[child.pid] = int(child.started)

    def ending(self, child: ProcessId) -> None:
        """Records that the child's attempt is over: what it left behind is an orphan from now on."""
        with self._change:
            self._running.pop(child.pid, None)

    def reaped(self, pid: int) -> None:
        """Records that the child was reaped: its pid may be used again."""
        with self._change:
            self._ours.discard(pid)
            self._running.pop(pid, None)

    def has_only_own_children(self, table: Table) -> bool:
        """Whether all our children are ones that we started or inherited.

        Then an ended child has left no process: its descendants would have become our children. Always False where
        orphans are not adopted, and after a thread other than the first has started a child, because only the first
        thread's list is read. What enters another PID namespace is adopted there.
        Source: prctl(2), PR_SET_CHILD_SUBREAPER.
        """
        return self._adopts and not self._strangers(table)

    def orphans(self, table: Table, outputs: Iterable[str | Path] = ()) -> list[Row]:
        """The adopted processes that write into `outputs`, and those that no running attempt can have started.

        Dead ones are reaped before this returns, also those of running attempts. Cheap as long as nothing was adopted.
        """
        if not self._ready or not self._strangers(table):
            return []
        files = {os.path.realpath(path) for path in outputs}
        with self._no_start():
            rows = (table.row(pid) for pid in self._strangers(table))
            return [row for row in rows if row is not None and self._is_orphan(row, table, files)]

    @contextmanager
    def _no_start(self) -> Iterator[None]:
        """Keeps other threads from starting a child meanwhile: it would look like an orphan."""
        with self._change:
            self._change.wait_for(lambda: not self._searching)
            self._searching = True
        try:
            with self._change:
                self._change.wait_for(lambda: not self._starting)
            yield
        finally:
            with self._change:
                self._searching = False
                self._change.notify_all()

    def _strangers(self, table: Table) -> list[int]:
        # A run's process can't enter our session. In a container the number of ours may be 0; theirs is another.
        own_session = os.getsid(0)
        children = set(table.children(os.getpid()))
        # The pid of a child that has gone may be used again.
        self._inherited &= children
        strangers = children - self._ours - self._inherited
        return [pid for pid in strangers if table.session(pid) != own_session]

    def _is_orphan(self, row: Row, table: Table, files: set[str]) -> bool:
        if row.ppid != os.getpid():
            return False
        if not row.alive:
            _reap(row.pid)
        elif files and not files.isdisjoint(table.outputs(row.pid)):
            return True
        with self._change:
            return all(started > int(row.started) for started in self._running.values())


def _become_subreaper() -> bool:
    """Makes this process a child subreaper. False if that fails: then orphans go to process 1 as usual."""
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


#: The record of this process.
SUBREAPER = Subreaper()
