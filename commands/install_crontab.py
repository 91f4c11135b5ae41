"""`install-crontab` and `uninstall-crontab`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

import installing
from commands.output import print_json
from errors import CrontabUnusable
from wiring import App

_SECONDS = 20


@click.command("install-crontab")
@click.option("--print", "only_print", is_flag=True, help="Show the crontab as it would be, and change nothing.")
@click.pass_obj
def command(app: App, only_print: bool) -> None:
    """Put the line that starts a tick each minute into your crontab, as a marked block; other lines stay as they are.

    With this interpreter's own path, and a log in db/tick.log. Run again, it replaces its own block, and nothing else.
    A line that you wrote yourself is left alone: `doctor` tells of two lines.

    \b
    Examples:
      python3 main.py install-crontab --print
      python3 main.py install-crontab
    """
    place = place_of(app)
    before = read_crontab(app)
    after = installing.with_block(before, place)
    if not only_print and after != before:
        write_crontab(app, after)
    report = {"status": "ok", "installed": not only_print, "changed": after != before and not only_print}
    print_json({**report, "line": installing.crontab_line(place), "crontab": after})


def place_of(app: App) -> installing.Place:
    """This copy, as a crontab must name it."""
    own = Path(app.root) / ".venv" / "bin" / "python"
    # Without a `make install` in this folder there is only the interpreter that runs just now.
    python = own if own.exists() else Path(sys.executable)
    return installing.Place(app.root, str(python), str(app.settings.db_path.parent / "tick.log"))


def read_crontab(app: App) -> str:
    """The crontab of this user; "" when there is none. Raises `CrontabUnusable`."""
    done = _crontab(app, "-l")
    if done.returncode != 0 and b"no crontab for" not in done.stderr:
        raise _unusable(done.stderr)
    try:
        return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else ""
    except UnicodeDecodeError as error:
        raise _unusable(str(error).encode()) from None


def write_crontab(app: App, text: str) -> None:
    """Replaces the crontab of this user. Raises `CrontabUnusable`."""
    done = _crontab(app, "-", text.encode("utf-8", "surrogateescape"))
    if done.returncode != 0:
        raise _unusable(done.stderr)


def _crontab(app: App, word: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environ = {**app.environ, "PATH": app.environ.get("PATH") or os.defpath, "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["crontab", word], input=text, capture_output=True, timeout=_SECONDS, env=environ, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unusable(str(error).encode()) from None


def _unusable(said: bytes) -> CrontabUnusable:
    return CrontabUnusable(
        f"The program crontab can't be used: {said.decode('utf-8', 'replace').strip()[:300]}",
        hint="Install it (Debian: apt-get install cron), or use install-systemd. The line: install-crontab --print.",
    )
