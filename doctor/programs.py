"""Asks other programs, with a deadline and never through a shell."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What a program said. `code` is None when it could not be started or was too slow; `reason` says which."""

    code: int | None
    out: str = ""
    err: str = ""
    reason: str = ""


def ask(argv: Sequence[str], environ: Mapping[str, str], folder: str, seconds: float) -> Answer:
    """Runs a program to its end and returns its answer; it is killed after `seconds`. Never raises."""
    try:
        done = subprocess.run(
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
    return Answer(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
