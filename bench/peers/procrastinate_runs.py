"""procrastinate on PostgreSQL: `fill STORE COUNT`, `serve STORE COUNT WIDTH`, `check STORE COUNT`.

STORE says how to connect. `fill` makes the tables anew and defers COUNT jobs, `serve` runs procrastinate's worker with
WIDTH jobs at once until none is left, `check` prints what is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psycopg
from procrastinate import App, PsycopgConnector

STORE, COUNT = sys.argv[2], int(sys.argv[3])
WIDTH = int(sys.argv[4]) if len(sys.argv) > 4 else 1
# It warns of an app that stands in the program itself, as this one does.
logging.getLogger("procrastinate").setLevel(logging.ERROR)
app = App(connector=PsycopgConnector(conninfo=STORE, max_size=WIDTH + 4))


@app.task(name="run_true")
def run_true() -> int:
    nothing = subprocess.DEVNULL
    return subprocess.run(["true"], stdin=nothing, stdout=nothing, stderr=nothing, check=True).returncode


def fill() -> None:
    with psycopg.connect(STORE, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    with app.open():
        app.schema_manager.apply_schema()
        run_true.batch_defer(*({} for _ in range(COUNT)))


async def serve() -> None:
    # asyncio's own number of threads goes by the processors: fewer than the jobs that are wanted at once.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(WIDTH))
    async with app.open_async():
        await app.run_worker_async(concurrency=WIDTH, wait=False)


def check() -> str:
    with psycopg.connect(STORE) as connection:
        rows = connection.execute("SELECT status::text, count(*) FROM procrastinate_jobs GROUP BY 1").fetchall()
    return "" if rows == [("succeeded", COUNT)] else f"jobs are {dict(rows)}"


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill()
    elif sys.argv[1] == "serve":
        asyncio.run(serve())
    else:
        print(check())
