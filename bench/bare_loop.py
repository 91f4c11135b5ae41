"""The reference for runs: starts a command a number of times, some at once, and reaps it. Nothing is recorded.

    python bare_loop.py COUNT WIDTH WORD...

With PURUTO_BENCH_SLOT (seconds since 1970) it waits for that instant first. Exit code 1 when a command failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time


def run(count: int, width: int, command: list[str]) -> int:
    """How many of `count` runs of `command` failed; at most `width` run at the same time."""
    children: dict[int, subprocess.Popen[bytes]] = {}
    started = failed = 0
    while started < count or children:
        while started < count and len(children) < width:
            nothing = subprocess.DEVNULL
            child = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)
            children[child.pid] = child
            started += 1
        pid, status = os.wait()
        child = children.pop(pid)
        child.returncode = os.waitstatus_to_exitcode(status)
        failed += child.returncode != 0
    return failed


if __name__ == "__main__":
    slot = float(os.environ.get("PURUTO_BENCH_SLOT", "0"))
    time.sleep(max(0.0, slot - time.time()))
    sys.exit(1 if run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]) else 0)
