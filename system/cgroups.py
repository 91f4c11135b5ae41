"""A cgroup (version 2) of this process's own: whatever it starts is born in it, and can't hide there.

One for the process and not one for each run: a child could be moved into its own only between fork and exec, and that
takes twenty times as long as the start itself. After the death of a scheduler all that is left in its cgroup is of its
runs.
Source: docs/decisions/0005-process-marks.md, cgroups(7), https://systemd.io/CGROUP_DELEGATION.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from core.run import ProcessId

_PREFIX = "puruto-cron."


def group_name(process: ProcessId) -> str:
    """The name of the cgroup of a process."""
    return f"{_PREFIX}{process.pid}.{process.started}"


@contextmanager
def own_group(process: ProcessId) -> Iterator[str]:
    """Moves this process, which is `process`, into a cgroup of its own. Gives its name; "" where none may be made."""
    parent, _ = where()
    folder = _entered(parent, group_name(process)) if parent else ""
    try:
        yield os.path.basename(folder)
    finally:
        if folder:
            with suppress(OSError):
                _move_to(parent)
                os.rmdir(folder)


def where() -> tuple[str, str]:
    """The folder of our cgroup if we may make others in it, and ""; else "" and why not, as the end of a sentence."""
    parent = _our_folder()
    if not parent:
        return "", "this system has no cgroups of version 2"
    if not os.access(parent, os.W_OK) or not os.access(f"{parent}/cgroup.procs", os.W_OK):
        return "", f"this user may not write to {parent}"
    if os.geteuid() == 0 and os.path.isdir("/run/systemd/system") and not _is_delegated(parent):
        return "", f"{parent} belongs to systemd. A unit with Delegate=yes may"
    return parent, ""


def _our_folder() -> str:
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            path = next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), "")
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = [line.split() for line in file if " - cgroup2 " in line]
    except OSError:
        return ""
    for _, _, _, root, mount, *_ in mounts:
        below = path if root == "/" else path.removeprefix(root)
        folder = os.path.normpath(f"{mount}/{below}")
        if (root == "/" or path.startswith(root)) and ".." not in path and os.path.isdir(folder):
            return folder
    return ""


def _is_delegated(folder: str) -> bool:
    for name in ("trusted.delegate", "user.delegate"):
        with suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _entered(parent: str, name: str) -> str:
    folder = f"{parent}/{name}"
    with suppress(OSError):
        for other in os.listdir(parent):
            if other.startswith(_PREFIX):
                # Of a process that was killed. One that is in use can't be removed.
                with suppress(OSError):
                    os.rmdir(f"{parent}/{other}")
    try:
        os.mkdir(folder)
    except OSError:
        return ""
    try:
        _move_to(folder)
    except OSError:
        with suppress(OSError):
            os.rmdir(folder)
        return ""
    return folder


def _move_to(folder: str) -> None:
    with open(f"{folder}/cgroup.procs", "wb", buffering=0) as file:
        file.write(b"0")
