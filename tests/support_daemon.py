"""A real daemon in a process of its own, and what it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from system.wakeup import notify
from tests.support_ledger import marked_processes
from tests.workspace import PATIENCE, Workspace, wait_for

#: So rarely that only a wake-up or a timer can explain what happens in a test.
NEVER = {"PURUTO_CRON_POLL_SECONDS": "3600", "PURUTO_CRON_STALE_SECONDS": "86400"}
#: A poll each second.
OFTEN = {"PURUTO_CRON_POLL_SECONDS": "1"}


class RunningDaemon:
    """A started daemon. Its stdout and stderr go into files."""

    def __init__(self, workspace: Workspace, process: subprocess.Popen[bytes], out: Path) -> None:
        self.workspace = workspace
        self.process = process
        self.pid = process.pid
        self._out = out

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines that it has said so far."""
        text = self._out.read_text(encoding="utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def errors(self) -> list[str]:
        """The codes of the errors of its own that it has told."""
        return [line["error"]["code"] for line in self.lines() if "error" in line]

    def results(self) -> list[dict[str, Any]]:
        """Of all runs that it has told of."""
        return [result for line in self.lines() for result in line.get("results", [])]

    def wait_for_line(self, fits: Callable[[dict[str, Any]], Any], what: str) -> dict[str, Any]:
        """The first line that fits."""
        found: dict[str, Any] = wait_for(lambda: next(filter(fits, self.lines()), None), what=what)
        return found

    def make_due(self, job_id: str = "%", **options: Any) -> None:
        """Makes jobs due, and rings."""
        self.workspace.make_due(job_id, **options)
        assert self.notify()

    def notify(self) -> bool:
        """Wakes it; whether it listens."""
        return notify(str(self.workspace.database))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(timeout=PATIENCE)

    def last_poll(self) -> str:
        """When it last looked, as it leaves it beside the database."""
        return Path(f"{self.workspace.database}.last_tick").read_text()

    def wait_for_poll(self) -> None:
        """Waits until it has looked twice: what was there before now, it has seen. It must look each second."""
        for _ in range(2):
            before = self.last_poll()
            wait_for(lambda before=before: self.last_poll() != before, what="a look")  # type: ignore[misc]


@contextmanager
def daemon(
    workspace: Workspace,
    env: Mapping[str, str] = NEVER,
    *,
    script: str = "",
    ready: bool = True,
    no_log: bool = False,
    **options: Any,
) -> Iterator[RunningDaemon]:
    """A daemon for a `with` block; at its end it and its runs are ended. `script` is run in its process first.

    With `no_log` it may say on stderr, once, that its log can't be written.
    """
    out, err = workspace.home / "daemon.out", workspace.home / "daemon.err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        workspace.environ.update(env)
        process = workspace.start("daemon", before=script, **{"stdout": stdout, "stderr": stderr, **options})
    found = RunningDaemon(workspace, process, out)
    try:
        if ready:
            wait_for(
                lambda: process.poll() is not None or any(line["status"] == "ready" for line in found.lines()),
                what="a daemon that is ready",
            )
            assert process.poll() is None, (found.lines(), err.read_text())
        yield found
        said = err.read_text().splitlines()
        assert said == [] or (no_log and len(said) == 1 and "puruto-cron.log" in said[0]), said
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pid in marked_processes(workspace):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def rows(workspace: Workspace, job_id: str = "%") -> list[str]:
    """The statuses of the runs, oldest first."""
    return [row["status"] for row in workspace.runs(job_id)]


def wait_for_rows(workspace: Workspace, job_id: str, *statuses: str) -> None:
    """Waits until a job's runs have these statuses, oldest first."""
    wait_for(lambda: rows(workspace, job_id) == list(statuses), what=f"{job_id}: {statuses}")


def wait_until_told(workspace: Workspace) -> None:
    """Waits until each stored event is in events.jsonl: a daemon that is ended at once leaves the last for a tick."""
    wait_for(
        lambda: len(workspace.events()) == workspace.sql("SELECT count(*) AS events FROM events")[0]["events"],
        what="the events",
    )


def declare_ahead(workspace: Workspace, job_id: str, declare: Callable[[str], object]) -> None:
    """Calls `declare` with a schedule for one slot, which is still ahead when it has been synced.

    A slot in two seconds, and further ahead where the machine took longer than that.
    """
    seconds = 2
    while True:
        declare(_in_seconds(seconds))
        if rows(workspace, job_id) or workspace.sql(
            "SELECT 1 FROM jobs WHERE job_id = ? AND next_run_at IS NOT NULL", (job_id,)
        ):
            return
        seconds *= 2


def _in_seconds(seconds: int) -> str:
    return f"@at {(datetime.now(UTC) + timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%SZ')}"
