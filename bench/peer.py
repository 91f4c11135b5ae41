"""Other schedulers and task queues that do the same work, in their own environment: bench/.peers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from bench import cluster
from bench.arena import CRON_ENVIRONMENT, PROJECT
from bench.measure import Contender

PROGRAMS = PROJECT / "bench" / "peers"
PYTHON = PROJECT / "bench" / ".peers" / "bin" / "python"
LEFT_OUT = "left out: make bench PEERS=1"


@dataclass(frozen=True)
class Peer:
    """`program` is a file of bench/peers; `records` says what is on disk about a run when it has ended."""

    name: str
    program: str
    records: str
    needs_postgres: bool = False


PEERS = (
    Peer(
        "APScheduler 3.11, SQLite",
        "apscheduler_runs.py",
        "the job's row is deleted, in a commit, when the run is handed to a thread; nothing of the run is kept",
    ),
    Peer(
        "huey, SqliteHuey",
        "huey_runs.py",
        "the task's row is deleted, in a commit, before the run; what it returned is stored after it, without times",
    ),
    Peer(
        "procrastinate, PostgreSQL",
        "procrastinate_runs.py",
        "one row, which says doing and then succeeded, and a row with the time of each change; no exit code and no"
        " output. cpu is without that of the server",
        needs_postgres=True,
    ),
)


class Stored:
    """A peer and `count` jobs, which are made due again and again. `store` is a folder, or PostgreSQL's address."""

    def __init__(self, peer: Peer, folder: Path, store: str, count: int) -> None:
        self._peer, self._folder, self._count = peer, folder, count
        self._store = store
        self._filled = folder / "filled"
        self._kept = not peer.needs_postgres
        # Storing jobs one by one takes as long as running them, so where possible it is done once, and then copied.
        self._run("fill", str(self._filled) if self._kept else store)

    def contender(self, width: int) -> Contender:
        """The process that runs all jobs, `width` at once."""
        command = self._command("serve", self._store, str(width))
        return Contender(self._peer.name, command, self._environ(), self._folder, self._fill, self._check)

    def _fill(self) -> None:
        if self._kept:
            shutil.rmtree(self._store, ignore_errors=True)
            shutil.copytree(self._filled, self._store)
        else:
            self._run("fill", self._store)
        # Writes that the last contender and this preparation left in the cache must not slow the measured run.
        os.sync()

    def _check(self) -> str:
        return self._run("check", self._store).strip()

    def _environ(self) -> dict[str, str]:
        return {**CRON_ENVIRONMENT, "HOME": str(self._folder)}

    def _command(self, word: str, store: str, *more: str) -> list[str]:
        return [str(PYTHON), str(PROGRAMS / self._peer.program), word, store, str(self._count), *more]

    def _run(self, word: str, store: str) -> str:
        command = self._command(word, store)
        done = subprocess.run(
            command, env=self._environ(), cwd=self._folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{self._peer.name}: {word} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout


@contextmanager
def ready(folder: Path, count: int, *, wanted: bool) -> Iterator[dict[str, Stored | str]]:
    """Yields by name each peer's jobs, or why it can't be measured. A needed server is stopped with the context."""
    with ExitStack() as stack:
        yield {peer.name: _ready(stack, peer, folder, count) if wanted else LEFT_OUT for peer in PEERS}


def _ready(stack: ExitStack, peer: Peer, folder: Path, count: int) -> Stored | str:
    if not PYTHON.exists():
        return LEFT_OUT
    if peer.needs_postgres and (reason := cluster.reason_without()):
        return reason
    place = folder / peer.program.removesuffix(".py")
    place.mkdir(parents=True)
    store = str(place / "store")
    try:
        if peer.needs_postgres:
            store = stack.enter_context(cluster.cluster(_own_folder(stack, place)))
        return Stored(peer, place, store, count)
    except RuntimeError as error:
        # If one peer does not work here, the others are still measured.
        print(error, file=sys.stderr)
        return "does not work here; see above"


def _own_folder(stack: ExitStack, place: Path) -> Path:
    """A folder on the same disk that another user can access; the bench's own folder is private."""
    open_to_all = takewhile(lambda path: path.stat().st_mode & 0o001, reversed(place.resolve().parents))
    *_, beside = open_to_all
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="puruto-pg-", dir=beside)))
