"""What goes on beside the daemon's loop, so that it holds up no start: a sync, settling others' runs, the ping."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from core import log
from core.boundary import Failure, guarded

if TYPE_CHECKING:
    from scheduling.reaper import Reaped
    from store.runs import OrphanCandidate
    from system.processes import BackgroundProcess

#: How soon that is tried again which failed: the database was busy, full or gone.
TRY_AGAIN_SEC = 5.0
#: How often the ping is sent while nothing happens: as often as ticks from cron would.
PING_SEC = 60.0

_SAID_NOTHING = {"code": "INTERNAL_ERROR", "message": "sync-jobs ended and said nothing: was it killed?"}


class Syncing:
    """The sync of an edited .jobs.json, in a process of its own, whose memory is given back."""

    def __init__(self) -> None:
        self._process: BackgroundProcess | None = None
        self._seen = ""
        self._again_at = 0.0
        self._error: object = None

    @property
    def goes_on(self) -> bool:
        return self._process is not None

    @property
    def descriptor(self) -> int | None:
        """Becomes readable when the sync has ended; None when none goes on, or nobody can tell of its end."""
        return None if self._process is None else self._process.descriptor

    def begin(self, file: str, begin: Callable[[], BackgroundProcess], now: float) -> bool:
        """Begins one unless this version of the file was synced last; whether it did. `now` is monotonic.

        An empty `file` is not to be synced.
        """
        if self.goes_on or file in ("", self._seen) or now < self._again_at:
            return False
        # Before the start: one that fails waits like one that ends badly.
        self._again_at = now + TRY_AGAIN_SEC
        self._process = begin()
        self._seen = file
        return True

    def forget(self) -> None:
        """Whatever version stands there, it is to be synced."""
        self._seen, self._again_at = "", 0.0

    def said(self, now: float, retry_sec: float) -> dict[str, Any] | None:
        """What one that has ended said, once. One that could not be done is begun again after `retry_sec`."""
        data = None if self._process is None else self._process.take_output()
        if data is None:
            return None
        self._process = None
        try:
            told: dict[str, Any] = json.loads(data)
        except ValueError:
            log.warning(str(_SAID_NOTHING["message"]), code=str(_SAID_NOTHING["code"]))
            told = {"status": "error", "error": _SAID_NOTHING}
        if "error" in told:
            self._seen, self._again_at = "", now + retry_sec
        else:
            self._again_at = 0.0
        return told

    def is_news(self, told: dict[str, Any]) -> bool:
        """Whether it is worth a line: something was changed, or is wrong in another way than last time."""
        before, self._error = self._error, told.get("error")
        return told.get("sync") is not None or (self._error is not None and self._error != before)

    def end(self) -> None:
        """Kills it if it goes on: what it had not committed is not done."""
        if self._process is not None:
            self._process.end()
            self._process = None


class Reaping:
    """Settles the runs that nobody attends to, in another thread: what is left of them may take a while to end."""

    def __init__(self, wake: Callable[[], object]) -> None:
        """`wake` is called when a round has ended, in that thread."""
        self._wake = wake
        self._thread: threading.Thread | None = None
        self._found: list[Reaped | Failure] = []
        self._seen: Sequence[object] = ()
        self._looked_at = ""
        self._again_at = 0.0

    @property
    def goes_on(self) -> bool:
        return self._thread is not None

    def begin(
        self,
        others: Sequence[tuple[OrphanCandidate, bool]],
        reap: Callable[[frozenset[str]], Reaped],
        now: tuple[str, float],
        again_sec: float,
    ) -> None:
        """Begins a round if there are rows that none has looked at as they are, a lease is over, or it is time again.

        `others` comes with whether the owner is gone. `settle` is given the runs that are ours. `now` is the instant
        as text, and monotonic. Raises RuntimeError when the machine has no thread left.
        """
        text, monotonic = now
        over = any(self._looked_at < one.lease <= text for one, _ in others)
        if not others or self.goes_on or (others == self._seen and monotonic < self._again_at and not over):
            return
        given_up = frozenset(one.run_id for one, _ in others if one.is_ours)

        def work() -> None:
            self._found.append(guarded(lambda: reap(given_up)))
            self._wake()

        thread = threading.Thread(target=work, name="settle")
        thread.start()
        self._thread, self._seen = thread, others
        self._looked_at, self._again_at = text, monotonic + again_sec

    def found(self, monotonic: float) -> Reaped | Failure | None:
        """What a round that has ended found, once. One that failed is begun again a little later."""
        if not self._found or self._thread is None:
            return None
        self._thread.join()
        self._thread = None
        found = self._found.pop()
        if isinstance(found, Failure):
            self._again_at = min(self._again_at, monotonic + TRY_AGAIN_SEC)
        return found

    def forget(self) -> None:
        """The rows are those of another database."""
        self._seen, self._looked_at = (), ""

    def join(self) -> None:
        """Waits until a round is over."""
        if self._thread is not None:
            self._thread.join()


class Pinging:
    """Tells a server that the daemon lives, in another thread: one that does not answer holds up nothing."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._failed = False
        self._next_at = 0.0

    def note_failure(self) -> None:
        """The next one tells that something failed, and does not wait for its time."""
        self._failed = True

    def look(self, send: Callable[[bool], Callable[[], object] | None], monotonic: float) -> None:
        """Sends one if it is time. `send` makes it, given whether something failed; None when none is wanted."""
        if (monotonic < self._next_at and not self._failed) or (self._thread is not None and self._thread.is_alive()):
            return
        work = send(self._failed)
        if work is None:
            self._failed = False
            return
        self._thread = threading.Thread(target=work, name="ping", daemon=True)
        with log.tolerated(RuntimeError, "The ping was not sent"):
            self._thread.start()
            self._failed, self._next_at = False, monotonic + PING_SEC
