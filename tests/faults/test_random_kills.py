"""`kill -9` at random moments of ticks, runs by hand and daemons; then a restart, a tick, and the ledger is asked.

The seed stands at the head of the report, and with it the same kinds of kills are drawn with the same delays:

    PURUTO_FAULTS_SEED=1234 PURUTO_FAULTS_KILLS=1000 pytest tests/faults/test_random_kills.py
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta

import pytest

from tests.support_faults import KILLS, SEED
from tests.support_ledger import LEDGER_TARGET, PAST, check, marked_processes, settle_all
from tests.support_machine import prepare
from tests.workspace import PATIENCE, Workspace, ended

#: Kills between two looks at the ledger.
ROUND = 10
#: A kill comes at most so long after the start. Nearly all of it is work: what is killed is a fork that is loaded.
LONGEST_DELAY_SEC = 0.4
#: So many minutes of slots are due at the start, so that there is something to do for all of the kills.
MINUTES = 14
KINDS = ("tick", "tick", "tick", "two ticks", "run-now", "child", "edit", "daemon", "daemon and tick")
#: A daemon begins with a sync and all that its first run needs, so it is given longer.
DAEMON_DELAY_SEC = 1.5


def job(script: str, **fields: object) -> dict[str, object]:
    base = {"schedule": "* * * * *", "catch_up": "all", "catch_up_limit": 1000}
    return {**base, "command": ["/bin/sh", "-c", LEDGER_TARGET + script], **fields}


def jobs(channel: str = "telegram") -> list[dict[str, object]]:
    """One of each kind: quick, failing once, leaving a daemon, deaf and failing, and one that runs only the newest."""
    return [
        job("echo fine", prompt=f"Told by {channel}"),
        job("[ $PURUTO_CRON_ATTEMPT -ge 2 ] && echo fine", max_retries=1, retry_backoff_sec=0),
        job("(setsid sleep 1000 &) ; sleep 0.05; echo fine"),
        job("trap '' TERM; sleep 0.2; exit 3", retry_interrupted=True),
        job("sleep 0.3; echo fine", catch_up="latest"),
    ]


class Killer:
    """Draws what is killed, and when."""

    def __init__(self, workspace: Workspace, seed: int) -> None:
        self.workspace = workspace
        self.random = random.Random(seed)

    def one(self) -> None:
        """Starts something and kills it, or what it started."""
        kind, delay = self.random.choice(KINDS), self.random.uniform(0, LONGEST_DELAY_SEC)
        # As if time had passed since the last kill. A living scheduler keeps its runs all the same.
        self.workspace.sql("UPDATE runs SET lease_expires_at = ? WHERE status = 'running'", (PAST,))
        if kind == "edit":
            self.workspace.write_jobs(*jobs(self.random.choice(("telegram", "nobody"))))
        if kind.startswith("daemon"):
            delay *= DAEMON_DELAY_SEC / LONGEST_DELAY_SEC
        with ExitStack() as stack:
            started = [stack.enter_context(ended(self.workspace.start(*words))) for words in self._commands(kind)]
            # The one fixed wait of these tests: the moment of the kill is what is drawn.
            time.sleep(delay)
            if kind == "child":
                self._kill_a_child()
            else:
                started[-1].kill()
            for process in started:
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=PATIENCE)

    def _commands(self, kind: str) -> list[list[str]]:
        """What is started, the victim last."""
        if kind == "run-now":
            return [["run-now", f"job-{self.random.randrange(5)}"]]
        if kind.startswith("daemon"):
            return [["tick"], ["daemon"]] if kind == "daemon and tick" else [["daemon"]]
        return [["tick"]] * (2 if kind == "two ticks" else 1)

    def _kill_a_child(self) -> None:
        for pid in marked_processes(self.workspace)[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", range((KILLS + ROUND - 1) // ROUND))
def test_after_ten_random_kills_the_ledger_tells_the_truth(workspace: Workspace, number: int) -> None:
    workspace.add_target("puruto-telegram", invoke=None)
    workspace.environ["PURUTO_CRON_KILL_GRACE_SECONDS"] = "0"
    prepare(workspace, *jobs())
    first = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=MINUTES)
    workspace.make_due(at=first)
    killer = Killer(workspace, SEED * 1_000_003 + number)
    for _ in range(ROUND):
        killer.one()
    settle_all(workspace)
    check(workspace, since={f"job-{n}": first for n in range(5)})
    assert workspace.json("run-now", "job-0")["status"] == "ok"
