"""Claims due slots as a tick does, but starts nothing: `python claims_inside.py ROOT`, ROOT a copy of the project.

Says `ready` when all is imported and open, waits for a line on stdin, and prints `{"claimed", "ended"}` as JSON: how
many slots this process got, and when it had gone through all that was due (seconds of `time.perf_counter`, which is
one clock for all processes of a machine).
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import timedelta
from typing import Any

#: No limit: runs that are claimed here never end.
ALL = 1_000_000_000


def main(root: str) -> None:
    """Measures; see above."""
    sys.path[0] = root
    from app.app import App
    from core.system_clock import SystemClock
    from store.claims import Owner
    from system.processes import identify

    app = App(SystemClock(), os.environ, root)
    me = identify(os.getpid())
    assert me is not None
    owner = Owner(f"bench:{os.getpid()}", me)
    with app.session() as session:
        # Imports what the first claim would import, and reads the due jobs once.
        session.store.definitions.due(app.clock.now())
        app.calendar.next_fire("@hourly", "UTC", app.clock.now())
        print("ready", flush=True)
        sys.stdin.readline()
        now = app.clock.now()
        claimed = sum(
            _claim(app, session.store, owner, job_id, now) for _, job_id in session.store.definitions.due(now)
        )
        print(json.dumps({"claimed": claimed, "ended": time.perf_counter()}), flush=True)


def _claim(app: Any, store: Any, owner: Any, job_id: str, now: Any) -> bool:
    """Claims as a tick does; whether this process got the slot."""
    from channels import channels_of
    from scheduling.planner import plan
    from store.claims import ClaimOutcome, ClaimTerms

    state = store.definitions.load(job_id)
    if state is None or not state.enabled or state.next_run_at is None or state.next_run_at > now:
        return False
    running = store.runs.is_running(job_id)
    at = app.clock.now()
    claim = store.claims.claim(
        state,
        plan(state, now, app.calendar, starts_at=at),
        owner,
        ClaimTerms(at, at + timedelta(seconds=120), app.clock.monotonic() + 3_600),
        running=running,
        max_running=ALL,
        channels=channels_of(state.job.notify_channel),
    )
    return bool(claim.outcome is ClaimOutcome.CLAIMED)


if __name__ == "__main__":
    main(sys.argv[1])
