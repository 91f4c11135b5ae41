"""`uninstall-crontab`."""

from __future__ import annotations

import click

from app.app import App
from commands.install_crontab import stray_marks
from commands.view import show
from install import units
from install.crontab_program import read_crontab, write_crontab

#: Its group in `--help`, and its position in that group.
PLACE = ("Installing and checking", 20)


@click.command("uninstall-crontab")
@click.option("--print", "only_print", is_flag=True, help="Show the new crontab, but change nothing.")
@click.pass_obj
def command(app: App, only_print: bool) -> None:
    """Remove the block of `install-crontab` from your crontab. All other lines are kept, also your own line for a tick.

    Prints whether there was a block, and the whole crontab as it is now or would be.

    \b
    Example:
      python3 main.py uninstall-crontab
    """
    before = read_crontab(app.environ)
    after = units.without_block(before, app.root)
    if not only_print and after != before:
        write_crontab(app.environ, after)
    report = {"status": "ok", "changed": after != before and not only_print, "crontab": after}
    show(app, {**report, "warnings": stray_marks(after, app.root)})
