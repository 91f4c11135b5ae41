"""Deletes old runs with their events and output, output beyond the size limit, and old event files.

A run's files are deleted before its row, so that after a crash in between the next pruning still finds them.
"""

from __future__ import annotations

import heapq
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from core import log
from core.boundary import Failure, guarded
from core.clock import Clock, utc_text
from core.run import folder_of
from maintenance.trees import delete_tree, size_of

if TYPE_CHECKING:
    from config.variables import Values

#: The most rows that one step of a tick deletes: pruning must not make a tick long.
ROUND = 200
#: The most rows in one transaction of the command `prune`: other writers wait no longer than that.
BATCH = 500
#: A folder without a row is deleted only when it is older than this: its run may just be starting.
UNKNOWN_SEC = 86_400
MEGABYTE = 1_000_000
_ROTATED = re.compile(r"events-(\d{4}-\d\d-\d\d)(-\d+)?\.jsonl")
#: The folder of runs that `invoker.py` made as a program; they have no rows.
_INVOKER = "_invoker"


class Rows(Protocol):
    """What retention needs of the store."""

    def job_ids(self) -> list[str]: ...
    def beyond_count(self, job_id: str, keep: int, limit: int, now: str) -> Sequence[Any]: ...
    def older_than(self, started_before: str, limit: int) -> Sequence[Any]: ...
    def with_output(self, job_id: str, after: tuple[str, str], limit: int) -> Sequence[Any]: ...
    def unmeasured(self, limit: int) -> Sequence[Any]: ...
    def output_by_job(self) -> dict[str, int]: ...
    def record_output_size(self, run_id: str, size: int) -> None: ...
    def forget_output(self, runs: Sequence[Any]) -> None: ...
    def forget(self, runs: Sequence[Any]) -> tuple[int, int]: ...
    def count_events(self, runs: Sequence[Any]) -> int: ...
    def count_notices(self, before: str) -> int: ...
    def forget_notices(self, before: str) -> int: ...
    def run_exists(self, run_id: str) -> bool: ...


class PruneReport(TypedDict):
    """A `Pruned` as a JSON object: counts, bytes, names of files and folders, sentences."""

    runs: int
    events: int
    outputs: int
    output_bytes: int
    event_files: list[str]
    unknown_folders: list[str]
    failures: list[str]


@dataclass
class Pruned:
    """What was deleted, or in a dry run would be. `failures` has a sentence for each thing that could not be."""

    runs: int = 0
    events: int = 0
    outputs: int = 0
    output_bytes: int = 0
    event_files: list[str] = field(default_factory=list)
    unknown_folders: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def as_dict(self) -> PruneReport:
        """The report, with at most 20 of the failures."""
        return {
            "runs": self.runs,
            "events": self.events,
            "outputs": self.outputs,
            "output_bytes": self.output_bytes,
            "event_files": self.event_files,
            "unknown_folders": self.unknown_folders,
            "failures": self.failures[:20],
        }

    def __bool__(self) -> bool:
        return any(vars(self).values())


class Retention:
    """One pruning. It deletes nothing outside `runs_folder` and `events_folder`, and follows no symbolic link.

    `limits` are the settings that say what is kept.
    """

    def __init__(
        self, *, rows: Rows, runs_folder: Path, events_folder: Path, limits: Values, clock: Clock, dry_run: bool = False
    ) -> None:
        self._rows = rows
        self._runs_folder = runs_folder
        self._events_folder = events_folder
        self._limits = limits
        self._clock = clock
        self._dry_run = dry_run
        self._pruned = Pruned()
        self._counted: set[str] = set()
        #: In a dry run: the sizes that are not stored yet, and what changes the stored sum of each job.
        self._measured: dict[str, int] = {}
        self._unstored: Counter[str] = Counter()
        #: Applied once an hour by a tick, and by `prune` without a bound: each gets the most runs to delete, or None.
        self._rules = (self._forget_old, self._forget_notices, self._make_room, self._drop_event_files)

    def after_runs(self, job_ids: Sequence[str]) -> Pruned:
        """Applies the count rule to the jobs whose runs a tick ended; at most `ROUND` runs of each."""
        for job_id in job_ids:
            self._forget(self._beyond_count(job_id, ROUND))
        return self._pruned

    def hourly(self) -> Pruned:
        """Applies the rules of age, size and event files, as a tick does once an hour; at most `ROUND` runs each."""
        for rule in self._rules:
            rule(ROUND)
        return self._pruned

    def everything(self) -> Pruned:
        """Applies all rules to all jobs, without a bound, and deletes folders that have no row."""
        for job_id in self._rows.job_ids():
            self._repeat(partial(self._beyond_count, job_id))
        for rule in self._rules:
            rule(None)
        self._drop_unknown()
        return self._pruned

    # --- runs ---

    def _beyond_count(self, job_id: str, limit: int) -> Sequence[Any]:
        return self._rows.beyond_count(job_id, self._limits.keep_runs, limit, utc_text(self._clock.now()))

    def _forget_old(self, at_most: int | None) -> None:
        def find(limit: int) -> Sequence[Any]:
            return self._rows.older_than(self._oldest(), limit)

        if at_most is None:
            self._repeat(find)
        else:
            self._forget(find(at_most))

    def _forget_notices(self, _at_most: int | None) -> None:
        """The scheduler's own events are few: at most one a change of .jobs.json or .env."""
        before = self._oldest()
        if count := self._rows.count_notices(before):
            self._pruned.events += count if self._dry_run else self._rows.forget_notices(before)

    def _repeat(self, find: Callable[[int], Sequence[Any]]) -> None:
        """Deletes batch after batch, until one brings nothing new."""
        if self._dry_run:
            self._forget(find(1 << 30))
            return
        while True:
            before = self._pruned.runs
            batch = find(BATCH)
            self._forget(batch)
            if len(batch) < BATCH or self._pruned.runs == before:
                return

    def _forget(self, runs: Sequence[Any]) -> None:
        # A run may be both too many and too old: a dry run must not count it twice.
        runs = [run for run in runs if run.run_id not in self._counted]
        self._counted.update(run.run_id for run in runs)
        gone = [run for run in runs if not run.has_output or self._drop_output(run)]
        if self._dry_run:
            self._pruned.runs += len(gone)
            self._pruned.events += self._rows.count_events(gone)
            for run in gone:
                self._unstored[run.job_id] -= (run.output_bytes or 0) if run.has_output else 0
        elif gone:
            deleted, events = self._rows.forget(gone)
            self._pruned.runs += deleted
            self._pruned.events += events
            if not deleted:
                # Their output is gone, but the stored sums still count it.
                for run in gone:
                    self._unstored[run.job_id] -= (run.output_bytes or 0) if run.has_output else 0

    def _make_room(self, at_most: int | None) -> None:
        """Deletes output until all of it is within the limit: always the oldest of the job that has most.

        So each job has room for its share, and one that fills the disk costs the others nothing.
        """
        for run in self._rows.unmeasured(at_most or 1 << 30):
            size = size_of(self._folder(run))
            if not self._dry_run:
                self._rows.record_output_size(run.run_id, size)
            elif run.run_id not in self._counted:
                self._measured[run.run_id] = size
                self._unstored[run.job_id] += size
        used = Counter(self._rows.output_by_job())
        used.update(self._unstored)
        over = used.total() - self._limits.keep_output_mb * MEGABYTE
        jobs = [(-size, job_id) for job_id, size in used.items() if size > 0]
        heapq.heapify(jobs)
        oldest: dict[str, Iterator[Any]] = {}
        gone, asked = [], 0
        while over > 0 and jobs and asked < (at_most or 1 << 30):
            size, job_id = heapq.heappop(jobs)
            run = next(oldest.setdefault(job_id, self._with_output(job_id)), None)
            if run is None:
                # What is left of it can't be deleted, and the other jobs do not pay for that.
                over += size
                continue
            asked += 1
            freed = self._size(run)
            if run.run_id not in self._counted and self._drop_output(run):
                gone.append(run)
                over -= freed
                size += freed
            heapq.heappush(jobs, (size, job_id))
        if gone and not self._dry_run:
            self._rows.forget_output(gone)

    def _with_output(self, job_id: str) -> Iterator[Any]:
        """The ended runs of a job that hold some of the disk, the oldest first."""
        after = ("", "")
        while batch := self._rows.with_output(job_id, after, ROUND):
            yield from (run for run in batch if self._size(run) > 0)
            after = batch[-1].position

    def _drop_output(self, run: Any) -> bool:
        folder = self._folder(run)
        size = self._size(run)
        if not self._dry_run and not self._delete(folder):
            return False
        self._pruned.outputs += 1
        self._pruned.output_bytes += size
        return True

    def _size(self, run: Any) -> int:
        if run.output_bytes is not None:
            return int(run.output_bytes)
        return self._measured.get(run.run_id) or size_of(self._folder(run))

    def _folder(self, run: Any) -> Path:
        return self._runs_folder / folder_of(run.job_id, run.run_id)

    def _oldest(self) -> str:
        try:
            return utc_text(self._clock.now() - timedelta(days=self._limits.keep_days))
        except OverflowError:
            return utc_text(datetime.min.replace(year=2, tzinfo=self._clock.now().tzinfo))

    # --- files ---

    def _delete(self, folder: Path) -> bool:
        """Deletes a run's folder; returns whether it is gone. If not, the failures say why."""
        relative = folder.relative_to(self._runs_folder)
        if ".." in relative.parts or len(relative.parts) != 2:
            self._pruned.failures.append(f"{folder} is not the folder of a run")
            return False
        if os.path.islink(folder.parent):
            self._pruned.failures.append(f"{folder.parent} is a symbolic link, and is not followed")
            return False
        return self._is_deleted(folder, lambda: delete_tree(folder))

    def _is_deleted(self, path: Path, delete: Callable[[], None]) -> bool:
        def refusal() -> str:
            try:
                delete()
            except OSError as error:
                return error.strerror or str(error)
            return ""

        outcome = guarded(refusal, f"{path} was not deleted")
        reason = outcome.message if isinstance(outcome, Failure) else outcome
        if reason:
            log.warning(f"{path} was not deleted: {reason}")
            self._pruned.failures.append(f"{path}: {reason}")
        return not reason

    def _drop_event_files(self, _at_most: int | None) -> None:
        """Deletes event files that were rotated more than `keep_days` ago, by the day in their names."""
        today = self._clock.now().date()
        for path in _entries(self._events_folder):
            day = _day(path.name)
            if day is None or (today - day).days <= self._limits.keep_days:
                continue
            if self._dry_run or self._is_deleted(path, path.unlink):
                self._pruned.event_files.append(path.name)

    def _drop_unknown(self) -> None:
        """Deletes folders of runs that have no row, as a lost database leaves them."""
        for job in _entries(self._runs_folder):
            if os.path.islink(job) or not os.path.isdir(job):
                continue
            keep_sec = self._limits.keep_days * 86_400 if job.name == _INVOKER else UNKNOWN_SEC
            for folder in _entries(job):
                if self._rows.run_exists(folder.name) or not self._is_older(folder, keep_sec):
                    continue
                if self._dry_run or self._delete(folder):
                    self._pruned.unknown_folders.append(f"{job.name}/{folder.name}")

    def _is_older(self, path: Path, seconds: float) -> bool:
        try:
            return self._clock.now().timestamp() - path.lstat().st_mtime > seconds
        except OSError:
            return False


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return


def _day(name: str) -> date | None:
    match = _ROTATED.fullmatch(name)
    try:
        return None if match is None else date.fromisoformat(match[1])
    except ValueError:
        return None
