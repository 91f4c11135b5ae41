"""The machine's zone, as a name: from TZ, else from /etc; and what is doubtful about it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from zoneinfo import TZPATH, available_timezones

from schedules.zones import is_zone, system_timezone

#: A rule of POSIX, like CET-1CEST,M3.5.0,M10.5.0/3. Source: tzset(3).
_RULE = re.compile(r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)[+-]?[0-9]{1,3}(?::[0-9]{2}){0,2}(?:[A-Za-z<].*)?")
_MOST_BYTES = 1 << 16
#: Of the zones with the same rule, one of these regions is taken rather than another.
_REGIONS = ("Etc", "Europe", "America", "Asia", "Australia", "Pacific", "Africa", "Atlantic", "Indian", "Antarctica")


@dataclass(frozen=True)
class MachineZone:
    """The name of the zone that was taken, and why there may be doubt about it; "" if there is none."""

    name: str
    doubt: str = ""


def machine_zone(tz: str | None, root: str = "/") -> MachineZone:
    """The machine's zone. `tz` is the value of the variable TZ, None without one; `root` is the folder of `etc`."""
    system = _system_zone(root)
    if tz is None:
        return system
    text = tz.strip().removeprefix(":")
    if not text:
        return MachineZone(system.name, "TZ is empty, which most programs take as UTC; it was ignored")
    named = _of_path(os.path.join(root, text.lstrip("/"))) if text.startswith("/") else text if is_zone(text) else ""
    if named:
        return MachineZone(named)
    if _RULE.fullmatch(text):
        found = _zone_with_rule(text, system.name)
        if found:
            return MachineZone(found, f"TZ is the rule {text[:64]!r} and not a name; {found} has the same rule")
    why = "a path that is no zone" if text.startswith("/") else "not the name of a zone that this machine knows"
    return MachineZone(system.name, f"TZ is {tz[:64]!r}, {why}; it was ignored")


def _system_zone(root: str) -> MachineZone:
    """The zone of /etc/localtime, which all programs obey; where that has no name, the one of /etc/timezone."""
    link = os.path.join(root, "etc", "localtime")
    named, written = _of_path(link), _written(os.path.join(root, "etc", "timezone"))
    if named:
        if written and written != named and not _are_same(written, named):
            return MachineZone(named, f"/etc/timezone says {written}, and /etc/localtime is {named}, which counts")
        return MachineZone(named)
    if is_zone(written):
        missing = "" if os.path.exists(link) else "there is no /etc/localtime, which other programs take as UTC"
        return MachineZone(written, missing)
    # Some systems keep the name elsewhere.
    if (other := system_timezone() if root == "/" else "UTC") != "UTC":
        return MachineZone(other)
    if os.path.exists(link):
        return MachineZone("UTC", "/etc/localtime is a zone without a name")
    return MachineZone("UTC", "this machine names no zone: there is no /etc/localtime")


def _of_path(path: str) -> str:
    """The zone that a file is, by the end of its path after all links; "" if it is none."""
    parts = os.path.realpath(path).split(os.sep)
    return next((name for n in range(len(parts)) if is_zone(name := "/".join(parts[n:]))), "")


def _written(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline(_MOST_BYTES).partition("#")[0].strip()
    except OSError:
        return ""


def _are_same(one: str, other: str) -> bool:
    """Whether two names are the same zone, like Asia/Calcutta and Asia/Kolkata."""
    return is_zone(one) and _data(one) == _data(other) != b""


def _zone_with_rule(rule: str, preferred: str) -> str:
    """A zone whose present rule is this one: the preferred one if that has it; "" if there is none."""
    if _rule_of(preferred) == rule:
        return preferred
    fitting = [name for name in sorted(available_timezones()) if is_zone(name) and _rule_of(name) == rule]
    regions = {region: number for number, region in enumerate(_REGIONS)}
    return min(fitting, key=lambda name: (regions.get(name.partition("/")[0], len(regions)), name), default="")


def _rule_of(name: str) -> str:
    """The last line of a zone's file, which is the rule for the future. Source: RFC 9636, section 3.3."""
    lines = _data(name).rstrip(b"\n").rsplit(b"\n", 1)
    return lines[-1].decode("ascii", "replace") if len(lines) > 1 else ""


def _data(name: str) -> bytes:
    for path in _files(name):
        try:
            data = path.read_bytes()
        except (OSError, ValueError):
            continue
        return data
    return b""


def _files(name: str) -> Iterator[Path]:
    yield from (Path(folder, name) for folder in TZPATH)
    try:
        yield Path(str(resources.files("tzdata.zoneinfo"))) / name
    except ModuleNotFoundError:
        return
