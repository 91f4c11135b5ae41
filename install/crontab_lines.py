"""The text of a crontab → its lines. Source: crontab(5) of Debian's cron and of cronie, and what Debian's cron does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

#: cron separates fields by spaces and tabs; any other white space is part of a field.
_BLANKS = " \t"
_NAME = r"""(?:"(?P<double>[^"]+)"|'(?P<single>[^']+)'|(?P<plain>[^\s="'][^\s=]*))"""
_VALUE = r"""(?:"(?P<in_double>[^"]*)"|'(?P<in_single>[^']*)'|(?P<bare>[^"'\s].*)?)"""
_ASSIGNMENT = re.compile(rf"{_NAME}\s*=\s*{_VALUE}\s*", re.DOTALL)
_QUOTED_BADLY = re.compile(r"""[A-Za-z_][A-Za-z0-9_]*\s*=\s*["']""")
_WHEN = re.compile(r"(@[^ \t]+|(?:[^ \t]+[ \t]+){4}[^ \t]+)(?:[ \t]+|$)(.*)", re.DOTALL)
_USER = re.compile(r"([^ \t]+)(?:[ \t]+|$)(.*)", re.DOTALL)
#: FreeBSD's cron accepts these flags before a command: -n (mail only after a failure) and -q (no log).
_FLAGS = re.compile(r"(?:-[nq]+[ \t]+)+")
_NOT_UTF8 = re.compile("[\ud800-\udfff]")
_FIELDS = "five fields or a word like @daily"


@dataclass(frozen=True)
class Variable:
    """A line `NAME=value`. It applies to the lines below it."""

    number: int
    text: str
    name: str
    value: str


@dataclass(frozen=True)
class Entry:
    """A line that runs a command: `when` is five fields or a word such as @daily, `command` what the shell gets.

    `stdin` is None if the line has none. `environ` holds the variables set above it. `user` is "" in a user's crontab.
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
    """A line that is neither. `reason` is a sentence without its full stop; `hint` says what to do."""

    number: int
    text: str
    reason: str
    hint: str


Line = Variable | Entry | Unreadable


def parse(text: str, *, system: bool) -> list[Line]:
    """The lines of a crontab without blank lines and comments, in order; they are numbered from 1.

    Bytes that are not UTF-8 are lone surrogates in `text`. A `system` crontab names a user before the command.
    """
    lines: list[Line] = []
    environ: Mapping[str, str] = MappingProxyType({})
    for number, raw in _lines(text):
        line = _read(number, raw, environ, system=system)
        if isinstance(line, Variable):
            environ = MappingProxyType({**environ, line.name: line.value})
        lines.append(line)
    return lines


def is_system(text: str, is_account: Callable[[str], bool]) -> bool:
    """Whether a text is a system crontab: each entry has an account before its command, and one of them is root.

    Accounts alone are not enough: on Debian `backup`, `mail` and `sync` are accounts and also programs.
    """
    users = {line.user if isinstance(line, Entry) else "" for line in parse(text, system=True) if _runs(line)}
    return "root" in users and all(map(is_account, users))


def _runs(line: Line) -> bool:
    return not isinstance(line, Variable)


def _lines(text: str) -> list[tuple[int, str]]:
    # Not splitlines(): for cron a form feed or U+2028 does not end a line.
    lines = enumerate(text.removeprefix("\ufeff").split("\n"), start=1)
    stripped = ((number, raw.removesuffix("\r").lstrip(_BLANKS)) for number, raw in lines)
    return [(number, line) for number, line in stripped if line.strip() and not line.startswith("#")]


def _read(number: int, raw: str, environ: Mapping[str, str], *, system: bool) -> Line:
    if "\0" in raw:
        hint = "A crontab is plain text: is this the right file?"
        return Unreadable(number, raw, "It contains a NUL character", hint)
    if _NOT_UTF8.search(raw):
        hint = "Convert the crontab to UTF-8, for example with iconv."
        return Unreadable(number, raw, "It contains bytes that are not UTF-8", hint)
    if match := _ASSIGNMENT.fullmatch(raw):
        return Variable(number, raw, _first(match, "double", "single", "plain"), _value(match))
    if _QUOTED_BADLY.match(raw):
        return Unreadable(number, raw, "The quotes around its value are not closed at its end", "Write NAME='text'.")
    return _entry(number, raw, environ, system=system)


def _first(match: re.Match[str], *groups: str) -> str:
    return next((match[group] for group in groups if match[group] is not None), "")


def _value(match: re.Match[str]) -> str:
    bare = match["bare"]
    return bare.rstrip() if bare is not None else _first(match, "in_double", "in_single")


def _entry(number: int, raw: str, environ: Mapping[str, str], *, system: bool) -> Line:
    # In SUSE's cron and cronie a dash before the minute keeps the line out of the system's log.
    match = _WHEN.fullmatch(raw.removeprefix("-").lstrip(_BLANKS))
    if match is None:
        reason = f"It is not NAME=value, and does not have {_FIELDS} before a command"
        return Unreadable(number, raw, reason, "See crontab(5).")
    when, text, user = " ".join(match[1].split()), match[2], ""
    if system:
        # No match if nothing follows: then the command is missing too.
        user, text = user_and_command.groups() if (user_and_command := _USER.fullmatch(text)) else ("", "")
    command, stdin = _split_stdin(_FLAGS.sub("", text, count=1) if _FLAGS.match(text) else text)
    if not command.strip():
        missing = "user and command" if system and not user else "command"
        return Unreadable(number, raw, f"There is no {missing} after `{when}`", "Write one, or remove the line.")
    return Entry(number, raw, when, command, stdin, user, environ)


def _split_stdin(text: str) -> tuple[str, str | None]:
    r"""The command, and the text for its stdin, which follows the first unescaped `%`.

    In the command `\%` means `%` and `\\` means `\`. After it `\%` means `%`, and `%` a newline; a final newline is
    added.
    """
    command, stdin = [], None
    index = 0
    while index < len(text):
        pair = text[index : index + 2]
        if pair in (r"\%", r"\\"):
            command.append(pair[1])
        elif pair[0] == "\\":
            command.append(pair)
        elif pair[0] == "%":
            stdin = text[index + 1 :]
            break
        else:
            command.append(pair[0])
        index += 2 if pair[0] == "\\" else 1
    if not stdin:
        return "".join(command), None
    lines = re.sub(r"(\\?)%", lambda match: "%" if match[1] else "\n", stdin)
    return "".join(command), lines if lines.endswith("\n") else f"{lines}\n"
