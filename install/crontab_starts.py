"""Finds the lines of a crontab that start this program: when, with which interpreter, which copy of it."""

from __future__ import annotations

import os
import re
import shlex
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from install.crontab_blocks import blocks
from install.crontab_lines import Entry, parse

_EACH_MINUTE = re.compile(r"\*(/1)?$")
#: Shell operators that separate two commands.
_BREAKS = frozenset({"&&", "||", ";", "|", "&", "(", ")", "|&"})
#: A text in double or single quotes, or an escaped character.
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|\\.')
#: Stands for a $ that is not expanded.
_DOLLAR = "\ue000"
_PROGRAM = "main.py"
_COMMAND = "puruto-cron"


@dataclass(frozen=True)
class Start:
    """A crontab line that starts this program.

    `source` names the crontab, `when` is its schedule, `program` the path of the copy, `words` its arguments.
    `interpreter` is "" if the program is started by its own name. `environ` holds the variables set above the line.
    """

    source: str
    when: str
    interpreter: str
    program: str
    words: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    log: str = ""
    """The file to which its output is written; "" if it goes elsewhere."""

    @property
    def ticks(self) -> bool:
        """Whether it starts a tick."""
        return self.words[:1] == ("tick",)

    @property
    def each_minute(self) -> bool:
        """Whether it runs every minute."""
        return all(_EACH_MINUTE.match(part) for part in self.when.split())


def read(text: str, source: str, environ: Mapping[str, str], *, system: bool) -> list[Start]:
    """The lines of a crontab that start a copy of this program.

    `environ` is cron's environment (HOME, PATH, …). A `system` crontab names a user before the command.
    """
    starts: list[Start] = []
    for line in parse(text, system=system):
        if isinstance(line, Entry):
            starts += starts_of(line, source, environ)
    return starts


def starts_of(entry: Entry, source: str, environ: Mapping[str, str]) -> list[Start]:
    """The starts of this program in one line of a crontab: usually none or one."""
    if _PROGRAM not in entry.command and _COMMAND not in entry.command:
        return []
    return list(_starts(entry.command, entry.when, source, {**environ, **entry.environ}))


def marked(text: str) -> set[int]:
    """The numbers (from 1) of the lines in complete blocks of `install-crontab`, whichever copy wrote them."""
    return {number for block in blocks(text) for number in range(block.first + 1, block.last)}


def _starts(command: str, when: str, source: str, environ: dict[str, str]) -> Iterator[Start]:
    folder = environ.get("HOME", "/")
    for words, log in _commands(command):
        expanded = [_expanded(word, environ) for word in words]
        if expanded[:1] == ["cd"]:
            folder = os.path.join(folder, expanded[1]) if len(expanded) > 1 else environ.get("HOME", "/")
            continue
        for number, word in enumerate(expanded):
            if os.path.basename(word) in (_PROGRAM, _COMMAND):
                arguments = tuple(expanded[number + 1 :])
                before = [part for part in expanded[:number] if not part.startswith("-")]
                interpreter = before[-1] if before and "=" not in before[-1] else ""
                if "/" in interpreter:
                    interpreter = os.path.join(folder, interpreter)
                yield Start(source, when, interpreter, os.path.join(folder, word), arguments, environ,
                           os.path.join(folder, _expanded(log, environ)) if log else "")  # fmt: skip
                break


def _commands(command: str) -> list[tuple[list[str], str]]:
    """The simple commands of a shell line without their redirections, each with the file that its stdout goes to.

    A line with a syntax error has none.
    """
    lexer = shlex.shlex(_with_guarded_dollars(command), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    # A # inside a word does not begin a comment.
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        return []
    commands: list[list[str]] = [[]]
    logs = [""]
    redirection = ""
    for word in words:
        if word in _BREAKS:
            commands.append([])
            logs.append("")
            redirection = ""
        elif set(word) <= set("<>&|"):
            redirection = word
        elif not redirection:
            commands[-1].append(word)
        else:
            logs[-1] = word if redirection in (">", ">>") and "/" in word else logs[-1]
            redirection = ""
    return [(words, log) for words, log in zip(commands, logs, strict=True) if words]


def _with_guarded_dollars(command: str) -> str:
    """The command with another character for each $ that a shell does not expand: in single quotes, or after a \\."""

    def guarded(match: re.Match[str]) -> str:
        return match[0].replace("$", _DOLLAR) if match[0].startswith("'") else match[0].replace("\\$", _DOLLAR)

    return _QUOTED.sub(guarded, command)


def _expanded(word: str, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME", "/")
    if word == "~" or word.startswith("~/"):
        word = home + word[1:]
    return string.Template(word).safe_substitute(environ).replace(_DOLLAR, "$")
