"""Names of jobs, made from the commands that they run."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable

#: So long that a number still fits behind it. Source: `Name` of model/job.py, at most 128 characters.
_LONGEST = 100
_BREAKS = re.compile(r"[;&|(){}<>\n]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_NOT_ALLOWED = re.compile(r"[^a-z0-9._-]+")
#: Commands that only make way for the one that matters, and those of a shell that decide or change the folder.
_SETUP = frozenset(
    {"cd", "test", "[", "[[", "true", "false", ":", ".", "source", "export", "set", "umask", "sleep", "ulimit", "which"}
)
#: Programs that run another one; and those of their options that take a value.
_WRAPPERS = frozenset({
    "sudo", "doas", "nice", "ionice", "nohup", "setsid", "env", "exec", "time", "timeout", "flock", "chronic", "chrt",
    "stdbuf", "cronic", "command", "systemd-cat", "caffeinate", "run-one", "if", "then", "else", "do",
})  # fmt: skip
_OPTIONS_WITH_VALUE = {"nice": "-n", "ionice": "-cn", "sudo": "-ugh", "timeout": "-ks", "flock": "-wE", "env": "-uC"}
#: Wrappers whose first plain word is their own: `timeout 60 …`, `flock /tmp/lock …`.
_TAKES_ONE = frozenset({"timeout", "flock", "chrt"})
#: Programs that are known by what they run.
_INTERPRETERS = re.compile(
    r"(?:python|php|perl|ruby|node|lua)[0-9.]*|(?:ba|z|da|k|c|tc|fi)?sh|Rscript|java|run-parts|make"
)
_ENDINGS = (".sh", ".bash", ".py", ".pl", ".php", ".rb", ".js")


def base_name(command: str) -> str:
    """A name for what a command runs: the last part of the program, or of the script that an interpreter is given."""
    for words in _simple_commands(command):
        if program := _program(words):
            name = os.path.basename(program.rstrip("/")).lower()
            name = next((name.removesuffix(ending) for ending in _ENDINGS if name.endswith(ending)), name)
            if plain := _NOT_ALLOWED.sub("-", name).strip("._-")[:_LONGEST].strip("._-"):
                return plain
    return "job"


class Names:
    """Hands out names that are not taken: the base, else `base-2`, `base-3`, …, always the same for the same input."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def free(self, base: str) -> str:
        """The first name that is not taken yet; asking takes nothing."""
        if base not in self._taken:
            return base
        number = self._next.get(base, 2)
        while f"{base}-{number}" in self._taken:
            number += 1
        self._next[base] = number
        return f"{base}-{number}"

    def take(self, name: str) -> None:
        """From now on the name is taken."""
        self._taken.add(name)


def _simple_commands(command: str) -> list[list[str]]:
    """The commands of a line one by one, as words; what a shell would make of them in full is not needed here."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=";&|(){}<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    found: list[list[str]] = [[]]
    try:
        for word in lexer:
            if _BREAKS.fullmatch(word):
                found.append([])
            else:
                found[-1].append(word)
    except ValueError:
        return [command.split()]
    return found


def _program(words: list[str]) -> str:
    """The program that matters among the words of one command; "" when there is none."""
    rest = list(words)
    while rest:
        first = rest.pop(0)
        name = os.path.basename(first)
        if _ASSIGNMENT.match(first):
            continue
        if name in _SETUP:
            return ""
        if name in _WRAPPERS:
            rest = _behind(name, rest)
            continue
        if _INTERPRETERS.fullmatch(name):
            script = next((word for word in rest if not word.startswith("-")), "")
            return script if "-c" not in rest and "-e" not in rest and "-m" not in rest and script else first
        return first
    return ""


def _behind(wrapper: str, words: list[str]) -> list[str]:
    """What a wrapper runs: the words without its own options."""
    own = _OPTIONS_WITH_VALUE.get(wrapper, "")
    while words and words[0].startswith("-"):
        takes_value = len(words[0]) == 2 and words[0][1] in own.lstrip("-")
        words = words[2 if takes_value else 1 :]
    return words[1:] if wrapper in _TAKES_ONE else words
