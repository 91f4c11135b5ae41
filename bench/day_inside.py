"""A simulated day, minute by minute: `python day_inside.py ROOT MINUTES`, ROOT a copy of the project with its jobs.

Each minute is one whole tick of the real scheduler on the real database; the clock is moved by hand, and the call that
would start a process returns a success at once. Prints, a line a minute, `{"slots", "wall", "cpu"}` as JSON: slots
served, and seconds of the tick.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import Any


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        self._now, self._start = now, now

    def now(self) -> datetime:
        """The simulated instant."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the simulation began."""
        return (self._now - self._start).total_seconds()

    def advance(self, step: timedelta) -> None:
        """Moves it."""
        self._now += step


def main(root: str, minutes: int) -> None:
    """Simulates; see above."""
    sys.path[0] = root
    from app.app import App
    from system.processes import Stop

    start = datetime.now(UTC).replace(second=0, microsecond=0)
    clock = Clock(start)
    stop = Stop()
    for _ in range(minutes):
        clock.advance(timedelta(minutes=1))
        # A new App for each minute, as each tick has, and one connection for all, as a daemon has.
        app = App(clock, os.environ, root)
        with app.session() as session:
            scheduler = session.scheduler(stop, _null)
            wall, cpu = time.perf_counter(), time.process_time()
            report = scheduler.serve(clock.now())
            times = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        good = sum(result["status"] == "ok" for result in report.results)
        if good != len(report.due_jobs):
            raise SystemExit(f"{good} of {len(report.due_jobs)} due jobs ran: {report.as_dict()}"[:2000])
        print(json.dumps({"slots": good, **times}), flush=True)
    stop.close()


def _null(_invoke: Callable[..., Any]) -> Callable[..., Any]:
    """Replaces the invoker: the answer of a target that does nothing."""
    from core.invocation import AttemptOutcome, InvocationResult

    class Ended(AttemptOutcome):
        """An awaitable that is done at once."""

        def __await__(self) -> Generator[Any, Any, AttemptOutcome]:
            return self
            yield

    def invoke(invocation: Any, **_: Any) -> AttemptOutcome:
        request = invocation.request
        result = InvocationResult(request.request_id, request.correlation_id, 0, result={"exit_code": 0})
        return Ended(result, exit_code=0, runner="command")

    return invoke


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
