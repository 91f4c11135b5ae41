"""The file `.env`: read by python-dotenv's parser, with every fault and its line."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from config.problems import Problem, Unfit, about, shown
from config.variables import PREFIX, VARIABLES

#: Names of ours that are no setting: what a run finds in its environment.
_NOT_SETTINGS = re.compile(PREFIX + "((RUN|JOB|REQUEST|CORRELATION)_ID|REQUEST_FILE|RUN_FOLDER|SLOT|ATTEMPT|HOP)")
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
            problems.append(about("DOTENV_SYNTAX", start, f".env line {start} can't be understood", hint))
        elif binding.key is not None:
            yield start, binding.key, binding.value, _SINGLE_QUOTED.match(piece) is not None


def _replaced(value: str, known: Mapping[str, str]) -> str:
    """`value` with `${NAME}` and `${NAME:-default}` replaced, as python-dotenv does."""
    from dotenv.variables import parse_variables

    return "".join(atom.resolve(known) for atom in parse_variables(value))
