"""`install-crontab`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from app.app import App
from commands.view import show
from core.errors import UsageError
from install import units
from install.crontab_program import read_crontab, write_crontab

#: Its group in `--help`, and its position in that group.
PLACE = ("Installing and checking", 10)


@click.command("install-crontab")
@click.option("--print", "only_print", is_flag=True, help="Show the new crontab, but change nothing.")
@click.option(
    "--telegram/--no-telegram", default=None, help="Also drain the inbox of puruto-telegram. Default: as before."
)
@click.pass_obj
def command(app: App, only_print: bool, telegram: bool | None) -> None:
    """Add the line that starts a tick each minute to your crontab, in a marked block. Other lines are not changed.

    The line names this interpreter, and writes its log to db/tick.log. If run again, only the block is replaced. A line
    that you wrote yourself is kept; `doctor` warns about two lines. With --telegram a second line sends notifications
    with the sibling's inbox.py, and writes its log to db/telegram.log. Prints the lines and the whole crontab, as it is
    now or would be.

    \b
    Examples:
      python3 main.py install-crontab --print
      python3 main.py install-crontab
    """
    before = read_crontab(app.environ)
    copy = this_copy(app)
    if telegram or (telegram is None and units.drains(before, copy)):
        copy = replace(copy, telegram=sibling(app))
    after = units.with_block(before, copy)
    if not only_print and after != before:
        write_crontab(app.environ, after)
    report = {"status": "ok", "installed": not only_print, "changed": after != before and not only_print}
    show(app, {**report, "lines": units.lines_of(copy), "crontab": after, "warnings": stray_marks(after, copy.root)})


def stray_marks(text: str, root: str) -> list[dict[str, str]]:
    """A warning if a block of ours has no begin or no end; such a block is not changed."""
    numbers = units.stray_marks(text, root)
    if not numbers:
        return []
    message = f"Line {', '.join(map(str, numbers))} of the crontab begins or ends a block of this copy, but not both"
    return [{"code": "BLOCK_BROKEN", "message": f"{message}: nothing of it was changed. Correct it with crontab -e."}]


def this_copy(app: App) -> units.Copy:
    """This copy, as a crontab must name it."""
    return units.copy_in(Path(app.root), app.settings.db_path.parent)


def sibling(app: App) -> str:
    """The folder of puruto-telegram with its `inbox.py`. Raises `UsageError` if there is none."""
    folder = Path(os.path.normpath(app.settings.telegram_path))
    if not (folder / "inbox.py").is_file():
        hint = "Copy the example, cp -r examples/purutos/puruto-telegram .., or set PURUTO_TELEGRAM_PATH."
        raise UsageError(f"There is no inbox.py in {folder}", hint=hint, details={"folder": str(folder)})
    return str(folder)
