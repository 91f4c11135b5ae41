"""Why a program could not be started, in words: the system's own answer is often the wrong half of the truth."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from core.invocation_errors import IpcError
from core.strict_json import plain_text

_SHEBANG_LIMIT = 256


def explain(error: OSError | ValueError, argv: list[str], cwd: Path, env: Mapping[str, str]) -> IpcError:
    """The IpcError for what `subprocess.Popen` raised when it was given these."""
    program = plain_text(argv[0])[:256] if argv else ""
    message, hint = _reason(error, program, cwd, env)
    details: dict[str, object] = {"program": program, "folder": str(cwd)}
    if isinstance(error, OSError) and error.errno is not None:
        details["errno"] = errno.errorcode.get(error.errno, str(error.errno))
    return IpcError(message, hint=hint, details=details)


def foresee(argv: list[str], cwd: Path, env: Mapping[str, str]) -> IpcError | None:
    """Why these could not be started, found without starting them; None when nothing speaks against it."""
    if not os.access(cwd, os.X_OK):
        return explain(OSError(errno.EACCES, ""), argv, cwd, env)
    path = _find(argv[0], cwd, env)
    if path is None:
        return explain(OSError(errno.ENOENT, ""), argv, cwd, env)
    if path.is_dir() or not os.access(path, os.X_OK):
        return explain(OSError(errno.EACCES, ""), argv, cwd, env)
    interpreter, *words = _shebang(path) or [""]
    if interpreter and not os.access(interpreter, os.X_OK):
        return explain(OSError(errno.ENOENT, ""), argv, cwd, env)
    # `#!/usr/bin/env node`: what is looked for in PATH is the word behind env.
    wanted = next((word for word in words if not word.startswith("-") and "=" not in word), "")
    if os.path.basename(interpreter) == "env" and wanted and _find(wanted, cwd, env) is None:
        message = f"{wanted}, named in the first line of {path}, was not found in PATH ({env.get('PATH', '')})"
        return IpcError(message, hint=f"Install {wanted}, or name it there by its absolute path.")
    return None


def _reason(error: OSError | ValueError, program: str, cwd: Path, env: Mapping[str, str]) -> tuple[str, str]:
    if not isinstance(error, OSError):
        return f"{program!r} can't be started: {error}", "Arguments and variables are text without NUL characters."
    if not os.path.isdir(cwd):
        return f"the target's folder {cwd} is gone", "Bring it back, or correct the registry."
    if not os.access(cwd, os.X_OK):
        return f"the target's folder {cwd} may not be entered", f"Run chmod u+x {cwd}"
    if error.errno == errno.E2BIG:
        return f"{program} got more arguments or variables than the system takes", "Put long texts into files."
    path = _find(program, cwd, env)
    if path is None:
        return _missing(program, cwd, env)
    return _unusable(error, program, path)


def _missing(program: str, cwd: Path, env: Mapping[str, str]) -> tuple[str, str]:
    if "/" in program:
        return f"{program} does not exist (seen from {cwd})", "Correct the first element of command."
    path = env.get("PATH", "")
    return f"{program} was not found in PATH ({path})", "Install it, or name it by its absolute path."


def _unusable(error: OSError, program: str, path: Path) -> tuple[str, str]:
    if path.is_dir():
        return f"{path} is a folder, not a program", "Correct the first element of command."
    interpreter = _interpreter(path)
    if error.errno == errno.EACCES and not os.access(path, os.X_OK):
        return f"{path} is not executable", f"Run chmod +x {path}"
    if error.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENOEXEC) and interpreter:
        return _bad_interpreter(interpreter, path)
    if error.errno == errno.ENOENT:
        return f"{path} needs a loader that this machine does not have", "Install a build for this machine."
    if error.errno == errno.ENOEXEC:
        return (
            f"{path} has no executable format: neither a program for this machine nor a script with a #! line",
            "Start a script with a line like #!/usr/bin/env python3",
        )
    return f"{program} can't be started: {error.strerror}", "See the system's message."


def _bad_interpreter(interpreter: str, path: Path) -> tuple[str, str]:
    what = "can't be executed" if os.path.exists(interpreter) else "does not exist"
    hint = f"Install {interpreter}, or correct the line."
    if interpreter.endswith("\r"):
        hint = f"{path} has Windows line ends; convert them."
    return f"the interpreter {interpreter!r}, named in the first line of {path}, {what}", hint


def _find(program: str, cwd: Path, env: Mapping[str, str]) -> Path | None:
    """The file that was meant: the first executable one in PATH, else the first one."""
    if "/" in program:
        path = cwd / program
        return path if path.exists() else None
    found = [cwd / folder / program for folder in env.get("PATH", "").split(os.pathsep)] if program else []
    found = [path for path in found if path.is_file()]
    return next((path for path in found if os.access(path, os.X_OK)), next(iter(found), None))


def _interpreter(path: Path) -> str:
    return next(iter(_shebang(path)), "")


def _shebang(path: Path) -> list[str]:
    """The words of a script's first line behind `#!`; none when there is no such line."""
    try:
        with path.open("rb") as file:
            line = file.read(_SHEBANG_LIMIT).split(b"\n")[0]
    except OSError:
        return []
    if not line.startswith(b"#!"):
        return []
    # No other whitespace: a carriage return belongs to the name that the system looks for.
    words = line[2:].replace(b"\t", b" ").split(b" ")
    return [word.decode("utf-8", "replace") for word in words if word]
