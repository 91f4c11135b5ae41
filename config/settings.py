"""The environment and `.env` → one frozen `Settings`. `VARIABLES` is the one list of what can be set.

The environment wins over `.env`, which wins over the default; an empty value counts as unset. Paths are resolved
against the folder that holds main.py, never against the current directory. Source: docs/contract.md "Environment".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from config.envfile import Dotenv, over, read
from config.problems import Problem, Unfit, about, shown
from config.values import PARSERS, integer
from config.variables import VARIABLES as VARIABLES
from config.variables import Values
from config.variables import Variable as Variable
from core.errors import NotInPlaceError, SettingsError
from core.invocation import MOST_HOPS
from core.redact import looks_secret

#: Places that can't be moved, as the contract writes them.
_FIXED_PLACES = {"jobs_file": ".jobs.json", "local_events": "notifications/events.jsonl", "runs_folder": "runs"}


@dataclass(frozen=True, kw_only=True)
class Settings(Values):
    """The values of all variables, and where they are from."""

    root: Path
    """The folder that holds main.py."""
    env_file: Path | None
    """The `.env` that was read, or None."""
    private: tuple[str, ...] = ()
    """Names in `.env` that are no settings: what jobs may be given, secrets above all."""
    warnings: tuple[Problem, ...] = ()
    """`{"code", "source", "line", "message", "hint"}` each, about a line of `.env`; `variable` if it names one."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """`.env` with the environment over it: what a job's `allow_env` may pick from. May hold secrets."""
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Each path as it was configured, by the name of its field."""

    @property
    def jobs_file(self) -> Path:
        return self.root / _FIXED_PLACES["jobs_file"]

    @property
    def local_events(self) -> Path:
        return self.root / _FIXED_PLACES["local_events"]

    @property
    def runs_folder(self) -> Path:
        return self.root / _FIXED_PLACES["runs_folder"]

    @property
    def telegram_outbox(self) -> Path:
        """The file to which events are mirrored."""
        return self.telegram_path / self.telegram_outbox_file

    def display(self, place: str) -> str:
        """A path as people configured it, like `../puruto-telegram/inbox/cron-events.jsonl`.

        `place` is the name of a path field or path property. Raises KeyError for any other name.
        """
        if place == "telegram_outbox":
            return os.path.join(self.texts["telegram_path"], self.telegram_outbox_file)
        return _FIXED_PLACES.get(place) or self.texts[place]


def main_folder(main: str) -> Path:
    """The folder that holds main.py, whose path `main` is, links resolved.

    Raises `NotInPlaceError` if it is one where pip puts copies: there are no jobs and no siblings there.
    """
    folder = Path(main).resolve().parent
    if folder.name in ("site-packages", "dist-packages"):
        raise NotInPlaceError(
            f"puruto-cron was copied into {folder}, but works in its own folder",
            hint="clone the repository and install it there with: pip install -e .",
            details={"path": str(folder)},
        )
    return folder


def load(environ: Mapping[str, str], root: Path) -> Settings:
    """The settings that `environ` and `root/.env` give. `environ` is not changed.

    Raises `SettingsError` with every fault in `details.problems`.
    """
    root = root.resolve()
    problems: list[Problem] = []
    dotenv = read(root / ".env", environ, problems)
    values: dict[str, object] = {}
    texts: dict[str, str] = {}
    for variable in VARIABLES:
        found = _find(variable, environ, dotenv)
        if variable.kind == "path":
            texts[variable.field] = found.text
        try:
            values[variable.field] = PARSERS[variable.kind](variable, found.text, root, environ)
        except Unfit as unfit:
            problems.append(_problem(variable, found, unfit))
    if problems:
        raise _error(problems)
    return Settings(
        root=root,
        env_file=root / ".env" if dotenv.read else None,
        private=tuple(set(dotenv.values) - {variable.name for variable in VARIABLES}),
        warnings=tuple(dotenv.warnings),
        variables=MappingProxyType(over(dotenv.values, environ)),
        texts=MappingProxyType(texts),
        **values,  # type: ignore[arg-type]
    )


#: What a run finds in its environment: how many invocations led to it. It is no setting, and `.env` can't give it.
_HOP = Variable("hop", "PURUTO_CRON_HOP", "integer", "0", "", 0, MOST_HOPS)


def next_hop(environ: Mapping[str, str]) -> int:
    """One more than the hop of the run that we are called from; 0 outside any run. Raises `SettingsError`.

    Only those who ask for an invocation by hand call this. A slot's run has hop 0, whatever the environment says.
    """
    text = environ.get(_HOP.name, "").strip()
    if not text:
        return 0
    try:
        return integer(_HOP, text) + 1
    except Unfit as unfit:
        raise _error([_problem(_HOP, _Found(text, "environment", text), unfit)]) from None


class _Found(NamedTuple):
    """A value, where it came from, and its text before `${…}` was replaced, which is safe to show."""

    text: str
    source: str
    written: str
    line: int | None = None


def _find(variable: Variable, environ: Mapping[str, str], dotenv: Dotenv) -> _Found:
    if text := environ.get(variable.name, "").strip():
        return _Found(text, "environment", text)
    if text := dotenv.values.get(variable.name, "").strip():
        line, written = dotenv.origins[variable.name]
        return _Found(text, f".env line {line}", written.strip(), line)
    return _Found(variable.default, "default", variable.default)


def _problem(variable: Variable, found: _Found, unfit: Unfit) -> Problem:
    message = f"{variable.name} ({found.source}) {unfit.sentence}"
    if looks_secret(variable.name) or variable.kind == "url":
        return about(unfit.code, found.line, message, unfit.hint, variable=variable.name)
    text = shown(found.written)
    message = f'{message}; it is "{text}"'
    return about(unfit.code, found.line, message, unfit.hint, variable=variable.name, text=text)


def _error(problems: list[Problem]) -> SettingsError:
    many = f"{len(problems)} faults in the settings; the first: " if len(problems) > 1 else ""
    return SettingsError(
        f"{many}{problems[0]['message']}", hint=str(problems[0]["hint"]), details={"problems": problems}
    )
