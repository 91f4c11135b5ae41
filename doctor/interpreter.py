"""The Python that runs this, its SQLite, its libraries, its virtual environment."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from db import SQLITE_VERSION
from doctor.findings import Finding, error, fine, warning
from doctor.scene import Scene

SUBJECT = "interpreter"
LEAST_PYTHON = (3, 11)
LEAST_SQLITE = (3, 37)
#: Modules whose names are not those of their distributions.
_MODULES = {"python-dotenv": "dotenv"}
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*([^;\[]*)")
_BOUND = re.compile(r"(>=|<=|==|!=|>|<)\s*([0-9][0-9.]*)")
_INSTALL = "Run `make install` in this folder, and start the program with .venv/bin/python."


@dataclass(frozen=True)
class Requirement:
    """A line of pyproject's dependencies: the distribution and its bounds as they are written."""

    name: str
    bounds: str

    @property
    def module(self) -> str:
        """What is imported."""
        return _MODULES.get(self.name, self.name.replace("-", "_"))

    def allows(self, version: str) -> bool:
        """Whether a version lies within all bounds; only the numbers of its release count."""
        found = _release(version)
        return all(_holds(found, sign, _release(bound)) for sign, bound in _BOUND.findall(self.bounds))


def check(scene: Scene) -> Iterator[Finding]:
    """Versions, libraries and the environment that they stand in."""
    yield from python(sys.version_info[:3], SQLITE_VERSION)
    yield from environment(sys.prefix, sys.base_prefix, sys.executable)
    required = requirements(scene.root / "pyproject.toml")
    if required is None:
        text = f"{scene.root / 'pyproject.toml'} can't be read, so nobody knows which libraries are needed"
        yield warning("REQUIREMENTS_UNKNOWN", SUBJECT, text, "Restore that file from the repository.")
    yield from libraries(required or [], importlib.metadata.version, importlib.import_module)


def python(version: tuple[int, ...], sqlite: tuple[int, ...]) -> Iterator[Finding]:
    """Python and its SQLite are new enough."""
    found, engine = _dotted(version), _dotted(sqlite)
    if version < LEAST_PYTHON:
        text = f"{sys.executable} is Python {found}, {_dotted(LEAST_PYTHON)} is needed"
        yield error("PYTHON_TOO_OLD", SUBJECT, text, f"Install a newer Python. {_INSTALL}")
    if sqlite < LEAST_SQLITE:
        text = f"SQLite {engine} is too old, {_dotted(LEAST_SQLITE)} is needed"
        yield error("SQLITE_TOO_OLD", SUBJECT, text, "Use a newer Python build or system library.")
    yield fine(SUBJECT, f"Python {found} at {sys.executable}, SQLite {engine}")


def environment(prefix: str, base: str, executable: str) -> Iterator[Finding]:
    """It runs from a virtual environment that is whole."""
    if prefix == base:
        text = f"{executable} belongs to no virtual environment: an update of the system may change its libraries"
        yield warning("NOT_IN_VENV", SUBJECT, text, _INSTALL)
        return
    home = _home_of(Path(prefix) / "pyvenv.cfg")
    missing = [path for path in (executable, home or str(Path(prefix) / "pyvenv.cfg")) if not os.path.exists(path)]
    if missing and _is_closed(missing[0]):
        text = f"This user can't look at {missing[0]}"
        yield error("OTHER_USER", SUBJECT, text, "Run doctor as the user whose crontab starts the tick.")
        return
    if missing:
        text = f"The virtual environment {prefix} is broken: {missing[0]} is gone"
        yield error("VENV_BROKEN", SUBJECT, text, f"Remove {prefix} and run `make install`.")


def libraries(
    required: list[Requirement], version_of: Callable[[str], str], load: Callable[[str], object]
) -> Iterator[Finding]:
    """Each library is there, in a version that was tried, and can be imported."""
    for need in required:
        try:
            version = version_of(need.name)
            load(need.module)
        except (importlib.metadata.PackageNotFoundError, ImportError) as problem:
            text = f"The library {need.name} can't be imported by {sys.executable}: {problem}"
            yield error("DEPENDENCY_MISSING", SUBJECT, text, _INSTALL)
            continue
        if not need.allows(version):
            text = f"The library {need.name} is {version}, and pyproject.toml asks for {need.bounds}"
            yield error("LIBRARY_VERSION", SUBJECT, text, _INSTALL)


def requirements(path: Path) -> list[Requirement] | None:
    """The dependencies in a pyproject.toml; None when it can't be read."""
    try:
        with path.open("rb") as file:
            lines = tomllib.load(file)["project"]["dependencies"]
    except (OSError, ValueError, KeyError):
        return None
    found = (_REQUIREMENT.match(str(line)) for line in lines)
    return [Requirement(match[1], match[2].strip()) for match in found if match is not None]


def _is_closed(path: str) -> bool:
    """Whether a folder on the way forbids this user to look."""
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
        lines = config.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    pairs = (line.partition("=") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == "home"), None)


def _release(version: str) -> tuple[int, ...]:
    numbers = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(int(number) for number in numbers[0].split(".")) if numbers else ()


def _holds(found: tuple[int, ...], sign: str, bound: tuple[int, ...]) -> bool:
    width = max(len(found), len(bound))
    one, other = (version + (0,) * (width - len(version)) for version in (found, bound))
    return {
        ">=": one >= other,
        "<=": one <= other,
        "==": one == other,
        "!=": one != other,
        ">": one > other,
        "<": one < other,
    }[sign]


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)
