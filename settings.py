"""The environment and `.env` → one frozen `Settings`. `VARIABLES` is the one list of what can be set.

The environment wins over `.env`, which wins over the default; an empty value counts as unset. Paths are resolved
against the folder that holds main.py, never against the current directory. Source: CONTRACT "Environment".
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from errors import NotInPlaceError, SettingsError

Kind = Literal["path", "inside", "integer", "switch", "text"]
Problem = dict[str, object]

PREFIX = "PURUTO_CRON_"

#: Names of ours that are no setting: the contract's daemon sleep, and what a run finds in its environment.
_OURS = re.compile(PREFIX + "(POLL_SECONDS|(RUN|JOB|REQUEST|CORRELATION)_ID|REQUEST_FILE|RUN_FOLDER|SLOT|ATTEMPT|HOP)")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|KEY|PASSWORD", re.IGNORECASE)
_NO_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_SINGLE_QUOTED = re.compile(r"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+)[^\S\r\n]*=[^\S\r\n]*'")
_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class Variable(NamedTuple):
    """One setting: its name, the field of `Settings` it fills, its default as text, and what it means.

    `low` and `high` bound an integer, both included.
    """

    name: str
    field: str
    kind: Kind
    default: str
    meaning: str
    low: int = 0
    high: int = 0

    @property
    def allowed(self) -> str:
        """What a value must be, in words."""
        return {
            "path": "a path, absolute or from the folder of main.py",
            "inside": "a relative path that stays inside `PURUTO_TELEGRAM_PATH`",
            "integer": f"a whole number from {self.low} to {self.high}",
            "switch": "one of 1, true, yes, on, 0, false, no, off",
            "text": "one line of text",
        }[self.kind]


VARIABLES: tuple[Variable, ...] = (
    Variable("DB_PATH", "db_path", "path", "db/cron.db", "The SQLite file."),
    Variable(
        "PURUTO_CRON_LEASE_SECONDS", "lease_sec", "integer", "120",
        "Seconds that the lease of a run lasts. It is renewed while the run lives.", 5, 86_400,
    ),
    Variable("PURUTO_DATA_PATH", "data_path", "path", "../puruto-data", "Its `registry.json` may name targets."),
    Variable("PURUTO_TELEGRAM_PATH", "telegram_path", "path", "../puruto-telegram", "The sibling that mirrors events."),
    Variable(
        "PURUTO_TELEGRAM_OUTBOX_FILE", "telegram_outbox_file", "inside", "inbox/cron-events.jsonl",
        "The file of that sibling to which events are appended.",
    ),
    Variable("PURUTO_HOME", "home", "path", "..", "The folder that holds the sibling repositories."),
    Variable(
        "PURUTO_CRON_TIMEZONE", "timezone", "text", "",
        "IANA zone, like Europe/Madrid, of schedules whose job has no `timezone`. Unset: the machine's zone.",
    ),
    Variable(
        "PURUTO_CRON_MAX_RUNNING", "max_running", "integer", "4",
        "Runs at the same time, over all processes. Jobs beyond it stay due.", 1, 1_000,
    ),
    Variable(
        "PURUTO_CRON_AUTO_SYNC", "auto_sync", "switch", "1",
        "Whether a tick first syncs a `.jobs.json` that has changed.",
    ),
    Variable(
        "PURUTO_CRON_KILL_GRACE_SECONDS", "kill_grace_sec", "integer", "5",
        "Seconds between TERM and KILL when a run is ended.", 0, 600,
    ),
    Variable(
        "PURUTO_CRON_STALE_SECONDS", "stale_after_sec", "integer", "300",
        "Seconds without a tick after which the scheduler is called stale.", 60, 31_536_000,
    ),
)  # fmt: skip

#: Places that can't be moved, as the contract writes them.
_FIXED_PLACES = {"jobs_file": ".jobs.json", "local_events": "notifications/events.jsonl", "runs_folder": "runs"}


@dataclass(frozen=True)
class Settings:
    """All that can be set, checked. Paths are absolute; times are whole seconds."""

    root: Path
    """The folder that holds main.py."""
    env_file: Path | None
    """The `.env` that was read, or None."""
    db_path: Path
    lease_sec: int
    data_path: Path
    telegram_path: Path
    telegram_outbox_file: str
    """Relative to `telegram_path`, and inside it."""
    home: Path
    timezone: str | None
    """As written; whether it is a zone is for `schedules` to say."""
    max_running: int
    auto_sync: bool
    kill_grace_sec: int
    stale_after_sec: int
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


def main_folder(here: str = __file__) -> Path:
    """The folder that holds main.py: that of this file, links resolved.

    Raises `NotInPlaceError` if it is one where pip puts copies: there are no jobs and no siblings there.
    """
    folder = Path(here).resolve().parent
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
    dotenv = _read_dotenv(root / ".env", environ, problems)
    values: dict[str, object] = {}
    texts: dict[str, str] = {}
    for variable in VARIABLES:
        found = _find(variable, environ, dotenv)
        if variable.kind == "path":
            texts[variable.field] = found.text
        try:
            values[variable.field] = _PARSERS[variable.kind](variable, found.text, root, environ)
        except _Unfit as unfit:
            problems.append(_problem(variable, found, unfit))
    if problems:
        raise _error(problems)
    return Settings(
        root=root,
        env_file=root / ".env" if dotenv.read else None,
        warnings=tuple(dotenv.warnings),
        variables=MappingProxyType(_over(dotenv.values, environ)),
        texts=MappingProxyType(texts),
        **values,  # type: ignore[arg-type]
    )


class _Found(NamedTuple):
    """A value, where it came from, and its text before `${…}` was replaced, which is safe to show."""

    text: str
    source: str
    written: str
    line: int | None = None


class _Unfit(Exception):
    """A value is wrong; the sentence goes on after the variable's name."""

    def __init__(self, code: str, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.hint = hint


def _find(variable: Variable, environ: Mapping[str, str], dotenv: _Dotenv) -> _Found:
    if text := environ.get(variable.name, "").strip():
        return _Found(text, "environment", text)
    if text := dotenv.values.get(variable.name, "").strip():
        line, written = dotenv.origins[variable.name]
        return _Found(text, f".env line {line}", written.strip(), line)
    return _Found(variable.default, "default", variable.default)


def _plain(variable: Variable, text: str) -> str:
    if found := _NO_TEXT.search(text):
        kind = "a control character" if found[0] <= "\x7f" else "a byte that is not UTF-8"
        raise _Unfit("BAD_TEXT", f"holds {kind}", f"{variable.name} must be {variable.allowed}")
    return text


def _path(variable: Variable, text: str, root: Path, environ: Mapping[str, str]) -> Path:
    _plain(variable, text)
    if text == "~" or text.startswith("~/"):
        text = (environ.get("HOME") or os.path.expanduser("~")) + text[1:]
    text = os.path.expanduser(text)
    if text.startswith("~"):
        raise _Unfit("BAD_PATH", "starts with the name of a user who does not exist", "write the path without ~")
    return Path(os.path.realpath(root / text))


def _inside(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> str:
    clean = os.path.normpath(_plain(variable, text))
    if text.startswith(("/", "~")) or clean == ".." or clean.startswith("../"):
        raise _Unfit("BAD_PATH", "leaves the folder PURUTO_TELEGRAM_PATH", f"it must be {variable.allowed}")
    if clean == "." or text.endswith(("/", "/.", "/..")):
        raise _Unfit("BAD_PATH", "names a folder, not a file", f"like {variable.default}")
    return clean


def _integer(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> int:
    fits = re.fullmatch(r"[+-]?[0-9]{1,18}", text) is not None
    if not fits or not variable.low <= int(text) <= variable.high:
        code = "OUT_OF_RANGE" if fits else "NOT_A_NUMBER"
        raise _Unfit(code, f"must be {variable.allowed}", f"the default is {variable.default}")
    return int(text)


def _switch(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> bool:
    if text.lower() not in _SWITCH:
        raise _Unfit("NOT_A_SWITCH", f"must be {variable.allowed}", f"the default is {variable.default}")
    return _SWITCH[text.lower()]


def _text(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> str | None:
    return _plain(variable, text) or None


_PARSERS: dict[Kind, Callable[[Variable, str, Path, Mapping[str, str]], object]] = {
    "path": _path, "inside": _inside, "integer": _integer, "switch": _switch, "text": _text,
}  # fmt: skip


def _problem(variable: Variable, found: _Found, unfit: _Unfit) -> Problem:
    message = f"{variable.name} ({found.source}) {unfit.sentence}"
    if _SECRET_NAME.search(variable.name):
        return _about(unfit.code, found.line, message, unfit.hint, variable=variable.name)
    text = _shown(found.written)
    message = f'{message}; it is "{text}"'
    return _about(unfit.code, found.line, message, unfit.hint, variable=variable.name, text=text)


def _about(code: str, line: int | None, message: str, hint: str, **more: str) -> Problem:
    """A problem or warning; without a line of `.env` it is about the environment."""
    place: Problem = {"source": "environment"} if line is None else {"source": f".env line {line}", "line": line}
    return {"code": code, **more, **place, "message": message, "hint": hint}


def _shown(text: str) -> str:
    """At most 80 characters of `text`, those that can't be printed as escapes."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:80])


def _error(problems: list[Problem]) -> SettingsError:
    many = f"{len(problems)} faults in the settings; the first: " if len(problems) > 1 else ""
    return SettingsError(
        f"{many}{problems[0]['message']}", hint=str(problems[0]["hint"]), details={"problems": problems}
    )


class _Dotenv(NamedTuple):
    """What `.env` says: values with `${…}` replaced, and for each its line and its text as written."""

    read: bool
    values: dict[str, str]
    origins: dict[str, tuple[int, str]]
    warnings: list[Problem]


def _over(values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """`values` with the environment over them, except where that is empty."""
    return {**values, **{name: value for name, value in environ.items() if value or name not in values}}


def _read_dotenv(path: Path, environ: Mapping[str, str], problems: list[Problem]) -> _Dotenv:
    """Reads `.env` and appends its faults to `problems`. A file that is not there is no fault."""
    dotenv = _Dotenv(os.path.lexists(path), {}, {}, [])
    if not dotenv.read:
        return dotenv
    try:
        text = _dotenv_text(path)
    except _Unfit as unfit:
        problem = _about(unfit.code, None, f"{path} {unfit.sentence}", unfit.hint)
        problems.append({**problem, "source": ".env"})
        return dotenv
    for line, name, value, literal in _assignments(text, problems):
        if value is None:
            # Not even the name is shown: it may be a line of a secret that was not quoted.
            message = f".env line {line} has no = and sets nothing"
            dotenv.warnings.append(_about("NO_VALUE", line, message, "write NAME=value"))
            continue
        dotenv.origins[name] = (line, value)
        plain = literal or "${" not in value
        dotenv.values[name] = value if plain else _replaced(value, _over(dotenv.values, environ))
    dotenv.warnings.extend(_unknown(dotenv.origins))
    return dotenv


def _unknown(origins: Mapping[str, tuple[int, str]]) -> Iterator[Problem]:
    import difflib

    known = [variable.name for variable in VARIABLES]
    for name, (line, _) in origins.items():
        if name.startswith(PREFIX) and name not in known and not _OURS.fullmatch(name):
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else "settings are listed in .env.example"
            message = f"{_shown(name)} (.env line {line}) is no setting"
            yield _about("UNKNOWN_VARIABLE", line, message, hint, variable=_shown(name))


def _dotenv_text(path: Path) -> str:
    """The text of a `.env`, newlines as \\n. Raises `_Unfit`."""
    try:
        # A FIFO without a writer would hold up an ordinary open for ever.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _Unfit("DOTENV_UNREADABLE", "is no regular file", "make it a text file, or remove it")
            data = file.read()
    except OSError as error:
        reason = "is a folder" if isinstance(error, IsADirectoryError) else f"can't be read: {error.strerror}"
        raise _Unfit("DOTENV_UNREADABLE", reason, f"make {path} a readable text file, or remove it") from None
    if (place := data.find(b"\0")) >= 0:
        raise _Unfit("DOTENV_BAD_TEXT", f"line {data.count(10, 0, place) + 1} holds a NUL byte", "remove it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(10, 0, error.start) + 1
        raise _Unfit("DOTENV_BAD_TEXT", f"line {line} is not UTF-8", "save the file as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _assignments(text: str, problems: list[Problem]) -> Iterator[tuple[int, str, str | None, bool]]:
    """(line, name, value, whether it stood in single quotes) of each assignment; a value is None without `=`.

    A line that can't be parsed goes to `problems` without its text, which may be part of a secret.
    """
    import io

    from dotenv.parser import parse_stream

    line = 1
    for binding in parse_stream(io.StringIO(text)):
        piece = binding.original.string
        # dotenv counts from the blank lines before an assignment.
        start = line + piece[: len(piece) - len(piece.lstrip())].count("\n")
        line += piece.count("\n")
        if binding.error:
            hint = "write NAME=value; a value that begins with a quote must end with it"
            problems.append(_about("DOTENV_SYNTAX", start, f".env line {start} can't be understood", hint))
        elif binding.key is not None:
            yield start, binding.key, binding.value, _SINGLE_QUOTED.match(piece) is not None


def _replaced(value: str, known: Mapping[str, str]) -> str:
    """`value` with `${NAME}` and `${NAME:-default}` replaced, as python-dotenv does."""
    from dotenv.variables import parse_variables

    return "".join(atom.resolve(known) for atom in parse_variables(value))
