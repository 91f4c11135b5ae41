"""Runs other programs for checks, with a timeout and without a shell."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """Exit code and output of a program. `code` is None if it did not start or took too long; `reason` says which."""

    code: int | None
    out: str = ""
    err: str = ""
    reason: str = ""


def ask(argv: Sequence[str], environ: Mapping[str, str], folder: str, seconds: float) -> Answer:
    """Runs a program in `folder` to its end; it is killed after `seconds`. Never raises."""
    try:
        completed = subprocess.run(
            list(argv),
            env=dict(environ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        return Answer(None, reason=f"{error.filename} was not found")
    except (OSError, ValueError) as error:
        return Answer(None, reason=str(error))
    except subprocess.TimeoutExpired:
        return Answer(None, reason=f"it did not answer within {seconds:g} s")
    stdout, stderr = (output.decode("utf-8", "replace") for output in (completed.stdout, completed.stderr))
    return Answer(completed.returncode, stdout, stderr)
