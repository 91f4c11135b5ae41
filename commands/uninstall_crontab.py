"""`uninstall-crontab`."""

from __future__ import annotations

from pathlib import Path

import click

from app import installation
from app.app import App
from commands.install_crontab import crontab_for, stray_marks
from commands.view import show
from install import crontab_blocks
from install.crontab_machine import is_here, of_user
from install.crontab_program import write_crontab

#: Its group in `--help`, and its position in that group.
PLACE = ("Installing and checking", 20)


@click.command("uninstall-crontab")
@click.option("--print", "only_print", is_flag=True, help="Show the new crontab, but change nothing.")
@click.pass_obj
def command(app: App, only_print: bool) -> None:
    """Remove the block of `install-crontab` from your crontab. All other lines are kept, also your own line for a tick.

    A block of this database in a folder that does not exist any more is removed too: this copy was there before it was
    moved. Prints whether there was a block, your own lines that still start a tick, and the whole crontab as it is now
    or would be.

    \b
    Example:
      python3 main.py uninstall-crontab
    """
    before, warnings = crontab_for(app, only_print=only_print)
    database = installation.known(app).database or crontab_blocks.own_database(before, app.root)
    moved = [block.root for block in crontab_blocks.moved(before, app.root, database)]
    after = crontab_blocks.without(before, [app.root, *moved])
    if not only_print and after != before:
        write_crontab(app.environ, after)
        installation.in_crontab(app, None)
    own = [line for line in of_user(after) if line.ticks and is_here(line, Path(app.root))]
    report = {
        "status": "ok",
        "changed": after != before and not only_print,
        "crontab": after,
        "own_lines": [f"{line.when} {line.program} {' '.join(line.words)}" for line in own],
    }
    view = "crontab" if only_print else "uninstall-crontab"
    show(app, {**report, "warnings": [*warnings, *stray_marks(after, app.root)]}, view)
