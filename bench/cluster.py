"""A PostgreSQL for the bench: a new cluster that listens only on a Unix socket, and is stopped with the bench."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READY_SEC = 30
#: PostgreSQL refuses to run as root; then it runs as the first of these users that exists.
_USERS = ("postgres", "nobody")


def reason_without() -> str:
    """Why no cluster can be started here, or ""."""
    if _programs() is None:
        return "PostgreSQL is not installed; on Debian: apt-get install postgresql"
    if os.geteuid() == 0 and _user() is None:
        return f"PostgreSQL does not run as root, and there is no user {' or '.join(_USERS)}"
    return ""


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Yields the address of a new cluster with its data below `folder`, with PostgreSQL's default settings.

    Raises RuntimeError when it does not start. `folder` is given to the user that the server runs as.
    """
    programs, user = _programs(), _user()
    assert programs is not None, reason_without()
    # The path of a socket has at most 107 bytes, so it needs a short folder.
    with tempfile.TemporaryDirectory(prefix="puruto-pg-") as sockets, (folder / "postgres.log").open("wb") as log:
        if user is not None:
            for path in (folder, Path(sockets)):
                shutil.chown(path, user.pw_uid, user.pw_gid)
        data = str(folder / "data")
        initdb = [str(programs / "initdb"), "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C"]
        if _start(initdb, folder, user, log).wait():
            raise RuntimeError(f"initdb failed: {_end_of(folder)}")
        words = ["-D", data, "-c", "listen_addresses=", "-c", f"unix_socket_directories={sockets}"]
        server = _start([str(programs / "postgres"), *words], folder, user, log)
        try:
            _wait_until_ready(programs, sockets, server, folder)
            yield f"host={sockets} user=bench dbname=postgres"
        finally:
            # "Fast": sessions are ended, then the server stops in order.
            server.send_signal(signal.SIGINT)
            server.wait(timeout=READY_SEC)


def _start(command: list[str], folder: Path, user: pwd.struct_passwd | None, log: object) -> subprocess.Popen[bytes]:
    """Runs `command` in `folder`, as `user`; None means the current user."""
    whose = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **whose
    )


def _wait_until_ready(programs: Path, sockets: str, server: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + READY_SEC
    while subprocess.run([str(programs / "pg_isready"), "-q", "-h", sockets], check=False).returncode:
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"PostgreSQL did not start: {_end_of(folder)}")
        time.sleep(0.05)


def _end_of(folder: Path) -> str:
    return (folder / "postgres.log").read_text(encoding="utf-8", errors="replace")[-2000:]


def _programs() -> Path | None:
    """The folder that holds initdb and postgres; Debian keeps it out of PATH."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if elsewhere := shutil.which("initdb"):
        found.append(Path(elsewhere).resolve().parent)
    return max(found, key=str, default=None)


def _user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next((known[name] for name in _USERS if name in known), None)
