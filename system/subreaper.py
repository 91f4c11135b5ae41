"""Orphans of runs. On Linux this process is a child subreaper: descendants that lose their parent become its children.

The marks and the session find nearly every process of a run. One that left the session, cleared its environment and
lost its parent is matched to a run by its output, if it still writes to the run's files; else by its start time: it can
only come from a run that was running then. So it is killed after the last of those runs has ended, never earlier,
because a running run may need it.

That holds only where every orphan descends from a run. As process 1 of a container, or after an `exec` in a shell that
had started something, this process also adopts orphans of others. Then an orphan is ended only if it carries marks of a
run, is in the session of one, writes into its files, or is in the cgroup of this process (`cgroups`). All others are
left alone, and `others` names them. Children in this program's own session are never ended.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.run import ProcessId
from system.awaitables import run_blocking, wait
from system.process_table import Row, Table
from system.process_tree import SLICE

#: The variable that every process of a run has, unless it clears its environment.
RUN_FOLDER = "PURUTO_CRON_RUN_FOLDER"
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
        #: Whether all dead children are reaped, also those in our session: nobody else in this program waits for any.
        self._reaps_all = False
        #: The name of the cgroup that only this process and what it starts are in; "" without one.
        self.group = ""
        #: The pids of children that we started and have not reaped.
        self._ours: set[int] = set()
        #: Of those whose attempt is still running: the start time.
        self._running: dict[int, int] = {}
        #: Children from before our first run: a program that becomes this one by exec keeps its children.
        self._inherited: set[int] = set()
        #: Adopted processes of a run, and those that may be somebody else's.
        self._of_runs: set[int] = set()
        self._unclear: set[int] = set()
        #: Whether an orphan of somebody else may become our child, and how many children of others have died: those
        #: that they leave are our children by then, and may not have been seen yet.
        self._adopts_others = False
        self._lost = 0

    def prepare(self, table: Table, *, reaps_all: bool = False) -> None:
        """Makes this process a subreaper. Call it before anything is started; `starting` does if nobody has.

        With `reaps_all`, `reap` also reaps dead children in our own session, which nobody here may wait for.
        """
        with self._change:
            self._reaps_all = self._reaps_all or reaps_all
            if not self._ready:
                self._inherited = set(table.children(os.getpid()))
                self._adopts = _become_subreaper()
                self._adopts_others = bool(self._inherited) or os.getpid() == 1
                self._ready = True

    @contextmanager
    def starting(self, table: Table) -> Iterator[None]:
        """Hold this from before a child is started until `started`: before that it looks like an orphan."""
        self.prepare(table)
        with self._change:
            self._change.wait_for(lambda: not self._searching)
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

    def started_helper(self, pid: int) -> None:
        """Records a child that belongs to no run."""
        with self._change:
            self._ours.add(pid)

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
        return self._adopts and not any(self._is_in_other_session(pid, table) for pid in self._strangers(table))

    def orphans(self, table: Table, outputs: Iterable[str | Path] = ()) -> list[Row]:
        """Blocking version of `find_orphans`."""
        return run_blocking(self.find_orphans(table, outputs))

    async def find_orphans(self, table: Table, outputs: Iterable[str | Path] = ()) -> list[Row]:
        """The adopted processes that write into `outputs`, and those that no running attempt can have started.

        Dead ones are reaped before this returns, also those of running attempts. Cheap as long as nothing was adopted.
        """
        if not self._ready:
            return []
        lost, strangers, found = self._lost, self._strangers(table), []
        files = {os.path.realpath(path) for path in outputs} if strangers else set()
        for start in range(0, len(strangers), SLICE):
            if start:
                # Other tasks get their turn.
                await wait(0)
            with self._no_start():
                pids = [pid for pid in strangers[start : start + SLICE] if pid not in self._ours]
                rows = (table.row(pid) for pid in pids if self._is_in_other_session(pid, table))
                found += [row for row in rows if row is not None and self._is_orphan(row, table, files)]
        self._have_seen_all(lost)
        return found

    @property
    def adopts_others(self) -> bool:
        """Whether orphans of somebody else may become our children. Once they can't, they never can."""
        return self._adopts_others

    def reap(self, table: Table) -> None:
        """Reaps dead children that nobody waits for."""
        with self._no_start():
            for pid in set(table.children(os.getpid())) - self._ours:
                is_seen = self._reaps_all or self._is_in_other_session(pid, table)
                if is_seen and (row := table.row(pid)) is not None and row.ppid == os.getpid() and not row.alive:
                    self._forget(pid)
                    _reap(pid)

    def others(self, table: Table) -> list[Row]:
        """Our living children that belong to no run, or of which that is unknown. They are left alone."""
        if not self._adopts_others:
            return []
        with self._no_start():
            lost = self._lost
            for pid in self._strangers(table):
                if self._is_in_other_session(pid, table):
                    self._is_certain(pid, table)
            self._have_seen_all(lost)
            rows = [table.row(pid) for pid in sorted(self._inherited | self._unclear)]
        return [row for row in rows if row is not None and row.alive and row.ppid == os.getpid()]

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
        """The children that we neither started nor inherited. Those in our session are no run's."""
        children = set(table.children(os.getpid()))
        # The pid of a child that has gone may be used again.
        for gone in (self._inherited | self._of_runs | self._unclear) - children:
            self._forget(gone)
        return list(children - self._ours - self._inherited)

    def _is_in_other_session(self, pid: int, table: Table) -> bool:
        # A run's process can't enter our session. In a container the number of ours may be 0; theirs is another.
        return table.session(pid) != os.getsid(0)

    def _have_seen_all(self, lost: int) -> None:
        """Notes that all strangers were looked at since so many children of others had died."""
        if lost == self._lost:
            # The parent of an orphan of others is our child before, or it is outside of our PID namespace.
            self._adopts_others = bool(self._inherited or self._unclear) or os.getpid() == 1

    def _is_orphan(self, row: Row, table: Table, files: set[str]) -> bool:
        if row.ppid != os.getpid():
            return False
        if not row.alive:
            self._forget(row.pid)
            _reap(row.pid)
        elif files and not files.isdisjoint(table.outputs(row.pid)):
            return True
        elif not self._is_certain(row.pid, table):
            return False
        with self._change:
            return all(started > int(row.started) for started in self._running.values())

    def _is_certain(self, pid: int, table: Table) -> bool:
        """Whether an adopted process descends from a run."""
        if pid not in self._of_runs and pid not in self._unclear:
            certain = not self._adopts_others or self._has_come_from_a_run(pid, table)
            (self._of_runs if certain else self._unclear).add(pid)
        return pid in self._of_runs

    def _has_come_from_a_run(self, pid: int, table: Table) -> bool:
        if self.group:
            return self.group in table.group(pid).split("/")
        return table.session(pid) in self._ours or f"\0{RUN_FOLDER}=".encode() in b"\0" + table.environ(pid)

    def _forget(self, pid: int) -> None:
        self._lost += pid in self._inherited or pid in self._unclear
        for pids in (self._inherited, self._of_runs, self._unclear):
            pids.discard(pid)


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
