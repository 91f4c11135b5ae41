"""APScheduler 3.11 on SQLite: `fill STORE COUNT`, `serve STORE COUNT WIDTH`, `check STORE COUNT`.

STORE is a folder. `fill` stores COUNT jobs that are due, `serve` runs them and ends, `check` prints what is wrong.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler


def run_true() -> None:
    nothing = subprocess.DEVNULL
    subprocess.run(["true"], stdin=nothing, stdout=nothing, stderr=nothing, check=True)


def scheduler(store: Path, width: int) -> BackgroundScheduler:
    return BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=f"sqlite:///{store}/jobs.db")},
        executors={"default": ThreadPoolExecutor(width)},
        timezone="UTC",
    )


def fill(store: Path, count: int) -> None:
    """Each job is due since a minute ago and may be as late as it likes."""
    store.mkdir(parents=True)
    slot = datetime.now(UTC) - timedelta(minutes=1)
    filled = scheduler(store, 1)
    filled.start(paused=True)
    for number in range(count):
        filled.add_job(run_true, "date", run_date=slot, id=f"job-{number}", misfire_grace_time=None)


def serve(store: Path, count: int, width: int) -> int:
    """The number of jobs that failed."""
    left, failed, lock, done = count, 0, threading.Lock(), threading.Event()

    def note(event: JobExecutionEvent) -> None:
        nonlocal left, failed
        with lock:
            left -= 1
            failed += event.code != EVENT_JOB_EXECUTED
            if not left:
                done.set()

    serving = scheduler(store, width)
    serving.add_listener(note, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR | EVENT_JOB_MISSED)
    serving.start()
    done.wait()
    serving.shutdown()
    return failed


def check(store: Path) -> str:
    looking = scheduler(store, 1)
    looking.start(paused=True)
    left = len(looking.get_jobs())
    return f"{left} jobs are left" if left else ""


if __name__ == "__main__":
    word, folder, number_of_jobs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if word == "serve":
        sys.exit(1 if serve(folder, number_of_jobs, int(sys.argv[4])) else 0)
    if word == "fill":
        fill(folder, number_of_jobs)
    else:
        print(check(folder), flush=True)
    # A paused scheduler that is shut down looks at its jobs once more, and starts what is due.
    os._exit(0)
