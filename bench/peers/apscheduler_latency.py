"""APScheduler 3.11, BackgroundScheduler: one DateTrigger a slot, whose job runs `PROGRAM FILE SLOT`.

    apscheduler_latency.py STORE PROGRAM FILE SLOT...

STORE is `memory` or the path of an SQLite file; each SLOT is in seconds since 1970. It prints {"status": "ready"} and
ends when all slots have run.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MISSED
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler


def run(program: str, file: str, slot: str) -> None:
    nothing = subprocess.DEVNULL
    subprocess.run([program, file, slot], stdin=nothing, stdout=nothing, stderr=nothing, check=True)


def main(store: str, program: str, file: str, slots: list[str]) -> None:
    kept = MemoryJobStore() if store == "memory" else SQLAlchemyJobStore(url=f"sqlite:///{store}")
    scheduler = BackgroundScheduler(jobstores={"default": kept}, timezone="UTC")
    left = threading.Semaphore(0)
    scheduler.add_listener(lambda _: left.release(), EVENT_JOB_EXECUTED | EVENT_JOB_ERROR | EVENT_JOB_MISSED)
    for slot in slots:
        when = datetime.fromtimestamp(float(slot), UTC)
        scheduler.add_job(run, "date", run_date=when, args=[program, file, slot], id=slot)
    scheduler.start()
    print('{"status": "ready"}', flush=True)
    for _ in slots:
        left.acquire()
    scheduler.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
