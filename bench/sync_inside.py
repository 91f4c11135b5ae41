"""Times syncs without the start of a process: `python sync_inside.py ROOT COUNT`, ROOT being a copy of the project.

Prints COUNT times in seconds as JSON. The first sync imports what it needs; the database is open before.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main(root: str, count: int) -> None:
    """Measures; see above."""
    sys.path[0] = root
    from app.app import App
    from core.system_clock import SystemClock

    app = App(SystemClock(), os.environ, root)
    seconds = []
    with app.session() as session:
        for _ in range(count):
            start = time.perf_counter()
            session.sync_jobs(app.clock.now())
            seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
