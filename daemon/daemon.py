"""The daemon: sleeps until the next slot is due, and starts it at that time.

Its whole state is in the database, as with ticks: it may be killed at any time, and ticks may run at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from app.session import SETTINGS
from core import log
from core.boundary import Failure, guarded
from core.clock import Clock, from_text, utc_text
from core.errors import DaemonRunning, DatabaseLogReplaced, DatabaseReplaced
from core.json_objects import JobProblem, ReportedRun, SettledRun
from daemon.background import PING_SEC, RETRY_SEC, BackgroundPing, BackgroundReaper, BackgroundSync
from scheduling.claiming import QueuedSlot
from scheduling.dispatcher import Dispatcher, DispatchReport, any_failed
from scheduling.task_loop import TaskLoop
from system.self_pipe import SelfPipe

if TYPE_CHECKING:
    from daemon.program import Program
    from store.runs import OrphanCandidate
    from system.daemon_lock import DaemonLock
    from system.processes import Stop
    from system.systemd import Systemd
    from system.wakeup import Wakeup
    from system.wall_clock_timer import WallClockTimer

#: A run is claimed and its files are made this long before its slot. Its process starts at the slot, never before.
EARLY = timedelta(milliseconds=10)
#: Pause after a pass that failed, so that a loop that fails again and again does not use a whole processor. It is short
#: because a signal waits for it.
FAILURE_PAUSE_SEC = 0.2


class Daemon:
    """Serves slots until `stop_serving` is called. `print_line` prints one JSON object; `stop` ends the runs."""

    def __init__(
        self,
        program: Program,
        *,
        clock: Clock,
        stop: Stop,
        timer: WallClockTimer,
        open_wakeup: Callable[[], Wakeup],
        systemd: Systemd,
        print_line: Callable[[Mapping[str, object]], None],
        lock: DaemonLock | None = None,
    ) -> None:
        """`open_wakeup` creates the wake-up pipe; `lock` is checked at each poll.

        Raises `DatabaseError` and `DaemonFileUnusable`.
        """
        self._program = program
        self._clock = clock
        self._stop = stop
        self._timer = timer
        self._open_wakeup = open_wakeup
        self._systemd = systemd
        self._print_line = print_line
        self._lock = lock
        self._last_poll: datetime | None = None
        self._poll_at = 0.0
        self._stop_reason = ""
        self._stop_deadline: float | None = None
        self._failure: tuple[str, str] | None = None
        self._has_failed = False
        self._unattended: list[tuple[OrphanCandidate, bool]] = []
        self._settled: list[SettledRun] = []
        self._env_version = program.env_file_version()
        self._listener: tuple[int, Callable[[], None]] | None = None
        self._waker = SelfPipe()
        self._sync = BackgroundSync()
        self._reaper = BackgroundReaper(self._waker.wake)
        self._ping = BackgroundPing()
        self._open()
        self._wakeup = open_wakeup()
        self._listen()

    def _open(self) -> None:
        self._session = self._program.open()
        self._store = self._session.store
        self._scheduler = self._session.scheduler(self._stop)
        self._loop = TaskLoop(self._store, self._clock, self._stop)
        self._dispatcher: Dispatcher = self._scheduler.dispatcher(self._loop, self._due_before)

    def _due_before(self) -> datetime:
        return self._clock.now() + EARLY

    def _listen(self) -> None:
        if self._listener is not None:
            self._loop.listen(*self._listener)
        for descriptor in self._wakers():
            self._loop.listen(descriptor, self._poll_now)

    def _wakers(self) -> list[int]:
        """The descriptors that ask for a poll when they become readable."""
        sources = (self._waker.descriptor, self._timer.descriptor, self._wakeup.descriptor, self._sync.descriptor)
        return [descriptor for descriptor in sources if descriptor is not None]

    def listen(self, descriptor: int, on_readable: Callable[[], None]) -> None:
        """Calls `on_readable` whenever the descriptor is readable."""
        self._listener = (descriptor, on_readable)
        self._loop.listen(descriptor, on_readable)

    def close(self) -> None:
        """Ends the background work and closes everything. No run may be running."""
        self._sync.end()
        self._reaper.join()
        self._wakeup.close()
        self._session.close()
        self._waker.close()

    # --- signals ---

    def stop_serving(self, reason: str) -> None:
        """Starts no more runs, and lets `run` return when the running ones have ended.

        They are stopped after `stop_sec`, or when this is called again.
        """
        if self._stop_reason:
            self._stop.set(reason)
            return
        self._stop_reason = reason
        log.info(f"The daemon was asked to end ({reason}); {self._dispatcher.running} runs are running")
        self._stop_deadline = self._clock.monotonic() + self._program.stop_sec
        self._systemd.stopping(f"{self._dispatcher.running} runs are still running")
        self._dispatcher.close()
        # There are no more polls, so these would stay readable and would end every wait.
        for descriptor in self._wakers():
            self._loop.unlisten(descriptor)
        if self._dispatcher.running:
            self._print_line({"status": "stopping", "reason": reason, "running": self._dispatcher.running})

    def reload(self) -> None:
        """Reads the settings again. Runs that are running keep theirs. If the new ones are wrong, the old ones stay."""
        if self._stop_reason:
            return
        self._env_version = self._program.env_file_version()
        self._systemd.reloading(self._clock.monotonic())
        reloaded = guarded(self._reloaded, "The old settings stay in use")
        if isinstance(reloaded, Failure):
            error = self._scheduler.error_of(reloaded)
            self._print_line({"status": "error", "error": error})
            self._session.report_fault(SETTINGS, error, self._clock.now())
        else:
            self._session.report_mended(SETTINGS, self._clock.now())
            log.info("The daemon has reloaded its settings")
            self._print_line({"status": "reloaded", "now": utc_text(self._clock.now())})
        self._systemd.ready()
        self._sync.forget()
        self._poll_now()

    def _reloaded(self) -> None:
        self._program, self._session = self._program.reloaded(self._session)
        self._scheduler = self._session.scheduler(self._stop)
        self._scheduler.renew(self._dispatcher)

    # --- the loop ---

    def begin(self) -> None:
        """Syncs .jobs.json, and polls for the first time."""
        guarded(lambda: self._program.warm_up(self._session), "Nothing was imported ahead")
        # It could not have started with the settings of which an earlier daemon complained.
        self._session.report_mended(SETTINGS, self._clock.now())
        begun = guarded(self._begin_sync)
        if isinstance(begun, Failure):
            self._note_failure(begun)
        while self._sync.is_running and not self._stop_reason:
            # It sets it itself.
            self._wakeup.clear()
            self._loop.run_once(1.0)
            self._systemd.alive()
            self._take_sync()
        if not self._stop_reason:
            self._poll()
            self._systemd.ready()

    def run(self) -> None:
        """Serves until `stop_serving` was called and all runs have ended. Never raises."""
        while not (self._stop_reason and not self._dispatcher.running):
            if not self._stop_reason and (self._clock.monotonic() >= self._poll_at or self._timer.has_fired()):
                self._poll()
            elif self._stop_deadline is not None and self._clock.monotonic() >= self._stop_deadline:
                self._stop_deadline = None
                self._stop.set(self._stop_reason)
            done = guarded(lambda: self._dispatcher.run_once(self._timeout()))
            if isinstance(done, Failure):
                self._note_failure(done)
                self._stop.wait(FAILURE_PAUSE_SEC)
            self._report()
        guarded(self._dispatcher.report_ended, "The last results were not reported")
        self._report()

    def _timeout(self) -> float:
        end = self._poll_at if not self._stop_reason else self._stop_deadline
        left = 1.0 if end is None else max(0.0, end - self._clock.monotonic())
        return left if self._stop_reason else self._timer.seconds_to_sleep(left)

    def _poll_every(self) -> float:
        ends = (self._program.poll_sec, self._systemd.alive_every_sec, PING_SEC if self._program.pings else None)
        return min(seconds for seconds in ends if seconds)

    def _poll(self) -> None:
        """One poll, and what follows from its failure or its success."""
        self._poll_at = self._clock.monotonic() + self._poll_every()
        self._waker.clear()
        self._wakeup.clear()
        self._timer.clear()
        polled = guarded(self._poll_once)
        # Its problems count before the failure is called over, and its results are printed before the next wait.
        self._report()
        if isinstance(polled, Failure):
            self._note_failure(polled)
        elif self._failure is not None and not self._has_failed and not self._pending():
            self._failure = None
            log.info("The failure is over")
            self._print_line({"status": "ok", "now": utc_text(self._clock.now()), "recovered": True})
        if self._failure is not None:
            # Whether the failure is over shows at the next poll, when what this one queued has been claimed.
            self._poll_soon()
        self._has_failed = False
        self._systemd.alive()

    def _poll_once(self) -> None:
        """Enqueues what is due, then does all that can wait a little longer."""
        now = self._clock.now()
        self._keep_lock()
        if self._stop_reason:
            return
        self._store.db.require_in_place()
        self._check_clock(now)
        self._take_reaped()
        self._take_sync()
        self._enqueue_due(now)
        self._dispatcher.run_once(0)
        self._set_timer(now)
        self._session.touch_last_tick(now)
        self._program.record_poll(now)
        if self._program.env_file_version() != self._env_version:
            self.reload()
        self._begin_sync()
        monotonic = self._clock.monotonic()
        self._reaper.begin(self._unattended, self._program.reap, (utc_text(now), monotonic), self._poll_every())
        self._scheduler.deliver()
        if not self._wakeup.is_in_place():
            self._reopen_wakeup()
        self._ping.begin(lambda failed: self._program.ping(failed=failed), monotonic)
        self._program.name_other_children(self._store)

    def _keep_lock(self) -> None:
        """Without its lock file a daemon is not alone: if another one holds a new one, this one ends."""
        kept = guarded(self._lock.keep) if self._lock is not None else None
        if isinstance(kept, Failure):
            self._note_failure(kept)
            if kept.code == DaemonRunning.code:
                self.stop_serving(kept.code)

    def _enqueue_due(self, now: datetime) -> None:
        rows = self._store.runs.orphan_candidates(self._scheduler.owner, self._dispatcher.running_ids)
        self._unattended = [(row, row.is_ours or not self._program.is_alive(row.owner)) for row in rows]
        # The next slots of these jobs wait until the rows are settled; else they would be written off as overlaps.
        self._dispatcher.orphan_candidates = frozenset(row.job_id for row, is_gone in self._unattended if is_gone)
        self._dispatcher.enqueue(QueuedSlot(*row) for row in self._store.definitions.due(now + EARLY))
        self._dispatcher.enqueue(QueuedSlot(*row) for row in self._store.runs.retries_due())

    def _check_clock(self, now: datetime) -> None:
        """Compares the clock with the time of the last poll; at the first poll, with that of the last tick or sync."""
        last = self._last_poll if self._last_poll is not None else self._session.last_seen()
        anomaly = self._scheduler.check_clock(now, last)
        if anomaly is not None:
            self._print_line({"status": "ok", "now": utc_text(now), "clock_anomaly": anomaly})
        # Whole seconds, as in the file of the last tick: a clock that is slewed back a little is not wrong.
        self._last_poll = now.replace(microsecond=0)

    def _set_timer(self, now: datetime) -> None:
        due = self._store.definitions.next_due(now + EARLY)
        instants = [None if due is None else due - EARLY]
        for row, _ in self._unattended:
            with suppress(ValueError):
                instants += [from_text(row.lease)] if row.lease > utc_text(now) else []
        self._timer.set(min((instant for instant in instants if instant is not None), default=None))

    # --- failures ---

    def _note_failure(self, failure: Failure) -> None:
        """Prints a failure once, as long as it stays the same. Runs go on, and the next poll comes soon."""
        # The details may differ from one attempt to the next.
        key = (failure.code, failure.message)
        if key != self._failure:
            log.warning(f"A poll failed: {failure.message}", code=failure.code)
            error = self._scheduler.error_of(failure)
            self._print_line({"status": "error", "now": utc_text(self._clock.now()), "error": error})
        self._failure, self._has_failed = key, True
        self._ping.note_failure()
        self._poll_soon()
        if failure.code == DatabaseReplaced.code and not self._dispatcher.running:
            guarded(self._reopen, "The new database file can't be opened")
        if failure.code == DatabaseLogReplaced.code and not (self._reaper.is_running or self._ping.is_running):
            guarded(self._reopen_log, "The database can't be opened again")

    def _poll_now(self) -> None:
        self._poll_at = 0.0

    def _poll_soon(self) -> None:
        self._poll_at = min(self._poll_at, self._clock.monotonic() + RETRY_SEC)

    def _pending(self) -> bool:
        """Whether work is under way that may still fail as before."""
        return self._reaper.is_running or self._dispatcher.is_refused

    def _reopen(self) -> None:
        """Opens the database again after its file was replaced."""
        old = self._session
        self._open()
        self._sync.forget()
        self._reaper.forget()
        self._listen()
        old.close()

    def _reopen_log(self) -> None:
        """Opens the database again after its log was replaced. Runs go on."""
        back = self._program.reopen(self._session, self._clock.now())
        self._sync.forget()
        self._reaper.forget()
        self._print_line(
            {
                "status": "ok",
                "now": utc_text(self._clock.now()),
                "reopened": {"restored_runs": back.restored, "lost_runs": back.lost},
            }
        )
        self._poll_now()

    def _reopen_wakeup(self) -> None:
        new = self._open_wakeup()
        if self._wakeup.descriptor is not None:
            self._loop.unlisten(self._wakeup.descriptor)
        self._wakeup.close()
        self._wakeup = new
        if new.descriptor is not None:
            self._loop.listen(new.descriptor, self._poll_now)
        # A notification that came meanwhile is lost, so this poll replaces it.
        self._poll_now()

    # --- background work ---

    def _begin_sync(self) -> None:
        monotonic = self._clock.monotonic()
        if not self._sync.begin(self._program.jobs_file_version(), self._program.begin_sync, monotonic):
            return
        if self._sync.descriptor is not None:
            self._loop.listen(self._sync.descriptor, self._poll_now)

    def _take_sync(self) -> None:
        descriptor = self._sync.descriptor
        report = self._sync.take_report(self._clock.monotonic(), self._poll_every())
        if report is None:
            if self._sync.is_running and descriptor is None:
                # Without a descriptor, only a poll can notice its end.
                self._poll_at = min(self._poll_at, self._clock.monotonic() + 1.0)
            return
        if descriptor is not None:
            self._loop.unlisten(descriptor)
        if report.get("status") != "ok":
            self._ping.note_failure()
        if self._sync.is_news(report):
            _log_sync(report)
            self._print_line({"now": utc_text(self._clock.now()), **_shortened(report)})

    def _take_reaped(self) -> None:
        reaped = self._reaper.take_result(self._clock.monotonic())
        if isinstance(reaped, Failure):
            self._note_failure(reaped)
        elif reaped is not None:
            self._settled += reaped.ended

    # --- reporting ---

    def _report(self) -> None:
        """Prints what was done since the last line, and cleans up after it."""
        report, settled = self._dispatcher.report, self._settled
        problems = self._problems(report)
        if not (report.results or report.written_off or problems or settled):
            report.left_due.clear()
            return
        self._dispatcher.report, self._settled = DispatchReport(), []
        ended: list[ReportedRun | SettledRun] = [*report.results, *settled]
        _pruned, paused = self._scheduler.clean_up(ended)
        self._print_line(
            {
                "status": "ok",
                "now": utc_text(self._clock.now()),
                "results": report.results,
                "written_off": report.written_off,
                "settled": settled,
                "left_due": report.left_due,
                "taken_elsewhere": report.taken_elsewhere,
                "problems": problems,
                "warnings": paused,
            }
        )
        if any_failed(report.results, settled, problems):
            self._ping.note_failure()

    def _problems(self, report: DispatchReport) -> list[JobProblem]:
        """The problems of single jobs. A problem of the database is not a job's: it is printed once, as a failure."""
        problems = self._scheduler.take_problems()
        for problem in report.problems:
            error = problem["error"]
            if error["code"].startswith(("DATABASE_", "MACHINE_")):
                self._note_failure(Failure(**error))
            else:
                problems.append(problem)
        report.problems.clear()
        return problems


def _log_sync(report: dict[str, Any]) -> None:
    sync = report.get("sync") or report
    if "error" in sync:
        return log.warning(f"The sync failed: {sync['error']['message']}", code=sync["error"]["code"])
    counts = (f"{len(sync.get(name, ()))} {name}" for name in ("added", "changed", "removed"))
    return log.info(f"Jobs were synced: {', '.join(counts)}")


def _shortened(report: dict[str, Any]) -> dict[str, Any]:
    """The report without the lists that name every job, also those that were not changed."""
    sync = report.get("sync")
    if not isinstance(sync, dict):
        return report
    return {**report, "sync": {key: value for key, value in sync.items() if key not in ("unchanged", "next")}}
