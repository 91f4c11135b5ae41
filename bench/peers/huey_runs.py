"""huey with SqliteHuey, its settings as shipped: `fill STORE COUNT`, `serve STORE COUNT WIDTH`, `check STORE COUNT`.

STORE is a folder. `fill` puts COUNT tasks into the queue, `serve` runs huey's own consumer with WIDTH threads and ends
when all have run, `check` prints what is wrong.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from huey import SqliteHuey
from huey.signals import SIGNAL_COMPLETE, SIGNAL_ERROR

STORE, COUNT = Path(sys.argv[2]), int(sys.argv[3])
STORE.mkdir(parents=True, exist_ok=True)
huey = SqliteHuey("bench", filename=str(STORE / "huey.db"))


@huey.task()
def run_true() -> int:
    nothing = subprocess.DEVNULL
    return subprocess.run(["true"], stdin=nothing, stdout=nothing, stderr=nothing, check=True).returncode


def fill() -> None:
    for _ in range(COUNT):
        run_true()
    huey.storage.close()


def serve(width: int) -> int:
    """The exit code. The consumer's threads look for work each second; nobody has to wait for that."""
    left, failed, lock, done = COUNT, 0, threading.Lock(), threading.Event()

    @huey.signal(SIGNAL_COMPLETE, SIGNAL_ERROR)
    def note(name: str, *_: Any) -> None:
        nonlocal left, failed
        with lock:
            left -= 1
            failed += name != SIGNAL_COMPLETE
            if not left:
                done.set()

    huey.create_consumer(workers=width, worker_type="thread").start()
    done.wait()
    return 1 if failed else 0


def check() -> str:
    results = huey.result_count()
    return "" if results == COUNT and not len(huey) else f"{results} results, {len(huey)} tasks are left"


if __name__ == "__main__":
    word = sys.argv[1]
    if word == "fill":
        fill()
    elif word == "serve":
        os._exit(serve(int(sys.argv[4])))
    else:
        print(check())
