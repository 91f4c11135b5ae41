"""The file `.env`: split into assignments here, each read by python-dotenv, with every fault and its line.

python-dotenv's documented function gives values only: no lines, its faults go to a log, and `${…}` is replaced from the
environment of this process alone, never from one that is handed in. So we find where an assignment begins and ends, and
replace `${…}`. What a name, a quote, an escape or a comment means, python-dotenv says.
"""

from __future__ import annotations

import functools
import io
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from config.problems import Problem, Unfit, about, shown
from config.variables import PREFIX, VARIABLES

#: Names of ours that are no setting: what a run finds in its environment.
_NOT_SETTINGS = re.compile(PREFIX + "((RUN|JOB|REQUEST|CORRELATION)_ID|REQUEST_FILE|RUN_FOLDER|SLOT|ATTEMPT|HOP)")
#: An assignment, or a line that is none, to the end of its last line: a name or a value in quotes may go over several.
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
    """What `.env` says: values with `${…}` replaced, and for each its line and its text as written."""

    read: bool
    values: dict[str, str]
    origins: dict[str, tuple[int, str]]
    warnings: list[Problem]


def over(values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """`values` with the environment over them, except where that is empty."""
    return {**values, **{name: value for name, value in environ.items() if value or name not in values}}


def read(path: Path, environ: Mapping[str, str], problems: list[Problem]) -> Dotenv:
    """Reads `.env` and appends its faults to `problems`. A file that is not there is no fault."""
    dotenv = Dotenv(os.path.lexists(path), {}, {}, [])
    if not dotenv.read:
        return dotenv
    try:
        text = _dotenv_text(path)
    except Unfit as unfit:
        problem = about(unfit.code, None, f"{path} {unfit.sentence}", unfit.hint)
        problems.append({**problem, "source": ".env"})
        return dotenv
    for line, name, value, literal in _assignments(text, problems):
        if value is None:
            # Not even the name is shown: it may be a line of a secret that was not quoted.
            message = f".env line {line} has no = and sets nothing"
            dotenv.warnings.append(about("NO_VALUE", line, message, "write NAME=value"))
            continue
        dotenv.origins[name] = (line, value)
        plain = literal or "${" not in value
        dotenv.values[name] = value if plain else _replaced(value, over(dotenv.values, environ))
    dotenv.warnings.extend(_unknown(dotenv.origins))
    return dotenv


def _unknown(origins: Mapping[str, tuple[int, str]]) -> Iterator[Problem]:
    import difflib

    known = [variable.name for variable in VARIABLES]
    for name, (line, _) in origins.items():
        if name.startswith(PREFIX) and name not in known and not _NOT_SETTINGS.fullmatch(name):
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else "settings are listed in .env.example"
            message = f"{shown(name)} (.env line {line}) is no setting"
            yield about("UNKNOWN_VARIABLE", line, message, hint, variable=shown(name))


def _dotenv_text(path: Path) -> str:
    """The text of a `.env`, newlines as \\n. Raises `Unfit`."""
    try:
        # A FIFO without a writer would hold up an ordinary open for ever.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unfit("DOTENV_UNREADABLE", "is no regular file", "make it a text file, or remove it")
            data = file.read()
    except OSError as error:
        reason = "is a folder" if isinstance(error, IsADirectoryError) else f"can't be read: {error.strerror}"
        raise Unfit("DOTENV_UNREADABLE", reason, f"make {path} a readable text file, or remove it") from None
    if (place := data.find(b"\0")) >= 0:
        raise Unfit("DOTENV_BAD_TEXT", f"line {data.count(10, 0, place) + 1} holds a NUL byte", "remove it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(10, 0, error.start) + 1
        raise Unfit("DOTENV_BAD_TEXT", f"line {line} is not UTF-8", "save the file as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _assignments(text: str, problems: list[Problem]) -> Iterator[tuple[int, str, str | None, bool]]:
    """(line, name, value, whether it stood in single quotes) of each assignment; a value is None without `=`.

    A line that can't be parsed goes to `problems` without its text, which may be part of a secret.
    """
    place, line = 0, 1
    while place < len(text):
        # One of them fits: a line may be empty.
        piece = (_ASSIGNMENT.match(text, place) or _LINE.match(text, place) or [""])[0]
        start, place = line, place + len(piece)
        line += piece.count("\n")
        if _EMPTY.fullmatch(piece):
            continue
        values = _dotenv_values()(stream=io.StringIO(piece), interpolate=False)
        if not values:
            hint = "write NAME=value; a value that begins with a quote must end with it"
            problems.append(about("DOTENV_SYNTAX", start, f".env line {start} can't be understood", hint))
        for name, value in values.items():
            yield start, name, value, _SINGLE_QUOTED.match(piece) is not None


@functools.cache
def _dotenv_values() -> Callable[..., dict[str, str | None]]:
    import logging

    from dotenv import dotenv_values

    # What it can't parse it tells its log, with the line within the piece that it was given.
    logger = logging.getLogger("dotenv")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return dotenv_values


def _replaced(value: str, known: Mapping[str, str]) -> str:
    """`value` with `${NAME}` and `${NAME:-default}` replaced, as python-dotenv documents it."""
    return _REFERENCE.sub(lambda found: known.get(found["name"], found["default"] or ""), value)
