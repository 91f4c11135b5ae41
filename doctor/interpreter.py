"""Checks of the Python that runs this program: its version, SQLite, libraries and virtual environment."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.bounded_file import read_bounded
from db import SQLITE_VERSION
from doctor.findings import Finding, error, fine, warning
from doctor.scene import Scene

SUBJECT = "interpreter"
LEAST_PYTHON = (3, 11)
LEAST_SQLITE = (3, 37)
_MOST_BYTES = 1 << 20
#: Modules whose name differs from their distribution's.
_MODULES = {"python-dotenv": "dotenv"}
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*([^;\[]*)")
_BOUND = re.compile(r"(>=|<=|==|!=|>|<)\s*([0-9][0-9.]*)")
#: A line such as VIRTUAL_ENV="/home/me/x/.venv". A command in its place asks the shell.
_ACTIVATES = re.compile(r"^\s*(?:export )?VIRTUAL_ENV=([^$\n]+)$", re.MULTILINE)
_INSTALL = "Run `make install` in this folder, and start the program with .venv/bin/python."


@dataclass(frozen=True)
class Requirement:
    """A dependency in pyproject.toml: the distribution, and its version bounds as they are written there."""

    name: str
    bounds: str

    @property
    def module(self) -> str:
        """The name of the module to import."""
        return _MODULES.get(self.name, self.name.replace("-", "_"))

    def allows(self, version: str) -> bool:
        """Whether a version is within all bounds; only the numbers of its release count."""
        release = _release(version)
        return all(_holds(release, sign, _release(bound)) for sign, bound in _BOUND.findall(self.bounds))


def check(scene: Scene) -> Iterator[Finding]:
    """Versions, virtual environment and libraries."""
    yield from python(sys.version_info[:3], SQLITE_VERSION)
    yield from environment(sys.prefix, sys.base_prefix, sys.executable)
    required = requirements(scene.root / "pyproject.toml")
    if required is None:
        text = f"{scene.root / 'pyproject.toml'} can't be read, so the libraries were not checked"
        yield warning("REQUIREMENTS_UNKNOWN", SUBJECT, text, "Restore that file from the repository.")
    yield from libraries(required or [], importlib.metadata.version, importlib.import_module)


def python(version: tuple[int, ...], sqlite: tuple[int, ...]) -> Iterator[Finding]:
    """Whether Python and its SQLite are new enough."""
    python_version, sqlite_version = _dotted(version), _dotted(sqlite)
    if version < LEAST_PYTHON:
        text = f"{sys.executable} is Python {python_version}, but {_dotted(LEAST_PYTHON)} is needed"
        yield error("PYTHON_TOO_OLD", SUBJECT, text, f"Install a newer Python. {_INSTALL}")
    if sqlite < LEAST_SQLITE:
        text = f"SQLite {sqlite_version} is too old, {_dotted(LEAST_SQLITE)} is needed"
        yield error("SQLITE_TOO_OLD", SUBJECT, text, "Use a newer Python build or system library.")
    yield fine(SUBJECT, f"Python {python_version} at {sys.executable}, SQLite {sqlite_version}")


def environment(prefix: str, base: str, executable: str) -> Iterator[Finding]:
    """Whether Python runs from an intact virtual environment."""
    if prefix == base:
        text = f"{executable} is not in a virtual environment: a system update may change its libraries"
        yield warning("NOT_IN_VENV", SUBJECT, text, _INSTALL)
        return
    home = _home_of(Path(prefix) / "pyvenv.cfg")
    missing = [path for path in (executable, home or str(Path(prefix) / "pyvenv.cfg")) if not os.path.exists(path)]
    if missing and _is_closed(missing[0]):
        text = f"This user can't access {missing[0]}"
        yield error("OTHER_USER", SUBJECT, text, "Run doctor as the user whose crontab starts the tick.")
        return
    if missing:
        text = f"The virtual environment {prefix} is broken: {missing[0]} is missing"
        yield error("VENV_BROKEN", SUBJECT, text, "Run `make install` in this folder: it builds .venv anew.")
        return
    made_for = _place_of(Path(prefix) / "bin" / "activate")
    if made_for and os.path.realpath(made_for) != os.path.realpath(prefix):
        text = f"{prefix} was moved: its `activate` scripts still name {made_for}"
        yield warning("VENV_MOVED", SUBJECT, text, "Run `make install` in this folder.")


def libraries(
    required: list[Requirement], version_of: Callable[[str], str], load: Callable[[str], object]
) -> Iterator[Finding]:
    """Whether each library can be imported, and has a version that pyproject.toml allows."""
    for requirement in required:
        try:
            version = version_of(requirement.name)
            load(requirement.module)
        except (importlib.metadata.PackageNotFoundError, ImportError) as problem:
            text = f"The library {requirement.name} can't be imported by {sys.executable}: {problem}"
            yield error("DEPENDENCY_MISSING", SUBJECT, text, _INSTALL)
            continue
        if not requirement.allows(version):
            text = f"The library {requirement.name} is {version}, but pyproject.toml requires {requirement.bounds}"
            yield error("LIBRARY_VERSION", SUBJECT, text, _INSTALL)


def requirements(path: Path) -> list[Requirement] | None:
    """The dependencies in a pyproject.toml; None if it can't be read."""
    try:
        lines = tomllib.loads(_text(path))["project"]["dependencies"]
    except (OSError, ValueError, KeyError):
        return None
    matches = (_REQUIREMENT.match(str(line)) for line in lines)
    return [Requirement(match[1], match[2].strip()) for match in matches if match is not None]


def _text(path: Path) -> str:
    return read_bounded(path, _MOST_BYTES)[0].decode("utf-8")


def _is_closed(path: str) -> bool:
    """Whether the permissions of a folder above it hide the path from this user."""
    try:
        os.stat(path)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _home_of(config: Path) -> str | None:
    """The folder of the Python that a virtual environment was made from."""
    try:
        lines = _text(config).splitlines()
    except (OSError, ValueError):
        return None
    pairs = (line.partition("=") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == "home"), None)


def _place_of(activate: Path) -> str:
    """The folder for which the script `activate` was written; "" if it does not say that."""
    try:
        found = _ACTIVATES.findall(activate.read_text(encoding="utf-8"))
        return shlex.split(found[-1])[0] if found else ""
    except (OSError, ValueError, IndexError):
        return ""


def _release(version: str) -> tuple[int, ...]:
    numbers = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(int(number) for number in numbers[0].split(".")) if numbers else ()


def _holds(release: tuple[int, ...], sign: str, bound: tuple[int, ...]) -> bool:
    width = max(len(release), len(bound))
    left, right = (version + (0,) * (width - len(version)) for version in (release, bound))
    return {
        ">=": left >= right,
        "<=": left <= right,
        "==": left == right,
        "!=": left != right,
        ">": left > right,
        "<": left < right,
    }[sign]


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)
