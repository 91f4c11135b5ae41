"""The daemon's background work, so that no start waits for it: the sync, the reaper, and the dead-man's ping."""

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

#: Seconds until work that failed is tried again: the database was busy, full or missing.
RETRY_SEC = 5.0
#: Seconds between two pings while nothing happens: as long as between two ticks from cron.
PING_SEC = 60.0

_NO_REPORT = {"code": "INTERNAL_ERROR", "message": "sync-jobs ended without a report: was it killed?"}


class BackgroundSync:
    """The sync of an edited .jobs.json, in a process of its own, so that its memory is freed afterwards."""

    def __init__(self) -> None:
        self._process: BackgroundProcess | None = None
        self._synced_version = ""
        self._retry_at = 0.0
        self._error: object = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def descriptor(self) -> int | None:
        """Becomes readable when the sync has ended. None if no sync is running, or if this system has no pidfds."""
        return None if self._process is None else self._process.descriptor

    def begin(self, version: str, start: Callable[[], BackgroundProcess], now: float) -> bool:
        """Starts a sync, unless this version of the file was synced last. Returns whether it did.

        An empty `version` is never synced. `now` is in monotonic seconds. Raises what `start` raises.
        """
        if self.is_running or version in ("", self._synced_version) or now < self._retry_at:
            return False
        # Set before the start, so that a failed start also waits before it is tried again.
        self._retry_at = now + RETRY_SEC
        self._process = start()
        self._synced_version = version
        return True

    def forget(self) -> None:
        """Lets `begin` sync the file again, whatever its version."""
        self._synced_version, self._retry_at = "", 0.0

    def take_report(self, now: float, retry_sec: float) -> dict[str, Any] | None:
        """What the sync printed, once, after it has ended. After a failure it is retried in `retry_sec` seconds."""
        data = None if self._process is None else self._process.take_output()
        if data is None:
            return None
        self._process = None
        try:
            report: dict[str, Any] = json.loads(data)
        except ValueError:
            log.warning(str(_NO_REPORT["message"]), code=str(_NO_REPORT["code"]))
            report = {"status": "error", "error": _NO_REPORT}
        if "error" in report:
            self._synced_version, self._retry_at = "", now + retry_sec
        else:
            self._retry_at = 0.0
        return report

    def is_news(self, report: dict[str, Any]) -> bool:
        """Whether the report should be printed: jobs were synced, or the error is another one than last time."""
        last_error, self._error = self._error, report.get("error")
        return report.get("sync") is not None or (self._error is not None and self._error != last_error)

    def end(self) -> None:
        """Kills the sync if it is running. It is one transaction, so nothing is left half done."""
        if self._process is not None:
            self._process.end()
            self._process = None


class BackgroundReaper:
    """Settles dead runs in another thread, because their processes may take a while to end."""

    def __init__(self, wake: Callable[[], object]) -> None:
        """`wake` is called in that thread when it is done."""
        self._wake = wake
        self._thread: threading.Thread | None = None
        self._results: list[Reaped | Failure] = []
        self._last_rows: Sequence[object] = ()
        self._last_begun = ""
        self._next_at = 0.0

    @property
    def is_running(self) -> bool:
        return self._thread is not None

    def begin(
        self,
        unattended: Sequence[tuple[OrphanCandidate, bool]],
        reap: Callable[[frozenset[str]], Reaped],
        now: tuple[str, float],
        every_sec: float,
    ) -> None:
        """Starts `reap` if there are unattended rows that have changed, whose lease has expired, or after `every_sec`.

        Each row comes with whether its owner is gone. `reap` gets the runs of this process among them. `now` is the
        time as UTC text, and in monotonic seconds. Raises RuntimeError if the machine can't start another thread.
        """
        text, monotonic = now
        has_expired = any(self._last_begun < row.lease <= text for row, _ in unattended)
        is_known = unattended == self._last_rows and monotonic < self._next_at and not has_expired
        if not unattended or self.is_running or is_known:
            return
        given_up = frozenset(row.run_id for row, _ in unattended if row.is_ours)

        def work() -> None:
            self._results.append(guarded(lambda: reap(given_up)))
            self._wake()

        thread = threading.Thread(target=work, name="settle")
        thread.start()
        self._thread, self._last_rows = thread, unattended
        self._last_begun, self._next_at = text, monotonic + every_sec

    def take_result(self, monotonic: float) -> Reaped | Failure | None:
        """What `reap` returned, once, after it is done. After a failure it is retried in `RETRY_SEC` at the latest."""
        if not self._results or self._thread is None:
            return None
        self._thread.join()
        self._thread = None
        result = self._results.pop()
        if isinstance(result, Failure):
            self._next_at = min(self._next_at, monotonic + RETRY_SEC)
        return result

    def forget(self) -> None:
        """Forgets the rows, because another database is open now."""
        self._last_rows, self._last_begun = (), ""

    def join(self) -> None:
        """Waits until `reap` is done, if it is running."""
        if self._thread is not None:
            self._thread.join()


class BackgroundPing:
    """Sends the dead-man's ping in another thread, so that nothing waits for a server that does not answer."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._failed = False
        self._next_at = 0.0

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def note_failure(self) -> None:
        """Makes the next ping report a failure, and lets it be sent at once."""
        self._failed = True

    def begin(self, make: Callable[[bool], Callable[[], object] | None], monotonic: float) -> None:
        """Sends a ping if it is time. `make` gets whether something failed, and returns what sends it, or None."""
        if (monotonic < self._next_at and not self._failed) or self.is_running:
            return
        work = make(self._failed)
        if work is None:
            self._failed = False
            return
        self._thread = threading.Thread(target=work, name="ping", daemon=True)
        with log.tolerated(RuntimeError, "The ping was not sent"):
            self._thread.start()
            self._failed, self._next_at = False, monotonic + PING_SEC
