"""`install-crontab`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import click

from app import installation
from app.app import App
from commands.view import show
from core.errors import CrontabUnusable, UsageError
from install import crontab_blocks, units
from install.crontab_blocks import Block
from install.crontab_program import exists, read_crontab, write_crontab
from reports.health import WarningEntry

#: Its group in `--help`, and its position in that group.
PLACE = ("Installing and checking", 10)


@click.command("install-crontab")
@click.option("--print", "only_print", is_flag=True, help="Show the new crontab, but don't change it.")
@click.option(
    "--telegram/--no-telegram", default=None, help="Also drain the inbox of puruto-telegram. Default: as before."
)
@click.option(
    "--replace/--no-replace",
    "replaces",
    default=None,
    help="Remove the block of the folder in which this copy was before it was moved. Default: ask on a terminal, else "
    "no.",
)
@click.pass_obj
def command(app: App, only_print: bool, telegram: bool | None, replaces: bool | None) -> None:
    """Add the line that starts a tick each minute to your crontab, in a marked block. Other lines are not changed.

    The line names this interpreter, and writes its log to db/tick.log. If run again, only the block is replaced. A line
    that you wrote yourself is kept; `doctor` warns about two lines. With --telegram a second line sends notifications
    with the sibling's inbox.py, and writes its log to db/telegram.log. Prints the lines and the whole crontab, as it is
    now or would be.

    The block names the ID of the database. After the folder was moved, the old block is recognised by it, and --replace
    removes it. With --print it also works where there is no program `crontab`: it shows what to put elsewhere.

    \b
    Examples:
      python3 main.py install-crontab --print
      python3 main.py install-crontab
      python3 main.py install-crontab --replace
    """
    before, warnings = crontab_for(app, only_print=only_print)
    # Also for --print, so that it shows the ID that will be written.
    database = installation.identified(app).database or crontab_blocks.own_database(before, app.root)
    moved = crontab_blocks.moved(before, app.root, database)
    copy = replace(this_copy(app), database=database)
    if telegram or (telegram is None and _drained(before, copy, moved)):
        copy = replace(copy, telegram=sibling(app))
    removed = moved if moved and (_agreed(moved) if replaces is None and not only_print else replaces) else []
    after = units.with_block(crontab_blocks.without(before, [block.root for block in removed]), copy)
    if not only_print and after != before:
        write_crontab(app.environ, after)
        if not any(block.root == app.root for block in crontab_blocks.blocks(before)):
            installation.in_crontab(app, app.clock.now())
    show(
        app,
        {
            "status": "ok",
            "installed": not only_print,
            "changed": after != before and not only_print,
            "lines": units.lines_of(copy),
            "crontab": after,
            "replaced": [_shown(block) for block in removed],
            "replaceable": [_shown(block) for block in moved if block not in removed],
            "warnings": [*warnings, *stray_marks(after, copy.root), *_of_other_folders(after, copy)],
        },
        "crontab" if only_print else "install-crontab",
    )


class BlockReport(TypedDict):
    """A block of a folder that is gone: its lines, their numbers in the crontab before, and its database ID."""

    root: str
    database: str
    first_line: int
    last_line: int
    lines: list[str]


def crontab_for(app: App, *, only_print: bool) -> tuple[str, list[WarningEntry]]:
    """The crontab, and warnings. With `only_print` one that can't be read counts as empty, with a warning.

    Raises `CrontabUnusable`.
    """
    try:
        return read_crontab(app.environ), []
    except CrontabUnusable as error:
        if not only_print:
            raise
        told = "There is no program crontab here" if not exists(app.environ) else error.message
        message = f"{told}: only our own lines are shown, and none of another crontab"
        return "", [{"code": error.code, "message": message, "hint": error.hint}]


def _drained(text: str, copy: units.Copy, moved: Sequence[Block]) -> bool:
    return any(units.drains(text, replace(copy, root=root)) for root in (copy.root, *(block.root for block in moved)))


def _agreed(moved: Sequence[Block]) -> bool:
    """Asks a person; where nobody can be asked, nothing is removed."""
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        return False
    folders = ", ".join(block.root for block in moved)
    return click.confirm(f"This copy was in {folders} before. Remove the block of that folder?", default=True, err=True)


def _shown(block: Block) -> BlockReport:
    return {
        "root": block.root,
        "database": block.database,
        "first_line": block.first,
        "last_line": block.last,
        "lines": list(block.lines),
    }


def _of_other_folders(text: str, copy: units.Copy) -> list[WarningEntry]:
    """A warning for each block whose lines fail each minute, or start the jobs of this copy as well."""
    warnings: list[WarningEntry] = []
    for block in crontab_blocks.left_behind(text, copy.root):
        ours = bool(copy.database) and block.database == copy.database
        message = f"Lines {block.first} to {block.last} start the copy in {block.root}, which does not exist"
        hint = "Remove them with crontab -e, if you do not need them."
        if ours:
            message += ". This copy was there before it was moved"
            hint = "Remove them: python3 main.py install-crontab --replace"
        warnings.append({"code": "BLOCK_LEFT_BEHIND", "message": message, "hint": hint})
    for block in crontab_blocks.twins(text, copy.root, copy.database):
        warnings.append({"code": "BLOCK_OF_A_TWIN", "message": block.twin_sentence, "hint": block.twin_hint})
    return warnings


def stray_marks(text: str, root: str) -> list[WarningEntry]:
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
    if not os.path.isfile(folder / "inbox.py"):
        hint = "Copy the example, cp -r examples/purutos/puruto-telegram .., or set PURUTO_TELEGRAM_PATH."
        raise UsageError(f"There is no inbox.py in {folder}", hint=hint, details={"folder": str(folder)})
    return str(folder)
