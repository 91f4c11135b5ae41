"""Explains why a program could not be started: the system's own error is often misleading."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from core.invocation_errors import IpcError
from core.shell import quoted
from core.strict_json import plain_text

_SHEBANG_LIMIT = 256
#: What in a command line is for a shell: pipes, redirections, several commands, variables, patterns.
_FOR_A_SHELL = re.compile(r"[|&;<>$`*?~]|^\s*\w+=")
#: The most words of a command line that a hint repeats, and the most characters of each.
_MOST_WORDS, _LONGEST_WORD = 8, 200


def explain(error: OSError | ValueError, argv: list[str], cwd: Path, env: Mapping[str, str]) -> IpcError:
    """The IpcError for an exception that `subprocess.Popen` raised with these arguments."""
    program = plain_text(argv[0])[:256] if argv else ""
    message, hint = _reason(error, program, argv, cwd, env)
    details: dict[str, object] = {"program": program, "folder": str(cwd)}
    if isinstance(error, OSError) and error.errno is not None:
        details["errno"] = errno.errorcode.get(error.errno, str(error.errno))
    return IpcError(message, hint=hint, details=details)


def find_obstacle(argv: list[str], cwd: Path, env: Mapping[str, str]) -> IpcError | None:
    """Why a program could not be started, found without starting it; None if no reason is found."""
    if not os.access(cwd, os.X_OK):
        return explain(OSError(errno.EACCES, ""), argv, cwd, env)
    path = _find(argv[0], cwd, env)
    if path is None:
        return explain(OSError(errno.ENOENT, ""), argv, cwd, env)
    if os.path.isdir(path) or not os.access(path, os.X_OK):
        return explain(OSError(errno.EACCES, ""), argv, cwd, env)
    interpreter, *words = _shebang(path) or [""]
    if interpreter and not os.access(interpreter, os.X_OK):
        return explain(OSError(errno.ENOENT, ""), argv, cwd, env)
    # `#!/usr/bin/env node`: the word after env is looked up in PATH.
    script_runner = next((word for word in words if not word.startswith("-") and "=" not in word), "")
    if os.path.basename(interpreter) == "env" and script_runner and _find(script_runner, cwd, env) is None:
        message = f"{script_runner}, named in the first line of {path}, was not found in PATH ({env.get('PATH', '')})"
        return IpcError(message, hint=f"Install {script_runner}, or use its absolute path there.")
    return None


def _reason(
    error: OSError | ValueError, program: str, argv: list[str], cwd: Path, env: Mapping[str, str]
) -> tuple[str, str]:
    if not isinstance(error, OSError):
        return f"{program!r} can't be started: {error}", "Arguments and variables must not contain NUL characters."
    if not os.path.isdir(cwd):
        return f"the target's folder {cwd} does not exist", "Restore it, or correct the registry."
    if not os.access(cwd, os.X_OK):
        return f"the target's folder {cwd} can't be entered", f"Run chmod u+x {quoted(cwd)}"
    if error.errno == errno.E2BIG:
        return f"{program} got more arguments or variables than the system allows", "Put long texts into files."
    path = _find(program, cwd, env)
    if path is None:
        return _missing(program, argv[1:], cwd, env)
    return _unusable(error, program, path)


def _missing(program: str, arguments: list[str], cwd: Path, env: Mapping[str, str]) -> tuple[str, str]:
    if any(map(str.isspace, program)):
        # A path may have a blank. It is a command line if what comes before the blank is a program, or for a shell.
        first, words = next(iter(program.split()), ""), _words(program)
        for_a_shell = "/" not in first and _FOR_A_SHELL.search(program)
        if first and ("/" not in program or for_a_shell or _find(first, cwd, env) is not None):
            message = f"there is no program {program!r}: it is a command line in one text, and has a blank in it"
            return message, f"Write each argument by itself: {_by_itself([*words, *arguments])}"
        hint = "Correct the first element of command. If what follows the blank are arguments, write each by itself."
        return f"{program} does not exist (in {cwd})", hint
    if program.startswith("~") or "$" in program:
        sign = "~" if program.startswith("~") else "$"
        return f"{program} does not exist", f"No shell replaces {sign} here: write the whole path."
    if "/" in program:
        return f"{program} does not exist (in {cwd})", "Correct the first element of command."
    path = env.get("PATH", "")
    return f"{program} was not found in PATH ({path})", "Install it, or use its absolute path."


def _words(line: str) -> list[str]:
    """The arguments that a command line means: those of a shell, where only a shell understands it."""
    try:
        words = shlex.split(line)
    except ValueError:
        words = []
    return words if words and not _FOR_A_SHELL.search(line) else ["sh", "-c", line]


def _by_itself(words: list[str]) -> str:
    """How to write arguments as options, and in .jobs.json; the first few of many."""
    shown, more = [_short(plain_text(word)) for word in words[:_MOST_WORDS]], " …" * (len(words) > _MOST_WORDS)
    options = " ".join(f"--command={quoted(w)}" if w.startswith("-") else f"--command {quoted(w)}" for w in shown)
    listed = ", ".join(json.dumps(word, ensure_ascii=False) for word in shown)
    return f'{options}{more}, in .jobs.json "command": [{listed}{"," * bool(more)}{more}]'


def _short(word: str) -> str:
    return word if len(word) <= _LONGEST_WORD else f"{word[: _LONGEST_WORD - 1]}…"


def _unusable(error: OSError, program: str, path: Path) -> tuple[str, str]:
    if os.path.isdir(path):
        return f"{path} is a folder, not a program", "Correct the first element of command."
    interpreter = _interpreter(path)
    if error.errno == errno.EACCES and not os.access(path, os.X_OK):
        return f"{path} is not executable", f"Run chmod +x {quoted(path)}"
    if error.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENOEXEC) and interpreter:
        return _bad_interpreter(interpreter, path)
    if error.errno == errno.ENOENT:
        return f"{path} needs a loader that this machine does not have", "Install a build for this machine."
    if error.errno == errno.ENOEXEC:
        return (
            f"{path} has no executable format: it is neither a program for this machine nor a script with a #! line",
            "Begin a script with a line like #!/usr/bin/env python3",
        )
    return f"{program} can't be started: {error.strerror}", "See the system's message."


def _bad_interpreter(interpreter: str, path: Path) -> tuple[str, str]:
    reason = "can't be executed" if os.path.exists(interpreter) else "does not exist"
    hint = f"Install {interpreter}, or correct the line."
    if interpreter.endswith("\r"):
        hint = f"{path} has Windows line ends. Convert them."
    return f"the interpreter {interpreter!r}, named in the first line of {path}, {reason}", hint


def _find(program: str, cwd: Path, env: Mapping[str, str]) -> Path | None:
    """The program's file: the first executable one in PATH, else the first one."""
    if "/" in program:
        path = cwd / program
        return path if os.path.exists(path) else None
    candidates = [cwd / folder / program for folder in env.get("PATH", "").split(os.pathsep)] if program else []
    files = [path for path in candidates if os.path.isfile(path)]
    return next((path for path in files if os.access(path, os.X_OK)), next(iter(files), None))


def _interpreter(path: Path) -> str:
    return next(iter(_shebang(path)), "")


def _shebang(path: Path) -> list[str]:
    """The words after `#!` in a script's first line; none if there is no such line."""
    try:
        with path.open("rb") as file:
            line = file.read(_SHEBANG_LIMIT).split(b"\n")[0]
    except OSError:
        return []
    if not line.startswith(b"#!"):
        return []
    # Not split at other whitespace: to the system, a carriage return is part of the name.
    words = line[2:].replace(b"\t", b" ").split(b" ")
    return [word.decode("utf-8", "replace") for word in words if word]
