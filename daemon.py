"""One process that stays: it sleeps until the next instant that matters, and serves what is due on that instant.

All that it keeps is in the database, as with ticks: it may be killed at any moment, and ticks beside it do no harm.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from boundary import guarded
from claiming import Waiting
from courses import Courses
from errors import DatabaseReplaced
from models import Clock, Failure, from_text, utc_text
from serving import Served, Serving

if TYPE_CHECKING:
    from processes import Beside, Stop
    from scheduler import Scheduler
    from settle import Settled
    from store.bundle import Store
    from upkeep import Upkeep
    from waking.alarm import Alarm
    from waking.doorbell import Doorbell
    from waking.systemd import Systemd

#: How soon a look is repeated that failed: the database was busy, full or gone.
TRY_AGAIN_SEC = 5.0
#: How often the ping is sent while nothing happens: as often as ticks from cron would.
PING_SEC = 60.0


class Program(Protocol):
    """What the daemon asks of the whole program; made anew by `reload`."""

    poll_sec: float
    stop_sec: int

    def open(self) -> Store: ...

    def scheduler(self, store: Store, stop: Stop) -> Scheduler: ...

    def upkeep(self, store: Store) -> Upkeep: ...

    def settle(self) -> Settled:
        """Over a store of its own: it may take a while, and is done in another thread."""

    def file_seen(self) -> str:
        """Which version of .jobs.json stands there; "" when it is not to be synced."""

    def begin_sync(self) -> Beside: ...

    def leave_time(self, now: datetime) -> None: ...

    def last_seen(self, store: Store) -> datetime | None: ...

    def note_anomaly(self, store: Store, anomaly: dict[str, object], now: datetime) -> None: ...

    def ping(self, *, failed: bool) -> Callable[[], object] | None:
        """What sends the ping, to be called in another thread; None when none is wanted."""

    def reload(self) -> Program:
        """The program by the settings of now. Raises `SettingsError`."""


class Daemon:
    """Serves until it is asked to end. `say` prints one JSON object; `stop` ends the runs themselves."""

    def __init__(
        self,
        program: Program,
        *,
        clock: Clock,
        stop: Stop,
        alarm: Alarm,
        bell: Callable[[], Doorbell],
        systemd: Systemd,
        say: Callable[[Mapping[str, object]], None],
    ) -> None:
        """`bell` hangs a new one."""
        self._program = program
        self._clock = clock
        self._stop = stop
        self._alarm = alarm
        self._hang = bell
        self._systemd = systemd
        self._say = say
        self._last: datetime | None = None
        self._look_at = 0.0
        self._leaving = ""
        self._leave_until: float | None = None
        self._trouble: dict[str, object] | None = None
        self._file = ""
        self._sync: Beside | None = None
        self._others: list[tuple[str, str, str]] = []
        self._settling: threading.Thread | None = None
        self._settled_for: list[tuple[str, str, str]] = []
        self._settle_at = 0.0
        self._settled: list[Settled | Failure] = []
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        self._ended: list[dict[str, object]] = []
        self._ping_at = 0.0
        self._pinging: threading.Thread | None = None
        self._heard: tuple[int, Callable[[], None]] | None = None
        self._open()
        self._bell = bell()
        self._listen()

    def _open(self) -> None:
        self._store = self._program.open()
        self._scheduler = self._program.scheduler(self._store, self._stop)
        self._courses = Courses(self._store, self._clock, self._stop)
        self._serving: Serving = self._scheduler.serving(self._courses, self._clock.now)

    def _listen(self) -> None:
        self._courses.listen(self._woken, self._look_now)
        if self._heard is not None:
            self._courses.listen(*self._heard)
        if self._alarm.descriptor is not None:
            self._courses.listen(self._alarm.descriptor, self._look_now)
        if self._bell.descriptor is not None:
            self._courses.listen(self._bell.descriptor, self._look_now)
        if self._sync is not None and self._sync.descriptor is not None:
            self._courses.listen(self._sync.descriptor, self._look_now)

    def listen(self, descriptor: int, heard: Callable[[], None]) -> None:
        """Calls `heard` whenever the descriptor can be read."""
        self._heard = (descriptor, heard)
        self._courses.listen(descriptor, heard)

    def close(self) -> None:
        """Gives all back. No run of its own goes on."""
        if self._sync is not None:
            self._sync.end()
        if self._settling is not None:
            self._settling.join()
        self._bell.close()
        self._store.close()
        os.close(self._woken)
        os.close(self._wake)

    # --- asked from outside ---

    def leave(self, why: str) -> None:
        """Starts nothing more, and ends when its runs are over; after a while, or when asked again, it ends them."""
        if self._leaving:
            self._stop.set(why)
            return
        self._leaving = why
        self._leave_until = self._clock.monotonic() + self._program.stop_sec
        self._systemd.stopping(f"{self._serving.running} runs go on")
        self._serving.close()
        if self._serving.running:
            self._say({"status": "stopping", "reason": why, "running": self._serving.running})

    def reload(self) -> None:
        """From now on by the settings of now; runs that go on keep theirs. Bad settings leave all as it is."""
        self._systemd.reloading(self._clock.monotonic())
        found = guarded(self._reloaded)
        if isinstance(found, Failure):
            self._say({"status": "error", "error": self._mask(found.as_dict())})
        else:
            self._say({"status": "reloaded", "now": utc_text(self._clock.now())})
        self._systemd.ready()
        self._file = ""
        self._look_now()

    def _reloaded(self) -> None:
        program = self._program.reload()
        scheduler = program.scheduler(self._store, self._stop)
        self._program, self._scheduler = program, scheduler
        scheduler.renew(self._serving)

    # --- the loop ---

    def begin(self) -> None:
        """Syncs, and looks for the first time. Raises what keeps it from beginning at all."""
        with suppress(OSError):
            self._begin_sync()
        while self._sync is not None:
            self._courses.turn(1.0)
            self._systemd.alive()
            self._take_sync()
        self._look()
        self._systemd.ready()

    def run(self) -> None:
        """Until it was asked to end and its runs are over."""
        while not (self._leaving and not self._serving.running):
            if not self._leaving and self._clock.monotonic() >= self._look_at:
                self._look()
            elif self._leave_until is not None and self._clock.monotonic() >= self._leave_until:
                self._leave_until = None
                self._stop.set(self._leaving)
            found = guarded(lambda: self._serving.turn(self._seconds()))
            if isinstance(found, Failure):
                self._in_trouble(found)
            self._report()
        self._serving.tell()
        self._report()

    def _seconds(self) -> float:
        end = self._look_at if not self._leaving else self._leave_until
        left = 1.0 if end is None else max(0.0, end - self._clock.monotonic())
        return self._alarm.seconds_to_sleep(left)

    def _longest(self) -> float:
        alive = self._systemd.alive_every_sec
        return min(self._program.poll_sec, alive) if alive else self._program.poll_sec

    def _look_now(self) -> None:
        self._look_at = 0.0

    def _look(self) -> None:
        """What is due first, then all that can wait a moment longer."""
        self._look_at = self._clock.monotonic() + self._longest()
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        self._bell.clear()
        was_set = self._alarm.clear()
        found = guarded(lambda: self._look_round(was_set=was_set))
        if isinstance(found, Failure):
            self._in_trouble(found)
        elif self._trouble is not None:
            self._trouble = None
            self._say({"status": "ok", "now": utc_text(self._clock.now()), "recovered": True})
        self._systemd.alive()

    def _look_round(self, *, was_set: bool) -> None:
        now = self._clock.now()
        self._store.db.require_in_place()
        if self._last is None or was_set or now < self._last:
            self._see_to_the_clock(now)
        self._last = now
        self._offer(now)
        self._serving.turn(0)
        self._program.leave_time(now)
        self._take_sync()
        if self._sync is None and self._program.file_seen() != self._file:
            self._begin_sync()
        self._settle()
        self._take_settled()
        self._scheduler.deliver()
        if not self._bell.is_in_place():
            self._hang_anew()
        self._set_alarm(now)
        self._ping(failed=False)

    def _offer(self, now: datetime) -> None:
        self._others = self._store.runs.of_others(self._scheduler.owner)
        if self._others != self._settled_for:
            # Until somebody has looked at them nobody knows whether their owners live.
            self._serving.suspects |= {job_id for _, job_id, _ in self._others}
        self._serving.offer(Waiting(*row) for row in self._store.definitions.due(now))
        self._serving.offer(Waiting(*row) for row in self._store.runs.retries_due())

    def _see_to_the_clock(self, now: datetime) -> None:
        """Of the first look the time that was left before; later its own."""
        last = self._last if self._last is not None else self._program.last_seen(self._store)
        anomaly = self._scheduler.correct_clock(now, last)
        if anomaly is not None:
            self._program.note_anomaly(self._store, anomaly, now)
            self._say({"status": "ok", "now": utc_text(now), "clock_anomaly": anomaly})
        self._program.upkeep(self._store).note_jump(last, now)

    def _set_alarm(self, now: datetime) -> None:
        instants = [from_text(lease) for _, _, lease in self._others if lease > utc_text(now)]
        due = self._store.definitions.next_due(now)
        self._alarm.set(min([*instants, *([due] if due else [])], default=None))

    def _in_trouble(self, failure: Failure) -> None:
        """Said once as long as it is the same. What runs goes on, and the next look may be better."""
        error = self._mask(failure.as_dict())
        if error != self._trouble:
            self._trouble = error
            self._say({"status": "error", "now": utc_text(self._clock.now()), "error": error})
        self._look_at = self._clock.monotonic() + min(TRY_AGAIN_SEC, self._longest())
        if failure.code == DatabaseReplaced.code and not self._serving.running:
            guarded(self._open_anew)

    def _open_anew(self) -> None:
        """Another file has taken the database's place, or will."""
        old = self._store
        self._open()
        self._file = ""
        self._listen()
        old.close()

    def _hang_anew(self) -> None:
        if self._bell.descriptor is not None:
            self._courses.unlisten(self._bell.descriptor)
        self._bell.close()
        self._bell = self._hang()
        if self._bell.descriptor is not None:
            self._courses.listen(self._bell.descriptor, self._look_now)

    # --- beside it ---

    def _begin_sync(self) -> None:
        """In a process of its own: a large file holds up no start, and its memory is given back."""
        self._file = self._program.file_seen()
        if not self._file:
            return
        self._sync = self._program.begin_sync()
        if self._sync.descriptor is not None:
            self._courses.listen(self._sync.descriptor, self._look_now)

    def _take_sync(self) -> None:
        if self._sync is None:
            return
        descriptor = self._sync.descriptor
        said = self._sync.said()
        if said is None:
            # Without a descriptor nobody tells of its end.
            self._look_at = min(self._look_at, self._clock.monotonic() + 1.0) if descriptor is None else self._look_at
            return
        if descriptor is not None:
            self._courses.unlisten(descriptor)
        self._sync = None
        try:
            told = json.loads(said)
        except ValueError:
            told = {"status": "error", "error": {"code": "INTERNAL_ERROR", "message": "sync-jobs said nothing"}}
        if told.get("sync") is not None or told.get("status") != "ok":
            self._say({"now": utc_text(self._clock.now()), **told})
        self._offer(self._clock.now())

    def _settle(self) -> None:
        """Runs of others, in another thread: their processes may take a while to end."""
        is_known = self._others == self._settled_for and self._clock.monotonic() < self._settle_at
        if not self._others or is_known or self._settling is not None:
            return
        self._settled_for, self._settle_at = self._others, self._clock.monotonic() + self._longest()

        def work() -> None:
            self._settled.append(guarded(self._program.settle))
            with suppress(OSError):
                os.write(self._wake, b"s")

        self._settling = threading.Thread(target=work, name="settle")
        try:
            self._settling.start()
        except RuntimeError:
            # The machine has no thread left: the next look tries again.
            self._settling = None

    def _take_settled(self) -> None:
        if not self._settled:
            return None
        found = self._settled.pop()
        if self._settling is not None:
            self._settling.join()
            self._settling = None
        if isinstance(found, Failure):
            return self._in_trouble(found)
        self._serving.suspects = found.suspects
        self._ended += found.ended
        # What they kept from starting may start now.
        return self._offer(self._clock.now())

    def _ping(self, *, failed: bool) -> None:
        if self._clock.monotonic() < self._ping_at and not failed:
            return
        send = self._program.ping(failed=failed)
        if send is None or (self._pinging is not None and self._pinging.is_alive()):
            return
        self._ping_at = self._clock.monotonic() + PING_SEC
        self._pinging = threading.Thread(target=send, name="ping", daemon=True)
        with suppress(RuntimeError):
            self._pinging.start()

    # --- telling ---

    def _report(self) -> None:
        served, settled = self._serving.served, self._ended
        worth = served.results or served.written_off or served.problems or settled
        if not worth:
            served.left_due.clear()
            return
        self._serving.served, self._ended = Served(), []
        self._say(
            {
                "status": "ok",
                "now": utc_text(self._clock.now()),
                "results": served.results,
                "written_off": served.written_off,
                "settled": settled,
                "left_due": served.left_due,
                "taken_elsewhere": served.taken_elsewhere,
                "problems": served.problems,
            }
        )
        ended = [*served.results, *settled]
        upkeep = self._program.upkeep(self._store)
        guarded(lambda: upkeep.prune(str(row["job_id"]) for row in ended))
        if settled or served.problems or any(row["status"] != "ok" for row in served.results):
            self._ping(failed=True)

    def _mask(self, error: dict[str, object]) -> dict[str, object]:
        return self._scheduler.mask(error)
