"""Helpers for tests of the whole machine: jobs that tell what they did, and the program on a fake clock."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from app.app import App
from commands import cli
from core.json_objects import ReportedRun
from system.processes import Stop
from tests.workspace import PATIENCE, FakeClock, Workspace, ended, is_running, wait_for

TARGET = "puruto-target"
#: Never due by itself while a test runs.
YEARLY = "@yearly"

_TELL = 'echo "$PURUTO_CRON_RUN_ID $PURUTO_CRON_SLOT" >> starts.log; '
#: Leaves a line for each start.
COUNT = _TELL + "echo done"
#: Leaves a line and its pid, then works until the file `release` is there; a minute at most.
GATED = (
    _TELL + 'echo $$ > "$PURUTO_CRON_RUN_ID.tmp"; mv "$PURUTO_CRON_RUN_ID.tmp" "$PURUTO_CRON_RUN_ID.pid"; n=0; '
    "while [ ! -e release ] && [ $n -lt 1200 ]; do n=$((n+1)); sleep 0.05; done; echo done"
)
#: Fails as long as the file `fine` is missing.
FAIL = _TELL + "echo no luck >&2; [ -e fine ] && echo fine"

TICK_KEYS = {"status", "now", "lease_owner", "due_jobs", "results"}
SUCCESS_KEYS = {"status", "job_id", "run_id", "attempt", "result", "notification_paths"}
FAILURE_KEYS = {"status", "job_id", "run_id", "attempts", "error", "notification_paths"}
JOB_COLUMNS = {
    "job_id", "enabled", "puruto_target", "schedule", "prompt", "notify_channel", "timeout_sec", "max_retries",
    "retry_backoff_sec", "next_run_at", "last_run_at", "lease_owner", "lease_expires_at",
}  # fmt: skip


def shell(script: str, **fields: object) -> dict[str, object]:
    """A job that runs a shell script in TARGET, due only when a test says so."""
    return {"schedule": YEARLY, "command": ["/bin/sh", "-c", script], **fields}


def python(script: str, **fields: object) -> dict[str, object]:
    """The same in Python."""
    return {"schedule": YEARLY, "command": [sys.executable, "-S", "-c", script], **fields}


def prepare(workspace: Workspace, *jobs: Mapping[str, object]) -> None:
    """A target, a database and these jobs."""
    workspace.add_target(invoke=None)
    workspace.ready(*jobs)


def target_folder(workspace: Workspace) -> Path:
    """Where the jobs of `shell` and `python` run."""
    return workspace.home / TARGET


def release(workspace: Workspace) -> None:
    """Lets every GATED job end."""
    (target_folder(workspace) / "release").touch()


def gated_pid(workspace: Workspace, run_id: str) -> int:
    """The process of a GATED run."""
    path = target_folder(workspace) / f"{run_id}.pid"
    wait_for(path.exists, what=str(path))
    return int(path.read_text())


def wait_for_run(workspace: Workspace, job_id: str = "%") -> dict[str, Any]:
    """The running row of a job whose target has told its start."""

    def running() -> dict[str, Any] | None:
        rows = [row for row in workspace.runs(job_id) if row["status"] == "running" and row["child_pid"]]
        told = {line.split()[0] for line in workspace.starts()}
        return next((row for row in rows if row["run_id"] in told), None)

    found: dict[str, Any] = wait_for(running, what=f"a running row of {job_id}")
    return found


def answer_of(process: subprocess.Popen[bytes], *, seconds: float = PATIENCE, stderr: str = "") -> dict[str, Any]:
    """Waits for a started command and returns its one JSON object; its stderr must say just that."""
    out, err = process.communicate(timeout=seconds)
    assert err.decode() == stderr, err
    assert out.count(b"\n") == 1, out
    answer = json.loads(out)
    assert isinstance(answer, dict)
    return answer


@contextmanager
def gated_tick(
    workspace: Workspace, *words: str, env: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """A tick (or what `words` say), and the running row of its GATED job; at the end both are ended by pid."""
    with ended(workspace.start(*(words or ("tick",)), env=env)) as process:
        row = wait_for_run(workspace)
        with killed(gated_pid(workspace, row["run_id"])):
            yield process, row


@contextmanager
def killed(*pids: int) -> Iterator[None]:
    """Kills what a failing test would leave behind."""
    try:
        yield
    finally:
        for pid in pids:
            if is_running(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)


_CRONTAB = """#!/bin/sh
file=$(dirname "$0")/crontab.txt
case "$1" in
-l) [ -e "$file" ] || { echo "no crontab for me" >&2; exit 1; }; cat "$file" ;;
-) cat > "$file" ;;
esac
"""


def put_crontab_program(workspace: Workspace) -> Path:
    """A program `crontab` at the head of the PATH, whatever the machine has. Returns its file, not there yet."""
    folder = workspace.home / "bin"
    folder.mkdir()
    program = folder / "crontab"
    program.write_text(_CRONTAB)
    program.chmod(0o755)
    workspace.environ["PATH"] = f"{folder}:{workspace.environ['PATH']}"
    return folder / "crontab.txt"


class Machine:
    """The program in this process: real targets, a real database, a clock that the test moves."""

    def __init__(self, workspace: Workspace, clock: FakeClock, **environ: str) -> None:
        self.workspace = workspace
        self.clock = clock
        self.environ = {**workspace.environ, **environ}

    def app(self) -> App:
        """A fresh one for each command, as each process has."""
        return App(self.clock, self.environ, str(self.workspace.root))

    def run(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Runs a command and returns its exit code and its JSON object; an error of ours is raised."""
        code, text = self.printed(*words)
        return code, json.loads(text)

    def printed(self, *words: str) -> tuple[int, str]:
        """Runs a command and returns its exit code and what it printed."""
        # A real file: the commands write to the descriptor of stdout.
        with tempfile.TemporaryFile() as file, TextIOWrapper(file, encoding="utf-8") as out, redirect_stdout(out):
            code = cli.main(args=list(words), obj=self.app(), standalone_mode=False)
            file.seek(0)
            return code or 0, file.read().decode()

    def ready(self, *jobs: Mapping[str, object]) -> None:
        """A target, a database and these jobs."""
        self.workspace.add_target(invoke=None)
        self.workspace.write_jobs(*jobs)
        self.run("init-db")
        self.run("sync-jobs")

    def tick(self) -> dict[str, Any]:
        """A tick that does its work."""
        code, report = self.run("tick")
        assert code == 0
        return report

    def run_now(self, job_id: str = "job-0", stop: Stop | None = None) -> ReportedRun:
        """A run by hand under a stop flag of the test's own."""
        own = stop or Stop()
        try:
            app = self.app()
            with app.session() as session:
                return session.scheduler(own).run_now(job_id, force=False)
        finally:
            if stop is None:
                own.close()

    def cursor(self, job_id: str = "job-0") -> datetime:
        """The job's `next_run_at`."""
        found = self.workspace.sql("SELECT next_run_at FROM jobs WHERE job_id = ?", (job_id,))
        return datetime.fromisoformat(found[0]["next_run_at"])

    def request(self, run: Mapping[str, Any], attempt: int) -> dict[str, Any]:
        """What an attempt of a run was asked."""
        path = self.workspace.root / "runs" / run["job_id"] / run["run_id"] / f"attempt-{attempt}.request.json"
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found


class Leap(Stop):
    """Waits by moving a clock, and keeps what it was asked to wait."""

    def __init__(self, clock: FakeClock, parent: Leap | None = None) -> None:
        super().__init__(parent)
        self._clock = clock
        self._above = parent
        self.waited = 0.0

    def for_run(self) -> Leap:
        return Leap(self._clock, self)

    def wait(self, seconds: float) -> bool:
        if self._above is not None:
            return self._above.wait(seconds) or self.is_set()
        if not self.is_set():
            self._clock.advance(seconds=seconds)
            self.waited += seconds
        return self.is_set()


@contextmanager
def small_disk(folder: Path, size: str = "64k") -> Iterator[Path]:
    """Mounts a tiny file system on a folder; skips where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.getuid() != 0 or mount is None or umount is None:
        pytest.skip("only root can mount a small file system")
    command = [mount, "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small file system can't be mounted here: {done.stderr.decode(errors='replace').strip()}")
    try:
        yield folder
    finally:
        subprocess.run([umount, "--lazy", str(folder)], capture_output=True, check=True)


def remount(folder: Path, mode: str) -> None:
    """Makes a mounted file system read-only (`ro`) or writable (`rw`)."""
    subprocess.run([shutil.which("mount") or "mount", "-o", f"remount,{mode}", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fills a small file system to its last byte with one file."""
    path = folder / "filler"
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return path


def utc(*parts: int) -> datetime:
    """An instant in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def slots(rows: list[dict[str, Any]], status: str) -> list[str]:
    """The slots of the rows of a status, `HH:MM`."""
    return [row["scheduled_for"][11:16] for row in rows if row["status"] == status]
