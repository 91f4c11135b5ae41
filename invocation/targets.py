"""Finds the folder of a target by its name. Source: docs/design.md "A target", docs/contract.md "Invocation"."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from core import strict_json
from core.invocation_errors import TargetNotFound
from core.job import NAME_PATTERN, SCHEDULER_ID
from core.suggest import did_you_mean

REGISTRY = "registry.json"
_REGISTRY_LIMIT = 8 * 1024 * 1024
_NAME = re.compile(NAME_PATTERN)
_LONGEST_NAME = 128


def _is_name(text: str) -> bool:
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


class Targets:
    """Finds target folders: the one that `registry.json` names, else the sibling of that name.

    The registry is read again each time, so that a daemon sees changes.
    """

    def __init__(self, home: Path, data_path: Path, own: Path) -> None:
        """`home` holds the siblings, `data_path` holds registry.json, and `own` is our own folder; all absolute.

        Where nothing else has the name `puruto-cron`, it is our own folder, whatever that is called.
        """
        self._home = home
        self._own = own
        self._registry = data_path / REGISTRY

    def resolve(self, name: str) -> Path:
        """The absolute path of the target's folder. Raises TargetNotFound, which names the paths that were tried.

        A missing or broken registry is ignored if the sibling exists. A registered `path` that does not exist is an
        error: to run another copy than the registered one would be a surprise.
        """
        if not _is_name(name):
            raise TargetNotFound(
                f"{strict_json.excerpt(name)} is not a valid name of a target",
                hint="Use a name of letters, digits, dots, dashes and underscores, not a path.",
                details={"target": strict_json.plain_text(name[:_LONGEST_NAME]), "looked_at": []},
            )
        note = ""
        folder = self._home / name
        try:
            folder = self._registered(name) or folder
        except FileNotFoundError:
            note = f"{self._registry} does not exist"
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            note = f"{self._registry} was ignored: {reason}"
        if os.path.isdir(folder):
            return folder
        if name == SCHEDULER_ID and folder == self._home / name:
            return self._own
        raise self._not_found(name, folder, note)

    def names(self) -> list[str]:
        """The names of all targets: of the siblings, and of the registry. Empty if neither can be read."""
        siblings: list[str] = []
        with suppress(OSError):
            siblings = [entry.name for entry in os.scandir(self._home) if _is_name(entry.name) and os.path.isdir(entry)]
        registered: object = None
        with suppress(OSError, ValueError):
            registered = strict_json.read_object(self._registry, _REGISTRY_LIMIT).get("purutos")
        entries = registered if isinstance(registered, list) else []
        named = (entry.get("name") for entry in entries if isinstance(entry, dict))
        return sorted({*siblings, *(name for name in named if isinstance(name, str) and _is_name(name))})

    def _registered(self, name: str) -> Path | None:
        """The folder that the registry names, if any. Raises OSError or ValueError if the registry can't be used."""
        purutos = strict_json.read_object(self._registry, _REGISTRY_LIMIT).get("purutos")
        if not isinstance(purutos, list):
            raise ValueError(f"purutos must be a list, is {strict_json.kind(purutos)}")
        for number, entry in enumerate(purutos):
            if isinstance(entry, dict) and entry.get("name") == name:
                return self._folder(entry, f"purutos[{number}]")
        return None

    def _folder(self, entry: Mapping[str, object], where: str) -> Path | None:
        path, folder = entry.get("path"), entry.get("folder")
        if path is not None:
            if not isinstance(path, str) or not path:
                raise ValueError(f"{where}.path must be a path, is {strict_json.kind(path)}")
            try:
                return self._home / Path(path).expanduser()
            except RuntimeError:
                raise ValueError(f"{where}.path starts with ~ of an unknown user") from None
        if folder is None:
            return None
        if not isinstance(folder, str) or not _is_name(folder):
            raise ValueError(f"{where}.folder must be a plain name")
        return self._home / folder

    def _not_found(self, name: str, folder: Path, note: str) -> TargetNotFound:
        what = "is not a folder" if os.path.lexists(folder) else "does not exist"
        details: dict[str, object] = {"target": name, "looked_at": [str(self._registry), str(folder)]}
        if note:
            details["registry"] = note
        return TargetNotFound(
            f"target {name}: {folder} {what}" + (f"; {note}" if note else ""),
            hint=did_you_mean(
                name,
                [other for other in self.names() if other != self._own.name],
                f"Create the folder, or give its path in {self._registry}. Are the siblings elsewhere? Then set"
                " PURUTO_HOME in .env.",
            ),
            details=details,
        )
