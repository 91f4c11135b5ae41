"""One process that stays: it sleeps until the next instant that matters, and serves what is due on that instant.

All that it keeps is in the database, as with ticks: it may be killed at any moment, and ticks beside it do no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from core import log
from core.boundary import Failure, guarded
from core.clock import Clock, from_text, utc_text
from core.errors import DatabaseReplaced
from daemon.background import PING_SEC, TRY_AGAIN_SEC, Pinging, Reaping, Syncing
from scheduling.claiming import Waiting
from scheduling.dispatcher import Dispatcher, Served, any_failed
from scheduling.task_loop import TaskLoop
from system.self_pipe import SelfPipe

if TYPE_CHECKING:
    from daemon.program import Program
    from store.runs import OrphanCandidate
    from system.processes import Stop
    from system.systemd import Systemd
    from system.wakeup import Wakeup
    from system.wall_clock_timer import WallClockTimer

#: So long before a slot its run is claimed and its files are made; its process starts on the instant, never before.
EARLY = timedelta(milliseconds=10)
#: A loop that fails at once, again and again, must not take a whole processor, nor hold up a signal for long.
BREATH_SEC = 0.2


class Daemon:
    """Serves until it is asked to end. `say` prints one JSON object; `stop` ends the runs themselves."""

    def __init__(
        self,
        program: Program,
        *,
        clock: Clock,
        stop: Stop,
        timer: WallClockTimer,
        wakeup: Callable[[], Wakeup],
        systemd: Systemd,
        say: Callable[[Mapping[str, object]], None],
    ) -> None:
        """`wakeup` makes a new one."""
        self._program = program
        self._clock = clock
        self._stop = stop
        self._timer = timer
        self._open_wakeup = wakeup
        self._systemd = systemd
        self._say = say
        self._last: datetime | None = None
        self._look_at = 0.0
        self._leaving = ""
        self._leave_until: float | None = None
        self._trouble: tuple[str, str] | None = None
        self._in_trouble = False
        self._others: list[tuple[OrphanCandidate, bool]] = []
        self._ended: list[dict[str, object]] = []
        self._settings = program.env_file_version()
        self._heard: tuple[int, Callable[[], None]] | None = None
        self._waker = SelfPipe()
        self._syncing = Syncing()
        self._reaping = Reaping(self._waker.wake)
        self._pinging = Pinging()
        self._open()
        self._wakeup = wakeup()
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
        if self._heard is not None:
            self._loop.listen(*self._heard)
        for descriptor in self._wakers():
            self._loop.listen(descriptor, self._look_now)

    def _wakers(self) -> list[int]:
        """Who asks for a look at once."""
        found = (self._waker.descriptor, self._timer.descriptor, self._wakeup.descriptor, self._syncing.descriptor)
        return [descriptor for descriptor in found if descriptor is not None]

    def listen(self, descriptor: int, heard: Callable[[], None]) -> None:
        """Calls `heard` whenever the descriptor can be read."""
        self._heard = (descriptor, heard)
        self._loop.listen(descriptor, heard)

    def close(self) -> None:
        """Gives all back. No run of its own goes on."""
        self._syncing.end()
        self._reaping.join()
        self._wakeup.close()
        self._session.close()
        self._waker.close()

    # --- asked from outside ---

    def leave(self, why: str) -> None:
        """Starts nothing more, and ends when its runs are over; after a while, or when asked again, it ends them."""
        if self._leaving:
            self._stop.set(why)
            return
        self._leaving = why
        log.info(f"The daemon was asked to end ({why}); {self._dispatcher.running} runs are running")
        self._leave_until = self._clock.monotonic() + self._program.stop_sec
        self._systemd.stopping(f"{self._dispatcher.running} runs go on")
        self._dispatcher.close()
        # Nobody looks any more: what stays readable would be heard again and again.
        for descriptor in self._wakers():
            self._loop.unlisten(descriptor)
        if self._dispatcher.running:
            self._say({"status": "stopping", "reason": why, "running": self._dispatcher.running})

    def reload(self) -> None:
        """From now on by the settings of now; runs that go on keep theirs. Bad settings leave all as it is."""
        if self._leaving:
            return
        self._settings = self._program.env_file_version()
        self._systemd.reloading(self._clock.monotonic())
        found = guarded(self._reloaded, "The settings of before stay")
        if isinstance(found, Failure):
            self._say({"status": "error", "error": self._scheduler.mask(found.as_dict())})
        else:
            log.info("The daemon has reloaded its settings")
            self._say({"status": "reloaded", "now": utc_text(self._clock.now())})
        self._systemd.ready()
        self._syncing.forget()
        self._look_now()

    def _reloaded(self) -> None:
        self._program, self._session = self._program.reloaded(self._session)
        self._scheduler = self._session.scheduler(self._stop)
        self._scheduler.renew(self._dispatcher)

    # --- the loop ---

    def begin(self) -> None:
        """Syncs, and looks for the first time."""
        guarded(lambda: self._program.warm_up(self._session), "The first run will import what it needs")
        found = guarded(self._begin_sync)
        if isinstance(found, Failure):
            self._note_trouble(found)
        while self._syncing.goes_on and not self._leaving:
            # It rings itself.
            self._wakeup.clear()
            self._loop.run_once(1.0)
            self._systemd.alive()
            self._take_sync()
        if not self._leaving:
            self._look()
            self._systemd.ready()

    def run(self) -> None:
        """Until it was asked to end and its runs are over."""
        while not (self._leaving and not self._dispatcher.running):
            if not self._leaving and (self._clock.monotonic() >= self._look_at or self._timer.has_fired()):
                self._look()
            elif self._leave_until is not None and self._clock.monotonic() >= self._leave_until:
                self._leave_until = None
                self._stop.set(self._leaving)
            found = guarded(lambda: self._dispatcher.run_once(self._seconds()))
            if isinstance(found, Failure):
                self._note_trouble(found)
                self._stop.wait(BREATH_SEC)
            self._report()
        guarded(self._dispatcher.report, "The last results were not reported")
        self._report()

    def _seconds(self) -> float:
        end = self._look_at if not self._leaving else self._leave_until
        left = 1.0 if end is None else max(0.0, end - self._clock.monotonic())
        return left if self._leaving else self._timer.seconds_to_sleep(left)

    def _longest(self) -> float:
        ends = (self._program.poll_sec, self._systemd.alive_every_sec, PING_SEC if self._program.pings else None)
        return min(seconds for seconds in ends if seconds)

    def _look(self) -> None:
        """What is due first, then all that can wait a moment longer."""
        self._look_at = self._clock.monotonic() + self._longest()
        self._waker.clear()
        self._wakeup.clear()
        self._timer.clear()
        found = guarded(self._look_round)
        # Before anything is called good, and before the next wait.
        self._report()
        if isinstance(found, Failure):
            self._note_trouble(found)
        elif self._trouble is not None and not self._in_trouble and not self._pending():
            self._trouble = None
            log.info("What was wrong is over")
            self._say({"status": "ok", "now": utc_text(self._clock.now()), "recovered": True})
        if self._trouble is not None:
            # Whether it is over shows a look later: what this one has found is only now claimed and written.
            self._look_soon()
        self._in_trouble = False
        self._systemd.alive()

    def _look_round(self) -> None:
        now = self._clock.now()
        self._store.db.require_in_place()
        self._check_clock(now)
        self._take_reaped()
        self._take_sync()
        self._enqueue_due(now)
        self._dispatcher.run_once(0)
        self._set_timer(now)
        self._scheduler.leave_time(now)
        self._program.leave_look_time(now)
        if self._program.env_file_version() != self._settings:
            self.reload()
        self._begin_sync()
        monotonic = self._clock.monotonic()
        self._reaping.begin(self._others, self._program.reap, (utc_text(now), monotonic), self._longest())
        self._scheduler.deliver()
        if not self._wakeup.is_in_place():
            self._reopen_wakeup()
        self._pinging.look(lambda failed: self._program.ping(failed=failed), monotonic)

    def _enqueue_due(self, now: datetime) -> None:
        others = self._store.runs.orphan_candidates(self._scheduler.owner, self._dispatcher.running_ids)
        self._others = [(one, one.is_ours or not self._program.is_alive(one.owner)) for one in others]
        # Their next slots wait until they are settled; one that came while its job ran is written off.
        self._dispatcher.orphan_candidates = frozenset(one.job_id for one, is_gone in self._others if is_gone)
        self._dispatcher.enqueue(Waiting(*row) for row in self._store.definitions.due(now + EARLY))
        self._dispatcher.enqueue(Waiting(*row) for row in self._store.runs.retries_due())

    def _check_clock(self, now: datetime) -> None:
        """Compares with the time of the look before; at the first look with the last tick or sync."""
        last = self._last if self._last is not None else self._session.last_seen()
        anomaly = self._scheduler.check_clock(now, last)
        if anomaly is not None:
            self._say({"status": "ok", "now": utc_text(now), "clock_anomaly": anomaly})
        # Whole seconds, as they are left beside the database: a clock that is slewed back a little is not wrong.
        self._last = now.replace(microsecond=0)

    def _set_timer(self, now: datetime) -> None:
        due = self._store.definitions.next_due(now + EARLY)
        instants = [None if due is None else due - EARLY]
        for one, _ in self._others:
            with suppress(ValueError):
                instants += [from_text(one.lease)] if one.lease > utc_text(now) else []
        self._timer.set(min((instant for instant in instants if instant is not None), default=None))

    # --- trouble ---

    def _note_trouble(self, failure: Failure) -> None:
        """Said once as long as it is the same. What runs goes on, and the next look may be better."""
        # Its details may differ from one attempt to the next.
        what = (failure.code, failure.message)
        if what != self._trouble:
            log.warning(f"A look failed: {failure.message}", code=failure.code)
            error = self._scheduler.mask(failure.as_dict())
            self._say({"status": "error", "now": utc_text(self._clock.now()), "error": error})
        self._trouble, self._in_trouble = what, True
        self._pinging.note_failure()
        self._look_soon()
        if failure.code == DatabaseReplaced.code and not self._dispatcher.running:
            guarded(self._open_anew, "The database that took the place of the old one can't be opened")

    def _look_now(self) -> None:
        self._look_at = 0.0

    def _look_soon(self) -> None:
        self._look_at = min(self._look_at, self._clock.monotonic() + TRY_AGAIN_SEC)

    def _pending(self) -> bool:
        """Whether something goes on, or waits, of which nobody knows yet whether it can be done."""
        return self._reaping.goes_on or self._dispatcher.is_refused

    def _open_anew(self) -> None:
        """Another file has taken the database's place, or will."""
        old = self._session
        self._open()
        self._syncing.forget()
        self._reaping.forget()
        self._listen()
        old.close()

    def _reopen_wakeup(self) -> None:
        fresh = self._open_wakeup()
        if self._wakeup.descriptor is not None:
            self._loop.unlisten(self._wakeup.descriptor)
        self._wakeup.close()
        self._wakeup = fresh
        if fresh.descriptor is not None:
            self._loop.listen(fresh.descriptor, self._look_now)
        # Who rang meanwhile was not heard.
        self._look_now()

    # --- beside it ---

    def _begin_sync(self) -> None:
        monotonic = self._clock.monotonic()
        if not self._syncing.begin(self._program.jobs_file_version(), self._program.begin_sync, monotonic):
            return
        if self._syncing.descriptor is not None:
            self._loop.listen(self._syncing.descriptor, self._look_now)

    def _take_sync(self) -> None:
        descriptor = self._syncing.descriptor
        told = self._syncing.said(self._clock.monotonic(), self._longest())
        if told is None:
            if self._syncing.goes_on and descriptor is None:
                # Nobody tells of its end.
                self._look_at = min(self._look_at, self._clock.monotonic() + 1.0)
            return
        if descriptor is not None:
            self._loop.unlisten(descriptor)
        if told.get("status") != "ok":
            self._pinging.note_failure()
        if self._syncing.is_news(told):
            _log_sync(told)
            self._say({"now": utc_text(self._clock.now()), **_shortened(told)})

    def _take_reaped(self) -> None:
        found = self._reaping.found(self._clock.monotonic())
        if isinstance(found, Failure):
            self._note_trouble(found)
        elif found is not None:
            self._ended += found.ended

    # --- telling ---

    def _report(self) -> None:
        served, settled = self._dispatcher.served, self._ended
        problems = self._problems(served)
        if not (served.results or served.written_off or problems or settled):
            served.left_due.clear()
            return
        self._dispatcher.served, self._ended = Served(), []
        ended = [*served.results, *settled]
        _pruned, paused = self._scheduler.clean_up(ended)
        self._say(
            {
                "status": "ok",
                "now": utc_text(self._clock.now()),
                "results": served.results,
                "written_off": served.written_off,
                "settled": settled,
                "left_due": served.left_due,
                "taken_elsewhere": served.taken_elsewhere,
                "problems": problems,
                "warnings": paused,
            }
        )
        if any_failed(served.results, settled, problems):
            self._pinging.note_failure()

    def _problems(self, served: Served) -> list[dict[str, object]]:
        """Those of single jobs; what the database refuses is no job's, and said once."""
        problems = self._scheduler.take_problems()
        for problem in served.problems:
            error: Any = problem["error"]
            if error["code"].startswith("DATABASE_"):
                self._note_trouble(Failure(**error))
            else:
                problems.append(problem)
        served.problems.clear()
        return problems


def _log_sync(told: dict[str, Any]) -> None:
    sync = told.get("sync") or told
    if "error" in sync:
        return log.warning(f"The sync failed: {sync['error']['message']}", code=sync["error"]["code"])
    counts = (f"{len(sync.get(name, ()))} {name}" for name in ("added", "changed", "removed"))
    return log.info(f"Jobs were synced: {', '.join(counts)}")


def _shortened(told: dict[str, Any]) -> dict[str, Any]:
    """Without what is as long as the file of jobs, whatever was changed in it."""
    sync = told.get("sync")
    if not isinstance(sync, dict):
        return told
    return {**told, "sync": {key: value for key, value in sync.items() if key not in ("unchanged", "next")}}
