"""Prints a report as JSON, or as a table if `--table` or PURUTO_CRON_FORMAT asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TextIO, TypeVar

import click

from app.app import App
from commands.output import print_json

F = TypeVar("F", bound=Callable[..., Any])


def table_option(command: F) -> F:
    """Adds the options `--table` and `--no-table`."""
    option = click.option(
        "--table/--no-table",
        default=None,
        help="Print a table in local time; PURUTO_CRON_FORMAT=table makes it the default.",
    )
    decorated: F = option(command)
    return decorated


def is_screen(stream: TextIO) -> bool:
    """Whether it is a terminal on which text can be overwritten."""
    return stream.isatty() and (os.environ.get("TERM") or "dumb") not in ("dumb", "unknown")


def wants_table(app: App, table: bool | None) -> bool:
    """Whether to print a table: the option decides, or without it the setting."""
    return table if table is not None else app.settings.format == "table"


def show(app: App, view: str, report: Mapping[str, object], *, table: bool | None) -> None:
    """Prints a report as JSON or as the table of that view."""
    if wants_table(app, table):
        from render.console import ViewContext
        from render.tables import show as show_table

        show_table(view, report, ViewContext(app.clock.now(), app.default_zone))
    else:
        print_json(report)
