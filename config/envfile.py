"""Reads `.env`: splits it into assignments, parses each with python-dotenv, and reports faults with their lines.

python-dotenv's documented function returns values only: it gives no lines, logs its faults, and replaces `${…}` from
this process's environment only. So this module finds the beginning and end of each assignment, and replaces `${…}`;
python-dotenv decides what names, quotes, escapes and comments mean.
"""

from __future__ import annotations

import functools
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from config.problems import InvalidValue, Problem, printable, problem_of
from config.variables import PREFIX, VARIABLES
from core.bounded_file import UnfitFile, read_bounded

#: A larger file is refused: it is no list of settings, and reading it would delay each tick.
MAX_BYTES = 256 * 1024
#: Variables of ours that are not settings: the scheduler sets them for a run.
_NOT_SETTINGS = re.compile(PREFIX + "((RUN|JOB|REQUEST|CORRELATION)_ID|REQUEST_FILE|RUN_FOLDER|SLOT|ATTEMPT|HOP)")
#: An assignment, or another line, to its end. A quoted name or value may contain line ends.
_ASSIGNMENT = re.compile(
    r"""[^\S\n]*(?:export[^\S\n]+)?(?:'[^']+'|[^=\#\s]+)"""
    r"""(?:[^\S\n]*=[^\S\n]*(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")?)?[^\n]*\n?""",
    re.DOTALL,
)
_LINE = re.compile(r"[^\n]*\n?")
_EMPTY = re.compile(r"\s*(?:(?:export[^\S\n]+)?#.*)?", re.DOTALL)
#: Source: the README of python-dotenv, "File format" and "Variable expansion".
_REFERENCE = re.compile(r"\$\{(?P<name>[^}:]*)(?::-(?P<default>[^}]*))?\}")
_SINGLE_QUOTED = re.compile(r"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+)[^\S\r\n]*=[^\S\r\n]*'")


class Dotenv(NamedTuple):
    """The content of `.env`: the values with `${…}` replaced, and the line and the raw text of each."""

    read: bool
    values: dict[str, str]
    origins: dict[str, tuple[int, str]]
    warnings: list[Problem]


def with_environment(values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """`values` overridden by `environ`. An empty variable of `environ` overrides nothing."""
    return {**values, **{name: value for name, value in environ.items() if value or name not in values}}


def read(path: Path, environ: Mapping[str, str], problems: list[Problem]) -> Dotenv:
    """Reads `.env` and appends its faults to `problems`. A missing file is not a fault."""
    dotenv = Dotenv(os.path.lexists(path), {}, {}, [])
    if not dotenv.read:
        return dotenv
    try:
        text = _dotenv_text(path)
    except InvalidValue as error:
        problem = problem_of(error.code, None, f"{path} {error.sentence}", error.hint)
        problems.append({**problem, "source": ".env"})
        return dotenv
    for line, name, value, literal in _assignments(text, problems):
        if value is None:
            # The name is not shown either: it may be a line of a secret that was not quoted.
            message = f".env line {line} has no =, so it sets nothing"
            dotenv.warnings.append(problem_of("NO_VALUE", line, message, "write NAME=value"))
            continue
        dotenv.origins[name] = (line, value)
        is_plain = literal or "${" not in value
        dotenv.values[name] = value if is_plain else _expanded(value, with_environment(dotenv.values, environ))
    dotenv.warnings.extend(_unknown_names(dotenv.origins))
    return dotenv


def _unknown_names(origins: Mapping[str, tuple[int, str]]) -> Iterator[Problem]:
    import difflib

    settings = [variable.name for variable in VARIABLES]
    for name, (line, _) in origins.items():
        if name.startswith(PREFIX) and name not in settings and not _NOT_SETTINGS.fullmatch(name):
            similar = difflib.get_close_matches(name.upper(), settings, n=1)
            hint = f"did you mean {similar[0]}?" if similar else "settings are listed in .env.example"
            message = f"{printable(name)} (.env line {line}) is not a setting"
            yield problem_of("UNKNOWN_VARIABLE", line, message, hint, variable=printable(name))


def _dotenv_text(path: Path) -> str:
    """The text of a `.env` with \\n as line end. Raises `InvalidValue`."""
    try:
        data, _ = read_bounded(path, MAX_BYTES)
    except OSError as error:
        reason = error.reason if isinstance(error, UnfitFile) else f"can't be read: {error.strerror}"
        raise InvalidValue("DOTENV_UNREADABLE", reason, f"make {path} a readable text file, or remove it") from None
    if (position := data.find(b"\0")) >= 0:
        line = data.count(10, 0, position) + 1
        raise InvalidValue("DOTENV_BAD_TEXT", f"line {line} contains a NUL byte", "remove it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(10, 0, error.start) + 1
        raise InvalidValue("DOTENV_BAD_TEXT", f"line {line} is not UTF-8", "save the file as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _assignments(text: str, problems: list[Problem]) -> Iterator[tuple[int, str, str | None, bool]]:
    """(line, name, value, is it in single quotes?) of each assignment. The value is None if there is no `=`.

    A line that can't be parsed is added to `problems` without its text, which may be part of a secret.
    """
    offset, line = 0, 1
    while offset < len(text):
        # One of them always matches, as a line may be empty.
        source = (_ASSIGNMENT.match(text, offset) or _LINE.match(text, offset) or [""])[0]
        start, offset = line, offset + len(source)
        line += source.count("\n")
        if _EMPTY.fullmatch(source):
            continue
        values = _dotenv_values()(stream=io.StringIO(source), interpolate=False)
        if not values:
            hint = "write NAME=value; a value that begins with a quote must end with it"
            problems.append(problem_of("DOTENV_SYNTAX", start, f".env line {start} can't be parsed", hint))
        for name, value in values.items():
            yield start, name, value, _SINGLE_QUOTED.match(source) is not None


@functools.cache
def _dotenv_values() -> Callable[..., dict[str, str | None]]:
    import logging

    from dotenv import dotenv_values

    # python-dotenv logs what it can't parse, with a line number relative to the assignment.
    logger = logging.getLogger("dotenv")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return dotenv_values


def _expanded(value: str, variables: Mapping[str, str]) -> str:
    """`value` with `${NAME}` and `${NAME:-default}` replaced, as python-dotenv documents it."""
    return _REFERENCE.sub(lambda match: variables.get(match["name"], match["default"] or ""), value)
