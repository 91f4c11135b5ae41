"""Ticks and runs by hand from eight loops at once, with kills and edits in between; at the end the ledger is asked.

`make soak` does it for ten minutes, `make test-full` for two.
"""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from tests.support_faults import SEED, SOAK_SEC
from tests.support_ledger import LEDGER_TARGET, PAST, check, marked_processes, settle_all
from tests.support_machine import prepare
from tests.workspace import PATIENCE, Workspace

LOOPS = 8
#: Slots that are due at the start, for each second: more than can be served, so that no loop runs dry.
SLOTS_PER_SECOND = 3


def job(script: str, **fields: object) -> dict[str, object]:
    base = {"schedule": "* * * * *", "catch_up": "all", "catch_up_limit": 1000}
    return {**base, "command": ["/bin/sh", "-c", LEDGER_TARGET + script], **fields}


def jobs(word: str) -> list[dict[str, object]]:
    """Quick, forking, failing, slow, waiting for its retry, and one that runs only the newest slot."""
    return [
        job(f"echo {word}"),
        job("(setsid sleep 1000 &) ; echo fine"),
        job("echo no luck >&2; exit 4", max_retries=1, retry_backoff_sec=0),
        job("sleep 0.5; echo fine"),
        job("exit 5", max_retries=1, retry_backoff_sec=1, catch_up="latest", retry_interrupted=True),
        job("sleep 0.1; echo fine", catch_up="latest", notify_channel="none"),
    ]


class Loop(threading.Thread):
    """Starts one command after another, and kills some of them, and some that own a run, whoever has started them."""

    def __init__(self, workspace: Workspace, number: int, until: float, all_loops: list[Loop]) -> None:
        super().__init__()
        self.workspace, self.until, self.all_loops = workspace, until, all_loops
        self.process: subprocess.Popen[bytes] | None = None
        self.hit = False
        self.random = random.Random(SEED * 1_000 + number)
        self.codes: list[int] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while time.monotonic() < self.until:
                self.run_once()
        except BaseException as error:
            self.failure = error

    def run_once(self) -> None:
        kind = self.random.choices(("tick", "run-now", "cancel", "status", "edit", "kill"), (10, 4, 2, 2, 1, 2))[0]
        if kind == "kill":
            self.kill_an_owner()
            return
        if kind == "edit":
            # Written beside it and renamed, as editors do it.
            self.workspace.replace_jobs(*jobs(self.random.choice(("one", "two"))))
            return
        words = [kind, f"job-{self.random.randrange(6)}"] if kind == "run-now" else [kind]
        if kind == "cancel":
            found = self.workspace.sql("SELECT run_id FROM runs WHERE status = 'running' LIMIT 1")
            words.append(found[0]["run_id"] if found else "none")
        self.hit = False
        self.process = process = self.workspace.start(*words, stdout=subprocess.DEVNULL)
        busy_timeout = self.random.expovariate(1 / 3) if self.random.random() < 0.4 else 120
        try:
            _, err = process.communicate(timeout=busy_timeout)
            if not self.hit:
                assert err == b"", err
                assert process.returncode in (0, 1), (words, process.returncode)
        except subprocess.TimeoutExpired:
            assert busy_timeout < 120, f"{words} does not end"
            process.send_signal(self.random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
            process.communicate(timeout=PATIENCE)
        self.process = None
        self.codes.append(process.returncode)
        if self.random.random() < 0.3:
            # As if time had passed: the leases of the dead are over.
            self.workspace.sql("UPDATE runs SET lease_expires_at = ? WHERE status = 'running'", (PAST,))

    def kill_an_owner(self) -> None:
        """Ticks that hold the runs live long, and a kill at random would hit those that found nothing to do."""
        owners = {row["owner_pid"] for row in self.workspace.sql("SELECT owner_pid FROM runs WHERE status = 'running'")}
        for loop in self.all_loops:
            process = loop.process
            if process is not None and process.pid in owners and process.poll() is None:
                loop.hit = True
                process.kill()
                return
        # Nobody owns a run just now.
        time.sleep(0.1)


@pytest.mark.full
@pytest.mark.timeout(SOAK_SEC * 3 + 600)
def test_the_ledger_tells_the_truth_after_a_soak(workspace: Workspace) -> None:
    workspace.add_target("puruto-telegram", invoke=None)
    workspace.environ["PURUTO_CRON_KILL_GRACE_SECONDS"] = "1"
    # The ledger is checked whole: in ten minutes a job has more runs than are kept without this.
    workspace.environ["PURUTO_CRON_KEEP_RUNS"] = "1000000"
    prepare(workspace, *jobs("one"))
    minutes = min(900, round(SOAK_SEC * SLOTS_PER_SECOND) + 5)
    first = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=minutes)
    workspace.make_due(at=first)
    loops: list[Loop] = []
    loops += [Loop(workspace, number, time.monotonic() + SOAK_SEC, loops) for number in range(LOOPS)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    with suppress(StopIteration):
        raise next(loop.failure for loop in loops if loop.failure is not None)
    # What is still due after the soak need not run: the newest slot stands for the rest.
    workspace.replace_jobs(*({**entry, "catch_up": "latest"} for entry in jobs("one")))
    settle_all(workspace)
    check(workspace, since={f"job-{n}": first for n in range(6)})
    killed = sum(code < 0 for loop in loops for code in loop.codes)
    statuses = {row["status"] for row in workspace.runs()}
    assert {"ok", "error", "interrupted"} <= statuses, f"{killed} kills, and yet only {statuses}"
    assert marked_processes(workspace) == []
