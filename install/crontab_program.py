"""The program `crontab`: reads and replaces this user's crontab. Source: crontab(1)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from core.errors import CrontabUnusable

_SECONDS = 20
#: How it says that there is none.
_NONE = b"no crontab for"


def read_crontab(environ: Mapping[str, str]) -> str:
    """The crontab of this user, "" when there is none; bytes that are no UTF-8 as surrogates.

    Raises `CrontabUnusable`.
    """
    done = _crontab(environ, "-l")
    if done.returncode != 0 and _NONE not in done.stderr:
        raise _unusable(done.stderr)
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else ""


def write_crontab(environ: Mapping[str, str], text: str) -> None:
    """Replaces it. Raises `CrontabUnusable`."""
    done = _crontab(environ, "-", text.encode("utf-8", "surrogateescape"))
    if done.returncode != 0:
        raise _unusable(done.stderr)


def _crontab(environ: Mapping[str, str], word: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    # In its own language it would say in other words that there is none.
    known = {**environ, "PATH": environ.get("PATH") or os.defpath, "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["crontab", word], input=text, capture_output=True, timeout=_SECONDS, env=known, check=False
        )
    except FileNotFoundError as error:
        hint = "Install it (Debian: apt-get install cron), or use install-systemd."
        raise _unusable(str(error).encode(), hint) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unusable(str(error).encode()) from None


def _unusable(said: bytes, hint: str = "It says itself what is wrong; see crontab(1).") -> CrontabUnusable:
    words = said.decode("utf-8", "replace").strip()[:300]
    return CrontabUnusable(f"The program crontab can't be used: {words}", hint=hint)
