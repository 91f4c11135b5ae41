"""The lines of a crontab that start this program: when, with which interpreter, which copy of it."""

from __future__ import annotations

import os
import re
import shlex
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from install import units
from install.crontab_lines import Entry, parse

_EACH_MINUTE = re.compile(r"\*(/1)?$")
#: Words of a shell that end one command and begin another.
_BREAKS = frozenset({"&&", "||", ";", "|", "&", "(", ")", "|&"})
_PROGRAM = "main.py"
_COMMAND = "puruto-cron"


@dataclass(frozen=True)
class Start:
    """A line that starts our program: where it stands, when it runs, with which interpreter, which copy, which words.

    `interpreter` is "" when the program is started by its own name. `environ` is what the crontab sets above it.
    """

    source: str
    when: str
    interpreter: str
    program: str
    words: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    log: str = ""
    """The file that its output is appended to; "" when it goes elsewhere."""

    @property
    def ticks(self) -> bool:
        """Whether it is there to start what is due."""
        return self.words[:1] == ("tick",)

    @property
    def each_minute(self) -> bool:
        """Whether it runs each minute."""
        return all(_EACH_MINUTE.match(part) for part in self.when.split())


def read(text: str, source: str, environ: Mapping[str, str], *, system: bool) -> list[Start]:
    """The lines that start a copy of this program.

    `environ` is what cron gives (HOME, PATH, …); a `system` crontab names a user before the command.
    """
    found: list[Start] = []
    for line in parse(text, system=system):
        if isinstance(line, Entry):
            found += starts_of(line, source, environ)
    return found


def starts_of(entry: Entry, source: str, environ: Mapping[str, str]) -> list[Start]:
    """What of ours one line of a crontab starts: mostly nothing, mostly one thing."""
    if _PROGRAM not in entry.command and _COMMAND not in entry.command:
        return []
    return list(_starts(entry.command, entry.when, source, {**environ, **entry.environ}))


def marked(text: str) -> set[int]:
    """The numbers, from 1, of the lines in whole blocks of `install-crontab`, of whatever copy."""
    begin, end = (mark.format(root="") for mark in (units.BEGIN, units.END))
    found: set[int] = set()
    inside: list[int] | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith(begin):
            inside = []
        elif line.startswith(end) and inside is not None:
            found.update(inside)
            inside = None
        elif inside is not None:
            inside.append(number)
    return found


def _starts(command: str, when: str, source: str, environ: dict[str, str]) -> Iterator[Start]:
    folder = environ.get("HOME", "/")
    for words, log in _commands(command):
        plain = [_expanded(word, environ) for word in words]
        if plain[:1] == ["cd"]:
            folder = os.path.join(folder, plain[1]) if len(plain) > 1 else environ.get("HOME", "/")
            continue
        for number, word in enumerate(plain):
            if os.path.basename(word) in (_PROGRAM, _COMMAND):
                before = [part for part in plain[:number] if not part.startswith("-")]
                interpreter = before[-1] if before and "=" not in before[-1] else ""
                if "/" in interpreter:
                    interpreter = os.path.join(folder, interpreter)
                yield Start(source, when, interpreter, os.path.join(folder, word), tuple(plain[number + 1 :]), environ,
                           os.path.join(folder, _expanded(log, environ)) if log else "")  # fmt: skip
                break


def _commands(command: str) -> list[tuple[list[str], str]]:
    """The single commands of a line of shell, each with the file that its stdout goes to.

    Redirections are cut off. A line that no shell can read has none.
    """
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    # A # inside a word is no comment.
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        return []
    found: list[list[str]] = [[]]
    logs = [""]
    redirection = ""
    for word in words:
        if word in _BREAKS:
            found.append([])
            logs.append("")
            redirection = ""
        elif set(word) <= set("<>&|"):
            redirection = word
        elif not redirection:
            found[-1].append(word)
        else:
            logs[-1] = word if redirection in (">", ">>") and "/" in word else logs[-1]
            redirection = ""
    return [(words, log) for words, log in zip(found, logs, strict=True) if words]


def _expanded(word: str, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME", "/")
    if word == "~" or word.startswith("~/"):
        word = home + word[1:]
    return string.Template(word).safe_substitute(environ)
