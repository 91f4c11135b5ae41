"""`install-systemd`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from app.app import App
from commands.install_crontab import sibling, this_copy
from commands.view import show
from core.bounded_file import read_bounded
from core.errors import UnitsUnwritable
from install import units

#: Its group in `--help`, and its position in that group.
PLACE = ("Installing and checking", 30)
#: A longer file is no unit of ours.
_MOST_BYTES = 1 << 20


@click.command("install-systemd")
@click.option("--print", "only_print", is_flag=True, help="Show the units, but write nothing.")
@click.option("--telegram", is_flag=True, help="Add a timer that drains the inbox of puruto-telegram.")
@click.option("--daemon", is_flag=True, help="Write a service for the daemon, instead of a tick each minute.")
@click.option("--folder", metavar="PATH", help="The folder for the units. Default: ~/.config/systemd/user.")
@click.pass_obj
def command(app: App, only_print: bool, telegram: bool, daemon: bool, folder: str | None) -> None:
    """Write systemd user units that start a tick each minute, or the daemon. For machines without cron.

    With --daemon it is one service that runs all the time, starts jobs at the exact time, and is restarted if it
    crashes.

    Nothing is started. If there is a unit of the same name that another copy wrote, nothing is written. Prints the
    units, the commands that start them ("then"), and those that remove them ("undo"). One of cron, timer and
    daemon is enough; several do no harm. Their output: journalctl --user -t puruto-cron.

    \b
    Examples:
      python3 main.py install-systemd && systemctl --user enable --now puruto-cron.timer
      python3 main.py install-systemd --daemon && systemctl --user enable --now puruto-cron-daemon.service
    """
    target = Path(folder or units.user_folder(app.environ)).expanduser()
    copy = this_copy(app)
    settings = app.settings
    terms = units.DaemonTerms(settings.poll_sec, settings.stop_sec, settings.kill_grace_sec)
    with_telegram = replace(copy, telegram=sibling(app)) if telegram else copy
    texts = units.units(with_telegram, terms if daemon else None)
    if not only_print:
        try:
            _write(target, texts)
        except OSError as error:
            hint = "Name another folder with --folder."
            raise UnitsUnwritable(f"{error.filename}: {error.strerror}", hint=hint) from error
    report = {
        "status": "ok",
        "written": not only_print,
        "units": {str(target / name): text for name, text in texts.items()},
        "then": [
            "systemctl --user daemon-reload",
            *([f"systemctl --user disable --now {units.TIMER}"] if daemon and _ticks(target, copy) else []),
            f"systemctl --user enable --now {_enabled(texts)}",
            "loginctl enable-linger",
        ],
        "undo": [
            f"systemctl --user disable --now {_enabled(texts)}",
            f"rm {' '.join(shlex.quote(str(target / name)) for name in texts)}",
            "systemctl --user daemon-reload",
        ],
    }
    show(app, report, "units" if only_print else "install-systemd")


def _enabled(texts: Mapping[str, str]) -> str:
    return " ".join(name for name, text in texts.items() if "[Install]" in text)


def _ticks(folder: Path, copy: units.Copy) -> bool:
    """Whether this copy's timer is installed; the daemon replaces it."""
    try:
        existing = _text(folder / units.TIMER)
    except OSError:
        return False
    return not units.is_foreign(existing, units.units(copy)[units.TIMER])


def _text(path: Path) -> str:
    return read_bounded(path, _MOST_BYTES)[0].decode("utf-8", "replace")


def _write(target: Path, texts: Mapping[str, str]) -> None:
    """Writes all units, or none if one of the files belongs to another copy. Raises `UnitsUnwritable`, `OSError`."""
    target.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = target / name
        if not os.path.lexists(path):
            continue
        existing = _text(path) if os.path.exists(path) else ""
        if units.is_foreign(existing, text):
            owner = units.owner_of(existing)
            whose = f"belongs to the copy in {owner}" if owner else "does not belong to puruto-cron, or is an older one"
            raise UnitsUnwritable(
                f"{path} exists and {whose}",
                hint=f"If it is not needed: systemctl --user disable --now {name}, delete the file, and"
                " install again. Or name another folder with --folder.",
                details={"path": str(path), "owner": owner or None},
            )
    for name, text in texts.items():
        (target / name).write_text(text, encoding="utf-8")
