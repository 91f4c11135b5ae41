"""Job names, made from the commands that the jobs run."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from typing import NamedTuple

from install.crontab_words import INTERPRETERS, SHELLS, WRAPPERS, Options

#: Short enough that a number can be appended. Source: `Name` of model/job.py, at most 128 characters.
_LONGEST = 100
_BREAKS = re.compile(r"[;&|(){}<>\n]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_NOT_ALLOWED = re.compile(r"[^a-z0-9._-]+")
#: Commands that only prepare the one that matters: shell built-ins that test, set or change the folder.
_SETUP = frozenset({
    "cd", "pushd", "popd", "test", "[", "[[", "true", "false", ":", ".", "source", "export", "set", "unset", "umask",
    "sleep", "ulimit", "which", "type", "hash", "trap", "for", "case", "select", "wait", "shopt", "alias", "read",
})  # fmt: skip
#: Commands that name a job only if it runs nothing else.
_WEAK = frozenset({"echo", "printf", "date", "mkdir", "touch", "logger", "exit", "fi", "done", "esac",
                   "rm", "pgrep", "pidof", "ps", "ping"})  # fmt: skip
#: Words of the shell's grammar before a command.
_GRAMMAR = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!", "exec", "eval"})
_ENDINGS = (".sh", ".bash", ".py", ".pl", ".php", ".rb", ".js", ".mjs", ".cjs", ".ts", ".jar", ".lua", ".tcl",
            ".r", ".ps1", ".dll", ".yml", ".yaml")  # fmt: skip
#: A line may hold a line that holds a line; deeper ones are named for their shell.
_DEEPEST = 4


def base_name(command: str) -> str:
    """A job name for a command: the base name of its program, or of the script that an interpreter runs."""
    name = os.path.basename(_program_of_line(command, _DEEPEST).rstrip("/")).lower()
    name = next((name.removesuffix(ending) for ending in _ENDINGS if name.endswith(ending)), name)
    return _NOT_ALLOWED.sub("-", name).strip("._-")[:_LONGEST].strip("._-") or "job"


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


def _program_of_line(line: str, depth: int) -> str:
    """The program that a shell line runs; "" if there is none that could name a job."""
    weak = ""
    for words in _simple_commands(line):
        program = _program(words, depth)
        if not _NOT_ALLOWED.sub("", os.path.basename(program.rstrip("/")).lower()).strip("._-"):
            continue
        if program not in _WEAK:
            return program
        weak = weak or program
    return weak


def _simple_commands(command: str) -> list[list[str]]:
    """The simple commands of a shell line, each as a list of words. Expansions are left as they are."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=";&|(){}<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    commands: list[list[str]] = [[]]
    redirected = False
    try:
        for word in lexer:
            if _BREAKS.fullmatch(word):
                # `2>&1` and `>> log` go on with the same command; what follows is a file and no program.
                redirected = set(word) <= set("<>&|") and bool(set(word) & set("<>"))
                if not redirected:
                    commands.append([])
                elif commands[-1] and commands[-1][-1].isdigit():
                    commands[-1].pop()
            elif redirected:
                redirected = False
            else:
                commands[-1].append(word)
    except ValueError:
        return [command.split()]
    return commands


def _program(words: list[str], depth: int) -> str:
    """The program that a simple command finally runs; "" if there is none."""
    words = list(words)
    while words:
        first = words.pop(0)
        name = os.path.basename(first)
        if _ASSIGNMENT.match(first) or name in _GRAMMAR:
            continue
        if name in _SETUP or (name == "command" and words[:1] in (["-v"], ["-V"])):
            return ""
        if name in SHELLS:
            rest = _after_options(SHELLS[name], words)
            return _of_line(rest.line, depth) or (rest.words[0] if rest.words else first)
        if wrapper := WRAPPERS.get(name):
            words = _wrapped(wrapper, words, depth)
            if not words:
                return first if wrapper.own_arguments == 0 else ""
            continue
        return _of_interpreter(first, name, words)
    return ""


def _of_line(line: str, depth: int) -> str:
    """The program of a line within a line."""
    return _program_of_line(line, depth - 1) if line and depth else ""


def _wrapped(wrapper: Options, words: list[str], depth: int) -> list[str]:
    """The command that a wrapper runs; of a line that it hands to a shell, the program."""
    rest = _after_options(wrapper, words)
    if wrapper.line and not rest.line and "-c" in rest.words:
        # `su - ana -c LINE`
        rest = _after_options(wrapper, rest.words[rest.words.index("-c") :])
    if program := _of_line(rest.line, depth):
        return [program]
    command = rest.words[wrapper.own_arguments :]
    if command[:1] == ["-c"] and wrapper.own_arguments:
        # `flock FILE -c LINE`
        return [program] if (program := _of_line(" ".join(command[1:2]), depth)) else []
    return _after_options(wrapper, command).words if wrapper.own_arguments else command


def _of_interpreter(first: str, name: str, words: list[str]) -> str:
    """The script, module or task that an interpreter runs; the program itself if it is none, or runs code."""
    options = next((options for pattern, options in INTERPRETERS if pattern.fullmatch(name)), None)
    if options is None:
        return first
    rest = _after_options(options, words)
    if rest.words[:1] and rest.words[0] in options.verbs:
        rest = _after_options(options, rest.words[1:])
    if rest.line:
        return first
    found = [word for word in (rest.named, *rest.words) if word and not _ASSIGNMENT.match(word) and not word.isdigit()]
    return found[0] if found else first


class _Rest(NamedTuple):
    """What follows a program's options, and the values of those that name a line or what is run."""

    words: list[str]
    line: str = ""
    named: str = ""


def _after_options(options: Options, words: list[str]) -> _Rest:
    words = list(words)
    while words and words[0][:1] in ("-", "+") and len(words[0]) > 1:
        word = words.pop(0)
        if word == "--":
            break
        flag, equals, value = word.partition("=")
        if flag in options.line | options.named | options.long:
            value = value if equals else words.pop(0) if words else ""
        elif word.startswith("--"):
            continue
        else:
            flag, value = _letter_with_value(options, word, words)
        if flag in options.line:
            return _Rest(words, line=value)
        if flag in options.named:
            return _Rest(words, named=value)
    return _Rest(words)


def _letter_with_value(options: Options, word: str, words: list[str]) -> tuple[str, str]:
    """The first letter of `-abc` that takes a value, and its value, which is taken from `words` if need be."""
    for index, letter in enumerate(word[1:], start=1):
        if letter in options.attached:
            break
        if letter in options.short or letter in options.line or letter in options.named:
            attached = word[index + 1 :]
            return letter, attached or (words.pop(0) if words else "")
    return "", ""
