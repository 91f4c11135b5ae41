"""Reads the environment and `.env` into one frozen `Settings`. `VARIABLES` lists all settings.

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

from config.envfile import Dotenv, read, with_environment
from config.problems import InvalidValue, Problem, printable, problem_of
from config.values import FORMATS, PARSERS, integer
from config.variables import VARIABLES as VARIABLES
from config.variables import Values
from config.variables import Variable as Variable
from core.errors import NotInPlaceError, SettingsError
from core.invocation import MOST_HOPS
from core.redact import looks_secret

#: Paths that no setting changes. Source: docs/contract.md "Files at the top level".
_FIXED_PATHS = {"jobs_file": ".jobs.json", "local_events": "notifications/events.jsonl", "runs_folder": "runs"}


@dataclass(frozen=True, kw_only=True)
class Settings(Values):
    """The values of all variables, and where they are from."""

    root: Path
    """The folder that holds main.py."""
    env_file: Path | None
    """The `.env` that was read, or None."""
    private: tuple[str, ...] = field(default=(), repr=False)
    """Names in `.env` that are not settings: variables for jobs, mostly secrets. One may be a line of a secret."""
    warnings: tuple[Problem, ...] = ()
    """Warnings about lines of `.env`."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The variables of `.env`, overridden by the environment: a job's `allow_env` picks from them. May hold secrets."""
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Each path as the user wrote it, by the name of its field."""

    @property
    def jobs_file(self) -> Path:
        return self.root / _FIXED_PATHS["jobs_file"]

    @property
    def local_events(self) -> Path:
        return self.root / _FIXED_PATHS["local_events"]

    @property
    def runs_folder(self) -> Path:
        return self.root / _FIXED_PATHS["runs_folder"]

    @property
    def telegram_outbox(self) -> Path:
        """The file in the Telegram repository to which events are copied."""
        return self.telegram_path / self.telegram_outbox_file

    def display(self, name: str) -> str:
        """A path as the user wrote it, like `../puruto-telegram/inbox/cron-events.jsonl`.

        `name` is the name of a path field or path property. Raises KeyError for any other name.
        """
        if name == "telegram_outbox":
            return os.path.join(self.texts["telegram_path"], self.telegram_outbox_file)
        return _FIXED_PATHS.get(name) or self.texts[name]


def main_folder(main: str) -> Path:
    """The folder of main.py, with links resolved; `main` is the path of main.py.

    Raises `NotInPlaceError` if it is a folder into which pip installs: it has no jobs and no siblings.
    """
    folder = Path(main).resolve().parent
    if folder.name in ("site-packages", "dist-packages"):
        raise NotInPlaceError(
            f"puruto-cron was copied into {folder}, but it must run in its own folder",
            hint="clone the repository and install it there with: pip install -e .",
            details={"path": str(folder)},
        )
    return folder


def load(environ: Mapping[str, str], root: Path) -> Settings:
    """The settings from `environ` and `root/.env`. `environ` is not changed.

    Raises `SettingsError` with every fault in `details.problems`.
    """
    root = root.resolve()
    problems: list[Problem] = []
    dotenv = read(root / ".env", environ, problems)
    values: dict[str, object] = {}
    texts: dict[str, str] = {}
    for variable in VARIABLES:
        raw = _raw_value(variable, environ, dotenv)
        if variable.kind == "path":
            texts[variable.field] = raw.text
        try:
            values[variable.field] = PARSERS[variable.kind](variable, raw.text, root, environ)
        except InvalidValue as error:
            problems.append(_problem(variable, raw, error))
    if problems:
        raise _error(problems)
    return Settings(
        root=root,
        env_file=root / ".env" if dotenv.read else None,
        private=tuple(set(dotenv.values) - {variable.name for variable in VARIABLES}),
        warnings=tuple(dotenv.warnings),
        variables=MappingProxyType(with_environment(dotenv.values, environ)),
        texts=MappingProxyType(texts),
        **values,  # type: ignore[arg-type]
    )


def format_of(environ: Mapping[str, str], root: Path) -> str:
    """PURUTO_CRON_FORMAT, also when other settings are wrong: an error must be printed too. A wrong value is `auto`."""
    (variable,) = (variable for variable in VARIABLES if variable.field == "format")
    text = _raw_value(variable, environ, read(root / ".env", environ, [])).text
    return text if text in FORMATS else variable.default


#: What a run finds in its environment: how many invocations led to it. It is not a setting, and `.env` can't give it.
_HOP = Variable("hop", "PURUTO_CRON_HOP", "integer", "0", "", 0, MOST_HOPS)


def next_hop(environ: Mapping[str, str]) -> int:
    """One more than the hop of the run in which this process runs; 0 outside a run. Raises `SettingsError`.

    It is for manual invocations only. A run of a slot has hop 0, whatever the environment says.
    """
    text = environ.get(_HOP.name, "").strip()
    if not text:
        return 0
    try:
        return integer(_HOP, text) + 1
    except InvalidValue as error:
        raise _error([_problem(_HOP, _RawValue(text, "environment", text), error)]) from None


class _RawValue(NamedTuple):
    """A value, its source, and its text before `${…}` was replaced, which is safe to print."""

    text: str
    source: str
    written: str
    line: int | None = None


def _raw_value(variable: Variable, environ: Mapping[str, str], dotenv: Dotenv) -> _RawValue:
    if text := environ.get(variable.name, "").strip():
        return _RawValue(text, "environment", text)
    if text := dotenv.values.get(variable.name, "").strip():
        line, written = dotenv.origins[variable.name]
        return _RawValue(text, f".env line {line}", written.strip(), line)
    return _RawValue(variable.default, "default", variable.default)


def _problem(variable: Variable, raw: _RawValue, error: InvalidValue) -> Problem:
    message = f"{variable.name} ({raw.source}) {error.sentence}"
    if looks_secret(variable.name) or variable.kind == "url":
        return problem_of(error.code, raw.line, message, error.hint, variable=variable.name)
    text = printable(raw.written)
    message = f'{message}; it is "{text}"'
    return problem_of(error.code, raw.line, message, error.hint, variable=variable.name, text=text)


def _error(problems: list[Problem]) -> SettingsError:
    many = f"{len(problems)} faults in the settings; the first: " if len(problems) > 1 else ""
    return SettingsError(f"{many}{problems[0]['message']}", hint=problems[0]["hint"], details={"problems": problems})
