"""Supervises the processes of one call: stop requests, heartbeats, timeout, grace period and process marks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from core.clock import Clock
from system import processes
from system.processes import Child, EndedTree, Stop


class Supervision:
    """Watches and ends the processes of one call. `stop` is the caller's request; `marks` are in their environment.

    `beat` is called every `beat_every_sec` seconds while a process is watched or ended; its exceptions are passed on.
    """

    def __init__(
        self,
        clock: Clock,
        stop: Stop,
        *,
        beat: Callable[[], None],
        beat_every_sec: float,
        grace_sec: float,
        marks: Mapping[str, str],
    ) -> None:
        self.clock = clock
        self.stop = stop
        self.marks = dict(marks)
        self._grace_sec = grace_sec
        self._beat, self._every = beat, beat_every_sec
        self._due = clock.monotonic() + beat_every_sec

    async def watch(self, child: Child, timeout_sec: float) -> int | None:
        """Waits for the exit code; None after `timeout_sec` seconds or when a stop was requested."""
        deadline = self.clock.monotonic() + timeout_sec
        while True:
            left = deadline - self.clock.monotonic()
            code = await child.ended(max(0.0, min(left, self._beat_in())), self.stop)
            if code is not None or left <= 0 or self.stop.is_set():
                return code
            self.beat()
            await processes.reap_orphans()

    async def end(self, child: Child, *, gently: bool) -> EndedTree:
        """Ends all processes of the call: `gently` with TERM and a grace period before KILL, else with KILL at once."""
        return await processes.end_tree(child, self.marks, self._grace_sec if gently else 0, self.clock, self.beat)

    def beat(self) -> None:
        """Calls `beat` if it is due."""
        if self.clock.monotonic() >= self._due:
            self._beat()
            # Counted from now and not from when it was due: after a long sleep one beat is enough.
            self._due = self.clock.monotonic() + self._every

    def _beat_in(self) -> float:
        return max(0.0, self._due - self.clock.monotonic())
