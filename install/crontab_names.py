"""Job names, made from the commands that the jobs run."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable

#: Short enough that a number can be appended. Source: `Name` of model/job.py, at most 128 characters.
_LONGEST = 100
_BREAKS = re.compile(r"[;&|(){}<>\n]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_NOT_ALLOWED = re.compile(r"[^a-z0-9._-]+")
#: Commands that only prepare the one that matters: shell built-ins that test, set or change the folder.
_SETUP = frozenset(
    {"cd", "test", "[", "[[", "true", "false", ":", ".", "source", "export", "set", "umask", "sleep", "ulimit", "which"}
)
#: Programs that run another program, and below their options that take a value.
_WRAPPERS = frozenset({
    "sudo", "doas", "nice", "ionice", "nohup", "setsid", "env", "exec", "time", "timeout", "flock", "chronic", "chrt",
    "stdbuf", "cronic", "command", "systemd-cat", "caffeinate", "run-one", "if", "then", "else", "do",
})  # fmt: skip
_OPTIONS_WITH_VALUE = {"nice": "-n", "ionice": "-cn", "sudo": "-ugh", "timeout": "-ks", "flock": "-wE", "env": "-uC"}
#: Wrappers whose first argument is their own: `timeout 60 …`, `flock /tmp/lock …`.
_TAKES_ONE = frozenset({"timeout", "flock", "chrt"})
#: Programs that run a script: the script names the job.
_INTERPRETERS = re.compile(
    r"(?:python|php|perl|ruby|node|lua)[0-9.]*|(?:ba|z|da|k|c|tc|fi)?sh|Rscript|java|run-parts|make"
)
_ENDINGS = (".sh", ".bash", ".py", ".pl", ".php", ".rb", ".js")


def base_name(command: str) -> str:
    """A job name for a command: the base name of its program, or of the script that an interpreter runs."""
    for words in _simple_commands(command):
        if program := _program(words):
            name = os.path.basename(program.rstrip("/")).lower()
            name = next((name.removesuffix(ending) for ending in _ENDINGS if name.endswith(ending)), name)
            if allowed := _NOT_ALLOWED.sub("-", name).strip("._-")[:_LONGEST].strip("._-"):
                return allowed
    return "job"


class Names:
    """Finds names that are not taken: the base, else `base-2`, `base-3`, …; the same input gives the same names."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def free(self, base: str) -> str:
        """The first free name for `base`. It stays free until `take` is called."""
        if base not in self._taken:
            return base
        number = self._next.get(base, 2)
        while f"{base}-{number}" in self._taken:
            number += 1
        self._next[base] = number
        return f"{base}-{number}"

    def take(self, name: str) -> None:
        """Marks a name as taken."""
        self._taken.add(name)


def _simple_commands(command: str) -> list[list[str]]:
    """The simple commands of a shell line, each as a list of words. Expansions are left as they are."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=";&|(){}<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    commands: list[list[str]] = [[]]
    try:
        for word in lexer:
            if _BREAKS.fullmatch(word):
                commands.append([])
            else:
                commands[-1].append(word)
    except ValueError:
        return [command.split()]
    return commands


def _program(words: list[str]) -> str:
    """The program that a simple command finally runs; "" if there is none."""
    words = list(words)
    while words:
        first = words.pop(0)
        name = os.path.basename(first)
        if _ASSIGNMENT.match(first):
            continue
        if name in _SETUP:
            return ""
        if name in _WRAPPERS:
            words = _wrapped_command(name, words)
            continue
        if _INTERPRETERS.fullmatch(name):
            script = next((word for word in words if not word.startswith("-")), "")
            return script if "-c" not in words and "-e" not in words and "-m" not in words and script else first
        return first
    return ""


def _wrapped_command(wrapper: str, words: list[str]) -> list[str]:
    """The command that a wrapper runs: the words without the wrapper's own options and argument."""
    with_value = _OPTIONS_WITH_VALUE.get(wrapper, "").lstrip("-")
    while words and words[0].startswith("-"):
        takes_value = len(words[0]) == 2 and words[0][1] in with_value
        words = words[2 if takes_value else 1 :]
    return words[1:] if wrapper in _TAKES_ONE else words
