"""The machine on which a figure was measured, without names of hosts, users or paths."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
from pathlib import Path


def describe(folder: Path) -> dict[str, object]:
    """Processor, cores, memory, load, versions, and the disk of `folder`; "unknown" for what can't be found."""
    cpuinfo = _text(Path("/proc/cpuinfo"))
    return {
        "cpu": _find(r"^model name\s*: (.+)$", cpuinfo),
        "virtual": "hypervisor" in cpuinfo,
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(_find(r"^MemTotal:\s+(\d+) kB$", _text(Path("/proc/meminfo")), "0")) // 1024,
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "kernel": f"{platform.system()} {platform.release()}",
        "disk": _disk(folder),
    }


def in_words(machine: dict[str, object]) -> str:
    """The description in two lines."""
    where = "virtual machine" if machine["virtual"] else "machine"
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_mib']} MiB, {where}, {machine['disk']}\n"
        f"{machine['python']}, SQLite {machine['sqlite']}, {machine['kernel']}, load {machine['load_average']}"
    )


def _disk(folder: Path) -> str:
    """The file system of `folder`, and whether its device is a rotating disk."""
    path, best = str(folder.resolve()), ("", "unknown")
    for line in _text(Path("/proc/mounts")).splitlines():
        _, mount, kind, *_ = line.split()
        inside = mount == "/" or path == mount or path.startswith(f"{mount}/")
        if inside and len(mount) >= len(best[0]):
            best = (mount, kind)
    number = folder.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    rotational = _text(device / "queue/rotational") or _text(device.parent / "queue/rotational")
    kind = {"0": "solid state", "1": "rotational, as the kernel says"}.get(rotational.strip(), "no disk of its own")
    return f"{best[1]} on {device.name if rotational else 'memory or network'} ({kind})"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _find(pattern: str, text: str, default: str = "unknown") -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else default
