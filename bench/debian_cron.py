"""Debian's cron in a private mount namespace, with one line that records each minute when it is started."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TOOLS = ("cron", "crontab", "unshare")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
#: In the namespace no other crontab of the machine is visible, and this one is not visible outside.
_PRIVATE = """
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/spool/cron
mkdir -m 1730 /var/spool/cron/crontabs
chgrp crontab /var/spool/cron/crontabs
touch /run/none
mount --bind /run/none /etc/crontab
mount -t tmpfs tmpfs /etc/cron.d
crontab "$1"
exec cron -f
"""


def reason_without() -> str:
    """Why it can't be measured here, or ""."""
    missing = [name for name in _TOOLS if shutil.which(name, path=_PATH) is None]
    if missing:
        return f"needs {' and '.join(missing)}; on Debian: apt-get install cron"
    if os.geteuid() != 0:
        return "needs root, for mounts of its own"
    trial = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/run"]
    if subprocess.run(trial, capture_output=True, check=False).returncode:
        return "needs the right to mount"
    return ""


@contextmanager
def running_cron(folder: Path, command: str) -> Iterator[None]:
    """Runs `command` in each minute that begins during the context."""
    table = folder / "crontab"
    table.write_text(f"* * * * * exec {command}\n", encoding="utf-8")
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _PRIVATE, "cron", str(table)]
    nothing = subprocess.DEVNULL
    # unshare, sh and cron replace one another in the same process, with the same ID.
    process = subprocess.Popen(private, env={"PATH": _PATH}, stdin=nothing, stdout=nothing, stderr=nothing)
    try:
        yield
    finally:
        process.terminate()
        process.wait()
