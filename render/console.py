"""The console on which views are drawn, and what views share: colours of statuses, the width, who looks."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import TextIOWrapper
from typing import Any

from rich.console import Console
from rich.text import Text

from render.words import plain

#: The width in cells where stdout is not a terminal: wide, so that no line is cut.
_WIDTH_ELSEWHERE = 200
_NARROWEST, _WIDEST = 20, 2_000
STYLES = {
    "ok": "green",
    "error": "bold red",
    "interrupted": "magenta",
    "cancelled": "yellow",
    "skipped": "yellow",
    "missed": "yellow",
    "running": "cyan",
}
Report = Mapping[str, Any]


@dataclass(frozen=True)
class ViewContext:
    """What a view needs besides its report: the current instant (UTC) and the IANA zone in which times are shown."""

    now: datetime
    zone: str


def console() -> Console:
    """A console on stdout: colours only on a terminal; as wide as COLUMNS says, else as the terminal."""
    width = columns_setting(os.environ) or (None if sys.stdout.isatty() else _WIDTH_ELSEWHERE)
    # A locale may have no characters for bars. Question marks are better than an error.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    # rich would accept any value of COLUMNS.
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return Console(file=sys.stdout, highlight=False, width=width, soft_wrap=False, _environ=environ)


def columns_setting(environ: Mapping[str, str]) -> int | None:
    """The width that COLUMNS asks for, in cells; None if it is unset or not a usable width."""
    text = environ.get("COLUMNS", "")
    # The check of the length comes first: Python parses very long numbers slowly.
    width = int(text) if text.isdecimal() and len(text) <= 5 else 0
    return width if _NARROWEST <= width <= _WIDEST else None


def status_text(status: object) -> Text:
    """A status in the colour that it has in all views."""
    return Text(plain(status), STYLES.get(str(status), ""))
