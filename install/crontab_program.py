"""The program `crontab`: reads and replaces this user's crontab. Source: crontab(1)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from core.errors import CrontabUnusable

_SECONDS = 20
#: Its message when the user has no crontab.
_NONE = b"no crontab for"


def read_crontab(environ: Mapping[str, str]) -> str:
    """The crontab of this user, "" if there is none. Bytes that are not UTF-8 become surrogates.

    Raises `CrontabUnusable`.
    """
    completed = _crontab(environ, "-l")
    if completed.returncode != 0 and _NONE not in completed.stderr:
        raise _unusable(completed.stderr)
    return completed.stdout.decode("utf-8", "surrogateescape") if completed.returncode == 0 else ""


def write_crontab(environ: Mapping[str, str], text: str) -> None:
    """Replaces the crontab of this user. Raises `CrontabUnusable`."""
    completed = _crontab(environ, "-", text.encode("utf-8", "surrogateescape"))
    if completed.returncode != 0:
        raise _unusable(completed.stderr)


def _crontab(environ: Mapping[str, str], word: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    # Its messages must be in English: `_NONE` is one of them.
    child_environ = {**environ, "PATH": environ.get("PATH") or os.defpath, "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["crontab", word], input=text, capture_output=True, timeout=_SECONDS, env=child_environ, check=False
        )
    except FileNotFoundError as error:
        hint = "Install it (Debian: apt-get install cron), or use install-systemd."
        raise _unusable(str(error).encode(), hint) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unusable(str(error).encode()) from None


def _unusable(stderr: bytes, hint: str = "Correct what the message names; see crontab(1).") -> CrontabUnusable:
    message = stderr.decode("utf-8", "replace").strip()[:300]
    return CrontabUnusable(f"The program crontab failed: {message}", hint=hint)
