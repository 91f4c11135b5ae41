"""The text of a crontab → its lines. Source: crontab(5) of Debian's cron and of cronie, and what Debian's cron does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

#: cron knows blanks and tabs; every other kind of space is part of a field.
_BLANKS = " \t"
_NAME = r"""(?:"(?P<double>[^"]+)"|'(?P<single>[^']+)'|(?P<plain>[^\s="'][^\s=]*))"""
_VALUE = r"""(?:"(?P<in_double>[^"]*)"|'(?P<in_single>[^']*)'|(?P<bare>[^"'\s].*)?)"""
_ASSIGNMENT = re.compile(rf"{_NAME}\s*=\s*{_VALUE}\s*", re.DOTALL)
_QUOTED_BADLY = re.compile(r"""[A-Za-z_][A-Za-z0-9_]*\s*=\s*["']""")
_WHEN = re.compile(r"(@[^ \t]+|(?:[^ \t]+[ \t]+){4}[^ \t]+)(?:[ \t]+|$)(.*)", re.DOTALL)
_USER = re.compile(r"([^ \t]+)(?:[ \t]+|$)(.*)", re.DOTALL)
#: FreeBSD's cron takes these before a command: mail only after a failure, no log.
_FLAGS = re.compile(r"(?:-[nq]+[ \t]+)+")
_NOT_UTF8 = re.compile("[\ud800-\udfff]")
_FIELDS = "five fields or a word like @daily"


@dataclass(frozen=True)
class Variable:
    """`NAME=value`. Holds for the lines below it."""

    number: int
    text: str
    name: str
    value: str


@dataclass(frozen=True)
class Entry:
    """A line that runs something: `when` as five fields or a word, and what cron would hand to the shell.

    `stdin` is None where cron gives none. `environ` is what is set above it; `user` is "" in a user's own crontab.
    """

    number: int
    text: str
    when: str
    command: str
    stdin: str | None = None
    user: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Unreadable:
    """A line that is neither; `reason` is a sentence without its full stop, `hint` says what to write."""

    number: int
    text: str
    reason: str
    hint: str


Line = Variable | Entry | Unreadable


def parse(text: str, *, system: bool) -> list[Line]:
    """The lines that are neither blank nor a comment, in order, counted from 1.

    Bytes that are no UTF-8 stand in `text` as lone surrogates. A `system` crontab names a user before the command.
    """
    found: list[Line] = []
    known: Mapping[str, str] = MappingProxyType({})
    for number, raw in _lines(text):
        line = _read(number, raw, known, system=system)
        if isinstance(line, Variable):
            known = MappingProxyType({**known, line.name: line.value})
        found.append(line)
    return found


def is_system(text: str, is_account: Callable[[str], bool]) -> bool:
    """Whether each entry unmistakably names a user before its command: all of them accounts, and root among them.

    One that only looks so is not enough: `backup`, `mail` and `sync` are accounts of Debian, and programs.
    """
    users = {line.user if isinstance(line, Entry) else "" for line in parse(text, system=True) if _runs(line)}
    return "root" in users and all(map(is_account, users))


def _runs(line: Line) -> bool:
    return not isinstance(line, Variable)


def _lines(text: str) -> list[tuple[int, str]]:
    # Not splitlines(): to cron a form feed or U+2028 ends no line.
    lines = enumerate(text.removeprefix("\ufeff").split("\n"), start=1)
    plain = ((number, raw.removesuffix("\r").lstrip(_BLANKS)) for number, raw in lines)
    return [(number, line) for number, line in plain if line.strip() and not line.startswith("#")]


def _read(number: int, raw: str, known: Mapping[str, str], *, system: bool) -> Line:
    if "\0" in raw:
        return Unreadable(number, raw, "It holds a NUL character", "A crontab is plain text: is this the right file?")
    if _NOT_UTF8.search(raw):
        return Unreadable(number, raw, "It holds bytes that are not UTF-8", "Convert the crontab, as with iconv.")
    if match := _ASSIGNMENT.fullmatch(raw):
        return Variable(number, raw, _first(match, "double", "single", "plain"), _value(match))
    if _QUOTED_BADLY.match(raw):
        return Unreadable(number, raw, "The quotes around its value do not end where they should", "Write NAME='text'.")
    return _entry(number, raw, known, system=system)


def _first(match: re.Match[str], *groups: str) -> str:
    return next((match[group] for group in groups if match[group] is not None), "")


def _value(match: re.Match[str]) -> str:
    bare = match["bare"]
    return bare.rstrip() if bare is not None else _first(match, "in_double", "in_single")


def _entry(number: int, raw: str, known: Mapping[str, str], *, system: bool) -> Line:
    # SUSE's cron and cronie: a dash before the minute keeps the line out of the system's log.
    match = _WHEN.fullmatch(raw.removeprefix("-").lstrip(_BLANKS))
    if match is None:
        return Unreadable(number, raw, f"It is no NAME=value, and has no {_FIELDS} before a command", "See crontab(5).")
    when, rest, user = " ".join(match[1].split()), match[2], ""
    if system:
        # fullmatch of nothing is none: then there is no command either.
        user, rest = named.groups() if (named := _USER.fullmatch(rest)) else ("", "")
    command, stdin = _divided(_FLAGS.sub("", rest, count=1) if _FLAGS.match(rest) else rest)
    if not command.strip():
        what = "user and command" if system and not user else "command"
        return Unreadable(number, raw, f"There is no {what} behind `{when}`", "Write one, or remove the line.")
    return Entry(number, raw, when, command, stdin, user, known)


def _divided(text: str) -> tuple[str, str | None]:
    r"""A command, and what goes to its stdin: what stands behind the first bare `%`.

    In the command `\%` is `%` and `\\` is `\`; behind it `\%` is `%`, `%` is a newline, and the last line gets its end.
    """
    command, rest = [], None
    place = 0
    while place < len(text):
        pair = text[place : place + 2]
        if pair in (r"\%", r"\\"):
            command.append(pair[1])
        elif pair[0] == "\\":
            command.append(pair)
        elif pair[0] == "%":
            rest = text[place + 1 :]
            break
        else:
            command.append(pair[0])
        place += 2 if pair[0] == "\\" else 1
    if not rest:
        return "".join(command), None
    given = re.sub(r"(\\?)%", lambda found: "%" if found[1] else "\n", rest)
    return "".join(command), given if given.endswith("\n") else f"{given}\n"
