"""The daemon of a copy of the project, started, ready, and ended in order."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.arena import Arena

#: Longest wait for a process to be ready, and for the daemon to end after TERM.
READY_SEC = 30.0
END_SEC = 60.0


@contextmanager
def running_daemon(arena: Arena, environ: Mapping[str, str] | None = None) -> Iterator[None]:
    """Runs `main.py daemon` during the context. Raises RuntimeError if it does not get ready, or ends with an error."""
    with ready_process(arena.command("daemon"), environ or arena.environ, arena.root.parent) as process:
        yield
        process.terminate()
        code = process.wait(timeout=END_SEC)
        if code:
            raise RuntimeError(f"the daemon ended with {code}")


@contextmanager
def ready_process(
    command: Sequence[str], environ: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has printed a line of JSON with `status` "ready"; killed at the end if it still lives."""
    # Not a pipe: nobody reads it later, and a full pipe would block the measured process.
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            list(command),
            env=dict(environ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(lambda: process.poll() is not None or b"\n" in _text(said.fileno()), READY_SEC, every=0.01)
            if not _is_ready(_text(said.fileno())):
                raise RuntimeError(f"{list(command)} did not get ready: {_text(said.fileno())[-2000:]!r}")
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], object], seconds: float, *, every: float = 0.2) -> bool:
    """Whether `condition` became true within `seconds`. It is checked rarely, so as not to disturb the measurement."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(every)
    return True


def _text(file: int) -> bytes:
    return os.pread(file, 1_000_000, 0)


def _is_ready(text: bytes) -> bool:
    for line in text.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and said.get("status") == "ready":
            return True
    return False
