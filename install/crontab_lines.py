"""The text of a crontab → its lines.

Source: crontab(5) of Debian's cron, cronie, OpenBSD and FreeBSD, and what Debian's cron does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from install.crontab_fields import leading_fields, likely_meaning
from install.crontab_tables import ANACRON, Foreign, foreign, is_anacrons

#: cron separates fields by spaces and tabs; any other white space is part of a field.
_BLANKS = " \t"
_NAME = r"""(?:"(?P<double>[^"]+)"|'(?P<single>[^']+)'|(?P<plain>[^\s="'][^\s=]*))"""
_VALUE = r"""(?:"(?P<in_double>[^"]*)"|'(?P<in_single>[^']*)'|(?P<bare>[^"'\s].*)?)"""
_ASSIGNMENT = re.compile(rf"{_NAME}\s*=\s*{_VALUE}\s*", re.DOTALL)
_QUOTED_BADLY = re.compile(r"""[A-Za-z_][A-Za-z0-9_]*\s*=\s*["']""")
_WHEN = re.compile(r"(@[^ \t]+|(?:[^ \t]+[ \t]+){4}[^ \t]+)(?:[ \t]+|$)(.*)", re.DOTALL)
_USER = re.compile(r"([^ \t]+)(?:[ \t]+|$)(.*)", re.DOTALL)
#: Flags that OpenBSD, FreeBSD and cronie accept before a command: -n (mail only after a failure), -q (no log),
#: -s (one instance at a time). Here nothing is mailed, and a job never runs twice at a time.
_FLAGS = re.compile(r"(?:-[nqs]+[ \t]+)+")
_AWS = re.compile(r"(?:cron|rate|at)\(")
#: A value that goes on with five fields and a command, as some schedulers allow: `CRON_TZ=Europe/Rome 0 9 * * * x`.
_SCHEDULE_IN_VALUE = re.compile(
    r"[^ \t]+[ \t]+(?:@[a-z_]+|[0-9*][0-9*,/-]*(?:[ \t]+[A-Za-z0-9*?][A-Za-z0-9*?,/-]*){4})[ \t]+[^ \t]"
)
#: Backslashes at the end of a line: an odd number continues it in the shell and in fcron.
_BACKSLASHES = re.compile(r"\\+$")
_ANY_NAME = re.compile(r"""["']?([^\s="']+)["']?\s*=""")
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
    missing: tuple[str, ...] = ()
    """Variables above it whose lines could not be read."""
    doubled: bool = False
    """Whether there are two backslashes side by side in its command: in `command` they are one, as in Debian's cron."""


@dataclass(frozen=True)
class Unreadable:
    """A line that is neither. `reason` is a sentence without its full stop; `hint` says what to do."""

    number: int
    text: str
    reason: str
    hint: str
    code: str = "UNREADABLE"


Line = Variable | Entry | Unreadable


def parse(text: str, *, system: bool) -> list[Line]:
    """The lines of a crontab without blank lines and comments, in order; they are numbered from 1.

    Bytes that are not UTF-8 are lone surrogates in `text`. A `system` crontab names a user before the command.
    """
    lines: list[Line] = []
    numbered = _lines(text)
    ends = {number for number, raw in numbered if _ends_in_backslash(raw)}
    table = foreign(raw for number, raw in numbered if number - 1 not in ends)
    environ: Mapping[str, str] = MappingProxyType({})
    missing: tuple[str, ...] = ()
    for number, raw in numbered:
        follows = number - 1 in ends
        line = _continued(number, raw, ends) or _read(number, raw, environ, table, system=system)
        if isinstance(line, Variable):
            environ = MappingProxyType({**environ, line.name: line.value})
            missing = tuple(name for name in missing if name != line.name)
        elif isinstance(line, Unreadable) and not follows and (name := _ANY_NAME.match(raw)):
            missing = (*missing, name[1])
        elif isinstance(line, Entry) and missing:
            line = replace(line, missing=missing)
        lines.append(line)
    return lines


def _continued(number: int, raw: str, ends: set[int]) -> Unreadable | None:
    """A line that ends with a backslash, or follows one: cron does not join them, but fcron and people do."""
    if number - 1 in ends:
        reason = f"Line {number - 1} ends with a backslash, so this line may be its continuation"
    elif number in ends:
        reason = "It ends with a backslash: cron does not continue a line, so it would run this part alone"
    else:
        return None
    hint = "Write the whole command on one line, or put it into a script, then import it again."
    return Unreadable(number, raw, reason, hint, "CONTINUED")


def _ends_in_backslash(raw: str) -> bool:
    match = _BACKSLASHES.search(raw)
    return match is not None and len(match[0]) % 2 == 1


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


def _read(number: int, raw: str, environ: Mapping[str, str], table: Foreign | None, *, system: bool) -> Line:
    if "\0" in raw:
        hint = "A crontab is plain text: is this the right file?"
        return Unreadable(number, raw, "It contains a NUL character", hint)
    if _NOT_UTF8.search(raw):
        hint = "Convert the crontab to UTF-8, for example with iconv."
        return Unreadable(number, raw, "It contains bytes that are not UTF-8", hint)
    if match := _ASSIGNMENT.fullmatch(raw):
        if _SCHEDULE_IN_VALUE.match(match["bare"] or ""):
            hint = "Write the variable on a line of its own, and the schedule with its command on the next one."
            return Unreadable(number, raw, "A schedule follows the value: cron takes all of it for the value", hint)
        return Variable(number, raw, _first(match, "double", "single", "plain"), _value(match))
    if _QUOTED_BADLY.match(raw):
        return Unreadable(number, raw, "The quotes around its value are not closed at its end", "Write NAME='text'.")
    if table is None and is_anacrons(raw):
        table = ANACRON
    if table is not None:
        return Unreadable(number, raw, table.reason, table.hint, table.code)
    return _entry(number, raw, environ, system=system)


def _first(match: re.Match[str], *groups: str) -> str:
    return next((match[group] for group in groups if match[group] is not None), "")


def _value(match: re.Match[str]) -> str:
    bare = match["bare"]
    return bare.rstrip() if bare is not None else _first(match, "in_double", "in_single")


def _entry(number: int, raw: str, environ: Mapping[str, str], *, system: bool) -> Line:
    if _AWS.match(raw):
        hint = "Write five fields; days are 0 to 7 or names, and * stands for ?."
        return Unreadable(number, raw, "It is an expression of AWS and not a line of a crontab", hint)
    # In SUSE's cron and cronie a dash before the minute keeps the line out of the system's log.
    match = _WHEN.fullmatch(raw.removeprefix("-").lstrip(_BLANKS))
    if match is None:
        reason = f"It is not NAME=value, and does not have {_FIELDS} before a command"
        return Unreadable(number, raw, reason, "See crontab(5).")
    when, text, user = " ".join(match[1].split()), match[2], ""
    if fields := leading_fields(text):
        return _too_many(number, raw, when, fields)
    if system:
        # No match if nothing follows: then the command is missing too.
        user, text = user_and_command.groups() if (user_and_command := _USER.fullmatch(text)) else ("", "")
        if user.startswith(("/", ".", "~", "-")):
            hint = "Write the user before the command, or import it with --user-form if lines name no user."
            return Unreadable(number, raw, f"It names no user: `{user}` is part of the command", hint, "NO_USER")
    command, stdin, doubled = _split_stdin(_FLAGS.sub("", text, count=1) if _FLAGS.match(text) else text)
    if fields := leading_fields(command):
        return _too_many(number, raw, when, fields)
    if not command.strip():
        missing = "user and command" if system and not user else "command"
        return Unreadable(number, raw, f"There is no {missing} after `{when}`", "Write one, or remove the line.")
    return Entry(number, raw, when, command, stdin, user, environ, doubled=doubled)


def _too_many(number: int, raw: str, when: str, fields: list[str]) -> Unreadable:
    """A line whose command would begin with a field: other schedulers have seconds or years, cron has neither."""
    program = f"If `{fields[0]}` is a program, write its whole path." if fields[0].isalpha() else ""
    if when.startswith("@"):
        reason = f"After {when} its command would begin with `{fields[0]}`, which reads like a field of a schedule"
        return Unreadable(
            number, raw, reason, f"Remove what stands before the command. {program}".strip(), "TOO_MANY_FIELDS"
        )
    all_fields = [*when.split(), *fields]
    reason = f"It has {len(all_fields)} fields: after the five of cron its command would begin with `{fields[0]}`"
    hint = f"{likely_meaning(all_fields)} {program}".strip()
    return Unreadable(number, raw, reason, hint, "TOO_MANY_FIELDS")


def _split_stdin(text: str) -> tuple[str, str | None, bool]:
    r"""The command, the text for its stdin, which follows the first unescaped `%`, and whether `\\` is in the command.

    In the command `\%` means `%`, and `\\` means `\` in Debian's cron. After it `\%` means `%`, and `%`
    a newline; a final newline is added.
    """
    command, stdin, doubled = [], None, False
    index = 0
    while index < len(text):
        pair = text[index : index + 2]
        if pair in (r"\%", r"\\"):
            command.append(pair[1])
            doubled = doubled or pair == r"\\"
        elif pair[0] == "\\":
            command.append(pair)
        elif pair[0] == "%":
            stdin = text[index + 1 :]
            break
        else:
            command.append(pair[0])
        index += 2 if pair[0] == "\\" else 1
    if not stdin:
        return "".join(command), None, doubled
    lines = re.sub(r"(\\?)%", lambda match: "%" if match[1] else "\n", stdin)
    return "".join(command), lines if lines.endswith("\n") else f"{lines}\n", doubled
